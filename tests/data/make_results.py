"""Writes results-v2/, a small results folder of format 2, from the tables of the tests.

It stays as it is: later versions of cmapjax must open it. Run `python tests/data/make_results.py` to make
one for a later format, under another name.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import tables  # noqa: E402 - beside the tests

from cmapjax.studies._chunks import Chunk  # noqa: E402
from cmapjax.studies.results import Results, open_study  # noqa: E402


def main() -> None:
    """Two grounds of three markets, one of them in two chunks, with sketches of curves."""
    chunks = [Chunk(0, 0, 3), Chunk(1, 0, 2), Chunk(1, 2, 1)]
    plan = [chunk.name for chunk in chunks]
    text = 'name = "degree-and-strategy"\nseed = 7\nmarkets = 3\n'
    about = {"device": "cpu", "text": text, "plan": plan, "cells": 4, "rows": 12}
    results = Results.begin(HERE / "results-v2", tables.document(markets=3), **about)
    for chunk in chunks:
        tables.keep(results, chunk)
    results.note_run(seconds=1.0, workers=1)
    sys.stdout.write(f"{open_study(results.folder).frame()['market_loss'].sum()!r}\n")


if __name__ == "__main__":
    main()
