"""The public classes of the package by name, with their fields: what can be said in words.

A class is named by its own name in small letters (`ErdosRenyi`: `erdos-renyi`; hyphens may be left out),
without the last word where that is the kind (`LocalDamping`: `local`), or by what it is `known_as`; a field
by its name, or by what its class calls it in `symbols`. Nothing else is needed for a class to be found.
"""

import functools
import importlib
import inspect
import re
import types
import typing
from typing import Any, NamedTuple

PACKAGE = "cmapjax"
NOTHING = inspect.Parameter.empty


class Option(NamedTuple):
    """A field of a class, as words set it."""

    name: str
    default: Any
    """`NOTHING` if it has none."""
    kind: type | None
    """The kind of object wanted, if it is one that has words of its own."""
    is_text: bool
    by_place: bool
    """Whether it may be given without its name."""


# -- names ---------------------------------------------------------------------------------------


def key(name: str) -> str:
    """A name as it is compared."""
    return re.sub("[-_ ]", "", name).lower()


def spelt(name: str) -> str:
    """A class's name in small letters and hyphens: GradientCMAP is gradient-cmap."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def kind_name(kind: type) -> str:
    """What a kind is called in messages."""
    return spelt(kind.__name__).replace("-", " ")


def name_of(cls: type) -> str:
    """The name by which words call a class of the package."""
    name, words = spelt(cls.__name__), spelt(cls.__name__).split("-")
    for kind in cls.__mro__[1:]:
        is_kind = kind.__module__.partition(".")[0] == PACKAGE
        if len(words) > 1 and is_kind and words[-1] in spelt(kind.__name__).split("-"):
            return name.removesuffix(f"-{words[-1]}")
    return name


@functools.cache
def members(kind: type) -> dict[str, type]:
    """The public classes of this kind, by name: those of the part of the package that the kind is from."""
    home = importlib.import_module(".".join(kind.__module__.split(".")[:2]))
    public = (getattr(home, name) for name in home.__all__ if name[:1].isupper())
    found = [
        thing
        for thing in public
        if isinstance(thing, type)
        and issubclass(thing, kind)
        and thing is not kind
        and not inspect.isabstract(thing)
    ]
    return {name_of(cls): cls for cls in found}


@functools.cache
def by_key(kind: type) -> dict[str, type]:
    """The classes of this kind by all their names, as `key` has them."""
    found = {}
    for name, cls in members(kind).items():
        for each in (name, cls.__name__, *vars(cls).get("known_as", ())):
            found[key(each)] = cls
    return found


def find(kind: type, name: str) -> type | None:
    """The class of this kind and name; None if there is none."""
    return by_key(kind).get(key(name))


# -- fields --------------------------------------------------------------------------------------


def symbols_of(cls: type) -> dict[str, str]:
    """Short names of fields, as the class or those it derives from say."""
    known = options(cls)
    return {s: name for s, name in getattr(cls, "symbols", {}).items() if name in known and s not in known}


@functools.cache
def options(cls: type) -> dict[str, Option]:
    """What a class takes, by name."""
    defaults = {
        name: field.default_factory()
        for name, field in getattr(cls, "__dataclass_fields__", {}).items()
        if callable(field.default_factory)
    }
    hints = _hints(cls)
    found = {}
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.name == "_" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = defaults.get(parameter.name, parameter.default)
        hint = hints.get(parameter.name)
        found[parameter.name] = Option(
            parameter.name,
            default,
            _kind_wanted(hint),
            str in (hint, *typing.get_args(hint)) or typing.get_origin(hint) is typing.Literal,
            parameter.kind is not parameter.KEYWORD_ONLY,
        )
    return found


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except (NameError, TypeError):  # of names known to a type checker alone
        return {}


def _kind_wanted(hint) -> type | None:
    """The kind among the types that a field may have."""
    each = typing.get_args(hint) if isinstance(hint, types.UnionType) or hint is not None else ()
    for one in (hint, *each):
        is_ours = isinstance(one, type) and one.__module__.partition(".")[0] == PACKAGE
        if is_ours and any(issubclass(cls, one) for cls in _members_or_none(one)):
            return one
    return None


def _members_or_none(kind: type):
    home = importlib.import_module(".".join(kind.__module__.split(".")[:2]))
    return members(kind).values() if hasattr(home, "__all__") else ()
