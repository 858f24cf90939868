"""Shapes that many ensembles share, so that a sweep over chunks of markets is compiled once.

Compiled code is made for the shapes of its arrays, and no two ensembles of random networks have the same
number of agents of every degree. So an ensemble is *fitted* to a shape a little larger than itself: rows
left over are taken by *fillers*, agents in pairs or threes that give to nobody else, in markets of their
own behind the others. Nothing passes between markets, and sums do not depend on the padding behind a row:
the results of the markets asked for are those they would have in other company, bit for bit.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from cmapjax._columns import block_widths, lay_out, narrowest_block
from cmapjax._market import Market, assemble_rows
from cmapjax._origin import Origin
from cmapjax._schedule import ParticipationPlan, Plan, TablePlan

# Room for other ensembles of the same kind: about two standard deviations of a count of rows, and 2 %.
SPARE = 0.02
DEVIATIONS = 2.0
# Counts are rounded up to n·2^k with STEPS ≤ n < 2 STEPS: few different ones, at most 1/STEPS too many.
ROW_STEPS = 16
WIDTH_STEPS = 4
MOST_WIDENINGS = 16
# Fewer and wider blocks than a market by itself has: a sweep of many shapes spends its time on compiling,
# which takes as long as there are blocks, and half as much padding again costs a round little.
COST_OF_BLOCK = 0.1
MOST_PADDING = 0.35
LEAST_SHARE = 0.95  # of the agents of this ensemble, where isolated ones are dropped and numbers vary


class Shape(NamedTuple):
    """The shapes of an ensemble's arrays."""

    blocks: tuple[tuple[int, int], ...]
    """(width, rows) of each block of links."""
    num_markets: int
    size: int
    """Agents of the largest market."""

    @property
    def num_agents(self) -> int:
        return sum(rows for _, rows in self.blocks)


