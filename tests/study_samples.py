"""Made-up results of studies, in folders like real ones, but at once: nothing is simulated.

Numbers follow simple laws (an approach to the equilibrium at a pace that the cell decides), so that charts
have a shape; the second play starves some markets.
"""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pyarrow as pa

from cmapjax import studies
from cmapjax.studies import buckets
from cmapjax.studies._chunks import Chunk
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
                continue
            tables = _result(study, ground, played, chunk.first, chunk.count)
            results.write(chunk.name, summary=tables.summary, curves=tables.curves)
    if given_up:
        results.note_run(failed=given_up)
    return open_study(folder)


def _values(study, cell, place: int) -> dict:
    """Every metric by record and market, and which markets starve."""
    rng = np.random.default_rng([study.seed, cell.ground])  # the same markets for every play
    markets, rounds = study.markets, _rounds(study)[:, None]
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


def _rounds(study) -> np.ndarray:
    return np.arange(0, study.rounds + 1, study.record.every)


class _Result:
    def __init__(self, summary, curves):
        self.summary, self.curves = summary, curves


def _result(study, ground, played, first: int, count: int) -> _Result:
    """The tables of a chunk."""
    some = slice(first, first + count)
    summaries = [_rows(study, ground, cell, values, some) for cell, values in played]
    summary = _table(studies.summary_schema(study), pd.concat(summaries, ignore_index=True))
    schema = studies.curves_schema(study)
    if schema is None:
        return _Result(summary, None)
    curves = [_sketches(study, cell, values, some) for cell, values in played]
    return _Result(summary, _table(schema, pd.concat(curves, ignore_index=True)))


def _table(schema, frame: pd.DataFrame) -> pa.Table:
    columns = []
    for field in schema:
        if field.name not in frame:
            columns.append(pa.nulls(len(frame), field.type))
        elif pa.types.is_dictionary(field.type):
            columns.append(pa.array(frame[field.name].astype(str)).dictionary_encode().cast(field.type))
        else:
            columns.append(pa.Array.from_pandas(frame[field.name], type=field.type))
    return pa.table(columns, schema=schema)


def _rows(study, ground, number: int, values: dict, some: slice) -> pd.DataFrame:
    """The summary of one cell."""
    cell = study.cells()[number]
    markets = np.arange(some.start, some.stop)
    agents = int(cell.axes.get("agents", 50))
    last = {name: values[name][-1, some] for name in study.metrics}
    flags = [
        ",".join(f"{name}={table[k]:g}" for name, table in last.items() if not np.isfinite(table[k])) or None
        for k in range(len(markets))
    ]
    share = values["share_of_equilibrium"][:, some]
    words = cell.words._asdict() | cell.axes
    return pd.DataFrame(
        {
            "cell": number,
            "ground": ground.number,
            "market": markets,
            "seed": [f"{ground.number:08x}{p:08x}" for p in markets],
            "fingerprint": [f"{ground.number:04x}{p:012x}" for p in markets],
            **{name: [value] * len(markets) for name, value in words.items()},
            "num_agents": agents,
            "num_links": 2 * agents,
            "rounds": study.rounds,
            "agent_updates": study.rounds * agents // (2 if "proportional" in cell.words.strategy else 1),
            "stopped_round": pd.array(np.where(values["starved"][some], 40, -1), "Int32"),
            "verdict": values["verdict"][some],
            "equilibrium_log_welfare": -0.2,
            **{name: np.where(np.isfinite(table), table, np.nan) for name, table in last.items()},
            **{name: _first(share >= s, _rounds(study)) for name, s in SHARES.items()},
            "flags": flags,
        }
    ).replace({"stopped_round": -1}, pd.NA)


SHARES = {"rounds_to_98": 0.98, "rounds_to_999": 0.999}


def _first(reached, rounds):
    first = pd.array(rounds[np.argmax(reached, axis=0)], "Int32")
    first[~reached.any(axis=0)] = pd.NA
    return first


def _sketches(study, number: int, values: dict, some: slice) -> pd.DataFrame:
    """How many markets of one cell are in which bucket."""
    rows = []
    for place, name in enumerate(study.metrics):
        table = values[name][:, some]
        rounds = np.broadcast_to(_rounds(study)[:, None], table.shape)
        columns = np.full(table.size, place), rounds, *buckets(table)
        rows.append(np.stack([column.ravel() for column in columns], axis=1))
    rows, count = np.unique(np.concatenate(rows), axis=0, return_counts=True)
    frame = pd.DataFrame(rows, columns=["metric", "round", "sign", "bucket"]).assign(cell=number, count=count)
    frame["metric"] = np.array(study.metrics)[frame["metric"]]
    frame["bucket"] = frame["bucket"].astype("Int32").mask((frame["sign"] == 0) & (frame["bucket"] == 0))
    return frame


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
