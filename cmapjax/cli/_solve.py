"""`cmapjax solve`."""

import sys
import time

import numpy as np

from cmapjax.cli import _groups
from cmapjax.cli._cache import switch_on
from cmapjax.cli._output import PRINTED, check_json, components, market_lines, say, show, write_json
from cmapjax.cli._progress import interruptible
from cmapjax.cli._requests import Solve
from cmapjax.cli._source import Source, check, market
from cmapjax.words._classes import name_of
from cmapjax.words._objects import Builder

NOT_REACHED = 1
# What is settled of agents besides utilities, in markets with other terms.
OF_AGENTS = ("counts", "is_satisfied", "level", "receiver_price", "claim", "kept")
SHOWN_AGENTS = 8
SHOWN_DIGITS = 30


def run(source: Source, request: Solve) -> int:
    """Solve, report, write; the exit code."""
    how = _checked(source, request)
    switch_on()
    from cmapjax import solve

    solved_for = market(source)
    if request.json != PRINTED:
        say("\n".join(market_lines(source, solved_for)))
    began = time.perf_counter()
    equilibrium = interruptible(
        lambda: solve(
            solved_for,
            tolerance=request.tolerance,
            fairness=request.fairness,
            method=how,
            exact=request.exact,
        ),
        "equilibrium",
    )
    seconds = time.perf_counter() - began
    if request.json is not None:
        write_json(request.json, as_document(solved_for, equilibrium, request))
    if request.json != PRINTED:
        report(solved_for, equilibrium, how, seconds)
    if equilibrium.is_solved:
        return 0
    print(_shortfall(equilibrium, how, request.tolerance), file=sys.stderr)
    return NOT_REACHED


def _checked(source: Source, request: Solve):
    """The method, once all words are checked."""
    check(source)
    check_json(request.json)
    if not 1e-14 <= request.tolerance < 1:
        raise ValueError(f"--tolerance is {request.tolerance:g}; give a number from 1e-14 to below 1.")
    if not request.fairness > 0:
        raise ValueError(f"--fairness is {request.fairness:g}; give a number above 0, or inf.")
    from cmapjax import Method

    return Builder().build(Method, request.method)


def _shortfall(equilibrium, method, tolerance: float) -> str:
    """By how much a solve fell short, and which option would take it further."""
    remedy = "raise "
    if method.remedy:
        field = method.remedy.split()[-1]
        remedy = f"{method.remedy} (--method {_called(method)}:{field}=…) or raise "
    return (
        f"the certified gap {equilibrium.gap.max():.1e} is above {tolerance:.1e} after "
        f"{_counted(equilibrium, method.counts)}; {remedy}--tolerance."
    )


def _called(method) -> str:
    """The shortest name of the method."""
    return min((name_of(type(method)), *vars(type(method)).get("known_as", ())), key=len)


def as_document(market, equilibrium, request: Solve) -> dict:
    """The equilibrium as JSON's data; one entry per market under "markets" if there are several."""
    exact, groups, settled = equilibrium.exact, equilibrium.groups, equilibrium.settlement
    giver, _ = market.arcs()
    market_of = np.asarray(market.market_of)
    ends = np.bincount(market_of[giver], minlength=market.num_markets)
    order = np.argsort(market_of, kind="stable")
    members = np.split(order, np.searchsorted(market_of[order], np.arange(1, market.num_markets)))
    groups_of = [None] * market.num_markets if groups is None else _groups.as_documents(market, groups)
    labels, parts, documents = market.labels, components(market), []
    for number, agents in enumerate(members):
        document = {
            "agents": [labels[i] for i in agents],
            "utility": equilibrium.utility[agents],
            "ratio": equilibrium.ratio[agents],
            "price": equilibrium.price[agents],
            "log_nash_welfare": equilibrium.log_nash_welfare[number],
            "gap": equilibrium.gap[number],
            "price_error": equilibrium.price_error[number],
            "spending_error": equilibrium.spending_error[number],
            "num_agents": len(agents),
            "num_links": int(ends[number]) // 2,
            "groups": groups_of[number],
            "components": parts[number],
        }
        if equilibrium.mean_ratio is not None:
            document["fairness"] = request.fairness
            document["mean_ratio"] = equilibrium.mean_ratio[number]
        if settled is not None:
            document["settlement"] = {name: getattr(settled, name)[agents] for name in OF_AGENTS}
        if exact is not None:
            document["exact"] = {
                "utility": [str(exact.utility[i]) for i in agents],
                "ratio": [str(exact.ratio[i]) for i in agents],
            }
        documents.append(document)
    how = {"method": request.method, "iterations": int(equilibrium.iterations)}
    return how | (documents[0] if len(documents) == 1 else {"markets": documents})


