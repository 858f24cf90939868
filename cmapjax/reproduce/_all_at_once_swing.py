"""Why acting at once swings: m givers with the same two receivers answer one deviation m times over.

On K_{m,2}, agents of equal contributions, let the givers' rows be (1/2 + d, 1/2 − d). A giver sees what the
m − 1 others do and makes up for it: its answer is (1/2 − (m − 1) d, 1/2 + (m − 1) d), so that a round
multiplies d by −(m − 1), and by 1 − θ m when it moves θ of the way. That lasts as long as the answer has two
sides, (m − 1) |d| < 1/2; undamped, the next round leaves one receiver with exactly nothing.
"""

from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from jax.tree_util import Partial

from cmapjax.engine._simulate import simulate
from cmapjax.market._market import Market
from cmapjax.market._packing import pack
from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.reproduce._judging import judged, refuted
from cmapjax.reproduce._part import Check, Picture
from cmapjax.strategies import CMAP, Damped

GIVERS = tuple(range(2, 11))
THETAS = (1.0, 0.5, 0.25, 0.1)
FIRST = 2.0**-7  # the deviation to start from, which powers of two keep exact
ROUNDS = 16


class Swings(NamedTuple):
    """Deviations d and the poorer receiver's utility, by θ: one row per round, one column per m."""

    deviation: dict[float, np.ndarray]
    poorest: dict[float, np.ndarray]
    table: pd.DataFrame


def complete_bipartite(givers: int) -> Market:
    """K_{m,2}: agents 0 … m − 1 on one side, m and m + 1 on the other, equal contributions."""
    return Market.from_links(np.array([(i, givers + side) for i in range(givers) for side in (0, 1)]))


def measured(givers=GIVERS, thetas=THETAS, rounds: int = ROUNDS) -> Swings:
    """The runs of all K_{m,2} from the same deviation, under every θ."""
    market = pack([complete_bipartite(m) for m in givers])
    market_of, (giver, receiver) = np.asarray(market.market_of), market.arcs()
    ends = np.append(np.cumsum(np.asarray(givers) + 2), 0)[market_of]
    side = np.arange(market.num_agents) - (ends - 2)  # 0 and 1 of the receivers, negative of givers
    row = np.where(side[receiver] == 0, 0.5 + FIRST, 0.5 - FIRST)
    start = np.where(side[giver] < 0, row, 1 / np.asarray(givers)[market_of[giver]])
    record = {
        "first": Partial(_utility_of, which=(side == 0).astype(float)),
        "second": Partial(_utility_of, which=(side == 1).astype(float)),
    }
    deviation, poorest = {}, {}
    for theta in thetas:
        run = simulate(
            market,
            Damped(CMAP(), theta),
            rounds=rounds,
            record=record,
            start=market.flow_from_arcs(start),
        )
        first, second = run.records["first"], run.records["second"]
        deviation[theta] = (first - second) / 2 / np.asarray(givers)
        poorest[theta] = np.minimum(first, second)
    return Swings(deviation, poorest, _table(deviation, poorest, givers))


def _utility_of(market, state, which):
    return market.total(jax.numpy.asarray(which) * state.utility)


def _table(deviation, poorest, givers) -> pd.DataFrame:
    rows = []
    for theta, d in deviation.items():
        for column, m in enumerate(givers):
            is_free = (m - 1) * abs(d[:-1, column]) < 0.5
            free = int(np.argmin(is_free)) if not is_free.all() else len(is_free)
            error = abs(d[1 : free + 1, column] - (1 - theta * m) * d[:free, column]).max(initial=0)
            gone = np.flatnonzero(poorest[theta][:, column] == 0)
            rows.append(
                {
                    "givers": m,
                    "theta": theta,
                    "multiplier_expected": 1 - theta * m,
                    "multiplier_measured": d[1, column] / d[0, column],
                    "largest_error": error,
                    "rounds_compared": free,
                    "nothing_expected_in_round": _starving_round(m) if theta == 1 else np.inf,
                    "nothing_in_round": gone[0] if len(gone) else np.inf,
                }
            )
    return pd.DataFrame(rows)


def _starving_round(m: int) -> float:
    """The first t with (m − 1)^t FIRST ≥ 1/2, in whole numbers."""
    if m == 2:
        return np.inf
    t = 0
    while (m - 1) ** t < 0.5 / FIRST:
        t += 1
    return float(t)


def checks(swings: Swings) -> list[Check]:
    """Whether multipliers and the rounds of starvation are those derived."""
    table = swings.table
    undamped = table[table["theta"] == 1.0]
    same = undamped["nothing_in_round"] == undamped["nothing_expected_in_round"]
    pairs = ", ".join(f"m = {r.givers}: {r.nothing_in_round:g}" for r in undamped.itertuples())
    return [
        Check(
            "With m identical givers and two receivers a round multiplies a deviation by 1 − θ m "
            "(undamped by −(m − 1)).",
            "to machine precision while answers have two sides",
            f"largest error {table['largest_error'].max():.1e} of a contribution, over m = "
            f"{table['givers'].min()} to {table['givers'].max()} and θ = {', '.join(map(str, THETAS))} "
            f"({int(table['rounds_compared'].sum())} rounds compared)",
            refuted(table["largest_error"] > 1e-14),
        ),
        Check(
            "Undamped, m = 2 swings for ever, and m ≥ 3 diverges until a receiver has exactly nothing.",
            f"from d = 1/{1 / FIRST:.0f} in the first round t with (m − 1)^t d ≥ 1/2",
            f"exactly 0 in round {pairs.replace('inf', 'never')}; as expected in {int(same.sum())} of "
            f"{len(same)}",
            judged(same),
        ),
    ]


def picture(swings: Swings) -> Picture:
    """Deviations of a few m over the rounds, undamped and damped."""
    figure = new_figure(7, 3.3)
    panels = figure.subplots(1, 2, sharey=True)
    shown = [(2, "o-"), (3, "s--"), (4, "^-."), (6, "D:")]
    givers = list(swings.table["givers"].unique())
    for panel, theta in zip(panels, (1.0, 0.25), strict=True):
        for number, (m, style) in enumerate(shown):
            d = swings.deviation[theta][:11, givers.index(m)]
            label = f"m = {m}: {1 - theta * m:g}"
            panel.plot(d, style, color=COLOURS[number], markersize=3.5, linewidth=1.2, label=label)
        panel.set_title("all the way" if theta == 1 else f"θ = {theta:g} of the way", fontsize=9)
        panel.set_xlabel("round")
        panel.set_yscale("symlog", linthresh=1e-3)
        panel.grid(alpha=0.25)
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2), "ncols": 2, "frameon": False}
        panel.legend(fontsize=7.5, title="givers: multiplier", title_fontsize=7.5, **below)
    panels[0].set_ylabel("deviation d")
    caption = (
        "Everybody's row leans by d to one of two receivers. Undamped, two givers swing for ever and more "
        "of them ever further, until one receiver has nothing (d = ±1/2). A quarter of the way heals up to "
        "seven givers; with four it is exact in one round (multiplier 0)."
    )
    return Picture(figure, caption)
