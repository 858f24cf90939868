"""Results of a study as frames and labelled arrays, read from its folder and checked on the way."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cmapjax.studies._store._catalogue import Entry, catalogue, inspect, load_of, names_in
from cmapjax.studies._store._errors import Damaged, StoreError, shown
from cmapjax.studies._store._journal import check_whole, read_journal
from cmapjax.studies._store._manifest import check_study_file, read_manifest
from cmapjax.studies._store._names import KINDS, SUMMARY, as_folder, as_range, overlaps, refuse_links


def open_study(folder) -> "StudyResults":
    """The results of a study, as far as it has been played.

    Nothing in the folder is executed, and no file is read before its size is checked against the memory
    budget (a quarter of the memory, at most 2 GiB). Every file is compared with its checksum when it is read.

    Args:
        folder: a results folder, made by `cmapjax study run`.

    Raises:
        ValueError: there is no such folder; one of its files is missing, altered, cut short or of another
            study (the file is named: `cmapjax study verify DIR --repair` puts aside what is damaged); it was
            written by a later version of cmapjax.
    """
    folder = as_folder(folder)
    if not folder.is_dir():
        raise StoreError(f"{shown(folder)}: there is no such folder; check the name.")
    refuse_links(folder, ("manifest.json", "journal.jsonl", "study.toml", *KINDS))
    manifest = read_manifest(folder)
    check_study_file(folder, manifest)
    journal = read_journal(folder)
    check_whole(folder, journal)
    found = catalogue(journal)
    entries = dict(found.finished)
    # A run that was killed may have written a chunk and no line of it: then the chunk itself is checked.
    for name in set(names_in(folder, SUMMARY)) - set(entries):
        entries[name] = inspect(folder, name, manifest["digest"])
    if twice := overlaps(map(as_range, entries)):
        first, second = twice[0]
        raise Damaged(folder / SUMMARY, f"{first.name} and {second.name} hold the same markets")
    failed = {name: why for name, why in found.failed.items() if name not in entries}
    return StudyResults(folder, manifest, dict(sorted(entries.items())), failed)


class StudyResults:
    """What a study has come to.

    Attributes:
        folder: where the results are.
        manifest: what manifest.json says: versions, commit, device, seeds, when, how long.
        chunks: the finished chunks by name, with their checksums, rows and timings.
        failed: chunks that could not be played, with the reason.
    """

    def __init__(self, folder: Path, manifest: dict, chunks: dict[str, Entry], failed: dict[str, str]):
        self.folder, self.manifest, self.chunks, self.failed = folder, manifest, chunks, failed

    def __repr__(self) -> str:
        rows = sum(entry.rows for entry in self.chunks.values())
        what = f"{rows:,} rows in {len(self.chunks):,} chunks"
        return f"StudyResults({self.study['name']!r}: {what}, {self.folder})"

    @property
    def study(self) -> dict:
        """The study's description, as data; `cmapjax.studies.Study(**results.study)` is the study itself."""
        return self.manifest["study"]

    @property
    def axes(self) -> list[str]:
        """The names of the study's axes, in order."""
        return axes_of(self.study)

    def tables(self, kind: str = SUMMARY, columns: Sequence[str] | None = None):
        """The chunks' tables (pyarrow) one after another, each checked: for what does not fit in memory.

        Args:
            kind: "summary" or "curves".
            columns: the names of those to read; all by default.
        """
        for name, entry in self.chunks.items():
            if file := entry.files().get(kind):
                yield load_of(
                    self.folder, kind, name, self.manifest["digest"], file=file, columns=columns
                ).table

    def frame(self, columns: Sequence[str] | None = None, cells: Iterable[int] | None = None):
        """One row per market and cell, as a pandas DataFrame sorted by cell and market.

        docs/results.md says what the columns are; `frame.attrs["units"]` has their units.

        Args:
            columns: the names of those wanted; all by default.
            cells: the numbers of the cells wanted; all by default.

        Raises:
            ValueError: a damaged file; an unknown column or cell; more than half the memory, and what fits.
        """
        from cmapjax.studies._store._frames import frame

        return frame(self, columns, cells)

    def curves(self, cells: Iterable[int] | None = None):
        """Quantiles over markets, round by round, as a pandas DataFrame; None if no curves were recorded.

        Columns: cell, round, metric, q05, q25, q50, q75, q95 and count (markets). From sketches quantiles are
        right to 1 %; the value of rank ⌊q (n - 1)⌋ of n. What is no finite number takes part: infinities
        at their end, NaN last. Curves of single markets, where recorded in full, are in `tables("curves")`;
        the memory that quantiles take does not depend on how many markets there are.

        Args:
            cells: the numbers of the cells wanted; all by default.

        Raises:
            ValueError: a damaged file; an unknown cell; quantiles that take more than half the memory.
        """
        from cmapjax.studies._store._frames import curves

        if not any(entry.curves for entry in self.chunks.values()):
            return None
        return curves(self, cells)

    def intervals(self):
        """Per cell the mean by which the study stops drawing markets, and its 95 % interval, as a DataFrame.

        Columns: cell, metric, markets, mean, low, high and `is_reached`: whether that is as narrow as asked.
        With probability 95 % the interval has the mean over all markets that could be drawn, however often
        it has been looked at. Mean and ends are NaN where a market's metric is not finite. None if the study
        has no `[stop] interval`, or nothing has been played.

        Raises:
            ValueError: a damaged file.
        """
        from cmapjax.studies import mean_intervals

        asked = (self.study.get("stop") or {}).get("interval")
        if not asked or not self.chunks:
            return None
        return mean_intervals(self.study, self.frame(["cell", "market", asked["metric"]]))

    def only(self, chunks: dict[str, Entry]) -> "StudyResults":
        """The same results, of these chunks alone."""
        return StudyResults(self.folder, self.manifest, chunks, {})

    def dataset(self):
        """The results as an xarray Dataset, its dimensions named after the study's axes, and `market`.

        Every number of the summary is a variable over the axes and `market`; `num_played` counts the markets
        of every cell (0 where the study has none), `curve_<metric>` has quantiles over the axes, `round` and
        `quantile`. Axes that were drawn together (a sample, explicit cells) and would leave most of their
        product empty share one dimension, named after all of them.

        Raises:
            ValueError: a damaged file; more than the memory holds.
            ImportError: xarray is missing (`pip install 'cmapjax[study]'`).
        """
        from cmapjax.studies._store._dataset import dataset

        return dataset(self)

    def to_csv(self, path) -> None:
        """Write the summary as CSV (`.csv`, `.csv.gz`); a file there is replaced, whole or not at all.

        Text that a spreadsheet would run as a formula (= + - @ first) gets an apostrophe in front.

        Raises:
            ValueError: an ending that is not known, a damaged file, a path that cannot be written.
        """
        from cmapjax.studies._store._export import to_csv

        to_csv(self, path)

    def to_netcdf(self, path) -> None:
        """Write `dataset()` as netCDF 4, whole or not at all; a file that is there is replaced.

        Raises:
            ValueError: an ending other than `.nc`, a damaged file, a path that cannot be written.
            ImportError: xarray or h5netcdf is missing (`pip install 'cmapjax[study]'`).
        """
        from cmapjax.studies._store._export import to_netcdf

        to_netcdf(self, path)


def axes_of(document: dict) -> list[str]:
    """The names of a description's axes, in the order in which they appear."""
    names = list(document.get("grid") or {})
    for table in document.get("zip") or ():
        names += table
    names += [name for name in document.get("sample") or {} if name not in ("method", "number")]
    for table in document.get("list") or ():
        names += table
    return list(dict.fromkeys(names))
