"""One agent in one round: what it saw, what it did, and why. For teaching and for debugging strategies."""

import dataclasses
from collections.abc import Hashable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.arguments._checks import check_kind, short
from cmapjax.engine._play import round_key
from cmapjax.engine._round import act_in_turns, known_facts
from cmapjax.engine._simulate import simulate
from cmapjax.market._community import beyond_table
from cmapjax.market._feasibility import check_row
from cmapjax.market._market import Market
from cmapjax.market._random import check_key
from cmapjax.runtime._settings import compiled, entry
from cmapjax.runtime._types import Array
from cmapjax.schedules._schedule import Schedule, Simultaneous
from cmapjax.strategies import (
    CMAP,
    Beyond,
    Damped,
    DynamicSharing,
    EntropicCMAP,
    PerAgent,
    ProportionalResponse,
    Strategy,
    View,
    _calls,
)


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A neighbour of the agent, as the agent saw it when its turn came. All amounts are value."""

    label: Hashable
    contribution: float
    """w_j, its contribution."""
    degree: int
    """Its number of neighbours."""
    utility: float
    """u_j, what it received from all its neighbours."""
    gave: float
    """y_ji, what it gave to the agent."""
    got: float
    """y_ij of the agent's last row, what it received from the agent."""
    answer: float
    """What the agent's strategy gives it, before damping."""
    gets: float
    """What the agent gives it now."""
    average: float | None = None
    """ū_j, what it received per round so far, if the strategy uses that."""

    @property
    def from_others(self) -> float:
        """c_j = u_j − y_ij, what it received from others."""
        return max(self.utility - self.got, 0.0)

    @property
    def level_before(self) -> float:
        """c_j / w_j, its level without the agent: received from others per contributed."""
        return self.from_others / self.contribution

    @property
    def level_after(self) -> float:
        """(c_j + y_ij) / w_j, its level after the agent's move, all other rows unchanged."""
        return (self.from_others + self.gets) / self.contribution


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What one agent did in one round, and what it saw before."""

    agent: Hashable
    round: int
    """The round, the first being 1."""
    turn: int | None
    """Its turn in the round, from 1; None if it did not act in this round."""
    num_turns: int
    strategy: Strategy
    contribution: float
    utility: float
    """What the agent itself received when its turn came (value)."""
    neighbours: tuple[Neighbour, ...]
    theta: float
    """θ, how far it moved from its last row to its strategy's answer; 1 is all the way."""

    @property
    def level(self) -> float | None:
        """CMAP's water level L: receivers of its answer stand at (c_j + y_ij) / w_j = L. None for others."""
        filled = [n for n in self.neighbours if n.answer > 0]
        if not isinstance(self.rule, CMAP) or self.rule.community_hops == 0 or not filled:
            return None
        return sum(n.from_others + n.answer for n in filled) / sum(n.contribution for n in filled)

    @property
    def rule(self) -> Strategy:
        """The strategy without its damping."""
        return _undamped(self.strategy)

    def __str__(self) -> str:
        return "\n".join([*_heading(self), "", *_table(self), "", *_reasons(self)])


@entry(remedy="explain a run of plain numbers")
def explain(
    market: Market,
    strategy: Strategy,
    agent: Hashable,
    round: int,
    *,
    schedule: Schedule = Simultaneous(),  # noqa: B008 - immutable
    key: Array | None = None,
) -> Explanation:
    """What an agent saw in a round, and what it gave to whom.

    The earlier rounds are played by `simulate` from an equal split with constant endowments, and of this
    round the turns before the agent's.

    Args:
        market: one market, or many packed side by side.
        strategy: what every agent follows.
        agent: the agent's label.
        round: the round to explain, the first being 1.
        schedule: who acts in which turn.
        key: JAX random key, for random schedules; as for `simulate`.

    Returns:
        What the agent saw and did; print it, or draw it with `plots.explanation`.

    Raises:
        ValueError: no such agent or round; whatever `simulate` refuses.
    """
    check_kind("market", market, Market, "Market.from_links(…), or a reader of cmapjax.graphs")
    check_kind("strategy", strategy, Strategy, "CMAP()")
    check_kind("schedule", schedule, Schedule, "Sequential()")
    if isinstance(round, bool) or not isinstance(round, (int, np.integer)) or round < 1:
        raise ValueError(f"round is {round!r}; give a whole number, 1 or more.")
    number = market.index(agent)
    if schedule.is_random:
        check_key(key, "this schedule")
    before = simulate(market, strategy, rounds=round - 1, schedule=schedule, record={}, key=key)
    turn, num_turns, flow = _until_turn(market, strategy, schedule, number, round, key, before.final)
    average = np.asarray(before.final.average_utility) if strategy.needs_averages else None
    view, receivers = _view_of(market, strategy, number, flow, average)
    own, theta = _as_followed_by(strategy, number), 1.0
    if turn is None:
        row = answer = view.sent
    else:
        with _calls.brief_faults():
            row, answer = map(np.asarray, _answers(own, view))
        if not _calls.is_of_package(strategy):
            check_row(type(_undamped(strategy)).__name__, agent, row, float(view.budget))
    while isinstance(own, Damped):
        theta, own = theta * float(own.damping.step(jax.tree.map(jnp.asarray, view))), own.strategy
    columns = [view.contribution, view.degree, view.utility, view.received, view.sent, answer, row]
    columns += [] if average is None else [view.average_utility]
    neighbours = tuple(
        Neighbour(market.labels[j], w, int(d), *more)
        for j, (w, d, *more) in zip(receivers, np.stack(columns, axis=1).tolist(), strict=True)
    )
    received = float(view.received.sum())
    return Explanation(
        agent, int(round), turn, num_turns, strategy, float(view.budget), received, neighbours, theta
    )


