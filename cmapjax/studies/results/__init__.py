"""Results of studies on disk: immutable files named by content, checked whenever they are read.

docs/results.md describes the format, version 2. Nothing in here needs JAX, and nothing in a results folder is
ever executed.
"""

from cmapjax.studies.results._diff import Difference, diff
from cmapjax.studies.results._disk import Busy, Damaged, ResultsError
from cmapjax.studies.results._results import StudyResults, open_study, verify
from cmapjax.studies.results._verify import Finding
from cmapjax.studies.results._writing import Results

__all__ = [
    "Busy",
    "Damaged",
    "Difference",
    "Finding",
    "Results",
    "ResultsError",
    "StudyResults",
    "diff",
    "open_study",
    "verify",
]
