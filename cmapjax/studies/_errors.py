"""What pydantic finds wrong with a description, in this package's words: key, value, what is allowed."""

import difflib
import re
from collections.abc import Sequence

from cmapjax.arguments._checks import short
from cmapjax.studies._sections import TABLES

SHOWN = 5


def explained(error, keys: Sequence[str]) -> ValueError:
    """One ValueError for pydantic's list; `keys` are those known at the top."""
    found = error.errors(include_url=False)
    lines = []
    for one in found[:SHOWN]:
        place = [part for part in one["loc"] if part != "ranges"]
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
        lines.append(f"{path.removeprefix('.') or 'the study'} {_complaint(one, place, keys)}")
    if len(found) > SHOWN:
        lines.append(f"and {len(found) - SHOWN} more.")
    return ValueError("\n".join(lines))


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
        case "too_short":
            return f"is {short(given)}; give at least {one['ctx']['min_length']} value(s)."
    message = message.replace("Input should be", "give").rstrip(".")
    return f"is {short(given)}; {message[0].lower() + message[1:]}."


def _unknown_key(place: Sequence[str | int], keys: Sequence[str]) -> str:
    name = str(place[-1])
    if name == "where":
        return "is not a key here; write where = […] at the top of the file, before the first [table]."
    holder = next((TABLES[part] for part in reversed(place[:-1]) if part in TABLES), None)
    known = list(keys) if holder is None else holder.known_keys()
    near = difflib.get_close_matches(name, known, 1)
    guess = f" (did you mean {near[0]}?)" if near else ""
    return f"is not a key of a study{guess}; allowed here: {', '.join(known)}."


# -- lines of a file -------------------------------------------------------------------------------


def located(error: ValueError, source: str, text: str) -> ValueError:
    """The same error with the file, and the line of the key that each complaint begins with."""
    lines = []
    for complaint in str(error).splitlines():
        path = re.match(r"axis \w+|[\w-]+(\.[\w-]+|\[\d+\])*", complaint)
        place = re.findall(r"[\w-]+", path[0].removeprefix("axis ")) if path else []
        line = line_of(text, [int(part) if part.isdigit() else part for part in place])
        lines.append(f"{source}{f', line {line}' if line else ''}: {complaint}")
    return ValueError("\n".join(lines))


def line_of(text: str, place: Sequence[str | int]) -> int | None:
    """The line of a TOML text on which a key is given, or the table it should be in; None if unknown."""
    names = [part for part in place if isinstance(part, str)]
    numbers = [part for part in place if isinstance(part, int)]
    seen: dict[str, int] = {}
    table, best = "", None
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line):
            table = header[2].replace('"', "").replace(" ", "")
            if header[1] == "[[":
                seen[table] = seen.get(table, -1) + 1
        elif names and (key := re.match(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*[.=]""", line)):
            here = [*filter(None, table.split(".")), key[1]]
            is_this_one = table not in seen or not numbers or seen[table] == numbers[0]
            if is_this_one and (names[: len(here)] == here or (place == here[-1:] and len(here) > 1)):
                best = number
    return best
