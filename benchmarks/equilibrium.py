"""Claim: which method finds the equilibrium of which network soonest, to the same certificate.

Command: python -m benchmarks.equilibrium [--quick] [--limit 120] [--out docs/equilibrium-race]
Typical outcome: the table in docs/equilibrium-race.md, which this command writes.

All methods run in one process on the same markets, answer to the same certified gap, and take turns where
they are repeated. Those that stop by a tolerance of their own get the loosest of a few at which the
certificate of their answer is good enough, found beforehand. A method that is over its limit is reported
with the gap it had reached. Compile time (the first call less a later one) stands apart. The polishing that
`solve` does after the gap is reached, to make small markets exact, is switched off: the race is to the gap.
The decomposition is exact, so its gap is what rounding leaves.
"""

import argparse
import json
import math
import statistics
import time
from pathlib import Path

import jax
import numpy as np

import cmapjax as cj
from benchmarks._mirror import MirrorAscent
from benchmarks._pdhg import PrimalDualHybridGradient
from benchmarks._qp_rivals import MPAX, PDHCG, ClarabelQP
from benchmarks._race import MissingRival, machine
from benchmarks._sweeps import ColouredSweeps
from cmapjax.equilibrium import _ascent

GAPS = (1e-6, 1e-9)
SIZES = (100, 1_000, 10_000, 100_000)
LAST = 10_000  # up to this size every method is tried
QUICK_SECONDS = 2.0  # what takes less is repeated
UNLIMITED = 10**9

# name: family of about n agents, its distribution of contributions
FAMILIES = {
    "Erdős-Rényi, degree 8": (lambda n: cj.graphs.ErdosRenyi(n, mean_degree=8), "log-normal"),
    "grid (torus)": (lambda n: cj.graphs.TorusGrid(math.isqrt(n), math.isqrt(n)), "log-normal"),
    "path": (None, "exponential"),
    "ring": (lambda n: cj.graphs.Ring(n), "log-normal"),
    "random geometric, degree 8": (lambda n: cj.graphs.RandomGeometric(n, mean_degree=8), "exponential"),
    "Barabási-Albert, 4": (lambda n: cj.graphs.BarabasiAlbert(n, 4), "log-normal"),
    "Watts-Strogatz, 8, 0.1": (lambda n: cj.graphs.WattsStrogatz(n, 8, 0.1), "exponential"),
}
WEIGHTS = {"log-normal": cj.graphs.LogNormal(sigma=1.0), "exponential": cj.graphs.Exponential()}

# name: the method allowed a number of steps, aiming at a gap. Those whose steps mean nothing take None.
ITERATIVE = {
    "coloured sweeps (CMAP)": lambda steps: ColouredSweeps(max_sweeps=steps),
    "projected gradient": lambda steps: cj.ProjectedGradient(max_steps=steps),
    "mirror ascent (proportional response)": lambda steps: MirrorAscent(max_steps=steps),
    "primal-dual": lambda steps: PrimalDualHybridGradient(max_steps=steps),
}
# name: the method that stops by an accuracy of its own or after so many seconds.
DIRECT = {
    "decomposition": lambda accuracy, limit: cj.Decomposition(),
    "CVXPY with Clarabel": lambda accuracy, limit: cj.ConvexProgram(accuracy=accuracy, max_seconds=limit),
    "Clarabel, QP": ClarabelQP,
    "MPAX, QP": MPAX,
    "PDHCG, QP": PDHCG,
}
# Tolerances of their own that are tried, in parts of the gap asked for, from the loosest on.
ACCURACIES = (10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)


def market_of(name: str, num_agents: int) -> cj.Market:
    """The family's market of about this size, the same in every run."""
    family, weights = FAMILIES[name]
    if family is None:
        links = np.stack([np.arange(num_agents - 1), np.arange(1, num_agents)], axis=1)
        w = WEIGHTS[weights].draw(np.random.default_rng(0), num_agents)
        return cj.Market.from_links(links, endowment=w)
    random = cj.graphs.RandomMarket(family(num_agents), endowment=WEIGHTS[weights], isolated=cj.graphs.Drop())
    return random.draw(jax.random.key(0))