def _undamped(strategy: Strategy) -> Strategy:
    while isinstance(strategy, (Damped, PerAgent)):
        strategy = strategy.strategy
    return strategy


def _as_followed_by(strategy: Strategy, agent: int) -> Strategy:
    """The strategy with this agent's own parameters."""
    if not isinstance(strategy, PerAgent):
        return strategy
    return jax.tree.map(lambda x: x[agent], strategy.strategy)


def _until_turn(market, strategy, schedule, agent: int, round: int, key, state):
    """The agent's turn (None if it does not act), the number of turns, and the flow before its turn."""
    flow = state.flow
    plan, bare = schedule.plan(market, strategy.hops), market.bare()
    now = jnp.asarray(round - 1, jnp.int64)
    key = None if key is None else round_key(key, 1, now)
    acts = plan.acts(bare, key)
    takes_part = acts is None or bool(acts[agent])
    if plan.is_everyone:
        return (1 if takes_part else None), 1, flow
    tables = tuple(map(np.asarray, plan.tables(bare, now, key)))
    at = [np.flatnonzero((table == market.links.place[agent]).any(axis=1)) for table in tables]
    turns = np.concatenate(at)
    if not takes_part or not len(turns):
        return None, len(tables[0]), flow
    turn = int(turns[0])
    if turn:
        beyond = beyond_table(bare, strategy.hops) if strategy.hops > 1 else None
        acting = None if acts is None else bare.stored(acts)
        # Later turns are emptied; tables keep their shape, so that all turns share a program.
        earlier = tuple(
            np.where(np.arange(len(t))[:, None] < turn, t, bare.num_agents).astype(t.dtype) for t in tables
        )
        flow = _play_turns(bare, beyond, strategy, plan, earlier, state, acting)
    return turn + 1, len(tables[0]), np.asarray(flow)


@compiled
def _answers(strategy: Strategy, view: View):
    """The agent's next row, with and without damping."""
    view = jax.tree.map(jnp.asarray, view)
    return _calls.respond(strategy, view), _calls.respond(_undamped(strategy), view)


@compiled
def _play_turns(market, beyond, strategy, plan, tables, state, acts):
    average = market.stored(state.average_utility) if strategy.needs_averages else None
    known, flow = known_facts(market, beyond, np.float64, average), jnp.asarray(state.flow)
    return act_in_turns(market, known, strategy, plan, tables, flow, known.contribution, acts)[0]


def _view_of(market: Market, strategy: Strategy, agent: int, flow: Float[np.ndarray, "slots"], average):
    """What the agent sees, and the numbers of its neighbours."""
    starts, receiver = market.neighbour_rows()
    row = slice(starts[agent], starts[agent + 1])
    neighbours = receiver[row]
    sent, received = market.arc_values(flow)[row], market.arc_values(market.mirror(flow))[row]
    utility, contribution = market.received(flow), np.asarray(market.contribution)
    same_market = np.asarray(market.market_of) == market.market_of[agent]
    beyond = None
    if strategy.hops > 1:
        table = np.asarray(beyond_table(market.bare(), strategy.hops))
        members = table[market.links.place[agent]]
        order = np.asarray(market.links.order)[members[members < market.num_agents]]
        beyond = Beyond(contribution[order], utility[order])
    view = View(
        sent=sent,
        repeated=sent,
        received=received,
        contribution=contribution[neighbours],
        utility=utility[neighbours],
        degree=np.diff(starts)[neighbours].astype(np.float64),
        budget=np.asarray(contribution[agent]),
        is_neighbour=np.ones(len(neighbours), bool),
        max_degree=np.asarray(np.diff(starts)[same_market].max(), np.float64),
        beyond=beyond,
        average_utility=None if average is None else average[neighbours],
    )
    return view, neighbours


