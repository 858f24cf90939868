"""Lists of unequal length kept as padded columns: the one storage scheme of the package.

Rows of similar length share a block `[width, rows]`, so that a hub of degree 10,000 does not widen the rows
of other agents. All blocks lie end to end in one flat array of *slots*, column after column; a value per slot
is therefore one flat array too. Nothing here scatters: a total over a row is a sum of columns, which compiles
to one vectorised loop on a CPU and to one kernel on a GPU.
"""

import functools
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Bool, Int, Shaped, UInt

from cmapjax.runtime._platform import platform
from cmapjax.runtime._types import Array

# Every block costs compile time. A further block must save this share of all entries in padding, and at least
# this many slots, because padding of a tiny market costs no time.
BLOCK_COST = 0.03
LEAST_BLOCK_COST = 2_000
MAX_PADDING = 0.20
# With up to this many entries a round takes less than a hundredth of the time it takes to compile a block;
# there a block must save a larger share, whatever the padding.
FEW_ENTRIES, BLOCK_COST_OF_FEW = 200_000, 0.2
# On a GPU a block costs six launches of 4 µs, in which 1.5 million slots of 80 bytes are read and written.
BLOCK_COST_ON_GPU = 1_500_000
# XLA unrolls every column of a kernel, and wide kernels take seconds to compile. So a fold is cut into
# kernels of at most 2^4 columns, and rows up to this width may be taken apart into entries (`pieces`).
NARROW = 32
FUSED_LEVELS = 4


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def fold(combine: Callable, row: Shaped[Array, "slots ..."]) -> Shaped[Array, "..."]:
    """The entries of one row combined pairwise, neighbours first: (x0∘x1)∘(x2∘x3)∘…

    `combine` is `jnp.add`, `jnp.minimum` or `jnp.maximum`. Batched over agents, `row.sum()` would be a
    reduction over the leading axis, which XLA's CPU backend runs 5-60 times slower than this chain of slices.
    The fixed tree also gives the same bits whatever the padding behind the row, the batch around it or the
    number of threads. Derivatives: a sum's cotangent goes to every entry. An extremum's goes in equal parts
    to the entries that attain it, whatever their places in the tree.
    """
    levels = 0
    while (width := row.shape[0]) > 1:
        if levels == FUSED_LEVELS:
            row, levels = jax.lax.optimization_barrier(row), 0
        levels += 1
        pairs = combine(row[0 : width - 1 : 2], row[1:width:2])
        row = pairs if width % 2 == 0 else jnp.concatenate([pairs, row[width - 1 :]])
    return row[0]


