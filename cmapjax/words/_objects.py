"""From words to objects."""

import ast
import difflib
import inspect
from typing import Any

from cmapjax.arguments._checks import short
from cmapjax.words._classes import NOTHING, PACKAGE, Option, find, name_of, options, symbols_of
from cmapjax.words._grammar import (
    Words,
    file_words,
    files_within,
    inner,
    literal,
    module_words,
    package_words,
)
from cmapjax.words._sources import Sources
from cmapjax.words._texts import taken, unknown

# What stands for an object that takes loading a file of the user's own.
NOT_LOADED = object()


def read(kind: type, text: str) -> Words:
    """Words taken apart; a class of the package is given the name that it goes by.

    Raises:
        ValueError: a name that is neither of the package nor of a file or module.
    """
    own = file_words(text)
    if own is not None:
        return own
    words = package_words(text)
    cls = find(kind, words.name)
    if cls is not None:
        return words._replace(name=name_of(cls))
    own = module_words(text)
    if own is not None:
        return own
    raise unknown(kind, words.name)


class Builder:
    """Makes objects of words, each once.

    Args:
        sources: of classes of the user's own.
        loads: whether those are loaded. If not, `NOT_LOADED` stands for what takes them.
    """

    def __init__(self, sources: Sources | None = None, *, loads: bool = True):
        self.sources = Sources() if sources is None else sources
        self.loads = loads
        self._made: dict[tuple[type, str], Any] = {}

    def build(self, kind: type, text: str) -> Any:
        """The object that words name.

        Args:
            kind: what it must be, such as `Strategy`.
            text: the words.

        Raises:
            ValueError: unknown names and fields, values of the wrong kind, whatever the class refuses.
        """
        if (kind, text) not in self._made:
            self._made[kind, text] = self._of_words(kind, read(kind, text))
        return self._made[kind, text]

    def _of_words(self, kind: type, words: Words) -> Any:
        if words.place and not self.sources.has(words.place):
            raise unknown(kind, words.place)
        if not words.place:
            return self._make(find(kind, words.name), words.name, words.parts)
        if not self.loads:
            self.sources.check(words.place, words.name)
            for place in files_within(words.text):  # in its fields too, whatever they are wanted for
                self.sources.text(place)
            return NOT_LOADED
        return self._make(self.own_class(kind, words), words._replace(parts=()).text, words.parts)

    def own_class(self, kind: type, words: Words) -> type:
        """The class of a file or module. Raises ValueError if there is none of this kind, or several."""
        self.sources.check(words.place, words.name)
        module = self.sources.load(words.place)
        names = [words.name] if words.name else self.sources.defined(words.place, (ast.ClassDef,))
        found = [getattr(module, name, None) for name in names]
        fitting = [c for c in found if isinstance(c, type) and issubclass(c, kind)]
        concrete = [c for c in fitting if not inspect.isabstract(c)]
        wanted = f"derive from {PACKAGE}'s {kind.__name__} and define what it asks for"
        if not concrete and fitting:
            missing = ", ".join(sorted(fitting[0].__abstractmethods__))
            raise ValueError(f"{words.place}: {fitting[0].__name__} does not define {missing}; define it.")
        if not concrete:
            what = words.name or "nothing there"
            raise ValueError(f"{words.place}: {what} is no {kind.__name__}; {wanted}.")
        if len(concrete) > 1:
            each = ", ".join(f"{words.place}:{cls.__name__}" for cls in concrete)
            raise ValueError(f"{words.place} defines several classes of this kind; name one: {each}.")
        return concrete[0]

    # -- one class ---------------------------------------------------------------------------------

    def _make(self, cls: type, name: str, parts: tuple[tuple[str, str], ...], base: Any = None) -> Any:
        """An object of the class; what words leave out is as in `base`, or the class's default."""
        texts, for_inner = self._assigned(cls, name, parts)
        known = options(cls)
        given = {field: self._value(name, known[field], text) for field, text in texts.items()}
        for field, more in for_inner.items():
            given[field] = self._with_more(known[field], texts.get(field), more)
        if any(value is NOT_LOADED for value in given.values()):
            return NOT_LOADED
        if base is not None:
            given = {field: getattr(base, field) for field in known} | given
        missing = [o.name for o in known.values() if o.default is NOTHING and o.name not in given]
        if missing:
            raise ValueError(
                f"{name} needs {', '.join(missing)}; write {name}:{missing[0]}=… (it takes {taken(cls)})."
            )
        try:
            return cls(**given)
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(f"{name} raised {type(error).__name__}: {error}.") from None

    def _assigned(self, cls: type, name: str, parts) -> tuple[dict[str, str], dict[str, list]]:
        """The texts of the fields, and parts that are fields of an object within."""
        known, symbols = options(cls), symbols_of(cls)
        places = [option.name for option in known.values() if option.by_place]
        texts: dict[str, str] = {}
        for_inner: dict[str, list] = {}
        for field, text in parts:
            field = symbols.get(field, field)
            if not field:
                free = [place for place in places if place not in texts]
                if not free:
                    raise ValueError(f"{name} takes no further value {short(text)}; it takes {taken(cls)}.")
                field = free[0]
            if field in known:
                if field in texts:
                    raise ValueError(f"{name}: {field} is given twice; give it once.")
                texts[field] = text
            else:
                for_inner.setdefault(self._holder(cls, name, field, texts), []).append((field, text))
        return texts, for_inner

    def _holder(self, cls: type, name: str, field: str, texts: dict[str, str]) -> str:
        """The field that holds an object with this field."""
        for option in options(cls).values():
            inner_class = self._class_within(option, texts.get(option.name))
            if inner_class is not None and _has(inner_class, field):
                return option.name
        every = [*options(cls), *symbols_of(cls)]
        near = difflib.get_close_matches(field, every, 1)
        guess = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"{name} has no option {short(field)}{guess}; it takes {taken(cls)}.")

    def _class_within(self, option: Option, text: str | None) -> type | None:
        if option.kind is None:
            return None
        if text is None:
            return type(option.default) if isinstance(option.default, option.kind) else None
        words = read(option.kind, inner(text)) if isinstance(literal(text), str) else None
        return None if words is None or words.place else find(option.kind, words.name)

    def _with_more(self, option: Option, text: str | None, more: list) -> Any:
        """The object within, with further fields."""
        if text is None:
            cls = type(option.default)
            return self._make(cls, name_of(cls), tuple(more), base=option.default)
        words = read(option.kind, inner(text))
        return self._make(find(option.kind, words.name), words.name, (*words.parts, *more))

    def _value(self, name: str, option: Option, text: str) -> Any:
        value = literal(text)
        if option.kind is None:
            if isinstance(value, str) and not option.is_text:
                raise ValueError(f"{name}: {option.name} is {short(text)}, which is not a number; give one.")
            return text if option.is_text else value
        if isinstance(value, str):
            return self.build(option.kind, inner(text))
        if value is not None and isinstance(option.default, option.kind) and options(type(option.default)):
            return type(option.default)(value)  # step=0.1 is the usual kind of step, of this size
        return value


def _has(cls: type, field: str) -> bool:
    """Whether the class has this field, or holds an object that has it."""
    if symbols_of(cls).get(field, field) in options(cls):
        return True
    held = (o.default for o in options(cls).values() if o.kind is not None and isinstance(o.default, o.kind))
    return any(_has(type(default), field) for default in held)