# -- in words --------------------------------------------------------------------------------------


def _heading(about: Explanation) -> list[str]:
    turns = "" if about.num_turns == 1 else f", turn {about.turn} of {about.num_turns}"
    name = type(about.rule).__name__
    when = f"Round {about.round}{turns}" if about.turn is not None else f"Round {about.round}"
    ratio = about.utility / about.contribution
    return [
        f"{when}: agent {about.agent}, which follows {name}"
        + (f" damped by {about.theta:.4g}" if about.theta != 1 else ""),
        f"It has {about.contribution:.6g} to give, and receives {about.utility:.6g}: {ratio:.4g} per unit "
        "that it contributes.",
    ]


COLUMNS = {
    "neighbour": lambda n: str(n.label),
    "contributes": lambda n: f"{n.contribution:.6g}",
    "gave me": lambda n: f"{n.gave:.6g}",
    "has from others": lambda n: f"{n.from_others:.6g}",
    "per unit": lambda n: f"{n.level_before:.4f}",
    "had from me": lambda n: f"{n.got:.6g}",
    "gets now": lambda n: f"{n.gets:.6g}",
    "then per unit": lambda n: f"{n.level_after:.4f}",
}


def _table(about: Explanation) -> list[str]:
    """The neighbours, from the poorest (without the agent) to the richest."""
    ordered = sorted(about.neighbours, key=lambda n: n.level_before)
    rows = [list(COLUMNS), *([cell(n) for cell in COLUMNS.values()] for n in ordered)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(COLUMNS))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def _reasons(about: Explanation) -> list[str]:
    if about.turn is None:
        return ["It did not act in this round, and gave as before."]
    lines = []
    if about.level is not None:
        lines = _of_cmap(about)
    elif isinstance(about.rule, ProportionalResponse):
        lines = _of_proportional_response(about)
    elif isinstance(about.rule, DynamicSharing):
        lines = _of_dynamic_sharing(about)
    elif isinstance(about.rule, EntropicCMAP):
        lines = _of_entropic(about)
    elif isinstance(about.rule, CMAP):
        lines = [
            "With k = 0 its community is itself alone, which its own row does not touch: it gives as before."
        ]
    else:
        lines = [
            f"What {type(about.rule).__name__} does is in its own text (help({type(about.rule).__name__}))."
        ]
    if about.theta != 1:
        lines.append(
            f"Damping: it moves {about.theta:.4g} of the way from what it gave to what its strategy answers "
            f"({', '.join(f'{n.label}: {n.answer:.4g}' for n in about.neighbours if n.answer > 0)})."
        )
    return lines


def _of_cmap(about: Explanation) -> list[str]:
    filled = [n for n in about.neighbours if n.answer > 0]
    dry = [n for n in about.neighbours if not n.answer > 0]
    lines = [
        f"Water level {about.level:.6g}: CMAP fills up the neighbours that others leave poorest, until all "
        "it gives to stand at",
        f"one level, (has from others + gets) / contributes. What it has reaches {_named(filled)} that high.",
    ]
    if dry:
        lines.append(f"Above that level without its help, and so given nothing: {_named(dry)}.")
    return lines


def _of_proportional_response(about: Explanation) -> list[str]:
    received = sum(n.gave for n in about.neighbours)
    if not received:
        return ["It received nothing, so it has nothing to answer and gives as before."]
    return [
        f"It received {received:.6g} and returns {about.contribution / received:.6g} per unit received: to "
        "each neighbour in proportion to what that gave."
    ]


def _of_dynamic_sharing(about: Explanation) -> list[str]:
    served = sorted(about.neighbours, key=lambda n: n.average / n.contribution)
    shown = ", ".join(f"{_named([n])} at {n.average / n.contribution:.4f}" for n in served)
    return [
        f"Received per round so far, per unit contributed: {shown}.",
        f"All goes to the smallest of these: {_named([n for n in served if n.answer > 0])}.",
    ]


def _of_entropic(about: Explanation) -> list[str]:
    step = float(about.rule.step)
    factors = [(n, n.answer / n.got) for n in about.neighbours if n.got > 0]
    shown = ", ".join(f"{_named([n])} {factor:.4g}" for n, factor in factors)
    return [
        f"What each neighbour had from it is multiplied by (contributes / received in all)^{step:g}, and the "
        "row scaled to what it has:",
        f"the poor get more and the rich less, by the factors {shown or '(it gave nothing last time)'}.",
    ]


def _named(neighbours: list[Neighbour]) -> str:
    return ", ".join(short(n.label, 30).strip("'") for n in neighbours)