def _fold_list(combine: Callable, entries: list) -> Array:
    while len(entries) > 1:
        odd = entries[len(entries) // 2 * 2 :]
        entries = [combine(*pair) for pair in zip(entries[0::2], entries[1::2], strict=False)] + odd
    return entries[0]


@fold.defjvp
def _fold_derivative(combine, primals, tangents):
    # Not by way of the chain of slices, whose transpose takes minutes to compile for a wide row.
    (row,), (change,) = primals, tangents
    result = fold(combine, row)
    if combine is jnp.add:
        return result, _linear_total(change)
    attains = (row == result).astype(change.dtype)
    return result, _linear_total(attains * change) / jnp.maximum(_linear_total(attains), 1)


def _linear_total(row: Shaped[Array, "slots ..."]) -> Shaped[Array, "..."]:
    """Σ as a product with ones: its transpose is one broadcast, and it runs as quickly as `fold`."""
    ones = jnp.ones(row.shape[0], row.dtype)
    return jnp.tensordot(ones, row, axes=1, precision=jax.lax.Precision.HIGHEST)


def total(row: Shaped[Array, "slots ..."]) -> Shaped[Array, "..."]:
    """Σ of a row's entries in a fixed order, so that zeros behind the row do not change a bit (see
    `fold`)."""
    return fold(jnp.add, row)


def pieces(row: Shaped[Array, "slots ..."]) -> list[Shaped[Array, "..."]]:
    """The entries of a narrow row one by one; a wide row as one piece.

    Repeated steps on single entries compile to one kernel that keeps them in registers. On arrays each step
    becomes separate kernels that read and write memory, which is twice as slow on a CPU.
    """
    return [row[k] for k in range(row.shape[0])] if row.shape[0] <= NARROW else [row]


def total_of(parts: Sequence[Shaped[Array, "..."]], width: int) -> Shaped[Array, "..."]:
    """Σ over what `pieces` made of a row of this width (bit for bit the row's `total`)."""
    return total(parts[0]) if width > NARROW else _fold_list(jnp.add, list(parts))


def smallest(row: Shaped[Array, "slots ..."]) -> Shaped[Array, "..."]:
    """The least entry of a row (pad with +inf)."""
    return fold(jnp.minimum, row)


def largest(row: Shaped[Array, "slots ..."]) -> Shaped[Array, "..."]:
    """The greatest entry of a row (pad with -inf)."""
    return fold(jnp.maximum, row)


def _look(x, at):
    # In range by construction; without this promise JAX compares every number twice.
    return jnp.asarray(x).at[at].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _weighed(values: Shaped[Array, "width rows"], lengths, weights) -> Shaped[Array, "width rows"]:
    if weights is not None:
        return weights * values
    return jnp.where(jnp.arange(len(values), dtype=jnp.int32)[:, None] < lengths, values, 0)


def _end_to_end(pieces: Sequence[Shaped[Array, "_ ..."]]) -> Shaped[Array, "_ ..."]:
    """The pieces one after another, like `jnp.concatenate`, but written into place.

    XLA's CPU backend (jaxlib 0.10.2) gets indices wrong when it fuses a gather, such as `Market.mirror`, with
    a concatenation of broadcasts: silently wrong numbers, now and then a crash. It fuses nothing through
    an update in place (tests/test_columns.py). Elsewhere each update is a kernel; a concatenation is one.
    """

    def in_place(*pieces):
        out, start = jnp.zeros((sum(map(len, pieces)), *pieces[0].shape[1:]), pieces[0].dtype), 0
        for piece in pieces:
            out = jax.lax.dynamic_update_slice_in_dim(out, piece, start, 0)
            start += piece.shape[0]
        return out

    return jax.lax.platform_dependent(*pieces, cpu=in_place, default=lambda *pieces: jnp.concatenate(pieces))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def fold_columns(combine: Callable, block: Shaped[Array, "width rows"]) -> Shaped[Array, "rows"]:
    """`fold` of a block that lies in memory: narrow ones in one kernel."""
    parts = pieces(block)
    return fold(combine, block) if len(parts) == 1 < block.shape[0] else _fold_list(combine, parts)


fold_columns.defjvp(_fold_derivative)


class Columns(eqx.Module):
    """Rows of unequal length in padded blocks.

    Rows are stored from the narrowest block to the widest, not in the caller's order: `order[s]` is the
    caller's row stored at `s`, and `place[r]` is where the caller's row `r` is stored.
    """

    entries: Int[Array, "slots"]
    """What each slot points at; padding points at 0 and is masked."""
    lengths: Int[Array, "rows"]
    order: Int[Array, "rows"]
    place: Int[Array, "rows"]
    starts: Int[Array, "rows"]
    """First slot of each stored row; its next slot lies `strides` further."""
    strides: Int[Array, "rows"]
    shapes: tuple[tuple[int, int], ...] = eqx.field(static=True)
    """(width, number of rows) of each block."""
    mesh: jax.sharding.Mesh | None = eqx.field(static=True, default=None)
    """The devices over which compiled code spreads every block's rows; None leaves all on one."""
    one: "Columns | None" = None
    """If the rows are copies, stored side by side (`copies`): the columns that they are copies of."""
    is_full: bool = eqx.field(static=True, default=False)
    """Whether every row is known to fill its block, for all columns of these shapes."""

    @property
    def num_rows(self) -> int:
        return self.lengths.shape[0]

    @property
    def num_slots(self) -> int:
        return sum(width * rows for width, rows in self.shapes)

    def blocks(self, x: Shaped[Array, "... slots"]) -> list[Shaped[Array, "... _ _"]]:
        """A value per slot as one `[width, rows]` array per block."""
        out, start = [], 0
        for width, rows in self.shapes:
            part = x[..., start : start + width * rows].reshape(*x.shape[:-1], width, rows)
            out.append(self._spread_out(part))
            start += width * rows
        return out

    def row_blocks(self, x: Shaped[Array, "rows"]) -> list[Shaped[Array, "_"]]:
        """A value per stored row, cut at the block borders."""
        out, start = [], 0
        for _, rows in self.shapes:
            out.append(self._spread_out(x[start : start + rows]))
            start += rows
        return out

    def join(self, blocks: Sequence[Shaped[Array, "_ _"]]) -> Shaped[Array, "slots"]:
        """The inverse of `blocks`."""
        return self.everywhere(_end_to_end([block.reshape(-1) for block in blocks]))

    @property
    def is_entry(self) -> Bool[Array, "slots"]:
        """False on padding."""
        lengths = self.row_blocks(jnp.asarray(self.lengths))
        return self.join(
            [
                jnp.arange(width, dtype=jnp.int32)[:, None] < length[None, :]
                for (width, _), length in zip(self.shapes, lengths, strict=True)
            ]
        )

    def take(self, x: Shaped[Array, "values"], fill: float = 0) -> Shaped[Array, "slots"]:
        """The value of what each slot points at; `fill` on padding."""
        return jnp.where(self.is_entry, jnp.asarray(x)[self.entries], jnp.asarray(fill, x.dtype))

    def spread(self, x: Shaped[Array, "rows"]) -> Shaped[Array, "slots"]:
        """A value per stored row, repeated along its slots."""
        blocks = zip(self.shapes, self.row_blocks(x), strict=True)
        return self.join([jnp.broadcast_to(block, shape) for shape, block in blocks])

    def fold(self, combine: Callable, x: Shaped[Array, "slots"]) -> Shaped[Array, "rows"]:
        """Every stored row's entries combined (see the function `fold`)."""
        return self.fold_blocks(combine, self.blocks(x))

    def fold_blocks(self, combine: Callable, blocks: Sequence[Array]) -> Shaped[Array, "rows"]:
        """`fold` of values that are in blocks already."""
        return self.join_rows([fold_columns(combine, block) for block in blocks])

    def join_rows(self, blocks: Sequence[Shaped[Array, "_"]]) -> Shaped[Array, "rows"]:
        """The inverse of `row_blocks`."""
        return self.everywhere(_end_to_end(blocks))

    def everywhere(self, x: Array) -> Array:
        """Kept whole on every device."""
        if self.mesh is None or not isinstance(x, jax.core.Tracer):
            return x
        return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, PartitionSpec()))

    def _spread_out(self, x: Array) -> Array:
        """With its last axis, rows, divided among the devices."""
        if self.mesh is None or not isinstance(x, jax.core.Tracer):
            return x
        # JAX (0.10.2) cannot name the sharding of a single block that does not divide evenly among the
        # devices, so that one is left to XLA.
        if len(self.shapes) == 1 and x.shape[-1] % self.mesh.size:
            return x
        axes = PartitionSpec(*[None] * (x.ndim - 1), self.mesh.axis_names)
        return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, axes))

    def total_over(
        self, x: Shaped[Array, "values"], weights: Sequence[Shaped[Array, "_ _"]] | None = None
    ) -> Shaped[Array, "rows"]:
        """Σ along every stored row of the values its slots point at, times weights that are 0 on padding.

        Copies of a row point at copies, which are stored side by side as well. Looking them up together reads
        runs of memory, many times as fast on a CPU as reading them one by one.
        """
        if weights is None:  # padding is found by the lengths: one number to read per row, not per slot
            weights = [None] * len(self.shapes)
        if self.one is None or max(width for width, _ in self.shapes) > NARROW:
            of_rows = zip(self.blocks(self.entries), self.row_blocks(self.lengths), weights, strict=True)
            return self.fold_blocks(jnp.add, [_weighed(_look(x, at), n, weight) for at, n, weight in of_rows])
        one, runs = self.one, jnp.asarray(x).reshape(self.one.num_rows, -1)
        totals = []
        for at, length, weight in zip(
            one.blocks(one.entries), one.row_blocks(one.lengths), weights, strict=True
        ):
            parts = [_look(runs, column) for column in at]
            if weight is None:
                parts = [jnp.where(k < length[:, None], part, 0) for k, part in enumerate(parts)]
            else:
                parts = [w.reshape(part.shape) * part for w, part in zip(weight, parts, strict=True)]
            totals.append(_fold_list(jnp.add, parts))
        return self.everywhere(_end_to_end(totals).reshape(-1))

    def total(self, x: Shaped[Array, "slots"]) -> Shaped[Array, "rows"]:
        """Σ along every stored row; `x` must be zero on padding."""
        return self.fold(jnp.add, x)

    def slots_of(self, rows: Int[Array, "some"], width: int) -> Int[Array, "width some"]:
        """The slots of some stored rows, `num_slots` where a row is shorter than `width`.

        A row number of `num_rows` stands for no row: all its slots are `num_slots`.
        """
        column = jnp.arange(width, dtype=jnp.int32)[:, None]
        start = jnp.asarray(self.starts).at[rows].get(mode="fill", fill_value=0)
        stride = jnp.asarray(self.strides).at[rows].get(mode="fill", fill_value=0)
        length = jnp.asarray(self.lengths).at[rows].get(mode="fill", fill_value=0)
        return jnp.where(column < length, start + column * stride, self.num_slots)