def timed(market, gap, method) -> tuple[float, cj.Equilibrium]:
    began = time.perf_counter()
    found = cj.solve(market, tolerance=gap, method=method)
    return time.perf_counter() - began, found


class Entry:
    """One method on one market to one gap: what is tried, and what is written down."""

    def __init__(self, method: str, market, gap: float, limit: float):
        self.method, self.market, self.gap, self.limit = method, market, gap, limit
        self.compile_seconds, self.seconds, self.found, self.allowed = 0.0, [], None, None
        self.missing = None

    def first(self) -> None:
        """A run within the limit; for iterative methods after a look at what a step costs."""
        if self.method not in DIRECT:
            return self._first_by_steps()
        try:
            self._first_by_accuracy()
        except (ImportError, MissingRival) as error:
            self.missing = str(error)

    def _first_by_accuracy(self) -> None:
        """The loosest accuracy at which the certificate is good enough, and a run at it."""
        for part in ACCURACIES:
            self.allowed = DIRECT[self.method](part * self.gap, self.limit)
            first, self.found = timed(self.market, self.gap, self.allowed)
            seconds = first
            if first < self.limit or self.method == "MPAX, QP":  # what was compiled is not part of it
                seconds, self.found = timed(self.market, self.gap, self.allowed)
            if self.found.result[0] == 0 or seconds > self.limit:
                break
        self.compile_seconds, self.seconds = max(first - seconds, 0.0), [seconds]

    def _first_by_steps(self) -> None:
        make = ITERATIVE[self.method]
        first, _ = timed(self.market, 0.5, make(1))
        cost, few = timed(self.market, self.gap, make(1))
        self.compile_seconds = max(first - cost, 0.0)
        if few.result[0] != 0:
            cost, few = timed(self.market, self.gap, make(200))
        a_step = cost / max(int(few.iterations), 1)
        self.allowed = make(max(int(self.limit / a_step), 1) if math.isfinite(a_step) else UNLIMITED)
        self.again()

    def again(self) -> None:
        seconds, self.found = timed(self.market, self.gap, self.allowed)
        self.seconds.append(seconds)

    @property
    def is_quick(self) -> bool:
        return self.seconds and statistics.median(self.seconds) < QUICK_SECONDS

    def record(self) -> dict:
        out = {"method": self.method, "gap_asked": self.gap, "limit_seconds": self.limit}
        if self.missing is not None:
            return out | {"outcome": "missing", "missing": self.missing}
        if hasattr(self.allowed, "accuracy"):
            out["accuracy"] = float(self.allowed.accuracy)
        if self.found is None:
            return out | {"outcome": "not tried: over the limit on a smaller network of the family"}
        seconds = statistics.median(self.seconds)
        solved = bool(self.found.result[0] == 0)
        over = seconds > self.limit
        return out | {
            "outcome": ("solved, over the limit" if over else "solved") if solved else "gap not reached",
            "seconds": seconds,
            "repeats": len(self.seconds),
            "compile_seconds": self.compile_seconds,
            "iterations": int(self.found.iterations),
            "gap": float(self.found.gap[0]),
            "price_error": float(self.found.price_error[0]),
        }


def race(family: str, size: int, gap: float, options, given_up: set) -> list[dict]:
    """All methods on one market; quick ones again, in turns."""
    market = market_of(family, size)
    entries = []
    for method in [*DIRECT, *ITERATIVE]:
        entry = Entry(method, market, gap, options.limit)
        entries.append(entry)
        if (family, method, gap) in given_up:
            continue
        entry.first()
        print(
            f"{family}, {market.num_agents} agents, gap {gap:g}, {cell(entry.record())}: {method}", flush=True
        )
        # The largest networks are for methods that end: ten times the agents take ten times the time.
        if (
            entry.missing is None
            and size >= LAST
            and (entry.record()["outcome"] != "solved" or 10 * entry.seconds[0] > options.limit)
        ):
            given_up.add((family, method, gap))
    for _ in range(options.repeats - 1):
        for entry in entries:
            if entry.is_quick:
                entry.again()
    facts = {"family": family, "weights": FAMILIES[family][1], "agents": market.num_agents}
    return [facts | {"size": size, "links": market.num_links} | entry.record() for entry in entries]


