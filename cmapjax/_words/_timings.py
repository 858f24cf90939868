"""Where the time of a command went, stage by stage, compiling apart from the rest."""

import contextlib
import functools
import threading
import time
from collections.abc import Iterator

COMPILING = "compiling"
# JAX reports tracing, lowering and compiling (or finding in the cache) under this name.
COMPILE_EVENTS = "/jax/core/compile/"


class _Compiled(threading.local):
    """Seconds of each compilation; a thread that compiles is told itself."""

    def __init__(self):
        self.seconds: list[float] = []


_compiled = _Compiled()


@functools.cache
def _listen() -> None:
    from jax import monitoring

    def note(event: str, seconds: float, **_) -> None:
        if event.startswith(COMPILE_EVENTS):
            _compiled.seconds.append(seconds)

    monitoring.register_event_duration_secs_listener(note)


class Timings:
    """Seconds of every stage so far; used as `with timings("drawing"): …`."""

    def __init__(self):
        self.began = time.perf_counter()
        self.seconds: dict[str, float] = {}
        with self("loading"):
            _listen()

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[dict[str, float]]:
        """Time a stage; what JAX compiles meanwhile counts as compiling. Yields both, once they are known."""
        began, compiled_before = time.perf_counter(), len(_compiled.seconds)
        spent: dict[str, float] = {}
        yield spent
        whole = time.perf_counter() - began
        spent[COMPILING] = min(sum(_compiled.seconds[compiled_before:]), whole)
        spent[stage] = whole - spent[COMPILING]
        for name in (stage, COMPILING):
            self.seconds[name] = self.seconds.get(name, 0.0) + spent[name]

    def document(self) -> dict[str, float]:
        """Seconds by stage, and of everything since the command began."""
        return self.seconds | {"total": time.perf_counter() - self.began}


def in_words(seconds: dict[str, float]) -> str:
    """The stages that took any time, as one line."""
    stages = [f"{name} {s:.1f}" for name, s in seconds.items() if name != "total" and s >= 0.05]
    return f"{seconds['total']:.1f} s: {', '.join(stages)}."