def block_widths(
    lengths: Int[np.ndarray, "rows"], cost_of_block: float = BLOCK_COST, max_padding: float = MAX_PADDING
) -> np.ndarray:
    """Ascending widths of the blocks for rows of these lengths, by dynamic programming.

    Minimises padding + (cost of a block) · (number of blocks), as a share of all entries. With many entries
    the cost is lowered until padding is at most `max_padding`; this ends, because one block per distinct
    length has no padding. On a GPU the cost is fixed, whatever the padding.
    """
    counts = np.bincount(np.maximum(lengths, 1))  # an empty row keeps one slot
    distinct = np.flatnonzero(counts)
    counts = counts[distinct]
    entries = int(distinct @ counts)
    if len(distinct) > 400:  # the programme below is quadratic; lengths 2 % apart share a candidate
        step = np.unique(np.floor(np.log(distinct) / np.log(1.02)), return_index=True)[1]
        last = np.append(step[1:], len(distinct)) - 1
        counts = np.add.reduceat(counts, step)
        distinct = distinct[last]
    rows = np.concatenate([[0], np.cumsum(counts)])
    is_for_gpu, is_small = platform() == "gpu", entries <= FEW_ENTRIES
    share = BLOCK_COST_OF_FEW if is_small else cost_of_block
    block_cost = BLOCK_COST_ON_GPU if is_for_gpu else max(share * entries, LEAST_BLOCK_COST)
    while True:
        best, previous = np.zeros(len(distinct) + 1), np.zeros(len(distinct) + 1, int)
        for end in range(1, len(distinct) + 1):
            cost = best[:end] + distinct[end - 1] * (rows[end] - rows[:end]) + block_cost
            previous[end] = np.argmin(cost)
            best[end] = cost[previous[end]]
        cuts, end = [], len(distinct)
        while end:
            cuts.append(end)
            end = previous[end]
        widths = distinct[np.array(cuts[::-1]) - 1]
        slots = widths[np.searchsorted(widths, distinct)] @ counts
        if is_small or is_for_gpu or slots <= (1 + max_padding) * entries or len(widths) == len(distinct):
            return widths
        block_cost /= 2


