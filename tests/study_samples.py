"""Made-up results of studies, in folders like real ones, but at once: nothing is simulated.

Numbers follow simple laws (an approach to the equilibrium at a pace that the cell decides), so that charts
have a shape; the second play starves some markets.
"""

import dataclasses
import itertools

import numpy as np
import pyarrow as pa

from cmapjax import studies
from cmapjax.metrics import VERDICTS
from cmapjax.studies._chunks import Chunk
from cmapjax.studies._tables import Facts, Played, Tables, recorded_rounds
from cmapjax.studies.results import Results, open_study

METRICS = (
    "share_of_equilibrium",
    "misallocated_share",
    "log_welfare_loss",
    "certified_gap",
    "min_ratio",
    "oscillation",
    "log_nash_welfare",
)
PLAYS = {
    "strategy": ["cmap", "cmap", "cmap", "proportional-response"],
    "schedule": ["coloured", "simultaneous", "simultaneous", "simultaneous"],
    "damping": ["none", "none", "local", "none"],
}
GROUND_AXES = {"agents": [20, 100], "degree": [4, 6], "spread": [0.5, 1.0]}
# Rounds in which the distance to the equilibrium shrinks e-fold, of each play.
PACE = (1.5, 4.0, 5.0, 25.0)


def document(name="damping-and-degree", markets=40, rounds=200, axes=GROUND_AXES, plays=PLAYS) -> dict:
    """A study whose grid decides the markets, and whose one zip the plays."""
    return {
        "name": name,
        "seed": 7,
        "markets": markets,
        "rounds": rounds,
        "record": {"metrics": list(METRICS), "curves": "quantiles", "every": 10},
        "cells": {"network": "er:n={agents},degree={degree}", "endowment": "lognormal:sigma={spread}"},
        "grid": {axis: list(values) for axis, values in axes.items()},
        "zip": [{axis: list(values) for axis, values in plays.items()}],
    }


def write(folder, description=None, *, failed=(), text="# made up\n", parts=2, more=None):
    """A results folder of a made-up study, each ground in so many chunks, and what `open_study` gives.

    Args:
        failed: pairs of ground and part that failed.
    """
    study = studies.Study(**(document() if description is None else description))
    about = {"device": "cpu", "precision": study.precision, **(more or {})}
    cuts = {ground: np.linspace(0, ground.markets, parts + 1).astype(int) for ground in study.grounds()}
    chunks = {
        ground: [Chunk(ground.number, int(a), int(b - a)) for a, b in itertools.pairwise(cuts)]
        for ground, cuts in cuts.items()
    }
    about["plan"] = [chunk.name for some in chunks.values() for chunk in some]
    results, given_up = Results.begin(folder, study.document(), text=text, **about), {}
    for ground, some in chunks.items():
        played = [(cell, _values(study, study.cells()[cell], k)) for k, cell in enumerate(ground.cells)]
        for part, chunk in enumerate(some):
            if (ground.number, part) in failed:
                given_up[chunk.name] = "worker killed: <b>out of memory</b>"
            else:
                results.write(chunk, **_tables(study, ground, played, chunk.first, chunk.count))
    if given_up:
        results.note_run(failed=given_up)
    return open_study(folder)


def _values(study, cell, place: int) -> dict:
    """Every metric by record and market, and which markets starve."""
    rng = np.random.default_rng([study.seed, cell.ground])  # the same markets for every play
    markets, rounds = study.markets, recorded_rounds(study)[:, None]
    pace = PACE[place % 4] * rng.lognormal(0, 0.4, markets) * (1 + 0.3 * float(cell.axes.get("spread", 0)))
    start, low = rng.uniform(0.05, 0.4, markets), rng.uniform(0, 0.1, markets)
    floor = low if place % 4 == 1 else np.full(markets, 1e-9)
    loss = start * np.exp(-rounds / pace) + floor
    starved = (place % 4 == 1) & (rng.uniform(size=markets) < 0.04 * float(cell.axes.get("degree", 4)))
    hungry = starved & (rounds > 0)
    verdict = np.select(
        [starved, floor > 1e-3, loss[-1] < 1e-4],
        ["starved for now", "oscillating", "converged"],
        "still moving",
    )
    metrics = {
        "share_of_equilibrium": np.where(hungry, 0.0, np.exp(-loss)),
        "misallocated_share": loss / (1 + loss),
        "log_welfare_loss": np.where(hungry, np.inf, loss),
        "certified_gap": np.where(hungry, np.inf, 1.3 * loss),
        "min_ratio": np.where(hungry, 0.0, np.exp(-3 * loss)),
        "oscillation": np.broadcast_to(0.5 * floor, loss.shape),
        "log_nash_welfare": np.where(hungry, -np.inf, -0.2 - loss),
    }
    return metrics | {"verdict": verdict, "starved": starved}


