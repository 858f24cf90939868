"""Canonical shapes: markets padded to common shapes, so that they share compiled programs.

A program is compiled for the shapes of its arrays, and random networks differ in the number of agents of each
degree. So a market is *fitted* to a shape that is larger than it needs. Agents and markets keep their
numbers. Behind them stand padding rows, each a copy of an agent's row: it computes what that agent computes,
and the result is dropped; no slot and no list of members refers to it. `Market.repeats` says which agent each
row repeats. The functions here also pad vectors over agents, flows and plans.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from cmapjax.arguments._checks import check_ordinary
from cmapjax.arguments._origin import Origin
from cmapjax.endowments import Endowments, Trace
from cmapjax.market._columns import Columns, block_widths, entry_slots, lay_out, narrowest_block
from cmapjax.market._market import Market
from cmapjax.runtime._types import Array
from cmapjax.schedules._plans import WIDTH_GROWTH, EveryonePlan, OrderPlan, ParticipationPlan, Plan, TablePlan

SMALL, SMALL_WIDTHS = 128, (48, 128)
"""The number of rows of the shapes of single small markets, and the widths of their one block. Few shapes
mean few programs."""
# Ensembles that fit into this many slots are one block. Numbers of rows are the least one times a power of
# four, widths and lists of members are powers of two: playing the padding is quicker than compiling more
# programs.
FEW_SLOTS = 2**18
LEAST_ROWS, LEAST_WIDTH, LEAST_SIZE = 512, 32, 64
LEAST_TURNS = 32, 256
"""(turns, agents) of their tables, likewise powers of two."""
# Larger ensembles get several blocks, fewer and wider ones than an unfitted market, because compile time
# grows with the number of blocks. Blocks have spare rows for other ensembles of the same kind: two standard
# deviations of their count, and 2 %.
COST_OF_BLOCK = 0.1
MOST_PADDING = 0.35
SPARE = 0.02
DEVIATIONS = 2.0
# Widths are rounded up to n·2^k with WIDTH_STEPS ≤ n < 2 WIDTH_STEPS.
WIDTH_STEPS = 4


class Shape(NamedTuple):
    """The shapes of a fitted market's arrays."""

    blocks: tuple[tuple[int, int], ...]
    """(width, rows) of each block of links."""
    size: int
    """The width of the lists of members: most agents of a market."""
    num_markets: int
    is_even: bool = False
    """Whether every market has exactly `size` agents, so that no list of members is padded."""

    @property
    def num_agents(self) -> int:
        return sum(rows for _, rows in self.blocks)


# -- shapes ----------------------------------------------------------------------------------------


def small_shape(market: Market) -> Shape | None:
    """The shape of a single market of at most 128 agents; None for others."""
    if market.num_markets > 1 or market.num_agents > SMALL:
        return None
    most = int(np.max(market.links.lengths))
    return Shape(((next(width for width in SMALL_WIDTHS if most <= width), SMALL),), SMALL, 1)


def shape_of(market: Market) -> Shape:
    """A shape that fits this ensemble, and most likely others drawn from the same family."""
    sizes, lengths = np.asarray(market.members.lengths), np.asarray(market.links.lengths)
    width = max(_rounded_up(int(lengths.max()), 1), LEAST_WIDTH)
    size = max(_rounded_up(int(sizes.max()), 1), LEAST_SIZE)
    rows = LEAST_ROWS
    while rows < len(lengths):
        rows *= 4
    if rows * width <= FEW_SLOTS:
        return Shape(((width, rows),), size, market.num_markets)
    widths = block_widths(lengths, COST_OF_BLOCK, MOST_PADDING)
    widths = np.unique([_rounded_up(int(width), WIDTH_STEPS) for width in widths])
    if widths[-1] == lengths.max():  # the largest degree varies most
        widths = np.append(widths[:-1], _rounded_up(int(widths[-1]) + 1, WIDTH_STEPS))
    counts = np.bincount(narrowest_block(lengths, widths), minlength=len(widths))
    blocks = tuple((int(w), _with_spare(int(n))) for w, n in zip(widths, counts, strict=True))
    is_even = bool(sizes.min() == sizes.max())
    size = int(sizes.max()) if is_even else _rounded_up(int(sizes.max()), WIDTH_STEPS)
    return Shape(blocks, size, market.num_markets, is_even)


