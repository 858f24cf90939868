"""What a comparison comes to: the table, the JSON document, the files and the pictures."""

import operator
from pathlib import Path

import numpy as np

from cmapjax import metrics
from cmapjax.cli._output import components, plain, say, slug, unconnected
from cmapjax.cli._output import show as show_table
from cmapjax.runtime._generator import GENERATOR

SHARES = (0.98, 0.999)
# What the table, the verdicts and the pictures are about.
AVERAGES, LAST_ROUND = "running averages", "last round"
QUANTILES = (0.1, 0.5, 0.9)


def welfare_share(run, equilibrium) -> np.ndarray:
    """Nash welfare as a share of the equilibrium's, per record and market; without one, what is certified.

    Of running averages where surplus varies, else of the last round.
    """
    if run.varies and equilibrium is not None:
        return np.exp(run.records["average_log_nash_welfare"] - equilibrium.log_nash_welfare)
    if run.varies:
        return np.exp(-run.records["average_certified_gap"])
    if equilibrium is not None:
        return run.records["share_of_equilibrium"]
    return np.exp(-run.records["certified_gap"])


def final_columns(market, run, equilibrium) -> dict[str, np.ndarray]:
    """One number per market about the end of a run, by name."""
    last = {name: table[-1] for name, table in run.records.items()}
    share = welfare_share(run, equilibrium)
    if equilibrium is not None:
        average = last["average_log_nash_welfare"] - equilibrium.log_nash_welfare
        last["average_share_of_equilibrium"] = np.exp(average)
    last["certified_share"] = np.exp(-last["certified_gap"])
    if run.varies:
        last["average_certified_share"] = np.exp(-run.gap)
        last["average_min_ratio"] = metrics.min_ratio(market, run.final.average_utility)
    for wanted in SHARES:
        first, never = _first_record(share >= wanted, for_good=run.varies)
        last[f"rounds_to_{wanted:g}"] = np.where(never, np.nan, run.rounds[first])
        updates = np.take_along_axis(run.agent_updates, first[None], 0)[0].astype(float)
        last[f"agent_updates_to_{wanted:g}"] = np.where(never, np.nan, updates)
    last["agent_updates"] = run.agent_updates[-1].astype(float)
    return last | {"spending_error": run.spending_error}


def _first_record(reached: np.ndarray, *, for_good: bool) -> tuple[np.ndarray, np.ndarray]:
    """The first record at which each market has reached something, and which markets have not.

    For good: it has it in all later records too, and in one after a round (averages begin with the first).
    """
    if not for_good:
        return np.argmax(reached, axis=0), ~reached.any(axis=0)
    first = len(reached) - np.argmin(reached[::-1], axis=0)
    first = np.where(reached.all(axis=0), 0, first)
    never = first == len(reached)
    return np.clip(first, min(1, len(reached) - 1), len(reached) - 1), never


def spread(values: np.ndarray) -> dict:
    """Median, 10 % and 90 % quantile over markets, nothing left out: what was never reached counts as ∞."""
    if len(values) == 1:
        return {"value": values[0]}
    ranked = np.where(np.isnan(values), np.inf, values)
    low, median, high = np.quantile(ranked, QUANTILES, method="inverted_cdf")
    return {"median": median, "q10": low, "q90": high}


def counts(run) -> dict[str, int]:
    """How many markets came to which verdict."""
    number = np.bincount(run.verdict, minlength=len(metrics.VERDICTS))
    return {name: int(n) for name, n in zip(metrics.VERDICTS, number, strict=True) if n}


def as_document(source, request, market, equilibrium, outcomes) -> dict:
    """All of it as JSON's data. What is infinite or was never reached is null."""
    from cmapjax import __version__

    document = {
        "cmapjax": __version__,
        "network": source.name,
        "seed": source.seed,
        "generator": GENERATOR,
        "fingerprint": market.fingerprint(),
        "num_markets": market.num_markets,
        "num_agents": market.num_agents,
        "num_links": market.num_links,
        "merged_links": market.origin.merged_links,
        "notes": market.origin.notes,
        "components": components(market)[0] if market.num_markets == 1 else unconnected(market),
        "rounds": request.rounds,
        "recorded": outcomes[0].run.rounds,
        "endowments": request.endowments,
        "compares": AVERAGES if any(run.varies for _, run, *_ in outcomes) else LAST_ROUND,
        "precision": request.precision,
        "equilibrium": None,
        "runs": [],
    }
    if equilibrium is not None:
        document["equilibrium"] = {
            "log_nash_welfare": spread(equilibrium.log_nash_welfare),
            "gap": equilibrium.gap.max(),
        }
    for line, run, seconds, compiling in outcomes:
        document["runs"].append(
            {
                "name": line.label,
                "schedule": line.schedule,
                "damping": line.damping,
                "verdicts": counts(run),
                "seconds": seconds,
                "seconds_compiling": compiling,
                "final": {n: spread(v) for n, v in final_columns(market, run, equilibrium).items()},
            }
        )
    return plain(document)


