"""A few markets drawn and played again from the study's seed, for the network view.

Results keep numbers per market, not networks: these come back from the seed, bit for bit with the same
versions. A market whose fingerprint differs from the recorded one is left out, and the page says so.
"""

import networkx as nx
import numpy as np
import pandas as pd

from cmapjax import metrics
from cmapjax.arguments._checks import short
from cmapjax.plots._tables import axis_text, ranked
from cmapjax.report._data import ReportData

MOST_AGENTS = 300  # a drawing of more agents shows nothing
MOST_PLAYS = 8  # played again per market
# Kamada and Kawai's layout is the clearer one, but its time grows with the cube of the agents.
MOST_FOR_STRESS = 120
# What a market's misfortune is judged by: the first of these that was recorded.
LOSSES = ("misallocated_share", "certified_gap", "oscillation")


def networks(data: ReportData, number: int) -> tuple[list[dict], list[str]]:
    """Some markets as the page draws them, and why others could not be."""
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


def _again(data: ReportData, number: int, market: int, why: str) -> dict:
    """One market: drawn, compared with what was recorded, played under the plays of its ground."""
    from cmapjax import studies

    study = data.described
    ground = study.grounds()[number]
    drawn = studies.draw(study, ground, market, 1)
    rows = data.summary[(data.summary["ground"] == number) & (data.summary["market"] == market)]
    if drawn.fingerprint() != str(rows["fingerprint"].iloc[0]):
        raise ValueError("drawn again it is another market; the versions differ from those it was made with.")
    giver, receiver = drawn.arcs()
    is_link = giver < receiver
    there, back = np.flatnonzero(is_link), np.lexsort((giver, receiver))[is_link]
    cells = data.cells.set_index("cell")
    axes = ", ".join(f"{axis} {axis_text(cells.at[rows['cell'].iloc[0], axis])}" for axis in data.ground_axes)
    runs = []
    for row in rows.drop_duplicates("play").head(MOST_PLAYS).itertuples(index=False):
        run = _play(study, ground, drawn, int(row.cell), int(row.rounds))
        flows = drawn.arc_values(run.final.flow)
        runs.append(
            {
                "play": int(row.play),
                "verdict": str(row.verdict),
                "ratio": np.asarray(metrics.ratio(drawn, run.final.utility), float).tolist(),
                "there": flows[there].tolist(),
                "back": flows[back].tolist(),
            }
        )
    place = _layout(drawn.num_agents, giver[is_link], receiver[is_link])
    return {
        "title": f"{why}: {axes + ', ' if axes else ''}market {market}",
        "ground": number,
        "market": market,
        "labels": _labels(drawn),
        "x": place[:, 0].tolist(),
        "y": place[:, 1].tolist(),
        "contribution": np.asarray(drawn.contribution, float).tolist(),
        "links": np.stack([giver[is_link], receiver[is_link]], axis=1).tolist(),
        "runs": runs,
    }


def _play(study, ground, market, cell: int, rounds: int):
    """The run of one cell on this market, up to the round at which it ended."""
    from cmapjax import simulate
    from cmapjax.studies._build import play_key, process, strategy_and_schedule

    strategy, schedule = strategy_and_schedule(study, study.cells()[cell].words)
    endowments = process(study, ground, 1)
    is_random = schedule.is_random or endowments.is_random
    return simulate(
        market,
        strategy,
        rounds=rounds,
        schedule=schedule,
        endowments=endowments,
        record={},
        every=study.record.every,
        precision=study.precision,
        key=play_key(study, ground) if is_random else None,
    )


def _labels(market) -> list[str]:
    """Names of agents; those of a random family are (market, agent), and the market is known."""
    return [str(label[-1] if isinstance(label, tuple) else label) for label in market.labels]


def _layout(num_agents: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    graph = nx.Graph()
    graph.add_nodes_from(range(num_agents))
    graph.add_edges_from(zip(one.tolist(), other.tolist(), strict=True))
    if nx.is_connected(graph) and num_agents <= MOST_FOR_STRESS:
        place = nx.kamada_kawai_layout(graph)
    else:
        place = nx.spring_layout(graph, seed=0)
    return np.round([place[i] for i in range(num_agents)], 4)