def _tables(study, ground, played, first: int, count: int) -> dict:
    """Summary and curves of a chunk, made as those of a real one; starved markets stopped at round 40."""
    markets, rounds = np.arange(first, first + count), recorded_rounds(study)
    agents = int(study.cells()[ground.cells[0]].axes.get("agents", 50))
    facts = Facts(
        first,
        [f"{ground.number:08x}{p:08x}" for p in markets],
        [f"{ground.number:04x}{p:012x}" for p in markets],
        np.full(count, agents),
        np.full(count, 2 * agents),
        np.full(count, -0.2),
        None,
    )
    tables, stopped = Tables(study, ground, facts), []
    for number, values in played:
        cell = study.cells()[number]
        turns = rounds * agents // (2 if "proportional" in cell.words.strategy else 1)
        records = {name: values[name][:, markets] for name in study.metrics}
        verdicts = np.array([[VERDICTS.index(name) for name in values["verdict"][markets]]])
        tables.add(cell, Played(rounds, np.repeat(turns[:, None], count, 1), records, verdicts, None))
        stopped += [40 if is_starved else None for is_starved in values["starved"][markets]]
    summary = tables.summary()
    place = summary.schema.get_field_index("stopped_round")
    summary = summary.set_column(place, summary.schema.field(place), pa.array(stopped, pa.int32()))
    return {"summary": summary, "curves": tables.curves()}


def network(agents=30, plays=4, seed=3):
    """A market as the page draws it: a ring with chords, unequal agents, hostile names."""
    from cmapjax.report._networks import Drawn, Ended

    rng = np.random.default_rng(seed)
    links = [[i, (i + 1) % agents] for i in range(agents)] + [
        [i, (i + 7) % agents] for i in range(0, agents, 3)
    ]
    angle = 2 * np.pi * np.arange(agents) / agents
    labels = [f"agent {i}" for i in range(agents)]
    labels[:3] = [HOSTILE, "<b>bold</b>", '"&amp; \u2028</script>']
    runs = []
    for play in range(plays):
        ratio = rng.lognormal(0, 0.4, agents)
        if play == 1:
            ratio[5] = 0.0
        verdict = ("converged", "starved for now", "still moving", "oscillating")[play % 4]
        runs.append(Ended(play, verdict, ratio, *rng.lognormal(0, 1, (2, len(links)))))
    place = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    title = f"ground 0, market {seed}"
    return Drawn(title, labels, place, rng.lognormal(0, 1, agents), np.array(links), runs)


# -- a page with everything that can go wrong -------------------------------------------------------

# 200 cells; how many markets each has changes nothing on the page.
MANY_AXES = {"agents": [20, 100], "degree": [4, 6, 8, 10, 12], "spread": [0.25, 0.5, 0.75, 1.0, 1.5]}
HOSTILE = "<script>alert(1)</script>"


def hostile_page(folder):
    """The results and the page of 200 cells with a failed chunk, stopped markets and names that are HTML."""
    from cmapjax.report._data import ReportData
    from cmapjax.report._page import render

    text = f'name = "x"  # {HOSTILE} </code></pre><img src=x onerror=alert(1)>\n'
    results = write(folder, document(markets=20, axes=MANY_AXES), failed=[(3, 1)], text=text)
    data = ReportData.from_results(results)
    about = data.about | {"study": data.study | {"name": f'{HOSTILE} & "co"'}, "commit": "12ab"}
    drawn, notes = [network(), network(60, seed=4)], ["Market 3 of ground 1 is not drawn: <i>why</i>"]
    return results, render(dataclasses.replace(data, about=about), "-two hundred; rm -rf ~", drawn, notes)
