"""Totals and extremes along the rows of padded columns: compiled by JAX, or by NumPy on the host.

They work block by block, so that XLA makes one loop of a look-up and its total, and no array as large as all
slots is written in between; that is 5 times faster on a CPU. NumPy's vectors may have further axes before
that of agents or slots, such as one of rounds.
"""

import functools
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from cmapjax.market._columns import Columns, fold_columns
from cmapjax.runtime._precision import namespace
from cmapjax.runtime._types import Array

# Longer rows are first combined in runs of this length: cores share the work, and sums round less.
RUN = 1024


class Block(NamedTuple):
    """Rows of similar length, one beside the other."""

    entries: Int[Array, "width rows"]
    lengths: Int[Array, "rows"]

    @property
    def is_entry(self) -> Bool[Array, "width rows"]:
        """False on padding."""
        xp = namespace(self)
        return xp.arange(self.entries.shape[0], dtype=np.int32)[:, None] < self.lengths

    def look(self, x: Shaped[Array, "... values"]) -> Shaped[Array, "... width rows"]:
        """The value of what each slot points at; any value on padding."""
        return look(x, self.entries)

    def take(self, x: Shaped[Array, "... values"], fill: float = 0) -> Shaped[Array, "... width rows"]:
        """The value of what each slot points at; `fill` on padding."""
        return namespace(self, x).where(self.is_entry, self.look(x), np.asarray(fill, x.dtype))


def look(x: Shaped[Array, "... values"], at: Int[Array, "..."]) -> Shaped[Array, "..."]:
    """The values at these places of the last axis."""
    if namespace(x, at) is np:
        return np.asarray(x).take(at, axis=-1)
    # In range by construction; without this promise JAX compares every number twice.
    return jnp.asarray(x).at[..., at].get(mode="promise_in_bounds", wrap_negative_indices=False)


def written(x: Shaped[Array, "values"]) -> Shaped[Array, "values"]:
    """The vector itself, computed and stored before it is looked up or used.

    XLA's CPU backend would otherwise fuse it with the look-up: it would recompute a ratio for every slot, one
    number at a time, up to ten times slower. It removes `optimization_barrier` before it fuses, but does not
    fuse across a conditional; both branches of this one return the vector. Other devices keep the vector as
    it is, because conditionals are slow there. Whole numbers are left as they are.
    """
    if not isinstance(x, jax.Array) or not jnp.issubdtype(x.dtype, jnp.floating):
        return x

    def on_cpu(x):
        return jax.lax.cond(x[0] > 0, lambda x: x, jax.lax.optimization_barrier, x)

    return jax.lax.platform_dependent(x, cpu=on_cpu, default=lambda x: x)


def slot_blocks(columns: Columns, x: Shaped[Array, "... slots"]) -> Sequence[Shaped[Array, "... width rows"]]:
    """`Columns.blocks`, for NumPy without the 50 µs that Equinox takes to look up a method."""
    if isinstance(x, jax.Array):
        return columns.blocks(x)
    shapes, parts, start = columns.shapes, [], 0
    for shape in shapes:
        stop = start + shape[0] * shape[1]
        parts.append(x[..., start:stop].reshape(*x.shape[:-1], *shape))
        start = stop
    return parts


def row_blocks(columns: Columns, x: Shaped[Array, "... rows"]) -> Sequence[Shaped[Array, "... _"]]:
    """`Columns.row_blocks`, likewise."""
    if isinstance(x, jax.Array):
        return columns.row_blocks(x)
    stops = itertools.accumulate(rows for _, rows in columns.shapes)
    return [x[..., stop - rows : stop] for stop, (_, rows) in zip(stops, columns.shapes, strict=True)]


def blocks(columns: Columns) -> Iterator[Block]:
    """The blocks of some columns, from the narrowest rows to the widest."""
    both = zip(slot_blocks(columns, columns.entries), row_blocks(columns, columns.lengths), strict=True)
    return (Block(*block) for block in both)