def widened(shape: Shape) -> Shape:
    """The shape with a wider and longer last block, which takes the rows that fit no other block."""
    *others, (width, rows) = shape.blocks
    wider = _rounded_up(width + 1, WIDTH_STEPS), rows + max(rows // WIDTH_STEPS, 1)
    size = shape.size if shape.is_even else _rounded_up(shape.size + 1, WIDTH_STEPS)
    return shape._replace(blocks=(*others, wider), size=size)


def fits(market: Market, shape: Shape) -> bool:
    """Whether `fitted` will succeed."""
    return _blocks_of(market, shape) is not None


def _with_spare(rows: int) -> int:
    return int(rows * (1 + SPARE) + DEVIATIONS * rows**0.5) + 3


def _rounded_up(n: int, steps: int) -> int:
    """The least number n'·2^k ≥ n with n' < 2·steps."""
    unit = 1 << max(n.bit_length() - (2 * steps - 1).bit_length(), 0)
    return -(-n // unit) * unit


def _blocks_of(market: Market, shape: Shape) -> Int[np.ndarray, "agents"] | None:
    """The block of every agent, the narrowest with space for its row; None if the market does not fit."""
    widths, room = (np.array(x) for x in zip(*shape.blocks, strict=True))
    sizes, degree = np.asarray(market.members.lengths), _degrees(market)
    is_listed = sizes.min() == sizes.max() == shape.size if shape.is_even else sizes.max() <= shape.size
    if market.num_markets != shape.num_markets or not is_listed or degree.max() > widths[-1]:
        return None
    block_of = narrowest_block(degree, widths).astype(np.int64)
    for block, rows in enumerate(room):
        beyond = np.flatnonzero(block_of == block)[rows:]
        if len(beyond) and block == len(room) - 1:
            return None
        block_of[beyond] += 1
    is_full = np.bincount(block_of, minlength=len(room)) == room
    return block_of if np.all(is_full | (widths >= degree.min())) else None


def _degrees(market: Market) -> Int[np.ndarray, "agents"]:
    return np.asarray(market.links.lengths)[np.asarray(market.links.place)]


# -- fitting ---------------------------------------------------------------------------------------


def fitted(market: Market, shape: Shape) -> Market:
    """The market in a given shape, with padding rows behind its agents.

    Padding rows of a block are copies of the first agent whose row fits the block, which is agent 0 if there
    is one block.

    Raises:
        ValueError: the shape has no room for this market.
    """
    check_ordinary("canonical", (market,))
    block_of = _blocks_of(market, shape)
    if block_of is None:
        raise ValueError(f"shape: {shape} has no room for {market!r}; make one with shape_of(market).")
    degree, n = _degrees(market), market.num_agents
    widths, rows = (np.array(x) for x in zip(*shape.blocks, strict=True))
    missing = rows - np.bincount(block_of, minlength=len(rows))
    models = np.argmax(degree <= widths[:, None], axis=1)
    repeats = np.concatenate([np.arange(n), np.repeat(models, missing)]).astype(np.int32)
    starts = np.append(0, np.cumsum(degree[repeats], dtype=np.int64))
    links = lay_out(starts, widths, np.append(block_of, np.repeat(np.arange(len(rows)), missing)))
    reverse = _fill_in(links, market, repeats, starts)
    endowment, value, market_of = (
        np.asarray(x)[repeats] for x in (market.endowment, market.value, market.market_of)
    )
    members = _members(market, shape)
    return Market(
        endowment, value, links, reverse, members, market_of, market.numbers, Origin(), repeats=repeats
    )


def _fill_in(links: Columns, market: Market, repeats, starts) -> Int[np.ndarray, "slots"]:
    """Fills in what the slots of `links` point at, and returns the slot of each link's other end."""
    old, slot = entry_slots(market.links), entry_slots(links)
    arc_in = np.empty(market.links.num_slots, np.int64)
    arc_in[old] = np.arange(len(old))
    # Padding rows repeat arcs: their entries and reverse slots are those of the repeated agent.
    first = starts[repeats] - starts[:-1]
    arc = np.arange(starts[-1]) + np.repeat(first, np.diff(starts))
    receiver = np.asarray(market.links.order)[np.asarray(market.links.entries)[old]]
    links.entries[slot] = links.place[receiver[arc]]
    reverse = np.arange(links.num_slots, dtype=np.int32)
    reverse[slot] = slot[arc_in[np.asarray(market.reverse)[old]]][arc]
    return reverse


def _members(market: Market, shape: Shape) -> Columns:
    """The lists of members, in which padding rows do not occur."""
    old = market.members
    sizes = np.asarray(old.lengths)[np.asarray(old.place)]
    members = lay_out(np.append(0, np.cumsum(sizes)), np.array([shape.size]))
    members.entries[entry_slots(members)] = np.asarray(old.entries)[entry_slots(old)]
    return dataclasses.replace(members, is_full=shape.is_even)


# -- what goes along -------------------------------------------------------------------------------


def padded(x: Shaped[Array, "... agents"], market: Market) -> Shaped[Array, "... rows"]:
    """Numbers of agents along the last axis, extended by those of padding rows (of the agents they repeat).

    Args:
        x: in the caller's order, of the market that was fitted.
        market: as it was fitted.
    """
    return x[..., market.repeats]


def padded_endowments(endowments: Endowments, market: Market) -> Endowments:
    """The process for the fitted market: a trace, already matched by name, gets columns for padding rows."""
    return Trace(padded(endowments.values, market)) if isinstance(endowments, Trace) else endowments


def padded_flow(
    flow: Float[np.ndarray, "slots"], market: Market, larger: Market
) -> Float[np.ndarray, "more_slots"]:
    """A flow of the market in the layout of the market as it was fitted (`larger`)."""
    slot = entry_slots(larger.links)
    values = np.asarray(flow)[entry_slots(market.links)]
    out = np.zeros(larger.links.num_slots, values.dtype)
    degree = _degrees(larger)
    starts = np.cumsum(degree) - degree
    repeated = np.asarray(larger.repeats)
    out[slot] = values[np.arange(len(slot)) + np.repeat(starts[repeated] - starts, degree)]
    return out


def real_flow(
    flow: Float[np.ndarray, "... more_slots"], market: Market, larger: Market
) -> Float[np.ndarray, "... slots"]:
    """The inverse of `padded_flow`; the last axis is that of slots."""
    slot = entry_slots(market.links)
    values = np.asarray(flow)[..., entry_slots(larger.links)[: len(slot)]]
    out = np.zeros((*values.shape[:-1], market.links.num_slots), values.dtype)
    out[..., slot] = values
    return out


# -- plans -----------------------------------------------------------------------------------------

Room = tuple[tuple[int, int], ...]
"""(turns, agents) of the tables of a plan, by the width of their agents' rows."""


def padded_plan(plan: Plan, market: Market, larger: Market, room: Room = ()) -> Plan:
    """A plan of the market for the market as it was fitted; padding rows never act in turns.

    Args:
        plan: made for the market.
        market: the market.
        larger: as it was fitted.
        room: the table sizes of a plan for another market of this shape (`plan_room`); tables get these sizes
            where they fit, so that both share programs.

    Raises:
        TypeError: a plan of a class that is not of this package.
    """
    if isinstance(plan, EveryonePlan):
        return plan
    if isinstance(plan, ParticipationPlan):
        return dataclasses.replace(plan, base=padded_plan(plan.base, market, larger, room))
    widths, class_of = _turn_widths(larger)
    if isinstance(plan, OrderPlan):
        turns = larger.members.shapes[0][0] if plan.is_shuffled else 1
        return OrderPlan(padded(plan.seat, larger), class_of, turns, widths, plan.is_shuffled)
    if not isinstance(plan, TablePlan):
        raise TypeError(f"plan: {type(plan).__name__} is not a plan of cmapjax, and cannot be padded.")
    turn, needed = _turns(plan, market, larger)
    rows = []
    for number, shape in enumerate(_roomy(needed, room, larger)):
        agents = np.flatnonzero((turn >= 0) & (class_of[: len(turn)] == number))
        agents = agents[np.argsort(turn[agents], kind="stable")]
        counts = np.bincount(turn[agents], minlength=shape[0])
        column = np.arange(len(agents)) - np.repeat(np.cumsum(counts) - counts, counts)
        table = np.full(shape, larger.num_agents, np.int32)
        table[turn[agents], column] = larger.links.place[agents]
        rows.append(table)
    return TablePlan(tuple(rows), widths, plan.shares_receivers)


def plan_room(plan: Plan, market: Market, larger: Market) -> Room:
    """Table sizes for this plan and most likely those of similar markets; () if it has no tables."""
    if isinstance(plan, ParticipationPlan):
        return plan_room(plan.base, market, larger)
    return _roomy(_turns(plan, market, larger)[1], (), larger) if isinstance(plan, TablePlan) else ()


def _roomy(needed: Room, room: Room, larger: Market) -> Room:
    """The table sizes of `room`, enlarged where more is needed."""
    if len(larger.links.shapes) == 1:
        return tuple(
            tuple(max(_rounded_up(n, 1), least) for n, least in zip(table, LEAST_TURNS, strict=True))
            for table in needed
        )
    if len(room) != len(needed):
        room = ((0, 0),) * len(needed)
    found = []
    for (turns, agents), (most_turns, most_agents) in zip(needed, room, strict=True):
        found.append(
            (
                most_turns if turns <= most_turns else _rounded_up(turns + 1, WIDTH_STEPS),
                most_agents if agents <= most_agents else _with_spare(agents),
            )
        )
    return tuple(found)


def _turns(plan: TablePlan, market: Market, larger: Market) -> tuple[Int[np.ndarray, "agents"], Room]:
    """The turn of every agent (-1 if it has none), and the table sizes that they need."""
    turn = np.full(market.num_agents + 1, -1)
    for table in plan.rows:
        turn[table] = np.arange(len(table))[:, None]
    turn = turn[:-1][np.asarray(market.links.place)]
    widths, class_of = _turn_widths(larger)
    at_once = [
        np.bincount(turn[(turn >= 0) & (class_of[: len(turn)] == number)]).max(initial=1)
        for number in range(len(widths))
    ]
    return turn, tuple((len(plan.rows[0]), int(most)) for most in at_once)


def _turn_widths(larger: Market) -> tuple[tuple[int, ...], Int[np.ndarray, "rows"]]:
    """The widths for rows of turns, equal for all markets of a shape, and which of them each row has."""
    widest = larger.links.shapes[-1][0]
    widths = [widest]
    if len(larger.links.shapes) > 1:
        widths = [WIDTH_GROWTH**k for k in range(1, 16) if WIDTH_GROWTH**k < widest] + widths
    return tuple(widths), narrowest_block(_degrees(larger), np.array(widths)).astype(np.int32)
