"""Warnings of chunks: brought home from workers, and said once a run, however many chunks give them."""

import functools
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cmapjax.arguments._checks import SpanWarning

_of_thread = threading.local()


def heard_while(play: Callable) -> tuple[object, list[tuple[str, float]]]:
    """What `play()` gives, and the distinct warnings meanwhile: text and ratio of every SpanWarning."""
    _listen()
    _of_thread.heard = heard = {}
    try:
        return play(), list(heard.items())
    finally:
        _of_thread.heard = None


@functools.cache
def _listen() -> None:
    """Once per process, as the threads of a worker share where warnings go."""
    elsewhere = warnings.showwarning

    def show(message, *where, **more) -> None:
        heard = getattr(_of_thread, "heard", None)
        if heard is None or not isinstance(message, SpanWarning):
            elsewhere(message, *where, **more)
        else:
            heard[str(message)] = message.ratio

    warnings.showwarning = show
    warnings.simplefilter("always", SpanWarning, append=True)


@contextmanager
def said_once(log: Callable[[str], None]) -> Iterator[None]:
    """Say the first SpanWarning within at once; at the end how many more there were, and the widest."""
    told: dict[str, float] = {}
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
                told[str(message)] = message.ratio
            if is_first:
                say(str(message), *where)

        warnings.showwarning = show
        warnings.simplefilter("always", SpanWarning, append=True)  # whoever wants none has said so before
        try:
            yield
        finally:
            if len(told) > 1:
                widest = max(told, key=told.get)
                say(f"{len(told) - 1:,} more such warnings, of other markets; the widest: {widest}", "", 0)