def show(request, market, equilibrium, document) -> None:
    """Print the table, and what its columns mean."""
    varies = document["compares"] == AVERAGES
    prefix = "average_" if varies else ""
    heads = [
        "strategy", "Nash welfare" + (" (certified)" if equilibrium is None else ""), "misallocated",
        "least ratio", "98 % after", "99.9 % after", "verdict", "s",
    ]  # fmt: skip
    rows = []
    for line in document["runs"]:
        final, single = line["final"], market.num_markets == 1
        milestones = [(final[f"rounds_to_{s:g}"], final[f"agent_updates_to_{s:g}"]) for s in SHARES]
        rows.append(
            [
                line["name"],
                percent(final.get(f"{prefix}share_of_equilibrium", final[f"{prefix}certified_share"])),
                percent(final.get(f"{prefix}misallocated_share", {"value": None})),
                amount(final[f"{prefix}min_ratio"]),
                *(clock(*milestone, market, document["recorded"]) for milestone in milestones),
                ", ".join(name if single else f"{name} {n}" for name, n in line["verdicts"].items()),
                f"{line['seconds']:.1f}",
            ]
        )
    show_table(rows, heads, right=(*heads[1:6], "s"))
    for text in notes(request, market, equilibrium, varies, document["recorded"]):
        say(text)


WELFARE = (
    "Nash welfare: share of the equilibrium's weighted geometric mean ratio; misallocated: share of value in "
    "the wrong hands.",
    "Nash welfare: share of the equilibrium's that is certainly reached (exp of minus the gap).",
)
OF_LAST_ROUND = (
    "98 % after: rounds (agent updates per agent) until that share was first recorded.",
    "Verdicts: converged is at rest within 1e-6 of all value, and certified to be within 1e-6 of the "
    "equilibrium's Nash welfare; settled elsewhere is at rest, but not certified so.",
)
OF_AVERAGES = (
    "Surplus varies, so all columns are about running averages: what agents received per round so far. "
    "Shares above 100 % are of agents who so far had more surplus than on average.",
    "98 % after: rounds (agent updates per agent) from which on the average kept it.",
    "Verdicts are about what agents received per round: converged is certified within 1 % of the "
    "equilibrium's Nash welfare.",
)


def notes(request, market, equilibrium, varies, recorded: list[int]) -> list[str]:
    """What the table's columns say, in words."""
    several = f" Median of {market.num_markets:,} markets [10 % – 90 %]." if market.num_markets > 1 else ""
    lines = [f"{request.rounds} rounds from an equal split; s: seconds with compilation.{several}"]
    lines += [WELFARE[equilibrium is None], *(OF_AVERAGES if varies else OF_LAST_ROUND)]
    if max(map(operator.sub, recorded[1:], recorded)) > 1:
        some = ", ".join(map(str, recorded[:6])) + (", …" if len(recorded) > 6 else "")
        lines.append(f"≤: at most so many; recorded are rounds {some} (--every 1 records all).")
    return lines


def _triple(values: dict) -> tuple:
    return (values["value"],) if "value" in values else (values["median"], values["q10"], values["q90"])


def _cell(values: dict, form, unit: str = "") -> str:
    texts = ["–" if v is None else form(v) for v in _triple(values)]
    middle = texts[0] if len(texts) == 1 else f"{texts[0]} [{texts[1]} – {texts[2]}]"
    return middle + unit


def percent(values: dict) -> str:
    """Shares as percentages; digits enough to tell all from nearly all."""
    return _cell(values, lambda v: f"{100 * v:.3g}" if v < 0.9995 else f"{100 * v:.5f}"[:7], " %")


def amount(values: dict) -> str:
    """Numbers to three digits."""
    return _cell(values, lambda v: f"{v:.3g}")


def clock(rounds: dict, updates: dict, market, recorded: list[int]) -> str:
    """Rounds, and agent updates per agent, until something was reached (the median market's).

    At most so many, where the round before was not recorded.
    """
    first, count = _triple(rounds)[0], _triple(updates)[0]
    if first is None:
        return "never"
    agents = market.num_agents / market.num_markets
    is_exact = first == 0 or first - 1 in recorded
    return f"{'' if is_exact else '≤ '}{first:.0f} ({count / agents:.3g})"


def write(folder: Path, market, outcomes, equilibrium) -> None:
    """Agents and allocations of a single market."""
    from cmapjax.graphs import write_agents, write_allocation

    if market.num_markets > 1:
        return
    vectors = {} if equilibrium is None else {"equilibrium_utility": equilibrium.utility}
    for line, run, *_ in outcomes:
        utility = run.final.utility
        given = {"utility": utility, "ratio": metrics.ratio(market, utility), **vectors}
        given["average_utility"] = run.final.average_utility
        if run.varies:
            given["average_ratio"] = metrics.ratio(market, run.final.average_utility)
        write_agents(market, folder / f"agents-{slug(line.label)}.csv", given)
        write_allocation(market, run.final.flow, folder / f"allocation-{slug(line.label)}.csv")


def draw(folder: Path, market, outcomes, equilibrium) -> None:
    """The comparison, the ratios, and the network of a market small enough to show."""
    from cmapjax import plots

    runs = {line.label: run for line, run, *_ in outcomes}
    plots.save(plots.comparison(market, runs), folder / "comparison.png")
    ratios = {
        name: metrics.ratio(market, run.final.average_utility if run.varies else run.final.utility)
        for name, run in runs.items()
    }
    reference = None if equilibrium is None else equilibrium.ratio
    plots.save(plots.ratio_histogram(ratios, equilibrium=reference), folder / "ratios.png")
    if market.num_markets == 1 and market.num_agents <= plots.MOST_AGENTS:
        for name, run in runs.items():
            title = f"{name} (last round)" if run.varies else name
            figure = plots.network(market, run.final.flow, title=title)
            plots.save(figure, folder / f"network-{slug(name)}.png")
