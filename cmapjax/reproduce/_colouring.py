"""Acting in parallel, exactly: colours of the common-receiver graph, and the turns that they save.

Two agents' rows meet only in what a common receiver gets, so agents that share no receiver may act in one
turn: a sweep colour by colour is a sweep one after another in the order of colours. All givers of a receiver
need colours of their own, hence at least Δ colours; a clique of agents that share receivers pairwise (K_n has
one of n > Δ) may need more.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from cmapjax.engine._simulate import simulate
from cmapjax.market._market import Market
from cmapjax.market._packing import pack
from cmapjax.plots._canvas import COLOURS, new_figure
from cmapjax.reproduce._grid import CONTRIBUTIONS, drawn, families
from cmapjax.reproduce._judging import judged, refuted
from cmapjax.reproduce._numbers import count, median
from cmapjax.reproduce._part import Check, Finding, Picture, Setting
from cmapjax.schedules._schedule import Coloured, Sequential
from cmapjax.strategies import CMAP

SWEEPS = 3
EXACT = 1e-12
CROWDED = 12  # receivers with most givers from which a clique is grown
# Greedy colours of one market of 100 agents per family, in an earlier trial.
EXPECTED = {
    "torus": 6,
    "tree": 6,
    "Watts-Strogatz": 8,
    "geometric": 17,
    "bipartite": 19,
    "Erdős-Rényi": 23,
    "Barabási-Albert": 26,
}
MARKS = ("o", "s", "^", "D", "v", "P", "X")


def measure(setting: Setting) -> Finding:
    """Colours of all families and sizes beside their bounds; sweeps by colour beside sweeps in sequence."""
    sizes, number = setting.pick((20, 100), (20, 100, 1000)), setting.pick(3, 10)
    markets = []
    for size in sizes:
        for place, (name, family) in enumerate(families(size).items()):
            stream = 700 + 20 * len(str(size)) + place
            for k in range(number):
                market = drawn(family, CONTRIBUTIONS["uniform"], setting.seed, stream + 1000 * k, drops=True)
                markets.append((name, size, market))
    setting.tell(f"colouring: {len(markets)} markets")
    table = colour_table(markets)
    setting.tell("colouring: sweeps by colour and one after another")
    table["difference"] = differences([market for *_, market in markets], SWEEPS)
    return Finding(
        checks=_checks(table),
        tables={"colours": summed_up(table)},
        pictures={"colours": picture(table)},
        remarks=[
            "Colours are greedy, those with most rivals first. One after another is played by itself: agent "
            "by agent in NumPy, from the formula, in the order of colours. Contributions uniform in 0.1 "
            "to 1, isolated agents left out.",
            "The clique is grown greedily from the givers of the receivers that have most: a valid lower "
            "bound, though not always the best. Where colours equal it they are as few as can be. An agent "
            "with one neighbour always gives it everything, and strictly needs no colour.",
            "'Levels' are the turns in which agents could act in their own order and still see what they "
            "would see one after another: exact for any strategy, and more than colours.",
        ],
    )


def colour_table(markets: list[tuple[str, int, Market]]) -> pd.DataFrame:
    """A row per market: colours, bounds, and turns one after another."""
    rows = []
    for name, size, market in markets:
        colour = Coloured().turns(market)
        rows.append(
            {
                "family": name,
                "size": size,
                "agents": market.num_agents,
                "largest_degree": int(market.degree.max()),
                "clique": clique_bound(market),
                "colours": int(colour.max()) + 1,
                "levels": int(Sequential().turns(market).max()) + 1,
            }
        )
    return pd.DataFrame(rows)


def clique_bound(market: Market) -> int:
    """How many agents share receivers pairwise, at least: as many colours are needed."""
    starts, neighbours = market.neighbour_rows()
    rows = [neighbours[starts[i] : starts[i + 1]] for i in range(market.num_agents)]
    known: dict[int, set] = {}

    def rivals(agent: int) -> set:
        if agent not in known:
            known[agent] = set(np.concatenate([rows[j] for j in rows[agent]]).tolist()) - {agent}
        return known[agent]

    best = 0
    for receiver in np.argsort([-len(row) for row in rows], kind="stable")[:CROWDED]:
        clique = rows[receiver].tolist()
        open_to = set.intersection(*map(rivals, clique))
        while open_to:
            agent = max(sorted(open_to), key=lambda a: len(open_to & rivals(a)))
            clique.append(agent)
            open_to &= rivals(agent)
        best = max(best, len(clique))
    return best


# -- sweeps ----------------------------------------------------------------------------------------


def differences(markets: list[Market], sweeps: int) -> Float[np.ndarray, "markets"]:
    """Of every market the largest difference of a flow, in parts of the giver's contribution."""
    market = pack(markets)
    run = simulate(market, CMAP(), rounds=sweeps, schedule=Coloured(), record={})
    giver, _ = market.arcs()
    found = market.arc_values(run.final.flow) / np.asarray(market.contribution)[giver]
    market_of = np.asarray(market.market_of)[giver]
    orders = [np.argsort(Coloured().turns(m), kind="stable") for m in markets]
    expected = np.concatenate([one_by_one(*pair, sweeps) for pair in zip(markets, orders, strict=True)])
    worst = np.zeros(len(markets))
    np.maximum.at(worst, market_of, abs(found - expected))
    return worst


