"""Warnings of chunks: brought home from workers, and said once a run, however many chunks give them."""

import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from cmapjax.arguments._checks import SpanWarning

_here = threading.local()


class Heard(NamedTuple):
    """A warning on its way home; `ratio` is None unless it is a SpanWarning."""

    text: str
    ratio: float | None


@contextmanager
def gathered() -> Iterator[list[Heard]]:
    """Warnings of this thread of a worker, whose own output nobody reads."""
    _listen()
    _here.heard = heard = []
    try:
        yield heard
    finally:
        _here.heard = None


@functools.cache
def _listen() -> None:
    """Once per process: a worker may have several threads, and they share where warnings go."""
    elsewhere = warnings.showwarning

    def show(message, *where, **more) -> None:
        heard = getattr(_here, "heard", None)
        if heard is None:
            elsewhere(message, *where, **more)
        else:
            heard.append(Heard(str(message), getattr(message, "ratio", None)))

    warnings.showwarning = show
    warnings.simplefilter("always", SpanWarning, append=True)  # whoever wants none has said so before


def repeat(heard: list[Heard]) -> None:
    """Warn here of what workers were warned of."""
    for text, ratio in heard:
        warnings.warn(text if ratio is None else SpanWarning(text, ratio), stacklevel=2)


@contextmanager
def said_once(log: Callable[[str], None]) -> Iterator[None]:
    """Say the first SpanWarning within at once; at the end how many more there were, and the widest."""
    told: set[str] = set()
    widest: list[tuple[SpanWarning, tuple]] = []
    lock = threading.Lock()
    with warnings.catch_warnings():
        elsewhere = warnings.showwarning

        def say(text: str, *where) -> None:
            text = text.replace("use precision float64", 'begin a study with precision = "float64"')
            log(f"warning: {text}")
            elsewhere(text, SpanWarning, *where)

        def show(message, category, *where, **more) -> None:
            if not isinstance(message, SpanWarning):
                elsewhere(message, category, *where, **more)
                return
            with lock:  # threads play side by side
                is_first = not told
                told.add(str(message))
                widest[:] = [max([*widest, (message, where)], key=lambda each: each[0].ratio)]
            if is_first:
                say(str(message), *where)

        warnings.showwarning = show
        warnings.simplefilter("always", SpanWarning, append=True)
        try:
            yield
        finally:
            if len(told) > 1:
                message, where = widest[0]
                say(f"{len(told) - 1:,} more such warnings, of other markets; the widest: {message}", *where)