def report(market, equilibrium, method, seconds: float) -> None:
    """Print what was found: quantities, groups, and the agents worst and best off."""
    which = "worst market" if market.num_markets > 1 else "value"
    show(_quantities(market, equilibrium, method, seconds), ("quantity", which))
    exact = equilibrium.exact

    def ratio_text(agent, number) -> str:
        text = f"{number:.6g}"
        return text if exact is None else _fraction(exact.ratio[agent], text)

    if equilibrium.groups is not None:
        say("bottleneck pairs of lowest ratio; B and C exchange with each other alone:")
        heads = (*(["market"] if market.num_markets > 1 else []), *_groups.HEADS)
        show(_groups.pair_rows(market, equilibrium.groups, ratio_text), heads, right=("|B|", "|C|"))
        more = len(_groups.pairs(equilibrium.groups)) - _groups.SHOWN_PAIRS
        if more > 0:
            say(f"and {more:,} more pairs (--json FILE lists all)")
    say("agents worst and best off:" if market.num_agents > SHOWN_AGENTS else "agents:")
    heads = ["agent", "contribution", "utility", "ratio", "price"]
    show(_agents(market, equilibrium), heads + ["exact utility", "exact ratio"] * bool(exact))


def _quantities(market, equilibrium, method, seconds: float):
    """Rows of a table of what was found."""
    yield "certified gap (log Nash welfare missing, at most)", f"{equilibrium.gap.max():.2e}"
    yield "spending error of the flow, relative", f"{equilibrium.spending_error.max() + 0.0:.2e}"
    yield "log Nash welfare Σ w log r / W", f"{equilibrium.log_nash_welfare.min():.7f}"
    if equilibrium.mean_ratio is not None:
        yield "mean of ratios that fairness makes largest", f"{equilibrium.mean_ratio.min():.7g}"
    settled = equilibrium.settlement
    measure = "contributed" if settled is None else "priority"
    ratios = equilibrium.ratio[~np.isnan(equilibrium.ratio)]
    yield f"lowest ratio (received per {measure})", f"{ratios.min(initial=np.inf):.6g}"
    yield "highest ratio", f"{ratios.max(initial=-np.inf):.6g}"
    if settled is not None:
        yield "agents that have all that they can use", f"{settled.is_satisfied.sum():,}"
        yield "agents left out (no priority, no demand, or nobody to give)", f"{(~settled.counts).sum():,}"
        yield "value kept, which nobody can use or reach", f"{settled.kept.sum():.6g}"
    if equilibrium.groups is not None:
        count = f"{len(_groups.pairs(equilibrium.groups)):,}"
        yield "bottleneck pairs", count + (" in all markets" if market.num_markets > 1 else "")
    yield "method", f"{_called(method)} ({_counted(equilibrium, method.counts)})"
    yield "seconds", f"{seconds:.2f}"


def _agents(market, equilibrium):
    """Rows of a table of the agents worst and best off."""
    exact = equilibrium.exact
    order = np.argsort(equilibrium.ratio, kind="stable")
    half = SHOWN_AGENTS // 2
    for i in order if len(order) <= SHOWN_AGENTS else np.concatenate([order[:half], order[-half:]]):
        numbers = (market.contribution, equilibrium.utility, equilibrium.ratio, equilibrium.price)
        fractions = (exact.utility, exact.ratio) if exact else ()
        yield [
            market.labels[i],
            *(f"{vector[i]:.6g}" for vector in numbers),
            *(_fraction(vector[i], "in --json") for vector in fractions),
        ]


def _fraction(fraction, otherwise: str) -> str:
    """A fraction in full if a table can hold it; those of measured numbers may have hundreds of digits."""
    text = str(fraction)
    return text if len(text) <= SHOWN_DIGITS else otherwise


def _counted(equilibrium, words: str) -> str:
    """So many flows, sweeps or steps."""
    number = int(equilibrium.iterations)
    return f"{number:,} {words.removesuffix('s') if number == 1 else words}"
