"""The beginning of a results folder, and what may go into it."""

import math
import os
from pathlib import Path

from cmapjax.arguments._checks import short
from cmapjax.studies._store._catalogue import ENDING, names_in
from cmapjax.studies._store._disk import make_folder, put, sync_folder, trouble
from cmapjax.studies._store._errors import Damaged, StoreError, shown
from cmapjax.studies._store._journal import JOURNAL, beginning, line_of
from cmapjax.studies._store._lease import LOCK
from cmapjax.studies._store._manifest import MANIFEST, STUDY_FILE, stamp, write_manifest
from cmapjax.studies._store._names import KINDS, SUMMARY, Range
from cmapjax.studies._store._parquet import load, strange_columns

DAMAGED = "damaged"
PLACES = (MANIFEST, JOURNAL, STUDY_FILE, *KINDS, LOCK, DAMAGED, "log.txt")


def begin(folder: Path, manifest: dict, study_text: str | None) -> None:
    """Lay out a new folder; the manifest comes last, so that a folder with one is complete."""
    for kind in KINDS:
        make_folder(folder / kind)
    if study_text is not None:
        put(folder / STUDY_FILE, study_text.encode())
        # As the file says, so that a manifest that is rebuilt from the files says the same.
        manifest["created"] = stamp((folder / STUDY_FILE).stat().st_mtime)
    put(folder / JOURNAL, line_of(beginning(manifest, study_text)))
    write_manifest(folder, manifest)
    with trouble(folder):
        sync_folder(folder.absolute().parent)


def check_empty(folder: Path, own: str | None) -> None:
    """Raise unless the folder holds nothing but what a creation that was cut short leaves.

    Chunks of the study of digest `own` may be there as well: their manifest was lost.
    """
    ours, drafts = {*PLACES} - ({DAMAGED} if own is None else set()), (".cmapjax-", f".{LOCK}-")
    foreign = [
        name for name in sorted(os.listdir(folder)) if name not in ours and not name.startswith(drafts)
    ]
    names = names_in(folder, SUMMARY)
    if names and not any(_study_of(folder / SUMMARY / f"{name}{ENDING}") == own for name in names):
        raise Damaged(
            folder / MANIFEST,
            "is missing, though there are results",
            f"`cmapjax study verify {shown(folder)} --repair` writes it anew from them",
        )
    if foreign:
        raise StoreError(f"{shown(folder)} is not empty (it holds {short(foreign[0])}); name a new folder.")


def check_rows(chunk: Range, summary) -> None:
    """Raise unless the rows are of the chunk's markets, each once per cell."""
    import pyarrow.compute as pc

    if strange := strange_columns(summary.schema):
        raise StoreError(f"summary of {chunk.name}: column {strange[0]}; give numbers or text.")
    for name in ("cell", "ground", "market"):
        if name not in summary.column_names:
            raise StoreError(f"summary of {chunk.name} lacks the column {name!r}.")
    if not summary.num_rows:
        raise StoreError(f"summary of {chunk.name} has no rows.")
    markets, grounds = pc.min_max(summary["market"]).as_py(), pc.min_max(summary["ground"]).as_py()
    if markets["min"] < chunk.first or markets["max"] >= chunk.end or set(grounds.values()) != {chunk.ground}:
        raise StoreError(
            f"summary of {chunk.name} holds markets {markets['min']} to {markets['max']} of ground "
            f"{grounds['min']}; its name says otherwise."
        )
    pairs = summary.select(["cell", "market"]).group_by(["cell", "market"]).aggregate([])
    if pairs.num_rows != summary.num_rows:
        raise StoreError(f"summary of {chunk.name} has several rows for one cell and market.")


def plain_timings(timings: dict) -> dict[str, float]:
    return {str(key): round(float(value), 6) for key, value in timings.items() if math.isfinite(value)}


def _study_of(file: Path) -> str:
    """The digest of the study that a chunk says it belongs to."""
    try:
        return load(file, only_tags=True).tags.study
    except (Damaged, OSError):
        return ""
