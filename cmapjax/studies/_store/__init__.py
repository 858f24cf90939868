"""Results of studies on disk: open formats, written whole or not at all, checked whenever they are read.

A results folder holds study.toml, manifest.json, journal.jsonl, one Parquet file per chunk under summary/
and curves/, a log and a report. docs/results.md describes the format, version 1. Nothing in here needs JAX,
and nothing in a results folder is ever executed.
"""

from cmapjax.studies._store._catalogue import Entry, File
from cmapjax.studies._store._diff import Difference, diff
from cmapjax.studies._store._errors import Busy, Damaged, Newer, StoreError
from cmapjax.studies._store._names import Range
from cmapjax.studies._store._results import StudyResults, open_study
from cmapjax.studies._store._store import Store
from cmapjax.studies._store._verify import Finding, verify

__all__ = [
    "Busy",
    "Damaged",
    "Difference",
    "Entry",
    "File",
    "Finding",
    "Newer",
    "Range",
    "Store",
    "StoreError",
    "StudyResults",
    "diff",
    "open_study",
    "verify",
]