def combined(combine: Callable, block: Shaped[Array, "... width rows"]) -> Shaped[Array, "... rows"]:
    """Every row of a block combined by `jnp.add`, `jnp.minimum` or `jnp.maximum`, pairwise (`fold`)."""
    if isinstance(block, jax.Array):
        return fold_columns(combine, block)
    if combine is not jnp.add:  # no rounding, and so in any order
        return (np.minimum if combine is jnp.minimum else np.maximum).reduce(block, axis=-2)
    while (width := block.shape[-2]) > 1:
        pairs = block[..., 0 : width - 1 : 2, :] + block[..., 1:width:2, :]
        block = pairs if width % 2 == 0 else np.concatenate([pairs, block[..., width - 1 :, :]], axis=-2)
    return block[..., 0, :]


def combined_rows(
    combine: Sequence[Callable], rows: Sequence[Shaped[Array, "... rows width"]]
) -> list[Shaped[Array, "... rows"]]:
    """`combined` for rows stored one after another, for several tables at once, each in its own way.

    Derivatives: as those of `fold`.
    """
    if isinstance(rows[0], jax.Array):
        return _combined_rows(tuple(combine), rows)
    return [combined(how, np.swapaxes(table, -1, -2)) for how, table in zip(combine, rows, strict=True)]


# One loop over all tables: XLA would compile one loop for each.
@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _combined_rows(combine, rows):
    neutral = [_neutral(how, table.dtype) for how, table in zip(combine, rows, strict=True)]
    while rows[0].shape[-1] > RUN:
        rows = [_runs(table, none) for table, none in zip(rows, neutral, strict=True)]
        rows = _reduced(combine, rows, neutral)
    return _reduced(combine, rows, neutral)


def _neutral(how: Callable, dtype):
    if how is jnp.add:
        return np.zeros((), dtype)
    ends = (False, True) if np.dtype(dtype).kind == "b" else (-np.inf, np.inf)
    if jnp.issubdtype(dtype, jnp.integer):
        ends = jnp.iinfo(dtype).min, jnp.iinfo(dtype).max
    return np.asarray(ends[how is jnp.minimum], dtype)


def _runs(table, none):
    padding = [(0, 0)] * (table.ndim - 1) + [(0, -table.shape[-1] % RUN)]
    return jnp.pad(table, padding, constant_values=none).reshape(*table.shape[:-1], -1, RUN)


def _reduced(combine, rows, neutral):
    def both(some, others):
        return [how(*pair) for how, *pair in zip(combine, some, others, strict=True)]

    return jax.lax.reduce(list(rows), neutral, both, (rows[0].ndim - 1,))


@_combined_rows.defjvp
def _derivative(combine, primals, tangents):
    (rows,), (changes,) = primals, tangents
    results, out = _combined_rows(combine, rows), []
    for how, table, change, result in zip(combine, rows, changes, results, strict=True):
        if how is jnp.add:
            out.append(jnp.sum(change, axis=-1))
            continue
        attains = (table == result[..., None]).astype(table.dtype)
        out.append(jnp.sum(attains * change, axis=-1) / jnp.maximum(jnp.sum(attains, axis=-1), 1))
    return results, out


def joined(columns: Columns, parts: list[Shaped[Array, "..."]]) -> Shaped[Array, "_"]:
    """Values computed block by block, joined to one value per slot."""
    if namespace(parts) is np:
        return np.concatenate([part.reshape(*part.shape[:-2], -1) for part in parts], axis=-1)
    return columns.join(parts)


def joined_rows(columns: Columns, parts: list[Shaped[Array, "... _"]]) -> Shaped[Array, "... rows"]:
    """The same of a value per row."""
    if namespace(parts) is np:
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
    return columns.everywhere(parts[0]) if len(parts) == 1 else columns.join_rows(parts)


def over_entries(
    columns: Columns, combine: Callable, x: Shaped[Array, "... values"], fill: float = 0
) -> Shaped[Array, "... rows"]:
    """For every stored row the combined values of what it points at."""
    return looked_up_next(columns, [combined(combine, block.take(x, fill)) for block in blocks(columns)])