def cell(entry: dict) -> str:
    """One entry as text."""
    if "seconds" not in entry:
        return "–" if "missing" in entry else "not tried"
    text = f"{entry['seconds']:.3g} s"
    return text if entry["outcome"] == "solved" else f"{text}, gap {entry['gap']:.0e}"


def table(results: dict) -> str:
    """The Markdown page of the results."""
    about, races = results["machine"], results["races"]
    methods = list(dict.fromkeys(entry["method"] for entry in races))
    lines = [
        "# Finding the equilibrium: a race",
        "",
        "Seconds until the certified gap is at most what was asked, without compiling (medians of"
        f" {results['repeats']} runs in turns where one takes under {QUICK_SECONDS:g} s, else of one)."
        f" A gap in the cell: what was reached when the limit of {results['limit_seconds']:g} s, or the"
        " method's own end, came first (CVXPY cut short hands over nothing: that gap is the equal"
        " split's). Not tried: over the limit, or a tenth of it, on the network of"
        f" {LAST:,} agents. *QP* is the form min Σ u² / 2w of `cmapjax.as_qp`. CVXPY gets the Eisenberg-Gale"
        " program. Solvers that stop by a tolerance of their own get the loosest that is certified.",
        *skipped(races),
        "",
        f"{about['processor']}, {about['cores']} cores; {about['device']} device, float64; "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
        + ". Written by `python -m benchmarks.equilibrium` from the JSON file beside this page.",
    ]
    for gap in dict.fromkeys(entry["gap_asked"] for entry in races):
        lines += ["", f"## To a certified gap of {gap:g}", ""]
        lines += ["| network | agents | " + " | ".join(methods) + " |", "|---" * (2 + len(methods)) + "|"]
        rows = {}
        for entry in races:
            if entry["gap_asked"] == gap:
                rows.setdefault((entry["family"], entry["agents"]), {})[entry["method"]] = cell(entry)
        for (family, agents), row in rows.items():
            cells = " | ".join(row[method] for method in methods)
            lines.append(f"| {family} | {agents:,} | {cells} |")
    return "\n".join([*lines, "", *growth(races), ""])


def skipped(races: list[dict]) -> list[str]:
    """Who could not play, by name, and why."""
    missing = {e["method"]: e["missing"] for e in races if "missing" in e}
    return ["", *(f"Skipped: {name} ({why}).\n" for name, why in missing.items())] if missing else []


def growth(races: list[dict]) -> list[str]:
    """How the decomposition's time grows: the exponent from the smallest to the largest network."""
    lines = [
        "## How the decomposition grows",
        "",
        "| network | seconds by agents | exponent |",
        "|---|---|---|",
    ]
    least = min(entry["gap_asked"] for entry in races)
    for family in dict.fromkeys(entry["family"] for entry in races):
        own = [
            (entry["agents"], entry["seconds"])
            for entry in races
            if (entry["family"], entry["method"], entry["gap_asked"]) == (family, "decomposition", least)
            and "seconds" in entry
        ]
        if len(own) < 2:
            continue
        (n, first), (m, last) = own[0], own[-1]
        times = ", ".join(f"{agents:,}: {seconds:.3g}" for agents, seconds in own)
        lines.append(f"| {family} | {times} | {math.log(last / first) / math.log(m / n):.2f} |")
    return lines


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What is raced."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="sizes up to 1,000, to a gap of 1e-6")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds per method, market and gap")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--out", default="docs/equilibrium-race", help="path of .json and .md")
    return parser.parse_args(words)


def main() -> None:
    """Race, print every result as it comes, and write JSON and a table."""
    options = arguments()
    sizes = [size for size in options.sizes if not options.quick or size <= 1_000]
    _ascent.PRICE_TOLERANCE = np.inf  # read when a method is first compiled: no polishing
    for method in DIRECT:  # CVXPY takes seconds to load
        Entry(method, market_of("ring", 100), GAPS[0], options.limit).first()
    races, given_up = [], set()
    for gap in GAPS[:1] if options.quick else GAPS:
        for family in options.families:
            for size in sizes:
                races += race(family, size, gap, options, given_up)
    results = {
        "machine": machine(),
        "limit_seconds": options.limit,
        "repeats": options.repeats,
        "races": races,
    }
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    out.with_suffix(".md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
