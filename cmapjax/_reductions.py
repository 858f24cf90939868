"""Totals and extremes along the rows of padded columns: compiled by JAX, or by NumPy on the host.

Block by block, so that nothing as large as all slots is written out between a look-up and its total:
XLA makes one loop of both, 5 times faster on a CPU. Both kinds combine in the same order.
"""

import functools
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
        return _look(x, self.entries)

    def take(self, x: Shaped[Array, "values"], fill: float = 0) -> Shaped[Array, "width rows"]:
        """The value of what each slot points at; `fill` on padding."""
        return namespace(self, x).where(self.is_entry, self.look(x), np.asarray(fill, x.dtype))


def _look(x, at):
    if namespace(x, at) is np:
        return x[at]
    # In range by construction; without this promise JAX compares every number twice.
    return jnp.asarray(x).at[at].get(mode="promise_in_bounds", wrap_negative_indices=False)


def written(x: Shaped[Array, "values"]) -> Shaped[Array, "values"]:
    """The vector itself, computed before anything is looked up in it or done with it.

    XLA's CPU backend would fuse: it would compute a ratio anew at every look-up, and number by number what
    it could have vectorised, up to ten times slower. It drops `optimization_barrier` before it fuses, but
    passes no conditional; both branches of this one are the vector. (Elsewhere a conditional is dear.) Whole
    numbers are left as they are.
    """
    if not isinstance(x, jax.Array) or not jnp.issubdtype(x.dtype, jnp.floating):
        return x

    def on_cpu(x):
        return jax.lax.cond(x[0] > 0, lambda x: x, jax.lax.optimization_barrier, x)

    return jax.lax.platform_dependent(x, cpu=on_cpu, default=lambda x: x)


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


def combined_rows(combine: Callable, rows: Shaped[Array, "rows width"]) -> Shaped[Array, "rows"]:
    """The same of rows that lie one after another, in the same order."""
    if isinstance(rows, jax.Array):
        return jax.vmap(functools.partial(fold, combine))(rows)
    return combined(combine, rows.T)


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


def ranges(columns: Columns, x: Shaped[Array, "values"], fill: float = 0) -> list[Shaped[Array, "_ _"]]:
    """`x` cut into rows, those of one block as `[rows, width]`, with `fill` on padding.

    For columns whose rows' entries are 0, 1, 2, … on through all rows, as those of a market's members are:
    nothing is looked up, and rows of one length are not even copied.
    """
    xp = namespace(columns, x)
    if columns.is_full and len(columns.shapes) == 1:
        width, rows = columns.shapes[0]
        return [xp.reshape(x[: width * rows], (rows, width))]
    lengths = xp.asarray(columns.lengths)
    of_row = lengths[columns.place]
    first = (xp.cumsum(of_row) - of_row)[columns.order]
    parts = []
    both = zip(columns.row_blocks(first), columns.row_blocks(lengths), strict=True)
    for (width, _), (start, length) in zip(columns.shapes, both, strict=True):
        place = xp.arange(width, dtype=np.int32)
        at = xp.minimum(start[:, None] + place, x.shape[0] - 1)
        parts.append(xp.where(place < length[:, None], _look(x, at), np.asarray(fill, x.dtype)))
    return parts


def over_ranges(
    columns: Columns, combine: Callable, x: Shaped[Array, "values"], fill: float = 0
) -> Shaped[Array, "rows"]:
    """Of every stored row its range of `x`, combined (`ranges`)."""
    return joined(columns, [combined_rows(combine, rows) for rows in ranges(columns, x, fill)])


def over_slots(columns: Columns, combine: Callable, x: Shaped[Array, "slots"]) -> Shaped[Array, "rows"]:
    """Of every stored row a value per slot, combined; on padding `x` must change nothing."""
    return joined(columns, [combined(combine, block) for block in columns.blocks(x)])
