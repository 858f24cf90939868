"""What one agent did in one round, as numbers and in words."""

import dataclasses
import math
from collections.abc import Hashable

from cmapjax.arguments._checks import short
from cmapjax.strategies import (
    CMAP,
    Damped,
    DynamicSharing,
    EntropicCMAP,
    PerAgent,
    ProportionalResponse,
    Strategy,
)

# A link, or a demand, counts as full within rounding.
FULL = 1e-9


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
    claim: float | None = None
    """β_j, its priority, or less if it had more than it can use; None in a market without other terms."""
    demand: float = math.inf
    """D_j, all that it can use, own use included."""
    own_use: float = 0.0
    """a_j, what it has without others. It is part of `utility` and of `from_others`."""
    capacity: float = math.inf
    """K_ij, the most that the agent can give it in a round."""
    efficiency: float = 1.0
    """e_ij, what arrives of a unit."""

    @property
    def weight(self) -> float:
        """By what its share is measured: its claim, or its contribution."""
        return self.contribution if self.claim is None else self.claim

    @property
    def from_others(self) -> float:
        """c_j = u_j − e_ij y_ij, what it has from others and of its own."""
        return max(self.utility - self.efficiency * self.got, 0.0)

    @property
    def level_before(self) -> float:
        """c_j / w_j, its level without the agent: received from others per contributed, or per claimed."""
        return self.from_others / self.weight if self.weight else math.inf

    @property
    def level_after(self) -> float:
        """(c_j + e_ij y_ij) / w_j, its level after the agent's move, all other rows unchanged."""
        return (self.from_others + self.efficiency * self.gets) / self.weight if self.weight else math.inf

    @property
    def is_full(self) -> bool:
        """Whether the agent gives it all that their link lets through."""
        return self.gets >= self.capacity * (1 - FULL)

    @property
    def is_satisfied(self) -> bool:
        """Whether it has all that it can use after the agent's move, all other rows unchanged."""
        return self.from_others + self.efficiency * self.gets >= self.demand * (1 - FULL)


@dataclasses.dataclass(frozen=True)
class Own:
    """What a market with other terms says of the agent itself."""

    priority: float
    """b_i, 0 if it does not count."""
    claim: float
    """β_i in this round."""
    demand: float
    own_use: float


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
    own: Own | None = None
    """The agent's own priority, demand and own use; None in a market without other terms."""

    @property
    def kept(self) -> float:
        """What its links do not let through, or its rule does not give."""
        return max(self.contribution - sum(n.gets for n in self.neighbours), 0.0)

    @property
    def level(self) -> float | None:
        """CMAP's water level L: receivers of its answer stand at (c_j + y_ij) / w_j = L, unless their link is
        full. With losses, at L e_ij^(1/α), in units of their claims. None for other strategies."""
        filled = [n for n in self.neighbours if n.answer > 0 and not n.answer >= _most(self.rule, n)]
        if not isinstance(self.rule, CMAP) or self.rule.community_hops == 0 or not filled:
            return None
        bend = 1 / self.rule.fairness
        return sum(n.from_others / n.efficiency + n.answer for n in filled) / sum(
            n.weight * n.efficiency ** (bend - 1) for n in filled
        )

    @property
    def rule(self) -> Strategy:
        """The strategy without its damping."""
        return undamped(self.strategy)

    def __str__(self) -> str:
        return "\n".join([*_heading(self), "", *_table(self), "", *_reasons(self)])


def undamped(strategy: Strategy) -> Strategy:
    while isinstance(strategy, (Damped, PerAgent)):
        strategy = strategy.strategy
    return strategy


# -- in words --------------------------------------------------------------------------------------


def _heading(about: Explanation) -> list[str]:
    turns = "" if about.num_turns == 1 else f", turn {about.turn} of {about.num_turns}"
    name = type(about.rule).__name__
    when = f"Round {about.round}{turns}" if about.turn is not None else f"Round {about.round}"
    own, lines = about.own, []
    measure, per = about.contribution, "per unit that it contributes"
    if own is not None:
        measure, per = own.priority, "per unit of its priority"
        lines = _of_own(own)
    shown = f": {about.utility / measure:.4g} {per}." if measure else "."
    return [
        f"{when}: agent {about.agent}, which follows {name}"
        + (f" damped by {about.theta:.4g}" if about.theta != 1 else ""),
        f"It has {about.contribution:.6g} to give, and receives {about.utility:.6g}{shown}",
        *lines,
    ]


