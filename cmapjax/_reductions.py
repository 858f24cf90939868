"""Totals and extremes along the rows of padded columns: compiled by JAX, or by NumPy on the host.

Block by block, so that nothing as large as all slots is written out between a look-up and its total:
XLA makes one loop of both, 5 times faster on a CPU. Both kinds combine in the same order.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Shaped

from cmapjax._columns import Columns, fold
from cmapjax._precision import namespace
from cmapjax._types import Array

_OF_NUMPY = {jnp.add: np.add, jnp.minimum: np.minimum, jnp.maximum: np.maximum}


class Block(NamedTuple):
    """Rows of similar length, one beside the other."""

    entries: Int[Array, "width rows"]
    lengths: Int[Array, "rows"]

    @property
    def is_entry(self) -> Bool[Array, "width rows"]:
        """False on padding."""
        xp = namespace(self)
        return xp.arange(self.entries.shape[0], dtype=np.int32)[:, None] < self.lengths

    def look(self, x: Shaped[Array, "values"]) -> Shaped[Array, "width rows"]:
        """The value of what each slot points at; any value on padding."""
        if namespace(self, x) is np:
            return x[self.entries]
        # Entries are in range by construction; without this promise JAX compares each of them twice.
        get = jnp.asarray(x).at[self.entries].get
        return get(mode="promise_in_bounds", wrap_negative_indices=False)

    def take(self, x: Shaped[Array, "values"], fill: float = 0) -> Shaped[Array, "width rows"]:
        """The value of what each slot points at; `fill` on padding."""
        return namespace(self, x).where(self.is_entry, self.look(x), np.asarray(fill, x.dtype))


def blocks(columns: Columns) -> Iterator[Block]:
    """The blocks of some columns, from the narrowest rows to the widest."""
    both = zip(columns.blocks(columns.entries), columns.row_blocks(columns.lengths), strict=True)
    return (Block(*block) for block in both)


def combined(combine: Callable, block: Shaped[Array, "width rows"]) -> Shaped[Array, "rows"]:
    """Every row of a block combined by `jnp.add`, `jnp.minimum` or `jnp.maximum`, pairwise (`fold`)."""
    if isinstance(block, jax.Array):
        return fold(combine, block)
    while (width := block.shape[0]) > 1:
        pairs = _OF_NUMPY[combine](block[0 : width - 1 : 2], block[1:width:2])
        block = pairs if width % 2 == 0 else np.concatenate([pairs, block[width - 1 :]])
    return block[0]


def joined(columns: Columns, parts: list[Shaped[Array, "..."]]) -> Shaped[Array, "_"]:
    """What was computed of each block, end to end: a value per row, or per slot."""
    if namespace(parts) is np:
        return np.concatenate([part.reshape(-1) for part in parts])
    return columns.join(parts)


def over_entries(
    columns: Columns, combine: Callable, x: Shaped[Array, "values"], fill: float = 0
) -> Shaped[Array, "rows"]:
    """Of every stored row the values of what it points at, combined."""
    return joined(columns, [combined(combine, block.take(x, fill)) for block in blocks(columns)])


def over_slots(columns: Columns, combine: Callable, x: Shaped[Array, "slots"]) -> Shaped[Array, "rows"]:
    """Of every stored row a value per slot, combined; on padding `x` must change nothing."""
    return joined(columns, [combined(combine, block) for block in columns.blocks(x)])
