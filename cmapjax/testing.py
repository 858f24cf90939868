"""Whether a strategy of your own obeys the laws that every strategy must obey."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.arguments._checks import check_kind
from cmapjax.engine._round import (
    _answer_rows,
    act_together,
    as_before,
    both_ends,
    known_facts,
    received_totals,
)
from cmapjax.engine._simulate import simulate
from cmapjax.engine._terms import owed, terms_of
from cmapjax.market._community import beyond_table
from cmapjax.market._filled import filled
from cmapjax.market._market import Market
from cmapjax.market._numbers import OF_ARCS
from cmapjax.market._packing import pack
from cmapjax.runtime._settings import compiled, entry
from cmapjax.strategies import Beyond, EqualSplit, Strategy, View, _calls

__all__ = ["LAWS", "StrategyError", "check_strategy"]

# Iterative strategies may round differently if neighbours come in another order; the laws allow such
# differences.
TOLERANCE = 1e-6
MORE_PADDING = 5
SHOWN_ARCS = 16

LAWS = {
    "shape": "a row has one real amount per entry of the view",
    "finite": "every amount is a finite number",
    "network": "nothing is given where there is no neighbour (padding)",
    "sign": "nothing negative is given",
    "capacity": "nothing more is given along a link than its capacity",
    "budget": "a row spends exactly the round's budget, or what capacities let through",
    "posting": "what flows by the terms that an agent posts is its row, at either end of a link",
    "relabelling": "numbering the agents otherwise changes nothing but their numbers",
    "unit": "measuring value in another unit changes nothing but the unit",
    "padding": "further padding behind the neighbours changes nothing",
    "packing": "other markets packed beside change nothing",
}
"""The laws, in the order in which they are tried."""


class StrategyError(AssertionError):
    """A strategy breaks a law: `law` is its name in `LAWS`, `market` the smallest market that shows it."""

    def __init__(self, message: str, law: str, market: Market):
        super().__init__(message)
        self.law = law
        self.market = market


@entry(remedy="check it outside of transformations", any_market=True)
def check_strategy(strategy: Strategy, *, markets: Sequence[Market] | None = None) -> None:
    """Raise an error if the strategy breaks a law on a small market; return nothing otherwise.

    One simultaneous round is played on every market from several starts: an equal split, random rows, a start
    in which one agent gave nothing and another has nothing to give, and (where the network allows it) one in
    which an agent received nothing. A strategy that passes can be simulated, packed, relabelled and rescaled
    like those of the package. For example,

    >>> import equinox as eqx, numpy as np
    >>> from cmapjax import Strategy, repeat, testing
    >>> class Generous(Strategy):
    ...     share: np.ndarray = eqx.field(converter=np.asarray, default=0.5)
    ...
    ...     def respond(self, view):  # part as before, the rest to all alike
    ...         even = view.is_neighbour / view.is_neighbour.sum()
    ...         return (1 - self.share) * repeat(view) + self.share * view.budget * even
    >>> testing.check_strategy(Generous())

    Args:
        strategy: an instance, with the hyperparameters to test.
        markets: single markets to try, by default a dozen of 2 to 7 agents. Give some with capacities,
            demands and so on to see whether the strategy knows them.

    Raises:
        StrategyError: the first law that is broken, and the smallest market that shows it.
        ValueError: no strategy or markets; ensembles among the markets.
    """
    check_kind("strategy", strategy, Strategy, "CMAP()")
    markets = _small_markets() if markets is None else list(markets)
    if not markets:
        raise ValueError("markets: none given; give at least one, or leave the argument out.")
    for market in markets:
        check_kind("markets", market, Market, "Market.from_links(…)")
        if market.num_markets > 1:
            raise ValueError(f"markets: one packs {market.num_markets}; give single markets.")
    cases = _cases(sorted(markets, key=lambda m: (m.num_agents, m.num_links)))
    _Trial(strategy, cases).run()


# -- the markets and starts that are tried ---------------------------------------------------------


class _Case(eqx.Module):
    """A market with what all agents gave last round, received on average, and have to give now."""

    market: Market
    name: str = eqx.field(static=True)
    given: Float[np.ndarray, "arcs"]
    budget: Float[np.ndarray, "agents"]

    @property
    def average(self) -> Float[np.ndarray, "agents"]:
        """Mean receipts so far, from nothing to the whole contribution in quarters, so that some agents
        tie."""
        w = np.asarray(self.market.contribution)
        return w * np.random.default_rng(len(w)).integers(0, 5, len(w)) / 4


def _small_markets() -> list[Market]:
    """Small networks with equal and with unequal contributions, the smallest first."""
    figures = [
        [[0, 1]],
        [[0, 1], [1, 2]],
        [[0, 1], [1, 2], [0, 2]],
        [[0, 1], [0, 2], [0, 3]],
        [[0, 1], [1, 2], [2, 3]],
        [[0, 1], [1, 2], [2, 3], [3, 0]],
        [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]],
        [[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [2, 5]],
        [[0, 1], [0, 2], [0, 3], [0, 4], [0, 5], [0, 6], [1, 2], [3, 4], [4, 5]],
    ]
    rng = np.random.default_rng(0)
    markets = []
    for links in figures:
        n = int(np.max(links)) + 1
        markets.append(Market.from_links(np.array(links)))
        # Multiples of 1/16: sums of such numbers are exact in any order.
        endowment, value = rng.integers(4, 64, n) / 16, rng.integers(2, 9, n) / 4
        markets.append(Market.from_links(np.array(links), endowment=endowment, value=value))
    return markets


def _cases(markets: list[Market]) -> list[_Case]:
    rng = np.random.default_rng(1)
    cases = []
    for market in markets:
        giver, receiver = market.arcs()
        w = np.asarray(market.contribution)
        start = simulate(market, EqualSplit(), rounds=0, record={}).final.flow
        cases.append(_Case(market, "everybody splits equally", market.arc_values(start), w))
        most = market.arc_values(filled(market).capacity)
        rows = np.minimum(_random_rows(rng, giver, w), most)
        cases.append(_Case(market, "random rows", rows, w))
        silent, empty = market.num_agents - 1, 0
        rows = np.where(giver == silent, 0, np.minimum(_random_rows(rng, giver, w), most))
        budget = np.where(np.arange(market.num_agents) == empty, 0, w * rng.integers(1, 9, len(w)) / 4)
        name = f"agent {silent} gave nothing, agent {empty} has nothing to give"
        cases.append(_Case(market, name, rows, budget))
        degree = np.asarray(market.degree)
        for agent in range(market.num_agents):
            if np.all(degree[receiver[giver == agent]] > 1):
                rows = np.minimum(_random_rows(rng, giver, w, barred=receiver == agent), most)
                cases.append(_Case(market, f"agent {agent} received nothing", rows, w))
                break
    return cases


def _random_rows(rng, giver, w, barred=False):
    """Random rows in 64ths of the contribution, so that their sums are exact in any order."""
    rows = np.zeros(len(giver))
    allowed = ~np.broadcast_to(barred, giver.shape)
    for agent in range(len(w)):
        mine = (giver == agent) & allowed
        rows[mine] = w[agent] * rng.multinomial(64, np.full(mine.sum(), 1 / mine.sum())) / 64
    return rows


# -- the trial -------------------------------------------------------------------------------------


class _Trial:
    """Plays all cases side by side in one ensemble, so that each law needs at most one compilation."""

    def __init__(self, strategy: Strategy, cases: list[_Case]):
        self.strategy, self.cases = strategy, cases
        self.ensemble = pack([case.market for case in cases])
        self.giver, self.receiver = self.ensemble.arcs()
        self.case_of = np.asarray(self.ensemble.market_of)[self.giver]
        self.given = np.concatenate([case.given for case in cases])
        self.budget = np.concatenate([case.budget for case in cases])
        self.capacity = self.ensemble.arc_values(filled(self.ensemble).capacity)
        terms = terms_of(self.ensemble.bare(), np.float64)
        self.owed = self.ensemble.unstored(owed(self.ensemble.stored(self.budget), terms))
        self.average = np.concatenate([case.average for case in cases])
        self.width = int(np.max(self.ensemble.links.lengths))

    def run(self) -> None:
        self.check_shape()
        now = self.given, self.budget, self.average
        rows, answer = _rows(self.strategy, self.ensemble, *now, self.width)
        self.check_rows(*rows)
        self.check_budget(answer)
        for end in self.ends():
            self.compare("posting", answer, end)
        self.compare("relabelling", answer, self.relabelled())
        self.compare("unit", answer, self.rescaled())
        wider = _rows(self.strategy, self.ensemble, *now, self.width + MORE_PADDING)
        self.compare("padding", answer, wider[1])
        self.compare("packing", answer, self.packed())

    def check_shape(self) -> None:
        """Checks the shape of a row without computing one."""
        row, number = jnp.zeros(self.width), jnp.zeros(())
        beyond = Beyond(row, row) if self.strategy.hops > 1 else None
        average = row if self.strategy.needs_averages else None
        has = {name: row for name in ("capacity", "efficiency", "demand") if name in self.ensemble.terms}
        has |= {"priority": row} if self.ensemble.terms else {}
        view = View(*[row] * 6, number, row > 0, number, beyond, average_utility=average, **has)
        try:  # handed in, not made inside, where they would be numbers that Python can decide by
            eqx.filter_eval_shape(_calls.respond, self.strategy, view)
        except _calls.StrategyFault as fault:
            raise self.error("shape", 0, fault.what) from None

    def check_rows(self, rows, is_link) -> None:
        case_of = np.asarray(self.ensemble.market_of)[np.asarray(self.ensemble.links.order)]
        faults = {
            "finite": ~np.isfinite(rows),
            "network": ~is_link & (rows != 0),
            "sign": rows < 0,
        }
        for law, fault in faults.items():
            broken = np.flatnonzero(fault.any(axis=0))
            if len(broken):
                agent = broken[np.argmin(case_of[broken])]
                first = case_of == case_of[agent]
                number = int(self.ensemble.links.order[agent] - self.ensemble.links.order[first].min())
                raise self.error(
                    law, case_of[agent], f"agent {number} answered {_numbers(rows[:, agent])} (padding last)."
                )

    def check_budget(self, answer) -> None:
        spent = np.bincount(self.giver, answer, len(self.budget))
        degree = np.bincount(self.giver)
        # The allowance for rounding: one unit in the last place per addition, and a few for the rule's
        # arithmetic.
        allowed = 4 * degree * np.finfo(np.float64).eps * self.budget
        over = np.flatnonzero(answer > self.capacity + allowed[self.giver])
        if len(over):
            arc = over[0]
            first = np.flatnonzero(np.asarray(self.ensemble.market_of) == self.case_of[arc])[0]
            ends = f"agent {self.giver[arc] - first} gave agent {self.receiver[arc] - first}"
            what = f"{ends} {answer[arc]:.17g}; the most is {self.capacity[arc]:.17g}."
            raise self.error("capacity", self.case_of[arc], what)
        missing = spent - self.owed
        broken = np.flatnonzero((missing if self.strategy.may_keep else np.abs(missing)) > allowed)
        if len(broken):
            market_of = np.asarray(self.ensemble.market_of)
            agent = broken[0]
            case = market_of[agent]
            raise self.error(
                "budget",
                case,
                f"agent {agent - np.flatnonzero(market_of == case)[0]} spent {spent[agent]:.17g} of "
                f"{self.owed[agent]:.17g}. It answered {_numbers(answer[self.giver == agent])}.",
            )

    def compare(self, law, expected, answer) -> None:
        scale = self.budget[self.giver]
        broken = np.flatnonzero(~(np.abs(answer - expected) <= TOLERANCE * scale))
        if len(broken):
            arc = broken[0]
            first = np.flatnonzero(np.asarray(self.ensemble.market_of) == self.case_of[arc])[0]
            mine = self.giver == self.giver[arc]
            raise self.error(
                law,
                self.case_of[arc],
                f"agent {self.giver[arc] - first} answered {_numbers(expected[mine])} to its neighbours "
                f"{(self.receiver[mine] - first).tolist()}, and then {_numbers(answer[mine])}.",
            )

    def relabelled(self):
        """The answers if every market numbers its agents in reverse, given in the original order of arcs."""
        market_of = np.asarray(self.ensemble.market_of)
        sizes = np.bincount(market_of)
        first = np.cumsum(sizes) - sizes
        new = (2 * first + sizes - 1)[market_of] - np.arange(len(market_of))
        markets = []
        for case in self.cases:
            giver, receiver = case.market.arcs()
            links = case.market.num_agents - 1 - np.stack([giver, receiver], axis=1)
            fields = {n: getattr(case.market, n) for n in ("endowment", "value", *case.market.terms)}
            fields = {
                name: case.market.arc_values(x) if name in OF_ARCS else np.asarray(x)[::-1]
                for name, x in fields.items()
            }
            markets.append(Market.from_links(links, directed=True, **fields))
        order = np.lexsort((new[self.receiver], new[self.giver]))
        now = self.given[order], self.budget[new], self.average[new]
        backwards = _rows(self.strategy, pack(markets), *now, self.width)[1]
        answer = np.empty_like(backwards)
        answer[order] = backwards
        return answer

    def rescaled(self):
        unit = 1024.0  # a power of two, so that even the rounding is the same
        market = self.ensemble.with_contributions(value=np.asarray(self.ensemble.value) * unit)
        amounts = {n: getattr(market, n) for n in market.terms if n != "efficiency"}
        if amounts:
            amounts = {n: market.arc_values(x) if n in OF_ARCS else x for n, x in amounts.items()}
            market = market.with_terms(**{n: np.asarray(x) * unit for n, x in amounts.items()})
        now = (x * unit for x in (self.given, self.budget, self.average))
        return _rows(self.strategy, market, *now, self.width)[1] / unit

    def ends(self):
        """The flows computed from the posted terms, by the givers and by the receivers."""
        if not self.strategy.is_posted:
            return []
        market = self.ensemble
        now = market.flow_from_arcs(self.given), market.stored(self.budget), market.stored(self.average)
        beyond = _beyond(market, self.strategy)
        sent, received = _act(self.strategy, market.bare(), beyond, *map(jnp.asarray, now))
        return [market.arc_values(sent), market.arc_values(market.mirror(np.asarray(received)))]

    def packed(self):
        """The answers if a star of a higher degree than any agent's is packed in, from the engine's round."""
        star = Market.from_links(np.array([[0, leaf] for leaf in range(1, self.width + 3)]), value=7.0)
        both = pack([star, self.ensemble])
        even = star.arc_values(star.equal_flow())
        flow = both.flow_from_arcs(np.concatenate([even, self.given]))
        budget, average = (
            np.concatenate([np.asarray(star.contribution), own]) for own in (self.budget, self.average)
        )
        bare = both.bare()
        now = flow, bare.stored(budget), bare.stored(average)
        answer = _act(self.strategy, bare, _beyond(bare, self.strategy), *map(jnp.asarray, now))[0]
        return both.arc_values(np.asarray(answer))[len(even) :]

    def error(self, law: str, case_number: int, what: str) -> StrategyError:
        case = self.cases[int(case_number)]
        giver, receiver = case.market.arcs()
        links = np.stack([giver, receiver], axis=1)[giver < receiver]
        arcs = zip(giver.tolist(), receiver.tolist(), case.given.tolist(), strict=True)
        given = ", ".join(f"{i}→{j}: {y:.6g}" for i, j, y in list(arcs)[:SHOWN_ARCS])
        message = (
            f"{type(self.strategy).__name__} breaks the law of {law}: {LAWS[law]}.\n"
            f"  market: {len(case.budget)} agents, links {links[:SHOWN_ARCS].tolist()}\n"
            f"  endowments {_numbers(case.market.endowment)}, values {_numbers(case.market.value)}\n"
            f"  start: {case.name}; given last round {given}{', …' if len(giver) > SHOWN_ARCS else ''}\n"
            f"  budgets {_numbers(case.budget)}\n"
            f"  {what}"
        )
        return StrategyError(message, law, case.market)


def _numbers(x) -> str:
    x = np.asarray(x)
    shown = ", ".join(f"{number:.6g}" for number in x[:SHOWN_ARCS])
    return f"[{shown}{', …' if len(x) > SHOWN_ARCS else ''}]"


def _rows(strategy, market: Market, given, budget, average, width: int):
    """Every agent's answer: as rows with their padding (agents where stored), and on the arcs."""
    bare = market.bare()
    now = market.flow_from_arcs(given), bare.stored(budget), bare.stored(average)
    beyond = _beyond(bare, strategy)
    slots, rows = map(np.asarray, _answers(strategy, bare, beyond, *map(jnp.asarray, now), width))
    is_link = slots < market.links.num_slots
    out = np.zeros(market.links.num_slots)
    out[slots[is_link]] = rows[is_link]
    return (rows, is_link), market.arc_values(out)


def _beyond(market: Market, strategy):
    return beyond_table(market, strategy.hops) if strategy.hops > 1 else None


def _facts(strategy, market, beyond, average):
    return known_facts(market, beyond, average.dtype, average if strategy.needs_averages else None)


@compiled
def _answers(strategy, market, beyond, flow, budget, average, width: int):
    known, flows = _facts(strategy, market, beyond, average), both_ends(market, flow)
    repeated = market.links.join(as_before(market, known, flows, budget).sent)
    agents = jnp.arange(market.num_agents, dtype=jnp.int32)
    utility = received_totals(market, known, flows)
    slots, _, _, rows = _answer_rows(
        market, known, strategy, width, agents, flow, utility, budget, None, repeated
    )
    return slots, rows


@compiled
def _act(strategy, market, beyond, flow, budget, average):
    known, flows = _facts(strategy, market, beyond, average), both_ends(market, flow)
    utility, repeated = received_totals(market, known, flows), as_before(market, known, flows, budget)
    answered = act_together(market, known, strategy, flows, utility, budget, repeated)
    return market.links.join(answered.sent), market.links.join(answered.received)
