"""Long-lived processes: compiled programs are forgotten before there are too many for the system."""

import gc
import sys
from pathlib import Path

# Linux allows a process some 65,000 memory maps, and every compiled program takes dozens: a study of many
# shapes would end in a crash of the allocator.
MANY_MAPS = 30_000
MAPS = Path("/proc/self/maps")


def relieve() -> bool:
    """Forget compiled programs if there are very many; True if so. Values do not depend on it."""
    if "jax" not in sys.modules or not MAPS.exists() or MAPS.read_bytes().count(b"\n") < MANY_MAPS:
        return False
    import jax

    jax.clear_caches()
    gc.collect()
    return True