def _of_own(own: Own) -> list[str]:
    """What else a market says of the agent itself."""
    parts = [
        f"its priority is {own.priority:.6g}" if own.priority else "it has no priority, and gets nothing"
    ]
    if own.own_use:
        parts.append(f"{own.own_use:.6g} of that is its own use")
    if own.demand < math.inf:
        parts.append(f"it can use {own.demand:.6g} in all")
    if own.claim < own.priority * (1 - FULL):
        parts.append(f"since it had more than that, it claims only {own.claim:.6g}")
    words = ", ".join(parts)
    return [f"{words[0].upper()}{words[1:]}."]


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
    columns = COLUMNS if about.own is None else _columns_with_terms(about)
    rows = [list(columns), *([cell(n) for cell in columns.values()] for n in ordered)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(columns))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def _columns_with_terms(about: Explanation) -> dict:
    """Claims instead of contributions, and what any of the links or neighbours have."""
    shown = {"claims" if name == "contributes" else name: cell for name, cell in COLUMNS.items()}
    shown["claims"] = lambda n: f"{n.claim:.6g}"
    more = {
        "link takes": (lambda n: n.capacity, math.inf),
        "arrives": (lambda n: n.efficiency, 1.0),
        "can use": (lambda n: n.demand, math.inf),
    }
    for name, (value, absent) in more.items():
        if any(value(n) != absent for n in about.neighbours):
            shown[name] = lambda n, value=value: f"{value(n):.6g}"
    return shown


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
    if about.own is not None:
        lines += _of_terms(about)
    if about.theta != 1:
        lines.append(
            f"Damping: it moves {about.theta:.4g} of the way from what it gave to what its strategy answers "
            f"({', '.join(f'{n.label}: {n.answer:.4g}' for n in about.neighbours if n.answer > 0)})."
        )
    return lines


def _of_cmap(about: Explanation) -> list[str]:
    filled = [n for n in about.neighbours if n.answer > 0 and not n.answer >= _most(about.rule, n)]
    dry = [n for n in about.neighbours if not n.answer > 0]
    per = "contributes" if about.own is None else "claims"
    lines = [
        f"Water level {about.level:.6g}: CMAP fills up the neighbours that others leave poorest, until all "
        "it gives to stand at",
        f"one level, (has from others + gets) / {per}. What it has reaches {_named(filled)} that high.",
    ]
    if any(n.efficiency != 1 for n in filled):
        lines.append(
            "Where a part is lost on the way, what arrives stands at that level times the efficiency to the "
            f"power of {1 / about.rule.fairness:.4g}."
        )
    if dry:
        lines.append(f"Above that level without its help, and so given nothing: {_named(dry)}.")
    return lines


def _of_terms(about: Explanation) -> list[str]:
    """Full links, neighbours that have enough, and what is kept."""
    gives = [n for n in about.neighbours if n.gets > 0]
    full, satisfied = [n for n in gives if n.is_full], [n for n in about.neighbours if n.is_satisfied]
    lines = []
    if not about.neighbours:
        lines.append("There is nobody to whom it could give.")
    if full:
        lines.append(f"It gives all that the link lets through to {_named(full)}.")
    if satisfied:
        lines.append(f"With that, all that they can use have: {_named(satisfied)}.")
    lowered = [n for n in satisfied if n.from_others + n.efficiency * n.gets > n.demand * (1 + FULL)]
    if lowered and about.rule.uses_claims:
        lines.append(
            f"More than they can use have {_named(lowered)}, which claim less from the next round on."
        )
    if about.kept > FULL * about.contribution:
        why = "its links do not let it through" if len(full) == len(about.neighbours) else "its rule keeps it"
        lines.append(f"It keeps {about.kept:.6g}: {why}.")
    return lines


def _most(rule: Strategy, n: Neighbour) -> float:
    """The most that CMAP gives a neighbour, up to rounding."""
    most = n.capacity
    if isinstance(rule, CMAP) and rule.respects_demand:
        most = min(most, max(n.demand - n.from_others, 0.0) / n.efficiency)
    return most * (1 - FULL)


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
    per = "contributes" if about.own is None else "claims"
    factors = [(n, n.answer / n.got) for n in about.neighbours if n.got > 0]
    shown = ", ".join(f"{_named([n])} {factor:.4g}" for n, factor in factors)
    return [
        f"What each neighbour had from it is multiplied by ({per} / has in all)^"
        f"{float(about.rule.step):g}, and the row scaled to what it has:",
        f"the poor get more and the rich less, by the factors {shown or '(it gave nothing last time)'}.",
    ]


def _named(neighbours: list[Neighbour]) -> str:
    return ", ".join(short(n.label, 30).strip("'") for n in neighbours)
