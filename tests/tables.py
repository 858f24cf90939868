"""Results of a small study that is not played: two degrees (two grounds) × two strategies, and folders of it.

Its tables are made by the code that makes those of a real run, of numbers that depend on ground, market and
strategy alone.
"""

import functools
from types import SimpleNamespace

import numpy as np

from cmapjax.studies import Study
from cmapjax.studies._chunks import Chunk
from cmapjax.studies._tables import Facts, Played, Tables
from cmapjax.studies.results import Results

ROUNDS = (0, 10, 20)
FILE = 'name = "degree-and-strategy"\n'
WHOLE = ((0, 20),)
HALVES = ((0, 10), (10, 10))
# A smaller study yet, for what is done a hundred times.
CHUNKS = (Chunk(0, 0, 2), Chunk(0, 2, 2))
ALL = (*CHUNKS, Chunk(1, 0, 2), Chunk(1, 2, 2))


def study(curves="quantiles", **changes) -> Study:
    """The study, with some keys changed."""
    given = {
        "name": "degree-and-strategy",
        "seed": 7,
        "markets": 20,
        "rounds": 20,
        "equilibrium": False,
        "record": {"metrics": ["nash_welfare", "min_ratio"], "curves": curves, "every": 10},
        "cells": {"network": "er:n=8,degree={degree}"},
        "grid": {"degree": [4, 6], "strategy": ["cmap", "proportional-response"]},
    }
    return Study(**(given | changes))


def document(curves="quantiles", **changes) -> dict:
    """Its description."""
    return study(curves, **changes).document()


@functools.cache
def result(ground: int, first: int, count: int, curves="quantiles", shift: float = 0.0):
    """What playing a chunk gives."""
    of, markets = study(curves), np.arange(first, first + count)
    seeds = [f"{ground:08x}{market:08x}" for market in markets]
    sizes = np.full(count, 8), np.full(count, 12)
    tables = Tables(of, of.grounds()[ground], Facts(first, seeds, seeds, *sizes, None, None))
    for place, cell in enumerate(of.grounds()[ground].cells):
        draws = [np.random.default_rng([ground, market, place]).uniform(0.5, 1, 3) for market in markets]
        welfare = np.sort(np.stack(draws, axis=1), axis=0) + shift
        records = {"nash_welfare": np.where(markets % 7 == 6, -np.inf, welfare), "min_ratio": welfare / 2}
        updates = np.repeat(8 * np.array(ROUNDS)[:, None], count, axis=1)
        verdicts = np.zeros((1, count), int)
        played = Played(np.array(ROUNDS), updates, records, verdicts, np.zeros(count))
        tables.add(of.cells()[cell], played)
    return SimpleNamespace(summary=tables.summary(), curves=tables.curves())


# -- folders ------------------------------------------------------------------------------------------


def keep(results: Results, chunk, played=None) -> None:
    """Write a chunk, as it is played or as given."""
    played = result(*chunk) if played is None else played
    results.write(Chunk(*chunk), summary=played.summary, curves=played.curves)


def made(folder, cuts=HALVES, curves="quantiles", shift=0.0, grounds=(0, 1), **changes) -> Results:
    """A results folder of the study, its grounds cut into these chunks."""
    plan = [Chunk(ground, *cut) for ground in grounds for cut in cuts]
    more = {"device": "cpu", "text": FILE, "plan": [chunk.name for chunk in plan], "cells": 4}
    results = Results.begin(folder, document(curves, **changes), **more)
    for chunk in plan:
        keep(results, chunk, result(*chunk, curves, shift))
    return results


def begin(folder, chunks=ALL, **changes) -> Results:
    """Begin the study, which has these chunks, or go on with it."""
    plan = [chunk.name for chunk in chunks]
    return Results.begin(folder, document(**changes), device="cpu", text=FILE, plan=plan)


def play(folder, chunks=ALL) -> Results:
    """Begin or resume, and play what is lacking of these chunks."""
    results = begin(folder, chunks)
    with results.announce():
        for chunk in results.lacking:
            keep(results, chunk)
        if not results.runs:
            results.note_run(seconds=1.0)
    return results
