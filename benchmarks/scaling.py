"""Claim: the rate of rounds hardly depends on the size of a market or on the number of markets.

Command: python -m benchmarks --only scaling
Typical outcome: the two figures in docs/figures, which that command draws.

One random market from 10⁴ to 10⁷ arcs, and 10 to 10⁵ markets of 50 agents: arcs per second of proportional
response and of damped CMAP. Sizes whose smaller neighbour took too long are left out, and named.
"""

import time
from collections.abc import Callable
from pathlib import Path

import cmapjax as cj
from benchmarks._networks import ensemble, erdos_renyi
from benchmarks._race import Job, Rival, largest_difference, machine, race
from benchmarks.proportional_response import rounds_for, simulated

STRATEGIES = {
    "proportional response": cj.ProportionalResponse(),
    "CMAP damped by 0.2": cj.Damped(cj.CMAP(), 0.2),
}
AGENTS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)  # of mean degree 10
MARKETS = (10, 100, 1_000, 10_000, 100_000)  # of 50 agents of mean degree 6
PATIENCE = 300.0  # seconds for all of one size, drawing the market included
REPEATS = 5


def results(quick: bool) -> dict:
    about = machine()
    arcs, dropped = _sizes("agents", erdos_renyi, AGENTS[:1] if quick else AGENTS)
    markets, more = _sizes("markets", ensemble, MARKETS[:1] if quick else MARKETS)
    return {
        "claim": "Rates of cmapjax alone, by size.",
        "machine": about,
        "jobs": arcs + markets,
        "notes": [f"Left out, for time: {', '.join(dropped + more)}."] if dropped + more else [],
    }


def _sizes(noun: str, draw: Callable, sizes) -> tuple[list[dict], list[str]]:
    """Races by size, and the sizes left out."""
    done, first, seconds, before = [], 0.0, 0.0, None
    for place, size in enumerate(sizes):
        if before is not None and first + (seconds - first) * size / before > PATIENCE:
            return done, [f"{left:,} {noun}" for left in sizes[place:]]
        began = time.perf_counter()
        market = draw(size)
        for name, strategy in STRATEGIES.items():
            found = race(_job(name, f"{size:,} {noun}", market, strategy), REPEATS)
            done.append(found | {"noun": noun, "number": size, "arcs": 2 * market.num_links})
        seconds, before = time.perf_counter() - began, size
        first = first or seconds  # nearly all of it compiling
    return done, []


def _job(name: str, size: str, market: cj.Market, strategy: cj.Strategy) -> Job:
    arcs = 2 * market.num_links
    return Job(
        name,
        f"{size}, {arcs:,} arcs",
        Rival("cmapjax", lambda: simulated(market, strategy)),
        (),
        rounds_for(arcs),
        largest_difference,
        0.0,
        "nothing",
        amount=arcs,
    )


def draw(found: dict, folder: Path) -> dict[str, str]:
    """Figures of the results: file names with what they show."""
    about = found["machine"]
    where = f"{about['processor']}, {about['cores']} cores, device {about['device']}, float32"
    out = {}
    for noun, key, label, title, file in (
        ("agents", "arcs", "arcs (both directions of every link)", "One random market", "scaling-arcs.png"),
        ("markets", "number", "markets of 50 agents", "Many random markets", "scaling-markets.png"),
    ):
        own = [job for job in found["jobs"] if job["noun"] == noun and "rate" in job]
        _figure(own, key, label, f"{title}: rate of rounds by size\n{where}", folder / file)
        out[file] = f"{title}: rate of rounds by size"
    return out


def _figure(jobs: list[dict], key: str, label: str, title: str, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, marker in zip(STRATEGIES, "os", strict=True):
        own = [job for job in jobs if job["job"] == name]
        sizes = [job[key] for job in own]
        rates = [job["rate"]["per_second"] for job in own]
        low = [job["arcs"] / (job["ours"]["seconds"]["quartiles"][1] or float("nan")) for job in own]
        high = [job["arcs"] / (job["ours"]["seconds"]["quartiles"][0] or float("nan")) for job in own]
        axes.plot(sizes, rates, marker=marker, label=name)
        axes.fill_between(sizes, low, high, alpha=0.2, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel=label, ylabel="arcs per second", title=title)
    axes.grid(alpha=0.3, which="both")
    axes.legend(title="median, quartiles shaded")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
