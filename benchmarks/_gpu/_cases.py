"""The runs that are compiled for a GPU, those that matter most first."""

import functools
import itertools
from typing import NamedTuple

import jax
import networkx as nx

import cmapjax as cj
from benchmarks._networks import ensemble, erdos_renyi
from cmapjax.runtime._platform import laid_out_for

MARKETS = {
    "1,000 × 50": lambda: ensemble(1_000),
    "34": lambda: cj.graphs.from_networkx(nx.karate_club_graph()),
    "10⁵": lambda: erdos_renyi(100_000),
    "10⁴": lambda: erdos_renyi(10_000),
    "10⁶": lambda: erdos_renyi(1_000_000),
}
STRATEGIES = {
    "CMAP": cj.CMAP,
    "CMAP damped by 0.2": lambda: cj.Damped(cj.CMAP(), 0.2),
    "proportional response": cj.ProportionalResponse,
    "CMAP damped locally": lambda: cj.Damped(cj.CMAP(), cj.LocalDamping()),
    "proportional response damped by 0.5": lambda: cj.Damped(cj.ProportionalResponse(), 0.5),
    "equal split": cj.EqualSplit,
    "dynamic sharing": cj.DynamicSharing,
    "selfish best reply": cj.SelfishBestReply,
    "gradient CMAP": cj.GradientCMAP,
}
SCHEDULES = {
    "all at once": cj.Simultaneous,
    "coloured": cj.Coloured,
    "sequential": cj.Sequential,
    "random order": cj.RandomOrder,
    "one agent a round": cj.OneAgentPerRound,
    "half take part": lambda: cj.RandomParticipation(0.5),
}
RECORDS = {"nothing": {}, "standard": None}
PRECISIONS = ("float32", "float64")


class Case(NamedTuple):
    """One kind of run."""

    agents: str
    strategy_name: str
    schedule: str
    record: str
    precision: str

    @property
    def key(self) -> str:
        return "; ".join(self)

    def market(self) -> cj.Market:
        return _market(self.agents)

    def strategy(self) -> cj.Strategy:
        return STRATEGIES[self.strategy_name]()

    def options(self, market: cj.Market) -> dict:
        """What `simulate` is told besides the market and the strategy."""
        return {
            "schedule": _plan(self.agents, self.schedule),
            "record": RECORDS[self.record],
            "precision": self.precision,
            "rounds": 100,
            "key": jax.random.key(0),
        }


def cases(quick: bool) -> list[Case]:
    """All of them, or a few of the smallest."""
    if quick:
        return [Case("34", "CMAP", "all at once", "nothing", "float32")]
    axes = (MARKETS, STRATEGIES, SCHEDULES, RECORDS, PRECISIONS)
    return sorted(itertools.starmap(Case, itertools.product(*axes)), key=_rank)


def _rank(case: Case) -> int:
    """How far a case is from the first in every list."""
    axes = (MARKETS, STRATEGIES, SCHEDULES, RECORDS, PRECISIONS)
    return sum(list(axis).index(value) for axis, value in zip(axes, case, strict=True))


@functools.cache
def _market(agents: str) -> cj.Market:
    with laid_out_for("gpu"):
        return MARKETS[agents]()


@functools.cache
def _plan(agents: str, schedule: str):
    with laid_out_for("gpu"):
        return SCHEDULES[schedule]().plan(_market(agents))
