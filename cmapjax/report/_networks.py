"""A few markets drawn and played again from the study's seed, and what they look like at the end.

Results keep numbers per market, not networks: these come back from the seed, bit for bit with the same
versions. A market whose fingerprint differs from the recorded one is left out, and the page says so.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cmapjax import metrics, studies
from cmapjax.arguments._checks import short
from cmapjax.plots._network import LABELLED_AGENTS, MOST_AGENTS, TICKS, links_of, places_of
from cmapjax.plots._tables import axis_text, ranked
from cmapjax.report import _plotly as draw
from cmapjax.report._data import ReportData
from cmapjax.report._summary import amount

MOST_PLAYS = 8  # played again per market
MOST_FOR_STRESS = 120  # agents; of more another layout is faster
NUM_WIDTHS = 6  # of links: those of one width are one trace
# What a market's misfortune is judged by: the first of these that was recorded.
LOSSES = ("misallocated_share", "certified_gap", "oscillation")
RED_TO_BLUE = [[0, "#b2182b"], [0.25, "#f4a582"], [0.5, "#f7f7f7"], [0.75, "#92c5de"], [1, "#2166ac"]]


class Ended(NamedTuple):
    """A market as a strategy left it: ratios of agents, and what flows on links, there and back."""

    play: int
    verdict: str
    ratio: np.ndarray
    there: np.ndarray
    back: np.ndarray


class Drawn(NamedTuple):
    """A market drawn again."""

    title: str
    labels: list[str]
    place: np.ndarray
    contribution: np.ndarray
    links: np.ndarray
    runs: list[Ended]


def networks(data: ReportData, number: int) -> tuple[list[Drawn], list[str]]:
    """Some markets drawn again, and why others could not be."""
    if number < 1 or not data.played:
        return [], []
    picks = chosen_markets(data, number)
    if not picks:
        return [], [f"No market of at most {MOST_AGENTS} agents: none is drawn as a network."]
    if data.described is None:
        return [], ["No network is drawn: the study refers to files that are not where they were."]
    if data.described.own_files:
        return [], ["No network is drawn: a report runs no code of a study, which has classes of its own."]
    drawn, notes = [], []
    for ground, market, why in picks:
        try:
            drawn.append(_again(data, ground, market, why))
        except (ValueError, OSError) as error:
            notes.append(f"Market {market} of ground {ground} is not drawn: {short(str(error), 200)}")
    return drawn, notes


def chosen_markets(data: ReportData, number: int) -> list[tuple[int, int, str]]:
    """Ground, market and why: typical ones of grounds at even distances, and the one worst off."""
    small = data.summary[data.summary["num_agents"] <= MOST_AGENTS]
    loss = next((name for name in LOSSES if name in small.columns), None)
    if not len(small):
        return []
    bad = ranked(small[loss], loss) if loss else np.zeros(len(small))
    table = pd.DataFrame({"ground": small["ground"], "market": small["market"], "bad": bad})
    worst = table.groupby(["ground", "market"], sort=True)["bad"].max().reset_index()
    grounds = np.unique(worst["ground"])
    wanted = max(number - 1, 1)
    picks = []
    for ground in grounds[np.unique(np.linspace(0, len(grounds) - 1, wanted).astype(int))].tolist():
        some = worst[worst["ground"] == ground].sort_values("bad", kind="stable")
        picks.append((ground, int(some["market"].iloc[(len(some) - 1) // 2]), "typical"))
    if number > 1 and loss:
        row = worst.loc[worst["bad"].idxmax()]
        last = (int(row["ground"]), int(row["market"]))
        if last not in [pick[:2] for pick in picks]:
            picks.append((*last, "worst off"))
    return picks


def _again(data: ReportData, ground: int, number: int, why: str) -> Drawn:
    """One market: drawn, compared with what was recorded, played under the plays of its ground."""
    market = studies.draw(data.described, data.described.grounds()[ground], number, 1)
    rows = data.summary[(data.summary["ground"] == ground) & (data.summary["market"] == number)]
    if market.fingerprint() != str(rows["fingerprint"].iloc[0]):
        raise ValueError("drawn again it is another market; the versions differ from those it was made with.")
    links, there, back = links_of(market)
    cells = data.cells.set_index("cell")
    axes = [f"{axis} {axis_text(cells.at[rows['cell'].iloc[0], axis])}, " for axis in data.ground_axes]
    runs = []
    for row in rows.drop_duplicates("play").head(MOST_PLAYS).itertuples(index=False):
        _, run = studies.replay(_lean(data.study, int(row.rounds)), int(row.cell), number)
        flows = market.arc_values(run.final.flow)
        ratio = np.asarray(metrics.ratio(market, run.final.utility), float)
        runs.append(Ended(int(row.play), str(row.verdict), ratio, flows[there], flows[back]))
    place = places_of(list(range(market.num_agents)), links.tolist(), most=MOST_FOR_STRESS)
    return Drawn(
        title=f"{why}: {''.join(axes)}market {number}",
        # Names of agents of a random family are (market, agent), and the market is known.
        labels=[str(label[-1] if isinstance(label, tuple) else label) for label in market.labels],
        place=np.round(place, 4),
        contribution=np.asarray(market.contribution, float),
        links=links,
        runs=runs,
    )


def _lean(document: dict, rounds: int):
    """The same study up to the round at which a market ended, with hardly anything recorded."""
    record = {"metrics": ["min_ratio"], "curves": "none", "every": rounds}
    return studies.Study(**document | {"rounds": rounds, "equilibrium": False, "record": record, "stop": {}})


# -- figures -----------------------------------------------------------------------------------------


def chart(drawn: list[Drawn], plays: list[str]) -> dict | None:
    """The markets as a chart of the page; None if there are none."""
    if not drawn:
        return None
    runs = [
        (f"{number}:{run.play}", market, run) for number, market in enumerate(drawn) for run in market.runs
    ]
    options = [(key, f"{market.title}; {plays[run.play]} ({run.verdict})") for key, market, run in runs]
    return {
        "controls": [("market", "Market and strategy", options)],
        "parts": [{"by": ["market"], "figures": {key: _figure(market, run) for key, market, run in runs}}],
    }


def _figure(market: Drawn, run: Ended) -> dict:
    hidden = {"visible": False}
    layout = draw.LAYOUT | {"xaxis": hidden | {"scaleanchor": "y"}, "yaxis": hidden}
    layout |= {"margin": {"l": 8, "r": 8, "t": 8, "b": 8}}
    hungry = int((run.ratio <= metrics.NOTHING).sum())
    note = (
        f"{len(market.labels)} agents, {len(market.links)} links; widest link: "
        f"{amount(float((run.there + run.back).max()))} per round. Ratios from {amount(run.ratio.min())} to "
        f"{amount(run.ratio.max())}.{f' {hungry} agent(s) with nothing.' if hungry else ''}"
    )
    return {"data": [*_link_traces(market, run), _agent_trace(market, run)], "layout": layout, "note": note}


def _link_traces(market: Drawn, run: Ended) -> list[dict[str, Any]]:
    """Lines by width, and in the middle of each a point, not seen, that says what flows."""
    both = run.there + run.back
    width = np.minimum(NUM_WIDTHS * both / max(both.max(), 1e-300), NUM_WIDTHS - 1).astype(int)
    ends = market.place[market.links]  # link, end, coordinate
    traces = []
    for k in range(NUM_WIDTHS):
        x, y = np.pad(ends[width == k], ((0, 0), (0, 1), (0, 0)), constant_values=np.nan).reshape(-1, 2).T
        line = {"color": "#7a838e", "width": 0.6 + 7.4 * k / (NUM_WIDTHS - 1)}
        lines = {"mode": "lines", "hoverinfo": "skip", "line": line}
        traces.append(lines | {"x": draw.numbers(x), "y": draw.numbers(y)})
    middle = ends.mean(axis=1)
    names = [draw.plain(label) for label in market.labels]
    words = [
        f"{names[i]} → {names[j]}: {amount(there)}<br>{names[j]} → {names[i]}: {amount(back)}"
        for (i, j), there, back in zip(
            market.links.tolist(), run.there.tolist(), run.back.tolist(), strict=True
        )
    ]
    points = {"mode": "markers", "marker": {"size": 9, "opacity": 0}, "hoverinfo": "text", "text": words}
    return [*traces, points | {"x": draw.numbers(middle[:, 0]), "y": draw.numbers(middle[:, 1])}]


def _agent_trace(market: Drawn, run: Ended) -> dict[str, Any]:
    """Agents: colour by ratio, area by contribution, a cross for those with nothing."""
    tints = np.log10(np.clip(run.ratio, 1e-2, 1e2))
    reach = float(max(np.abs(tints).max(), np.log10(1.5)))
    ticks = [t for t in TICKS if abs(np.log10(t)) <= reach + 1e-9]
    number, weight = len(market.labels), market.contribution
    size = 7 + (9 + 14 * np.sqrt(weight / weight.max())) * min(1.0, np.sqrt(40 / number))
    names = [draw.plain(label) for label in market.labels]
    return {
        "x": draw.numbers(market.place[:, 0]),
        "y": draw.numbers(market.place[:, 1]),
        "mode": "markers+text" if number <= LABELLED_AGENTS else "markers",
        "text": [draw.plain(label[:16]) for label in market.labels] if number <= LABELLED_AGENTS else [],
        "textposition": "top center",
        "textfont": {"size": 11, "color": draw.TEXT},
        "hoverinfo": "text",
        "hovertext": [
            f"{name}<br>contributes {amount(w)}<br>ratio {amount(r)}"
            for name, w, r in zip(names, weight.tolist(), run.ratio.tolist(), strict=True)
        ],
        "marker": {
            "color": draw.numbers(tints),
            "cmin": -reach,
            "cmax": reach,
            "colorscale": RED_TO_BLUE,
            "showscale": True,
            "symbol": ["x" if r <= metrics.NOTHING else "circle" for r in run.ratio],
            "size": draw.numbers(size, 3),
            "line": {"color": "#000000", "width": 1},
            "colorbar": {
                "title": {"text": "ratio: value received per value contributed", "side": "top"},
                "orientation": "h", "y": -0.02, "yanchor": "top", "thickness": 12, "len": 0.8,
                "outlinewidth": 0,
                "tickvals": draw.numbers(np.log10(ticks)), "ticktext": [f"{t:g}" for t in ticks],
            },
        },
    }  # fmt: skip
