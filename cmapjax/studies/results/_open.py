"""Results of a study as frames and labelled arrays, read from its folder and checked on the way."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import _dataset, _export, _frames
from cmapjax.studies.results._results import SUMMARY, Results


def open_study(folder) -> "StudyResults":
    """The results of a study, as far as it has been played.

    Nothing in the folder is executed. Every file is compared with its checksum when it is read.

    Args:
        folder: a results folder, made by `cmapjax study run`.

    Returns:
        The results. Nothing but study.json has been read yet.

    Raises:
        ValueError: there is no such folder; it is of another format; its study.json is missing or altered.
    """
    return StudyResults(Results(folder))


class StudyResults:
    """What a study has come to. Files are read when they are asked for."""

    def __init__(self, results: Results):
        self._results = results

    def __repr__(self) -> str:
        rows = sum(self._results.num_rows().values())
        what = f"{rows:,} rows in {len(self.chunks):,} chunks"
        return f"StudyResults({self.study['name']!r}: {what}, {self.folder})"

    @property
    def folder(self) -> Path:
        """Where the results are."""
        return self._results.folder

    @property
    def about(self) -> dict:
        """What study.json says: the study, its text and its plan, versions, commit, device, when it began."""
        return self._results.about

    @property
    def study(self) -> dict:
        """The study's description, as data; `cmapjax.studies.Study(**results.study)` is the study itself."""
        return self.about["study"]

    @property
    def axes(self) -> list[str]:
        """The names of the study's axes, in order."""
        return axes_of(self.study)

    @property
    def chunks(self) -> dict[str, Path]:
        """The files of finished chunks, by name."""
        return self._results.chunks()

    @property
    def lacking(self) -> list[Chunk]:
        """What is left to play of the study's plan."""
        return self._results.lacking()

    @property
    def failed(self) -> dict[str, str]:
        """Chunks that could not be played, with the reason."""
        return self._results.failed()

    @property
    def runs(self) -> list[dict]:
        """What every run that ended has noted: when, how long it took, timings by stage."""
        return self._results.runs()

    def tables(self, kind: str = SUMMARY, columns: Sequence[str] | None = None):
        """The chunks' tables (pyarrow) one after another, each checked: for what does not fit in memory.

        Args:
            kind: "summary" or "curves".
            columns: the names of those to read; all by default.

        Returns:
            An iterator over pyarrow tables, in order of ground and market.

        Raises:
            ValueError: a damaged file.
        """
        return self._results.tables(kind, columns)

    def frame(self, columns: Sequence[str] | None = None, cells: Iterable[int] | None = None):
        """One row per market and cell, as a pandas DataFrame sorted by cell and market.

        docs/results.md says what the columns are; `frame.attrs["units"]` has their units.

        Args:
            columns: the names of those wanted; all by default.
            cells: the numbers of the cells wanted; all by default.

        Returns:
            The frame; nulls are NaN.

        Raises:
            ValueError: a damaged file; an unknown column or cell; more than half the memory, and what fits.
        """
        return _frames.frame(self._results, columns, cells)

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
        return _frames.curves(self._results, cells)

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
        return _dataset.dataset(self)

    def to_csv(self, path) -> None:
        """Write the summary as CSV (`.csv`, `.csv.gz`); a file there is replaced, whole or not at all.

        Text that a spreadsheet would run as a formula (= + - @ first) gets an apostrophe in front. Rows are
        in the order of the chunks: by ground, then some markets at a time, then by cell and market.

        Args:
            path: of the file.

        Raises:
            ValueError: an ending that is not known, a damaged file, a path that cannot be written.
        """
        _export.to_csv(self, path)

    def to_netcdf(self, path) -> None:
        """Write `dataset()` as netCDF 4, whole or not at all; a file that is there is replaced.

        Args:
            path: of the file.

        Raises:
            ValueError: an ending other than `.nc`, a damaged file, a path that cannot be written.
            ImportError: xarray or h5netcdf is missing (`pip install 'cmapjax[study]'`).
        """
        _export.to_netcdf(self, path)


def axes_of(document: dict) -> list[str]:
    """The names of a description's axes, in the order in which they appear."""
    names = list(document.get("grid") or {})
    for table in document.get("zip") or ():
        names += table
    names += [name for name in document.get("sample") or {} if name not in ("method", "number")]
    for table in document.get("list") or ():
        names += table
    return list(dict.fromkeys(names))
