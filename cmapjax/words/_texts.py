"""Texts about classes and objects: the words that name an object, and what there is to say, for messages."""

import difflib
import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cmapjax.arguments._checks import short
from cmapjax.words._classes import (
    NOTHING,
    PACKAGE,
    Option,
    by_key,
    key,
    kind_name,
    members,
    name_of,
    options,
    symbols_of,
)
from cmapjax.words._sources import PLACE, module_file


def unknown(kind: type, name: str) -> ValueError:
    """The error for a name that no class of a kind has."""
    table = by_key(kind)
    near = difflib.get_close_matches(key(name), table, 1)
    close = [usage(table[each]) for each in near]
    guess = f" (did you mean {close[0]}?)" if close else ""
    own = "or name your own: FILE.py:Class or MODULE:Class"
    return ValueError(
        f"{kind_name(kind)} {short(name)} is not known{guess}; use one of {choices(kind)}; {own}."
    )


def choices(kind: type) -> str:
    """All names of a kind, with their other names and fields."""
    return ", ".join(usage(cls) for cls in members(kind).values())


def usage(cls: type) -> str:
    """A class's names, and its fields with their defaults: `cmap (community_hops=1)`."""
    names = " | ".join((name_of(cls), *vars(cls).get("known_as", ())))
    given = ", ".join(described(cls, option) for option in options(cls).values())
    return f"{names} ({given})" if given else names


def described(cls: type, option: Option) -> str:
    """A field with its symbol and default."""
    symbols = [f"|{short}" for short, name in symbols_of(cls).items() if name == option.name]
    head = option.name + "".join(symbols)
    if option.default is NOTHING:
        return head
    try:
        return f"{head}={value_text(option.default, option.name)}"
    except ValueError:  # words cannot say it, but it is there
        return f"{head}={short(option.default, 30)}"


def taken(cls: type) -> str:
    """The fields of a class, for an error."""
    return ", ".join(described(cls, option) for option in options(cls).values()) or "none"


# -- from objects to words -----------------------------------------------------------------------


def words_of(thing: Any) -> str:
    """The words that name an object (or a function of the user's own): `build` makes its equal of them.

    Raises:
        ValueError: an object of a class that nobody else could load, or that holds what words cannot say.
    """
    if isinstance(thing, type):
        raise ValueError(f"{short(thing)} is a class; give an object of it, such as {thing.__name__}().")
    cls = thing if inspect.isfunction(thing) else type(thing)
    head = _head(cls)
    if inspect.isfunction(thing):
        return head
    said, leading = [], True
    for option in options(cls).values():
        is_kept = option.name in vars(thing) or isinstance(getattr(cls, option.name, None), property)
        if not is_kept:
            raise ValueError(f"{cls.__name__} has no attribute {option.name}; keep its argument as such.")
        value = getattr(thing, option.name)
        leading = leading and option.default is NOTHING and option.by_place
        text = value_text(value, f"{cls.__name__}.{option.name}")
        if option.default is NOTHING or text != value_text(option.default, option.name):
            said.append(text if leading else f"{option.name}={text}")
    return f"{head}:{','.join(said)}" if said else head


def value_text(value: Any, what: str) -> str:
    """A field's value as words. Raises ValueError, naming `what`, if it cannot be said."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float, np.generic)) or (hasattr(value, "dtype") and np.ndim(value) == 0):
        return repr(np.asarray(value).item())
    if isinstance(value, (tuple, list)) or (hasattr(value, "dtype") and np.ndim(value) == 1):
        if len(value) > 1 and all(np.ndim(x) == 0 and not isinstance(x, str) for x in value):
            return "+".join(value_text(x, what) for x in value)
    elif options_known(value):
        words = words_of(value)
        return f"({words})" if "," in words else words
    raise ValueError(f"{what} is {short(value)}, which words cannot say; they say numbers, text and objects.")


def options_known(value: Any) -> bool:
    """Whether words may be found for a value as an object."""
    return not callable(value) and hasattr(type(value), "__dataclass_fields__")


def _head(cls) -> str:
    """How words name a class, or a function."""
    module = sys.modules.get(cls.__module__)
    if cls.__module__.partition(".")[0] == PACKAGE:
        if not isinstance(cls, type) or cls.__name__.startswith("_"):
            raise ValueError(f"{cls.__name__} is not public; give one of the package's public classes.")
        return name_of(cls)
    remedy = f"put it into a file, say my_rules.py, and import it, or name it my_rules.py:{cls.__name__}"
    if cls.__module__ == "__main__" or module is None or not getattr(module, "__file__", None):
        raise ValueError(
            f"{cls.__name__} is defined in a script, a notebook or at a prompt, from where nobody else can "
            f"load it; {remedy}."
        )
    if cls.__qualname__ != cls.__name__:
        raise ValueError(f"{cls.__qualname__} is defined inside of something else; {remedy}.")
    place = getattr(module, PLACE, None)
    if place is None:
        file = Path(module.__file__)
        found = module_file(cls.__module__, sys.path)
        place = cls.__module__ if found is not None and found.resolve() == file.resolve() else str(file)
    return f"{place}:{cls.__name__}"