def looked_up_next(columns: Columns, parts: list[Shaped[Array, "... _"]]) -> Shaped[Array, "... rows"]:
    """`joined_rows` for a vector that is looked up next: it is computed first (`written`).

    XLA does not fuse across the updates in place that join blocks either.
    """
    x = joined_rows(columns, parts)
    return written(x) if len(parts) == 1 else x


def over_slots(
    columns: Columns, combine: Callable, x: Shaped[Array, "... slots"]
) -> Shaped[Array, "... rows"]:
    """For every stored row its combined slots; on padding `x` must be neutral, such as 0 in a sum."""
    return joined_rows(columns, [combined(combine, block) for block in slot_blocks(columns, x)])


def ranges(
    columns: Columns, vectors: Sequence[Shaped[Array, "... values"]]
) -> Iterator[tuple[list[Shaped[Array, "... rows width"]], Int[Array, "rows"]]]:
    """Vectors cut into rows, block by block, with the rows' lengths; any values on padding.

    Only for columns whose entries are 0, 1, 2, … in order through all rows, as a market's members are. Then
    no look-up is needed, and rows of equal length are views.
    """
    xp = namespace(columns, vectors)
    if columns.is_full and len(columns.shapes) == 1:
        width, rows = columns.shapes[0]
        cut = [xp.reshape(x[..., : width * rows], (*x.shape[:-1], rows, width)) for x in vectors]
        yield cut, xp.asarray(columns.lengths)
        return
    lengths = xp.asarray(columns.lengths)
    of_row = lengths[columns.place]
    first = (xp.cumsum(of_row) - of_row)[columns.order]
    both = zip(row_blocks(columns, first), row_blocks(columns, lengths), strict=True)
    for (width, _), (start, length) in zip(columns.shapes, both, strict=True):
        at = xp.minimum(start[:, None] + xp.arange(width, dtype=np.int32), vectors[0].shape[-1] - 1)
        yield [look(x, at) for x in vectors], length


def over_ranges(
    columns: Columns, combine: Callable, x: Shaped[Array, "values"], fill: float = 0
) -> Shaped[Array, "rows"]:
    """For every row its combined range of `x`, in the caller's order."""
    xp, parts = namespace(columns, x), []
    for (rows,), lengths in ranges(columns, [x]):
        is_entry = xp.arange(rows.shape[-1], dtype=np.int32) < lengths[:, None]
        parts += combined_rows([combine], [xp.where(is_entry, rows, np.asarray(fill, x.dtype))])
    return _placed(columns, parts)


def _placed(columns: Columns, parts: list[Shaped[Array, "... _"]]) -> Shaped[Array, "... rows"]:
    """A value per row, block by block, in the caller's order. In one block rows are in that order already."""
    return parts[0] if len(parts) == 1 else look(joined_rows(columns, parts), columns.place)


class Wanted(NamedTuple):
    """A request: the sum, the least or the greatest over the agents of each market."""

    combine: Callable
    x: Float[Array, "... markets agents"]
    fill: float
    of_everybody: bool = False
    """Whether agents that do not count are in it."""


