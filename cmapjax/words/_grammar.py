"""The grammar of words, one for the command line, study files and labels.

    words = name [":" part {"," part}]
    part  = [field "="] value
    value = number | number "+" number {"+" number} | none | true | false | inf | text | words | "(" words ")"
    name  = a public class of the package | FILE.py[:Class] | MODULE:Class

`er:n=50,degree=6` is `ErdosRenyi(50, mean_degree=6)`. Parts without a field are taken in the order of fields.
Words within words need parentheses only if they hold a comma: `damped:(cmap-gradient:iterations=5,step=0.2)`.
"""

import math
import re
from typing import NamedTuple

from cmapjax.arguments._checks import short

CONSTANTS = {"none": None, "true": True, "false": False, "inf": math.inf, "-inf": -math.inf}
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_FIELD = re.compile(r"\s*([A-Za-z_][\w-]*)\s*=(.*)", re.DOTALL)
# A drive's letter, and then a path that holds nothing of the grammar.
_FILE = re.compile(r"\s*((?:[A-Za-z]:)?[^:=,()]*\.py)\s*(?::(.*))?", re.DOTALL)
_FILE_WITHIN = re.compile(r"(?:^|(?<=[:=,(]))((?:[A-Za-z]:)?[^:=,()]*\.py)(?=\s*(?:[:,)]|$))")
_CLASS = re.compile(r"\s*([^\W\d]\w*)\s*(?::(.*))?", re.DOTALL)
_MODULE = re.compile(r"\s*([^\W\d]\w*(?:\.[^\W\d]\w*)*)\s*:(.*)", re.DOTALL)


class Words(NamedTuple):
    """Words taken apart."""

    name: str
    """Of the class; empty if a file is named alone."""
    parts: tuple[tuple[str, str], ...] = ()
    """Fields ("" if by place) and their values, as typed."""
    place: str = ""
    """The file or module that holds the class, if it is not the package's."""

    @property
    def text(self) -> str:
        """The words again."""
        head = ":".join(filter(None, (self.place, self.name)))
        parts = ",".join(f"{field}={value}" if field else value for field, value in self.parts)
        return f"{head}:{parts}" if parts else head


def file_words(text: str) -> Words | None:
    """The words if they name a Python file; else None."""
    match = _FILE.fullmatch(text)
    if match is None:
        return None
    named = _CLASS.fullmatch(match[2] or "")
    name, rest = (named[1], named[2]) if named else ("", match[2])
    return Words(name, parts(rest or ""), match[1].strip())


def files_within(text: str) -> list[str]:
    """The Python files that are named anywhere in words."""
    return [place.strip() for place in _FILE_WITHIN.findall(text)]


def module_words(text: str) -> Words | None:
    """The words if they may name a class in a module; else None. Names of the package come first."""
    match = _MODULE.fullmatch(text)
    named = _CLASS.fullmatch(match[2]) if match else None
    return Words(named[1], parts(named[2] or ""), match[1]) if named else None


def package_words(text: str) -> Words:
    """The words as those of a class of the package. Raises ValueError for an empty name."""
    name, _, rest = text.partition(":")
    if not name.strip():
        raise ValueError(f"{short(text)} has no name; write name or name:field=value,field=value.")
    return Words(name.strip(), parts(rest))


def parts(text: str) -> tuple[tuple[str, str], ...]:
    """Fields and values. Raises ValueError for a field given twice, and parentheses that do not close."""
    found: list[tuple[str, str]] = []
    for part in filter(None, map(str.strip, _split(text))):
        match = _FIELD.fullmatch(part)
        field, value = (match[1].replace("-", "_"), match[2].strip()) if match else ("", part)
        if field and field in (name for name, _ in found):
            raise ValueError(f"{short(text)}: option {field} is given twice; give it once.")
        found.append((field, value))
    return tuple(found)


def _split(text: str) -> list[str]:
    """At commas outside of parentheses."""
    depth, found = 0, [""]
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            break
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    if depth:
        raise ValueError(f"{short(text)}: parentheses do not match; write (…) around words with a comma.")
    return found


def inner(text: str) -> str:
    """Words without the parentheses around them."""
    text = text.strip()
    return text[1:-1].strip() if text.startswith("(") and text.endswith(")") else text


def literal(text: str):
    """A number, a tuple of numbers, a constant, or else the text itself."""
    text = text.strip()
    if text.lower() in CONSTANTS:
        return CONSTANTS[text.lower()]
    numbers = [_number(part) for part in re.split(r"(?<![eE])\+", text)]
    if None in numbers:
        return text
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def _number(text: str) -> int | float | None:
    if re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else None


def number(text: str) -> int | float | tuple:
    """A number, or several joined by +. Raises ValueError for anything else."""
    value = literal(text)
    if value is None or isinstance(value, (str, bool)):
        raise ValueError(f"{short(text)} is not a number.")
    return value
