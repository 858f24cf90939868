"""Compiled programs of this process, which are forgotten before there are more than the system allows.

Every compiled program is mapped into memory in 400 to 1,000 pieces, of which Linux allows a process some
65,000: after about 100 programs the next one ends it, without an exception.
"""

import functools
import gc
from pathlib import Path

import jax

MAPS, MOST_MAPS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
# Programs are forgotten at this share of the limit: with some 40 small networks, which take 1.2 GiB.
MOST_SHARE = 0.4
# Where other things than programs take that many maps, programs get this much more, up to a last limit.
ROOM, MOST_OF_ALL = 0.2, 0.9
_COMPILED = "/jax/core/compile/backend_compile_duration"


class _Programs:
    """What is known of this process's programs."""

    new = 1
    """Compiled since the maps were counted (what came before anybody counted is one)."""
    share = 0.0
    """Of the maps allowed, those in use when they were counted."""
    others = 0.0
    """Those still in use when programs had last been forgotten: of data and libraries."""
    times_forgotten = 0


def maps_used() -> float:
    """The share of the memory maps allowed that this process has taken (0 where that is not limited)."""
    try:
        return MAPS.read_bytes().count(b"\n") / int(MOST_MAPS.read_text())
    except (OSError, ValueError):
        return 0.0


def forget_if_many(share: float = MOST_SHARE) -> None:
    """Forget all compiled programs of the process, the user's too, if maps in use exceed this share.

    They are compiled anew, or loaded from JAX's folder of compiled programs, when they are next asked for.
    Maps are counted only after something has been compiled. A program that another thread is running is
    kept until it ends.
    """
    _listen()
    if _Programs.new:
        _Programs.new, _Programs.share = 0, maps_used()
    if _Programs.share > max(share, min(_Programs.others + ROOM, MOST_OF_ALL)):
        _Programs.times_forgotten += 1
        jax.clear_caches()
        gc.collect()
        _Programs.share, _Programs.others = 0.0, maps_used()  # the share of programs is counted anew


def times_forgotten() -> int:
    """How often programs have been forgotten in this process."""
    return _Programs.times_forgotten


@functools.cache
def _listen() -> None:
    def note(event: str, seconds: float, **_) -> None:
        _Programs.new += event == _COMPILED

    jax.monitoring.register_event_duration_secs_listener(note)