class Rows:
    """The agents of some markets as rows, one market a row, for the formulas of metrics.

    Vectors are `[..., markets, agents]`. Padding holds numbers of other agents, which totals and extremes
    leave out, as they do agents of weight 0 if contributions are given apart. A formula is a generator: it
    yields a list of requests (`Wanted`), receives their values, and returns its result. Many formulas run
    side by side, so that one loop over the agents serves all requests.
    """

    def __init__(
        self,
        weight: Float[Array, "markets agents"],
        lengths: Int[Array, "markets"],
        contribution: Float[Array, "markets agents"] | None = None,
    ):
        self.xp = namespace(weight, lengths)
        self.lengths = lengths
        self.count = self.xp.asarray(lengths, weight.dtype)
        """How many agents there are."""
        self._is_agent = self.xp.arange(weight.shape[-1], dtype=np.int32) < lengths[:, None]
        self._counts = self._is_agent
        self.weight = weight
        """w_j, what each agent contributes; its priority in a market that has some."""
        if contribution is not None:
            self._counts = self._is_agent & (weight > 0)
            self.count = self.xp.sum(self._counts, axis=-1, dtype=weight.dtype)
            self.weight = self.xp.where(weight > 0, weight, 1)
        self.worth = self.total(self.weight)
        """Σ of the weights, which formulas ask for."""
        self.value = (
            self.worth if contribution is None else Wanted(jnp.add, contribution, 0, of_everybody=True)
        )
        """W = Σ w_j, all that is given away, likewise."""

    def total(self, x: Float[Array, "... markets agents"]) -> Wanted:
        """Σ over the agents of each market."""
        return Wanted(jnp.add, x, 0)

    def smallest(self, x: Float[Array, "... markets agents"]) -> Wanted:
        """The least over the agents of each market."""
        return Wanted(jnp.minimum, x, np.inf)

    def largest(self, x: Float[Array, "... markets agents"]) -> Wanted:
        """The greatest over the agents of each market."""
        return Wanted(jnp.maximum, x, -np.inf)

    def work_out(self, formulas: list[Generator]) -> list[Float[Array, "... markets"]]:
        """The results of formulas (generators that have not begun)."""
        results, answers = {}, dict.fromkeys(range(len(formulas)))
        while answers:
            wanted = {}
            for number, answer in answers.items():
                try:
                    wanted[number] = formulas[number].send(answer)
                except StopIteration as end:
                    results[number] = end.value
            answers = self._taken(wanted)
        return [results[number] for number in range(len(formulas))]

    def _taken(self, wanted: dict[int, list[Wanted]]) -> dict[int, list]:
        distinct = {id(one): one for some in wanted.values() for one in some}
        if not distinct:
            return {}
        rows = [
            self.xp.where(
                self._is_agent if one.of_everybody else self._counts, one.x, np.asarray(one.fill, one.x.dtype)
            )
            for one in distinct.values()
        ]
        taken = combined_rows([one.combine for one in distinct.values()], rows)
        found = dict(zip(distinct, taken, strict=True))
        return {number: [found[id(one)] for one in some] for number, some in wanted.items()}


def of_rows(
    columns: Columns,
    weight: Float[Array, "values"],
    asked: Sequence[tuple[Callable, tuple[Array, ...]]],
    contribution: Float[Array, "values"] | None = None,
) -> list[Float[Array, "... rows"]]:
    """Formulas of vectors over agents (`Rows`), for every row, in one pass.

    Args:
        weight: w_j, or priorities, 0 for agents that do not count.
        asked: formulas, each with the vectors that it is of.
        contribution: w_j, if weights are priorities.
    """
    xp = namespace(columns, weight, asked)
    vectors = {id(x): xp.asarray(x) for _, xs in asked for x in xs}
    kinds = {x.dtype for x in vectors.values() if np.issubdtype(x.dtype, np.floating)}
    dtype = np.result_type(*kinds) if kinds else np.float64
    weights = [xp.asarray(x, dtype) for x in (weight, contribution) if x is not None]
    parts = []
    for own, lengths in ranges(columns, [*weights, *vectors.values()]):
        own_weights, own = own[: len(weights)], own[len(weights) :]
        rows = Rows(own_weights[0], lengths, *own_weights[1:])
        own_of = dict(zip(vectors, own, strict=True))
        parts.append(rows.work_out([formula(rows, *(own_of[id(x)] for x in xs)) for formula, xs in asked]))
    if len(parts) == 1:
        return parts[0]
    if xp is np:
        return [_placed(columns, list(results)) for results in zip(*parts, strict=True)]
    # As one table: each metric by itself would be joined and looked up, and compiled, by itself.
    return list(look(columns.join_rows([jnp.stack(results, axis=-1) for results in parts]).T, columns.place))


def total_of_rows(rows: Rows, x):
    """Σ x of each market, a formula."""
    [total] = yield [rows.total(x)]
    return total


def smallest_of_rows(rows: Rows, x):
    """The least x of each market, a formula."""
    [least] = yield [rows.smallest(x)]
    return least


def largest_of_rows(rows: Rows, x):
    """The greatest x of each market, a formula."""
    [most] = yield [rows.largest(x)]
    return most
