"""The claims about CMAP and its rivals, each measured anew by one command: `cmapjax reproduce`.

A *part* is one claim or experiment: what was said, and a function that measures it. What comes out is a
*finding*: *checks* (a statement, what was expected, what was found, a verdict), tables and figures.
"""

from cmapjax.reproduce._part import VERDICTS, Check, Finding, Part, Setting
from cmapjax.reproduce._parts import PARTS

__all__ = ["PARTS", "VERDICTS", "Check", "Finding", "Part", "Setting"]
