"""Claim: the interval by which `[stop] interval` stops drawing markets holds its level however often it is
looked at, on metrics of any shape, and takes about twice the markets of an interval looked at once.

Command: python -m benchmarks.stopping [--runs 400] [--out docs/stopping.json]
Typical outcome: the table in docs/studies.md, which this command prints (some minutes on one core).

Every run draws markets `least` at a time until the interval is as narrow as asked for. It counts as held if
the interval in which it stopped has the true mean, known on paper. *Once* is the number of markets of the
usual interval, mean ± 1.96 standard errors, if it is worked out a single time, at the right number, and the
standard deviation is known: no rule that stops by what it sees can do with as few. *Usual held*: how often
that interval has the mean if drawing stops by it, as cmapjax 0.1 did.
"""

import argparse
import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cmapjax.studies import MeanInterval, mean_interval
from cmapjax.studies._interval import LEVEL, fewest_markets

MOST = 200_000
# Widths, markets between two looks, and the share of --runs (narrow intervals take long).
LOOKS = ((0.2, 2, 1.0), (0.1, 10, 1.0), (0.05, 50, 1.0), (0.02, 100, 0.25))
TAIL, LEAST = 1.1, 0.02


class Kind(NamedTuple):
    """A law of a metric in [0, 1]: how to draw it, and its mean."""

    draw: object
    mean: float


def _nearly_all(rng, n):
    return np.where(rng.random(n) < 0.02, 0.0, rng.beta(200, 1, n))


def _mostly_equal(rng, n):
    return np.where(rng.random(n) < 0.9, 1.0, rng.random(n))


def _heavy(rng, n):
    return np.minimum(1.0, LEAST * (1 - rng.random(n)) ** (-1 / TAIL))


def _two_heaps(rng, n):
    return np.where(rng.random(n) < 0.5, rng.beta(2, 30, n), rng.beta(30, 2, n))


KINDS = {
    "near 1, 2 % at 0": Kind(_nearly_all, 0.98 * 200 / 201),
    "rare event, p = 0.02": Kind(lambda rng, n: (rng.random(n) < 0.02).astype(float), 0.02),
    "nine of ten equal": Kind(_mostly_equal, 0.95),
    "heavy tail (Pareto 1.1)": Kind(_heavy, LEAST + (LEAST - LEAST**TAIL) / (TAIL - 1)),
    "uniform": Kind(lambda rng, n: rng.random(n), 0.5),
    "two heaps": Kind(_two_heaps, 0.5),
}


def one_run(kind: Kind, width: float, least: int, rng, interval=mean_interval):
    """The interval in which the drawing of markets stops, and the markets drawn."""
    x = np.zeros(0)
    while True:
        x = np.append(x, kind.draw(rng, least))
        if interval is mean_interval and len(x) < fewest_markets(width):
            continue  # it cannot be narrow yet
        found = interval(x, width)
        if found.high - found.low <= width or len(x) >= MOST:
            return found, x


def usual_interval(x: np.ndarray, width: float) -> MeanInterval:
    """Mean ± 1.96 standard errors."""
    mean, half = float(x.mean()), 1.96 * float(x.std(ddof=1)) / math.sqrt(len(x))
    return MeanInterval(len(x), mean, mean - half, mean + half)


def measured(name: str, width: float, least: int, runs: int) -> dict:
    """How often the interval held, and how many markets it took."""
    kind, rng = KINDS[name], np.random.default_rng([runs, least])
    held, usual, drawn, variance = 0, 0, [], []
    for _ in range(runs):
        found, x = one_run(kind, width, least, rng)
        held += found.low <= kind.mean <= found.high
        drawn.append(len(x))
        variance.append(x.var())
        found, _ = one_run(kind, width, least, rng, usual_interval)
        usual += found.low <= kind.mean <= found.high
    once = math.ceil(np.mean(variance) * (2 * 1.96 / width) ** 2)
    return {
        "metric": name,
        "width": width,
        "least": least,
        "runs": runs,
        "held": held / runs,
        "usual_held": usual / runs,
        "markets": round(float(np.mean(drawn))),
        "once": once,
    }


def table(rows: list[dict]) -> str:
    """As docs/studies.md has it."""
    lines = [
        "| metric | width | `least` | runs | held | markets | once | usual held |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['metric']} | {r['width']} | {r['least']} | {r['runs']} | {r['held']:.3f} | {r['markets']:,} "
        f"| {r['once']:,} | {r['usual_held']:.3f} |"
        for r in rows
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, write, print; 1 if an interval has not held its level."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stopping", description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "stopping.json")
    options = parser.parse_args()
    rows = []
    for width, least, share in LOOKS:
        for name in KINDS:
            rows.append(measured(name, width, least, max(1, round(share * options.runs))))
            print(rows[-1], flush=True)
    options.out.write_text(json.dumps({"level": LEVEL, "rows": rows}, indent=1) + "\n")
    print(table(rows))
    return int(min(row["held"] for row in rows) < LEVEL - 0.01)


if __name__ == "__main__":
    raise SystemExit(main())
