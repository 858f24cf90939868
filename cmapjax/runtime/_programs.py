"""Forgets the compiled programs of this process before they exceed a limit of the system.

Every compiled program takes 400 to 1,000 memory maps, and Linux allows a process some 65,000. Beyond that
limit, after about 100 programs, the next one ends the process without an exception.
"""

import functools
import gc
from pathlib import Path

import jax

MAPS, MOST_MAPS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
# Programs are forgotten at this share of the limit, which some 40 small networks reach; they take 1.2 GiB.
MOST_SHARE = 0.4
# If data and libraries alone take that share, programs get this much on top of it, up to a last limit.
ROOM, MOST_OF_ALL = 0.2, 0.9
_COMPILED = "/jax/core/compile/backend_compile_duration"


class _Programs:
    """Counts of this process's programs and memory maps."""

    new = 1
    """Programs compiled since the maps were last counted; 1 at first, so that they are counted once."""
    share = 0.0
    """The share of the allowed maps that was in use when they were last counted."""
    others = 0.0
    """The share still in use after programs were last forgotten, which is that of data and libraries."""
    times_forgotten = 0


def maps_used() -> float:
    """The share of the allowed memory maps that this process uses (0 where they are not limited)."""
    try:
        return MAPS.read_bytes().count(b"\n") / int(MOST_MAPS.read_text())
    except (OSError, ValueError):
        return 0.0


def forget_if_many(share: float = MOST_SHARE) -> None:
    """Forget all compiled programs of the process, the user's too, if maps in use exceed this share.

    They are compiled again, or loaded from JAX's folder of compiled programs, when they are next needed. Maps
    are counted only after something has been compiled. A program that another thread is running is kept until
    it ends.
    """
    _listen()
    if _Programs.new:
        _Programs.new, _Programs.share = 0, maps_used()
    if _Programs.share > max(share, min(_Programs.others + ROOM, MOST_OF_ALL)):
        _Programs.times_forgotten += 1
        jax.clear_caches()
        gc.collect()
        _Programs.share, _Programs.others = 0.0, maps_used()  # no programs are left


def times_forgotten() -> int:
    """How often programs have been forgotten in this process."""
    return _Programs.times_forgotten


@functools.cache
def _listen() -> None:
    def note(event: str, seconds: float, **_) -> None:
        _Programs.new += event == _COMPILED

    jax.monitoring.register_event_duration_secs_listener(note)