def one_by_one(market: Market, order: Int[np.ndarray, "agents"], sweeps: int) -> Float[np.ndarray, "arcs"]:
    """The flow after some sweeps of CMAP, agent after agent, in parts of the giver's contribution."""
    starts, neighbours = market.neighbour_rows()
    w = np.asarray(market.contribution)
    rows = [neighbours[starts[i] : starts[i + 1]] for i in range(len(w))]
    flow = [np.full(len(row), w[i] / len(row)) for i, row in enumerate(rows)]
    utility = np.bincount(neighbours, np.concatenate(flow), minlength=len(w))
    for _ in range(sweeps):
        for i in order:
            others = utility[rows[i]] - flow[i]
            weight = w[rows[i]]
            ascending = np.argsort(others / weight)
            filled = w[i] + np.cumsum(others[ascending])
            level = (filled / np.cumsum(weight[ascending])).min()
            flow[i] = np.maximum(level * weight - others, 0)
            utility[rows[i]] = others + flow[i]
    return np.concatenate([y / w[i] for i, y in enumerate(flow)])


# -- what came out ---------------------------------------------------------------------------------


def summed_up(table: pd.DataFrame) -> pd.DataFrame:
    """Medians per family and size, and turns saved."""
    rows = []
    for (family, size), some in table.groupby(["family", "size"], sort=False):
        rows.append(
            {
                "family": family,
                "size": size,
                "markets": len(some),
                "largest_degree_median": some["largest_degree"].median(),
                "clique_median": some["clique"].median(),
                "colours_median": some["colours"].median(),
                "colours_least": some["colours"].min(),
                "colours_most": some["colours"].max(),
                "as_few_as_possible_%": round(100 * (some["colours"] == some["clique"]).mean(), 1),
                "turns_one_after_another_median": some["agents"].median(),
                "levels_median": some["levels"].median(),
                "turns_saved_factor_median": round((some["agents"] / some["colours"]).median(), 2),
                "largest_difference": some["difference"].max(),
            }
        )
    return pd.DataFrame(rows)


def _checks(table: pd.DataFrame) -> list[Check]:
    hundred = table[table["size"] == 100].groupby("family")["colours"]
    found = [(name, hundred.get_group(name).min(), hundred.get_group(name).max()) for name in EXPECTED]
    largest = table["size"] == table["size"].max()
    below = (table["colours"] < table["clique"]) | (table["clique"] < table["largest_degree"])
    saved = (table["agents"] / table["colours"])[largest]
    return [
        Check(
            "A sweep colour by colour is a sequential sweep in the order of colours.",
            "the same flows to 1e-12 of a contribution",
            f"largest difference {table['difference'].max():.1e} over {len(table)} markets, {SWEEPS} sweeps",
            refuted(~(table["difference"] <= EXACT)),
        ),
        Check(
            "At least Δ colours are needed, and greedy colouring comes near the clique bound.",
            "colours ≥ clique ≥ Δ; fewer than twice the clique",
            f"below a bound in {count(below)}; "
            f"colours over clique {median(table['colours'] / table['clique'], '.2f')}, at most "
            f"{(table['colours'] / table['clique']).max():.2f}; equal, so as few as can be, in "
            f"{count(table['colours'] == table['clique'])}",
            refuted(below | (table["colours"] >= 2 * table["clique"])),
        ),
        Check(
            "Greedy colours of 100 agents are as in an earlier trial.",
            ", ".join(f"{name} {number}" for name, number in EXPECTED.items()) + " (one market each)",
            ", ".join(f"{name} {low} to {high}" for name, low, high in found)
            + f" ({int(hundred.size().min())} markets each)",
            judged([low <= EXPECTED[name] <= high for name, low, high in found]),
        ),
        Check(
            "Colours save most turns of a round.",
            "of the largest size in every family fewer than half as many turns as agents",
            f"agents over colours {median(saved, '.1f')}, least {saved.min():.1f}, at "
            f"{int(table['size'].max())} agents",
            judged(saved > 2),
        ),
    ]


def picture(table: pd.DataFrame) -> Picture:
    """Colours against the clique bound, and turns saved by size."""
    figure = new_figure(7.2, 3.5)
    left, right = figure.subplots(1, 2)
    for number, (family, some) in enumerate(table.groupby("family", sort=False)):
        style = {"color": COLOURS[number], "marker": MARKS[number]}
        left.scatter(some["clique"], some["colours"], s=16, alpha=0.75, linewidths=0, label=family, **style)
        middle = (some["agents"] / some["colours"]).groupby(some["size"]).median()
        right.plot(middle.index, middle, linewidth=1.2, markersize=4, **style)
    most = table["colours"].max()
    left.plot([2, most], [2, most], color="#888888", linewidth=0.8, linestyle="--")
    left.set(xscale="log", yscale="log", xlabel="clique bound", ylabel="colours")
    right.set(xscale="log", yscale="log", xlabel="agents", ylabel="agents per colour")
    ticks = {"x": [t for t in (3, 5, 10, 20, 50, 100, 200) if t <= most], "y": [3, 5, 10, 20, 50, 100, 200]}
    left.set_xticks(ticks["x"], ticks["x"])
    left.set_yticks(ticks["x"], ticks["x"])
    sizes = sorted(table["size"].unique())
    right.set_xticks(sizes, [f"{s:,}" for s in sizes])
    low, high = right.get_ylim()
    shown = [t for t in (1, 2, 3, *ticks["y"]) if low <= t <= high]
    right.set_yticks(sorted(set(shown)), [str(t) for t in sorted(set(shown))])
    for panel in (left, right):
        panel.minorticks_off()
        panel.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=4, fontsize=7.5, frameon=False)
    caption = (
        f"Left: greedy colours of {len(table)} markets against a lower bound (dashed: as few as can be). "
        "Right: how many agents act in a turn on average, so by how much a round of colours is shorter."
    )
    return Picture(figure, caption)
