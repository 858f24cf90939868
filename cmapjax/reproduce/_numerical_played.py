"""The runs of the part on numerical CMAP: all step rules, budgets and dampings side by side, per schedule."""

import dataclasses
import itertools
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Float, Int

from cmapjax import metrics
from cmapjax.engine._simulate import simulate
from cmapjax.equilibrium._solve import solve
from cmapjax.market._packing import copies, pack
from cmapjax.market._random import key_of
from cmapjax.reproduce._grid import CONTRIBUTIONS, drawn, families
from cmapjax.reproduce._part import Setting
from cmapjax.runtime._types import Array, as_parameter
from cmapjax.schedules._schedule import Coloured, RandomParticipation, Schedule, Simultaneous
from cmapjax.strategies import (
    CMAP,
    Damped,
    FixedDamping,
    GradientCMAP,
    LineSearch,
    OptaxGradient,
    PerAgent,
    StepRule,
)

SCHEDULES: dict[str, Schedule] = {
    "in turn": Coloured(),
    "all at once": Simultaneous(),
    "half at once": RandomParticipation(0.5),
}
POWERS = {"fixed": 0.0, "diminishing": 0.5}


class Swept(StepRule):
    """Steps size / (1 + iteration)^power, and none once the budget of iterations is spent.

    With power 0 they are `FixedStep(size)`, with 1/2 `DiminishingStep(size)`. A step of nothing stays where
    it is, so settings with unlike budgets are played side by side.
    """

    size: Float[Array, "..."] = eqx.field(converter=as_parameter)
    power: Float[Array, "..."] = eqx.field(converter=as_parameter)
    budget: Float[Array, "..."] = eqx.field(converter=as_parameter)

    def at(self, iteration):
        size = self.size / (1 + iteration) ** self.power
        return jnp.where(iteration < self.budget, size, 0)


class Candidate(NamedTuple):
    """A setting of the program."""

    schedule: str
    damping: float
    rule: str
    step: float
    """Of a fixed or diminishing rule; NaN for others."""
    budget: float
    """Iterations; infinite for the exact answer."""

    def __str__(self):
        iterations = "1 iteration" if self.budget == 1 else f"{self.budget:g} iterations"
        how = {"exact": "exact answer", "line search": f"line search, {iterations}"}.get(
            self.rule, f"{self.rule} step {self.step:g}, {iterations}"
        )
        return f"{self.schedule}, {how}" + (f", damping {self.damping:g}" if self.damping < 1 else "")


@dataclasses.dataclass(frozen=True)
class Shares:
    """Share of the equilibrium's Nash welfare, of every candidate."""

    rounds: Int[np.ndarray, "records"]
    candidates: list[Candidate]
    share: Float[np.ndarray, "candidates records markets"]
    gap: Float[np.ndarray, "candidates markets"]
    """Certified gap at the end (log Nash welfare)."""
    family: Int[np.ndarray, "markets"]
    families: tuple[str, ...]
    size: int

    def at(self, round: int) -> Float[np.ndarray, "candidates markets"]:
        """… after the recorded round nearest to this one."""
        return self.share[:, np.argmin(np.abs(self.rounds - round))]

    def where(self, **fields) -> list[int]:
        """The candidates with these fields."""
        return [
            k for k, c in enumerate(self.candidates) if all(getattr(c, f) == v for f, v in fields.items())
        ]


class Size(NamedTuple):
    """How much is played."""

    agents: int
    """Of a market, about."""
    degree: int
    each: int
    """Markets per family."""
    rounds: int
    steps: tuple[float, ...]
    budgets: tuple[int, ...]
    schedules: tuple[str, ...]
    line_searches: tuple[int, ...] = ()
    """Budgets of line searches."""


DAMPINGS = (1.0, 0.5)


def play(setting: Setting, size: Size) -> Shares:
    """Every candidate on the same markets, from an equal split."""
    grid = families(size.agents, size.degree)
    kinds = [
        drawn(family, CONTRIBUTIONS["uniform"], setting.seed, 100 + k, size.each)
        for k, family in enumerate(grid.values())
    ]
    key = key_of(setting.seed, 99)
    stage = _Stage(pack(kinds), size.rounds, key)
    swept = list(itertools.product(DAMPINGS, POWERS, size.steps, size.budgets))
    parts = []
    for schedule in size.schedules:
        setting.tell(f"{schedule}: {len(swept)} dampings, step rules and budgets, and the exact answer")
        parts.append(stage.sweep(schedule, swept))
        parts.append(stage.each(schedule, "exact", np.inf, CMAP()))
        for budget in size.line_searches:
            method = OptaxGradient(budget, LineSearch())
            parts.append(stage.each(schedule, "line search", budget, GradientCMAP(method=method)))
    candidates, share, gap = zip(*parts, strict=True)
    return Shares(
        np.arange(size.rounds + 1),
        [c for part in candidates for c in part],
        np.concatenate(share),
        np.concatenate(gap),
        np.repeat(np.arange(len(grid)), size.each),
        tuple(grid),
        size.agents,
    )


class _Stage:
    """Markets on which candidates are played side by side."""

    def __init__(self, market, rounds: int, key):
        self.market, self.rounds, self.key = market, rounds, key
        self.best = solve(market).utility

    def sweep(self, schedule: str, settings: list[tuple]):
        """Gradient steps of every damping, rule, step and budget."""
        damping, power, size, budget = (
            np.array(x, float)
            for x in zip(*((d, POWERS[r], s, float(b)) for d, r, s, b in settings), strict=True)
        )
        per_agent = [np.repeat(x, self.market.num_agents) for x in (size, power, budget, damping)]
        rule, damping = Swept(*per_agent[:3]), FixedDamping(per_agent[3])
        method = OptaxGradient(int(budget.max()), rule)
        strategy = PerAgent(Damped(GradientCMAP(method=method), damping))
        return self._play(strategy, [Candidate(schedule, *setting) for setting in settings])

    def each(self, schedule: str, rule: str, budget: float, strategy):
        """One strategy with every damping."""
        own = np.repeat(np.array(DAMPINGS), self.market.num_agents)
        candidates = [Candidate(schedule, d, rule, np.nan, budget) for d in DAMPINGS]
        return self._play(PerAgent(Damped(strategy, FixedDamping(own))), candidates)

    def _play(self, strategy, candidates: list[Candidate]):
        number = len(candidates)
        together = copies(self.market, endowment=np.tile(self.market.endowment, (number, 1)))
        schedule = SCHEDULES[candidates[0].schedule]
        run = simulate(
            together,
            strategy,
            rounds=self.rounds,
            schedule=schedule,
            record={"share": Partial(_share, np.tile(self.best, number))},
            key=self.key if schedule.is_random else None,
        )
        share = run.records["share"].reshape(len(run.rounds), number, -1).swapaxes(0, 1)
        gap = metrics.certified_gap_of_flow(together, run.final.flow, run.final.received)
        return candidates, share, gap.reshape(number, -1)


def _share(best, market, state):
    return metrics.share_of_equilibrium(market, state.utility, best)
