"""Where the time of a command went, stage by stage, compiling apart from the rest."""

import contextlib
import contextvars
import functools
import time
from collections.abc import Iterator

COMPILING = "compiling"
# JAX reports tracing, lowering and compiling (or finding in the cache) under this name.
COMPILE_EVENTS = "/jax/core/compile/"


# Seconds of each compilation in this context: a thread's own, or that of whoever handed it theirs.
_compiled: contextvars.ContextVar[list[float] | None] = contextvars.ContextVar("compiled", default=None)


@functools.cache
def _listen() -> None:
    from jax import monitoring

    def note(event: str, seconds: float, **_) -> None:
        if event.startswith(COMPILE_EVENTS) and (compiled := _compiled.get()) is not None:
            compiled.append(seconds)

    monitoring.register_event_duration_secs_listener(note)


class Timings:
    """Seconds of every stage so far; used as `with timings("drawing"): …`."""

    def __init__(self):
        self.began = time.perf_counter()
        self.seconds: dict[str, float] = {}
        if _compiled.get() is None:
            _compiled.set([])
        with self("loading"):
            _listen()

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[dict[str, float]]:
        """Time a stage; what JAX compiles meanwhile counts as compiling. Yields both, once they are known."""
        compiled = _compiled.get()
        began, compiled_before = time.perf_counter(), len(compiled)
        spent: dict[str, float] = {}
        yield spent
        whole = time.perf_counter() - began
        spent[COMPILING] = min(sum(compiled[compiled_before:]), whole)
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
