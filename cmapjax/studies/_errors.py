"""What pydantic finds wrong with a description, in this package's words: key, value, what is allowed."""

import difflib
import re
from collections.abc import Sequence

from cmapjax.arguments._checks import short

SHOWN = 5


def explained(error, keys: Sequence[str] = ()) -> ValueError:
    """One ValueError for pydantic's list; `keys` are those known at the top."""
    found = error.errors(include_url=False)
    lines = []
    for one in found[:SHOWN]:
        place = [part for part in one["loc"] if part != "ranges"]
        lines.append(f"{path_of(place)} {_complaint(one, place, keys)}")
    if len(found) > SHOWN:
        lines.append(f"and {len(found) - SHOWN} more.")
    return ValueError("\n".join(lines))


def located(error: ValueError, source: str, text: str) -> ValueError:
    """The same error with the file, and the line of the key that each complaint begins with."""
    lines = []
    for complaint in str(error).splitlines():
        path = re.match(r"[\w-]+(\.[\w-]+|\[\d+\])*", complaint)
        axis = re.match(r"axis (\w+)", complaint)
        line = line_of(text, [axis[1]] if axis else _place_of(path[0]) if path else [])
        lines.append(f"{source}{f', line {line}' if line else ''}: {complaint}")
    return ValueError("\n".join(lines))


def _place_of(path: str) -> list[str | int]:
    return [
        int(number) if number else name for name, number in re.findall(r"(?<!\[)\b([\w-]+)|\[(\d+)\]", path)
    ]


def path_of(place: Sequence[str | int]) -> str:
    """A place in a document, as in grid.damping[2]."""
    path = ""
    for part in place:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "the study"


def _complaint(one: dict, place: Sequence[str | int], keys: Sequence[str]) -> str:
    given, message = one.get("input"), one["msg"]
    match one["type"]:
        case "missing":
            return "is missing; give it."
        case "extra_forbidden":
            return _unknown_key(place, keys)
        case "value_error":
            return f"is {short(given)}; {message.removeprefix('Value error, ')}"
        case "list_type" if place in (["zip"], ["list"]):
            return f"is {short(given)}; write [[{place[0]}]], in double brackets: there may be several."
        case "list_type":
            return f"is {short(given)}; give a list, as in [1, 2]."
        case "string_type" if place[0] == "cells" and isinstance(given, list):
            return f"is {short(given)}; give one text here, and several values in [grid]: {place[-1]} = […]."
        case "dict_type" | "model_type":
            wanted = "a range, as in [0.1, 2.0]" if place[0] == "sample" else "a table"
            return f"is {short(given)}; give {wanted}."
        case "too_short" if place == ["sample"]:
            return "has no axis; give a range, as in spread = [0.1, 2.0]."
    message = message.replace("Input should be", "give").rstrip(".")
    return f"is {short(given)}; {message[0].lower() + message[1:]}."


def _unknown_key(place: Sequence[str | int], keys: Sequence[str]) -> str:
    name = str(place[-1])
    if name == "where":
        return "is not a key here; write where = […] at the top of the file, before the first [table]."
    known = list(keys) if len(place) == 1 else KEYS.get(str(place[0]), [])
    near = difflib.get_close_matches(name, known, 1)
    guess = f" (did you mean {near[0]}?)" if near else ""
    return f"is not a key of a study{guess}; allowed here: {', '.join(known) or 'nothing'}."


KEYS: dict[str, list[str]] = {}
"""The keys of each table, filled in where the tables are defined."""


def line_of(text: str, place: Sequence[str | int]) -> int | None:
    """The line of a TOML text on which a key is given, or the table it should be in; None if unknown."""
    if not text or not place:
        return None
    names = [part for part in place if isinstance(part, str)]
    numbers = [part for part in place if isinstance(part, int)]
    seen: dict[str, int] = {}
    table, best = "", None
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line)
        if header:
            table = header[2].replace('"', "").replace(" ", "")
            if header[1] == "[[":
                seen[table] = seen.get(table, -1) + 1
            continue
        key = re.match(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*[.=]""", line)
        if not key:
            continue
        here = [*filter(None, table.split(".")), key[1]]
        is_this_one = table not in seen or not numbers or seen[table] == numbers[0]
        if is_this_one and (names[: len(here)] == here or (place == here[-1:] and len(here) > 1)):
            best = number
    return best
