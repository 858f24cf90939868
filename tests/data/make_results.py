"""Writes results-v1/, a small results folder of format version 1, from the tables of the tests.

It stays as it is: later versions of cmapjax must open it. Run `python tests/data/make_results.py` to make
one for a later format, under another name.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import tables  # noqa: E402 - beside the tests

from cmapjax.studies._store import Store, open_study  # noqa: E402


def main() -> None:
    """Two grounds of three markets, one of them in two chunks, with sketches of curves."""
    document = tables.document(markets=3)
    text = 'name = "degree-and-strategy"\nseed = 7\nmarkets = 3\n'
    folder = HERE / "results-v1"
    store = Store.create(folder, document, tables.digest(document), {"device": "cpu"}, study_text=text)
    with store.lock():
        for ground, first, count in [(0, 0, 3), (1, 0, 2), (1, 2, 1)]:
            store.write(tables.name(ground, first, count), tables.result(ground, first, count))
        store.note_run({"seconds": 1.0, "workers": 1})
    (folder / "values-digest.txt").write_text(store.values_digest() + "\n")
    (folder / "sum.txt").write_text(f"{float(open_study(folder).frame()['market_loss'].sum())!r}\n")


if __name__ == "__main__":
    main()
