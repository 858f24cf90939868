"""What a claim is, and what its measurement comes to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

# A check's verdict on its statement, from what was measured.
HOLDS, IN_PART, FAILS, OPEN = VERDICTS = ("holds", "holds in part", "does not hold", "left open")


@dataclass(frozen=True)
class Check:
    """One statement, and what measuring it came to."""

    statement: str
    """What is claimed, a sentence that numbers can refute."""
    expected: str
    """What was said or derived before, with its numbers."""
    found: str
    """What came out: numbers, with intervals and how many markets or cases they rest on."""
    verdict: str
    """One of `VERDICTS`, worked out from the numbers."""

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict is {self.verdict!r}; give one of {', '.join(VERDICTS)}.")
        if not any(character.isdigit() for character in self.found):
            raise ValueError(f"found is {self.found!r}; say it with a number.")


class Picture(NamedTuple):
    """A Matplotlib figure, and the sentences that stand beneath it."""

    figure: Any
    caption: str


@dataclass
class Finding:
    """What measuring a part comes to."""

    checks: list[Check]
    tables: dict[str, Any] = field(default_factory=dict)
    """Pandas frames by name; written as CSV, and shown on the page."""
    pictures: dict[str, Picture] = field(default_factory=dict)
    """By name; written as PNG and PDF, and shown on the page."""
    remarks: list[str] = field(default_factory=list)
    """What a reader should know beside the numbers: definitions, limits, what is not known."""


@dataclass(frozen=True)
class Part:
    """One claim or experiment."""

    name: str
    """Lower-case words and dashes: what the command line and the folders call it."""
    title: str
    claim: str
    """What has been claimed, in words."""
    labels: tuple[str, ...]
    """Which claims (C1 to C9) and experiments (E1 to E15) it measures."""
    module: str
    """The module of this package whose `measure(setting) -> Finding` measures it."""


@dataclass(frozen=True)
class Setting:
    """What a part is to be measured with."""

    folder: Path
    """Where studies are kept, so that an interrupted reproduction goes on where it was."""
    quick: bool = False
    seed: int = 0
    tell: Callable[[str], None] = lambda text: None
    """Called with a line about what is being done now."""
    again: bool = False
    """Whether studies that the folder holds from earlier are played anew."""
    anew: set[str] = field(default_factory=set)
    """Names of the studies for which that has been seen to; several parts may read one."""

    def pick(self, quick, full):
        """The first in a quick reproduction, else the second."""
        return quick if self.quick else full

    def study(self, study):
        """The results (`cmapjax.open_study`) of a study; what its folder holds already is not played again.

        Raises RuntimeError if a chunk of the study failed.
        """
        from cmapjax.reproduce._played import played

        return played(self, study)