def build_columns(
    starts: Int[np.ndarray, "bounds"], entries: Int[np.ndarray, "entries"]
) -> tuple[Columns, Int[np.ndarray, "entries"]]:
    """Columns from compressed rows (row r holds `entries[starts[r]:starts[r+1]]`), and each entry's slot."""
    columns = lay_out(starts)
    slot = entry_slots(columns)
    columns.entries[slot] = entries
    return columns, slot


def lay_out(
    starts: Int[np.ndarray, "bounds"],
    widths: Int[np.ndarray, "blocks"] | None = None,
    block_of: Int[np.ndarray, "rows"] | None = None,
) -> Columns:
    """Columns for compressed rows with these bounds, whose entries (all 0) are still to be filled in.

    By default the blocks are those of `block_widths`, and every row lies in the narrowest that holds it.
    """
    lengths = np.diff(starts)
    if widths is None:
        widths = block_widths(lengths)
    if block_of is None:
        block_of = narrowest_block(lengths, widths)
    order = np.argsort(block_of, kind="stable").astype(np.int32)
    rows_per_block = np.bincount(block_of, minlength=len(widths))
    shapes = tuple((int(w), int(n)) for w, n in zip(widths, rows_per_block, strict=True))
    num_slots = int(widths @ rows_per_block)
    if num_slots >= 2**31 - 1:
        raise ValueError(
            f"links: {num_slots} slots do not fit 32-bit indices; split the market into several."
        )
    block_start = np.concatenate([[0], np.cumsum(widths * rows_per_block)])[:-1]
    first_row = np.concatenate([[0], np.cumsum(rows_per_block)])[:-1]
    number = np.arange(len(order), dtype=np.int32)
    place = np.empty_like(number)
    place[order] = number
    return Columns(
        entries=np.zeros(num_slots, np.int32),
        lengths=lengths[order].astype(np.int32),
        order=order,
        place=place,
        starts=number + np.repeat((block_start - first_row).astype(np.int32), rows_per_block),
        strides=np.repeat(rows_per_block.astype(np.int32), rows_per_block),
        shapes=shapes,
    )


def narrowest_block(
    lengths: Int[np.ndarray, "rows"], widths: Int[np.ndarray, "blocks"]
) -> UInt[np.ndarray, "rows"]:
    """Which of these blocks, ascending in width, is the first that holds each row."""
    # A table by length, in the smallest integer type that holds it: NumPy sorts 16-bit numbers by counting.
    block_of_length = np.searchsorted(widths, np.arange(lengths.max(initial=0) + 1)).astype(np.uint16)
    return block_of_length[lengths]


def entry_slots(columns: Columns) -> Int[np.ndarray, "entries"]:
    """The slot of every entry, rows in the caller's order and each along its length."""
    place = np.asarray(columns.place)
    lengths = np.asarray(columns.lengths)[place]
    slot = np.arange(lengths.sum(), dtype=np.int32)
    slot -= np.repeat((np.cumsum(lengths) - lengths).astype(np.int32), lengths)  # its column, so far
    slot *= np.repeat(np.asarray(columns.strides)[place], lengths)
    slot += np.repeat(np.asarray(columns.starts)[place], lengths)
    return slot