def shape_of(market: Market) -> Shape:
    """A shape that this ensemble fits, and that others drawn alike most likely fit too."""
    lengths = np.asarray(market.links.lengths)
    widths = block_widths(lengths, COST_OF_BLOCK, MOST_PADDING)
    widths = np.unique([_rounded_up(int(width), WIDTH_STEPS) for width in widths])
    if widths[-1] == lengths.max():  # the largest degree varies most
        widths = np.append(widths[:-1], _rounded_up(int(widths[-1]) + 1, WIDTH_STEPS))
    if widths[-1] < 2:  # somewhere the middle of a path must have room
        widths = np.array([2])
    counts = np.bincount(narrowest_block(lengths, widths), minlength=len(widths))
    rows = [_with_spare(int(n)) for n in counts]
    sizes = np.bincount(np.asarray(market.market_of))
    size, real = int(sizes.max()), int(sizes.sum())
    filled = -(-sum(rows) // size) * size
    # Fillers' markets must hold all agents that are not there. Those of full markets come out even.
    least = real if sizes.min() == size else int(LEAST_SHARE * real)
    more = -(-(filled - least) // size)
    if more == 0:
        more, filled = 1, filled + size
    rows[min(1, len(rows) - 1)] += filled - sum(rows)
    blocks = tuple((int(w), int(n)) for w, n in zip(widths, rows, strict=True))
    shape = Shape(blocks, market.num_markets + more, size)
    for _ in range(MOST_WIDENINGS):
        if fits(market, shape):
            return shape
        (*others, (width, rows)) = shape.blocks  # fillers of small odd markets need wide rows
        shape = Shape((*others, (width, rows + size)), shape.num_markets + 1, size)
    raise ValueError(f"no shape has room for {market!r}, of networks with {size} agents at most.")


def fits(market: Market, shape: Shape) -> bool:
    """Whether `fit` will succeed."""
    return _blocks_of(market, shape) is not None


def fit(market: Market, shape: Shape) -> Market:
    """The same markets, and behind them, up to the shape, markets of fillers.

    Agents and markets keep their numbers. A filler contributes what agent 0 does, or twice that if it has two
    neighbours; at the equilibrium, and from an equal split on, it receives what it gives.

    Raises:
        ValueError: the shape has no room for this ensemble.
    """
    block_of = _blocks_of(market, shape)
    if block_of is None:
        raise ValueError(f"shape: {shape} has no room for {market!r}; make one with shape_of(market).")
    degrees, neighbours, fillers = _fillers(market, shape, block_of)
    starts, receivers = market.neighbour_rows()
    sizes = _filler_markets(market, shape)
    endowment, value = np.asarray(market.endowment), np.asarray(market.value)
    market_of = np.repeat(np.arange(market.num_markets, shape.num_markets, dtype=np.int32), sizes)
    numbers = np.arange(len(sizes), dtype=np.uint32)
    all_starts = np.append(starts, starts[-1] + np.cumsum(degrees))
    sized = np.concatenate([np.bincount(np.asarray(market.market_of)), sizes])
    return assemble_rows(
        all_starts,
        np.concatenate([receivers, neighbours]).astype(np.int32),
        np.append(endowment, endowment[0] * degrees),
        np.append(value, np.repeat(value[:1], len(degrees))),
        np.append(np.asarray(market.market_of), market_of),
        np.append(np.asarray(market.numbers), numbers),
        Origin(),
        lay_out(all_starts, np.array([width for width, _ in shape.blocks]), np.append(block_of, fillers)),
        lay_out(np.append(0, np.cumsum(sized)), np.array([shape.size])),
    )


def fit_plan(plan: Plan, market: Market, like: Plan | None = None) -> Plan:
    """The plan with tables a little larger than it needs, the rest of them nobody's.

    They are as large as those of `like`, a plan fitted before, if it has room.
    """
    if isinstance(plan, ParticipationPlan):
        return dataclasses.replace(plan, base=fit_plan(plan.base, market, like and like.base))
    if not isinstance(plan, TablePlan):
        return plan
    needed = [table.shape for table in plan.rows]
    room = [table.shape for table in like.rows] if like and like.widths == plan.widths else []
    if not room or np.any(np.array(room) < needed):
        room = [(_rounded_up(turns + 1, WIDTH_STEPS), _with_spare(agents)) for turns, agents in needed]
    rows = []
    for table, shape in zip(plan.rows, room, strict=True):
        wider = np.full(shape, market.num_agents, np.int32)
        wider[: table.shape[0], : table.shape[1]] = table
        rows.append(wider)
    return dataclasses.replace(plan, rows=tuple(rows))


def _with_spare(rows: int) -> int:
    return _rounded_up(int(rows * (1 + SPARE) + DEVIATIONS * rows**0.5) + 3, ROW_STEPS)


def _rounded_up(n: int, steps: int) -> int:
    """The least number n'·2^k ≥ n with n' < 2·steps."""
    unit = 1 << max(n.bit_length() - (2 * steps - 1).bit_length(), 0)
    return -(-n // unit) * unit


def _blocks_of(market: Market, shape: Shape) -> Int[np.ndarray, "agents"] | None:
    """The block of every agent: the narrowest that holds its row and has room; None if there is none."""
    widths, room = (np.array(x) for x in zip(*shape.blocks, strict=True))
    sizes = np.bincount(np.asarray(market.market_of))
    degree = np.diff(market.neighbour_rows()[0])
    if degree.max() > widths[-1] or sizes.max() > shape.size or _filler_markets(market, shape) is None:
        return None
    block_of = narrowest_block(degree, widths).astype(np.int64)
    for block, rows in enumerate(room):
        beyond = np.flatnonzero(block_of == block)[rows:]
        if len(beyond) and block == len(room) - 1:
            return None
        block_of[beyond] += 1
    wide = room[widths >= 2].sum() - np.count_nonzero(widths[block_of] >= 2)
    return block_of if wide >= np.count_nonzero(_filler_markets(market, shape) % 2) else None


def _filler_markets(market: Market, shape: Shape) -> Int[np.ndarray, "fillers"] | None:
    """How many fillers each further market gets, the same for all as nearly as can be."""
    missing = shape.num_agents - market.num_agents
    markets = shape.num_markets - market.num_markets
    if markets < 1 or not 2 * markets <= missing <= shape.size * markets:
        return None
    return np.diff(np.arange(markets + 1) * missing // markets)


def _fillers(market: Market, shape: Shape, block_of):
    """Degrees and neighbours of the fillers, and the blocks they are stored in.

    Market after market pairs, with a path of three first where the number of agents is odd.
    """
    room = np.array([rows for _, rows in shape.blocks]) - np.bincount(block_of, minlength=len(shape.blocks))
    blocks = np.repeat(np.arange(len(room)), room)[::-1]  # the widest first, for the middles of paths
    degrees, neighbours, first = [], [], market.num_agents
    for size in _filler_markets(market, shape):
        number = np.arange(size)
        odd = 3 if size % 2 else 0
        pairs = number[odd:] + np.where(number[odd:] % 2 == odd % 2, 1, -1)
        degrees.append(np.where(number == 1, 2 if odd else 1, 1))
        neighbours.append(first + np.concatenate([[1, 0, 2, 1] if odd else [], pairs]).astype(np.int64))
        first += size
    degrees = np.concatenate(degrees)
    stored = np.empty(len(degrees), np.int64)
    stored[np.argsort(-degrees, kind="stable")] = blocks
    return degrees, np.concatenate(neighbours), stored
