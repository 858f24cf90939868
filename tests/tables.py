"""Synthetic results of a study, in the columns of docs/results.md, and folders filled with them."""

import functools
import hashlib
import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import Results

STRATEGIES = ("cmap", "proportional-response")
DEGREES = (4, 6)
ROUNDS = (0, 10, 20)
GAMMA = 1.01 / 0.99
FILE = 'name = "degree-and-strategy"\n'
WHOLE = ((0, 20),)
HALVES = ((0, 10), (10, 10))
# A smaller study yet, for what is done a hundred times.
CHUNKS = (Chunk(0, 0, 2), Chunk(0, 2, 2))
ALL = (*CHUNKS, Chunk(1, 0, 2), Chunk(1, 2, 2))


def document(**changes) -> dict:
    """The description of a small study: two degrees (two grounds) × two strategies."""
    return {
        "name": "degree-and-strategy",
        "seed": 7,
        "markets": 20,
        "rounds": 20,
        "precision": "float64",
        "record": {"metrics": ["nash_welfare", "market_loss"], "curves": "quantiles", "every": 10},
        "grid": {"degree": list(DEGREES), "strategy": list(STRATEGIES)},
    } | changes


def name(ground: int, first: int, count: int) -> str:
    """The name of a chunk."""
    return f"g{ground:05d}-m{first:07d}-n{count:06d}"


def result(ground: int, first: int, count: int, curves: str = "quantiles", shift: float = 0.0):
    """What playing a chunk gives: its numbers depend on ground and market alone, not on the chunk."""
    made = [_market(ground, market, shift) for market in range(first, first + count)]
    rows = [row for market in made for row in market["rows"]]
    table = {
        "none": lambda: None,
        "full": lambda: _full([c for m in made for c in m["curves"]]),
        "quantiles": lambda: _sketch([c for m in made for c in m["curves"]]),
    }[curves]()
    timings = {"draw": 0.25, "play": 1.5 + first}
    return SimpleNamespace(summary=_summary(rows), curves=table, timings=timings)


def _market(ground: int, market: int, shift: float) -> dict:
    rows, curves = [], []
    for place, strategy in enumerate(STRATEGIES):
        rng = np.random.default_rng([ground, market, place])
        cell = ground * len(STRATEGIES) + place
        welfare = np.sort(rng.uniform(0.5, 1.0, len(ROUNDS))) + shift
        for at, value in zip(ROUNDS, welfare, strict=True):
            curves.append((cell, market, at, "nash_welfare", float(value)))
        rows.append(
            {
                "cell": cell,
                "ground": ground,
                "market": market,
                "seed": f"{ground:08x}{market:08x}",
                "fingerprint": hashlib.sha256(f"{ground} {market}".encode()).hexdigest()[:16],
                "strategy": strategy,
                "degree": DEGREES[ground],
                "rounds": ROUNDS[-1],
                "agent_updates": 20 * ROUNDS[-1],
                "stopped_round": None if market % 3 else 10,
                "verdict": "oscillates" if market % 4 == 0 else "converged",
                "nash_welfare": None if market % 7 == 6 else float(welfare[-1]),
                "market_loss": float(1 - welfare[-1]),
                "flags": "nash_welfare" if market % 7 == 6 else "",
            }
        )
    return {"rows": rows, "curves": curves}


def _field(label: str, kind, unit: str) -> pa.Field:
    return pa.field(label, kind, metadata={b"unit": unit.encode(), b"description": f"the {label}".encode()})


WORD = pa.dictionary(pa.int32(), pa.string())
SUMMARY = pa.schema(
    [
        _field("cell", pa.int32(), "1"),
        _field("ground", pa.int32(), "1"),
        _field("market", pa.int32(), "1"),
        _field("seed", pa.string(), ""),
        _field("fingerprint", pa.string(), ""),
        _field("strategy", WORD, ""),
        _field("degree", pa.int64(), "links"),
        _field("rounds", pa.int32(), "rounds"),
        _field("agent_updates", pa.int64(), "turns"),
        _field("stopped_round", pa.int32(), "rounds"),
        _field("verdict", WORD, ""),
        _field("nash_welfare", pa.float64(), "1"),
        _field("market_loss", pa.float64(), "1"),
        _field("flags", pa.string(), ""),
    ]
)


def _summary(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SUMMARY)


def _full(curves: list[tuple]) -> pa.Table:
    kinds = [pa.int32(), pa.int32(), pa.int32(), WORD, pa.float64()]
    labels = ["cell", "market", "round", "metric", "value"]
    arrays = [pa.array(c).cast(k) for c, k in zip(zip(*curves, strict=True), kinds, strict=True)]
    return pa.Table.from_arrays(arrays, names=labels)


def _sketch(curves: list[tuple]) -> pa.Table:
    """DDSketch with a relative error of 1 %: bucket i holds values in (γ^(i-1), γ^i]."""
    counts: dict[tuple, int] = {}
    for cell, _, at, metric, value in curves:
        key = (cell, at, metric, int(np.sign(value)), math.ceil(math.log(abs(value), GAMMA)))
        counts[key] = counts.get(key, 0) + 1
    columns = [*zip(*sorted(counts), strict=True), [counts[key] for key in sorted(counts)]]
    kinds = [pa.int32(), pa.int32(), WORD, pa.int8(), pa.int32(), pa.int32()]
    labels = ["cell", "round", "metric", "sign", "bucket", "count"]
    arrays = [pa.array(c).cast(k) for c, k in zip(columns, kinds, strict=True)]
    return pa.Table.from_arrays(arrays, names=labels)


# -- folders ------------------------------------------------------------------------------------------

once = functools.cache(result)


def keep(results: Results, chunk, played=None) -> None:
    """Write a chunk, as it is played or as given."""
    played = once(*chunk) if played is None else played
    results.write(Chunk(*chunk).name, summary=played.summary, curves=played.curves)


def made(folder, cuts=HALVES, curves="quantiles", shift=0.0, grounds=(0, 1), **changes) -> Results:
    """A results folder of the study in `tables`, its grounds cut into these chunks."""
    record = document()["record"] | {"curves": curves}
    plan = [Chunk(ground, *cut) for ground in grounds for cut in cuts]
    names = [chunk.name for chunk in plan]
    more = {"device": "cpu", "text": FILE, "plan": names, "cells": 4}
    results = Results.begin(folder, document(**{"record": record, **changes}), **more)
    for chunk in plan:
        keep(results, chunk, result(*chunk, curves, shift))
    return results


def begin(folder, chunks=ALL) -> Results:
    """Begin the study, which has these chunks, or go on with it."""
    plan = [chunk.name for chunk in chunks]
    return Results.begin(folder, document(), device="cpu", text=FILE, plan=plan)


def play(folder, chunks=ALL) -> Results:
    """Begin or resume, and play what is lacking of these chunks."""
    results = begin(folder, chunks)
    with results.announce():
        for chunk in results.lacking():
            keep(results, chunk)
        if not results.runs():
            results.note_run(seconds=1.0)
    return results
