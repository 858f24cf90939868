"""Results of a study: a folder of Parquet files that are never changed, each named after what it holds.

    study.json                                          what is played, by what; written once
    summary/g00000-m0000000-n000250-<16 hex>.parquet    one row per market and cell
    curves/g00000-m0000000-n000250-<16 hex>.parquet     what was recorded round by round
    runs/20261129T180309Z-<16 hex>.json                 what a run took, and what it gave up

The last part of a name is the beginning of the file's SHA-256, so a file is whole and its own, or it is not
used. The listing of the folder is the catalogue; nothing has to be kept in step. A chunk that is written
twice has the same name, so two runners that do not know of each other waste work and spoil nothing.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cmapjax.studies._chunks import Chunk, lacking, without_overlaps
from cmapjax.studies.results import _about, _disk, _frames, _lock
from cmapjax.studies.results._disk import Damaged
from cmapjax.studies.results._parquet import checked, declared, decoded, split_name
from cmapjax.studies.results._verify import CURVES, DAMAGED, KINDS, RUNS, SUMMARY, Finding, inspect

# What a file of a chunk says of itself.
_TAGS = (b"cmapjax.study", b"cmapjax.chunk", b"cmapjax.kind")


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
    return StudyResults(folder)


class StudyResults:
    """What a study has come to. Files are read when they are asked for.

    Attributes:
        folder: where it is.
        about: what study.json says: the study, its text and plan, versions, commit, device, when it began.
        digest: what the study's files are known by.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        _disk.check_folder(self.folder)
        self.about = _about.read_about(self.folder)
        self.digest = _about.digest_of_study(self.about)

    def __repr__(self) -> str:
        what = f"{sum(self.num_rows().values()):,} rows in {len(self.chunks):,} chunks"
        return f"StudyResults({self.study['name']!r}: {what}, {self.folder})"

    # -- what is there ---------------------------------------------------------------------------------

    @property
    def study(self) -> dict:
        """The study's description, as data; `cmapjax.studies.Study(**results.study)` is the study itself."""
        return self.about["study"]

    @property
    def axes(self) -> list[str]:
        """The names of the study's axes, in order."""
        tables = [self.study.get("grid"), *(self.study.get("zip") or ()), self.study.get("sample")]
        names = [name for table in (*tables, *(self.study.get("list") or ())) for name in table or ()]
        return [name for name in dict.fromkeys(names) if name not in ("method", "number")]

    @property
    def plan(self) -> list[Chunk]:
        """All chunks of the study, in the order of playing."""
        return [Chunk.named(name) for name in self.about.get("plan") or ()]

    @property
    def has_curves(self) -> bool:
        """Whether the study records curves: then a chunk without them is not whole."""
        return (self.study.get("record") or {}).get("curves", "none") != "none"

    @property
    def chunks(self) -> dict[str, Path]:
        """The summaries of finished chunks, by name."""
        return self.files(SUMMARY)

    def files(self, kind: str) -> dict[str, Path]:
        """The files of that kind by chunk, in order of ground and market, of all whole chunks.

        Of several files of one chunk the first counts; of chunks that overlap the larger.
        """
        found = {each: self._named(each) for each in KINDS}
        names = set(found[SUMMARY])
        if self.has_curves:
            names &= set(found[CURVES])
        kept = [chunk.name for chunk in without_overlaps(map(Chunk.named, names))]
        if kind == SUMMARY:
            return {name: found[SUMMARY][name][0] for name in kept}
        return {name: self._curves_of(name, found) for name in kept if name in found[CURVES]}

    def _named(self, kind: str) -> dict[str, list[Path]]:
        """Files by chunk, by the look of their names."""
        found: dict[str, list[Path]] = {}
        for file in _disk.listed(self.folder / kind):
            path = self.folder / kind / file
            with contextlib.suppress(ValueError):  # no chunk
                found.setdefault(Chunk.named(split_name(path)[0]).name, []).append(path)
        return found

    def _curves_of(self, name: str, found: dict) -> Path:
        """The curves that the chunk's summary was written with, if there are several."""
        if len(found[CURVES][name]) > 1:
            digest = declared(found[SUMMARY][name][0]).metadata.get(b"cmapjax.curves", b"").decode()
            for path in found[CURVES][name]:
                if split_name(path)[1] == digest:
                    return path
        return found[CURVES][name][0]

    @property
    def lacking(self) -> list[Chunk]:
        """What is left to play of the study's plan: whole chunks, or halves of them."""
        return lacking(self.plan, map(Chunk.named, self.chunks))

    @property
    def runs(self) -> list[dict]:
        """What every run that ended has noted, in order: when, how long it took, timings by stage.

        Raises:
            Damaged: a note is altered.
        """
        names = [name for name in _disk.listed(self.folder / RUNS) if not _disk.is_draft(name)]
        return [json.loads(checked(self.folder / RUNS / name)) for name in names]

    @property
    def failed(self) -> dict[str, str]:
        """Chunks that runs have given up, with the reason; not those whose markets were played since."""
        given_up = {name: why for run in self.runs for name, why in (run.get("failed") or {}).items()}
        done = [Chunk.named(name) for name in self.chunks]
        return {name: why for name, why in given_up.items() if lacking([Chunk.named(name)], done)}

    def runner(self) -> str | None:
        """Who is running the study now, as far as the disk can tell."""
        return _lock.runner(self.folder)

    # -- tables ----------------------------------------------------------------------------------------

    def read(self, path: Path, columns: Sequence[str] | None = None):
        """The table of a chunk's file, checked against its name, its study and its chunk.

        Args:
            path: one of `files(…)`.
            columns: the names of those to read; all by default.

        Returns:
            A pyarrow table.

        Raises:
            Damaged: the file is missing, altered, cut short, of another study or another chunk.
        """
        table = decoded(path, checked(path), columns)
        metadata = table.schema.metadata or {}
        study, chunk, kind = (metadata.get(key, b"?").decode() for key in _TAGS)
        if study != self.digest:
            raise Damaged(path, f"belongs to another study (digest {study[:12]}…)")
        if (chunk, kind) != (split_name(path)[0], path.parent.name):
            raise Damaged(path, f"is the {kind} of chunk {chunk} under another name")
        return table

    def tables(self, kind: str = SUMMARY, columns: Sequence[str] | None = None, ground: int | None = None):
        """The chunks' tables (pyarrow) one after another, each checked: for what does not fit in memory.

        Args:
            kind: "summary" or "curves".
            columns: the names of those to read; all by default.
            ground: the number of the one whose chunks are read; all by default.

        Returns:
            An iterator over pyarrow tables, in order of ground and market.

        Raises:
            ValueError: a damaged file.
        """
        for name, path in self.files(kind).items():
            if ground is None or Chunk.named(name).ground == ground:
                yield self.read(path, columns)

    def num_rows(self, kind: str = SUMMARY) -> dict[str, int]:
        """How many rows the files of each chunk declare; nothing else of them is read."""
        return {name: declared(path).num_rows for name, path in self.files(kind).items()}

    def frame(
        self,
        columns: Sequence[str] | None = None,
        cells: Iterable[int] | None = None,
        ground: int | None = None,
    ):
        """One row per market and cell, as a pandas DataFrame sorted by cell and market.

        docs/results.md says what the columns are; `frame.attrs["units"]` has their units.

        Args:
            columns: the names of those wanted; all by default.
            cells: the numbers of the cells wanted; all by default.
            ground: the number of the one whose cells are wanted; all by default.

        Returns:
            The frame; nulls are NaN.

        Raises:
            ValueError: a damaged file; an unknown column or cell; more than half the memory, and what fits.
        """
        return _frames.frame(self, columns, cells, ground)

    def curves(self, cells: Iterable[int] | None = None):
        """Quantiles over markets, round by round, as a pandas DataFrame; None if no curves were recorded.

        Columns: cell, round, metric, q05, q25, q50, q75, q95 and count (markets). From sketches quantiles are
        right to 1 %; the value of rank ⌊q (n - 1)⌋ of n. What is no finite number takes part: infinities
        at their end, NaN last. Curves of single markets, where recorded in full, are in `tables("curves")`;
        the memory that quantiles take does not depend on how many markets there are.

        Args:
            cells: the numbers of the cells wanted; all by default.

        Raises:
            ValueError: a damaged file; an unknown cell.
        """
        return _frames.curves(self, cells)

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
        `quantile`. Axes that go together (of a zip, of the sample; all, if cells are listed) share one
        dimension, named after all of them, and are its coordinates.

        Raises:
            ValueError: a damaged file; more than the memory holds.
            ImportError: xarray is missing (`pip install 'cmapjax[study]'`).
        """
        from cmapjax.studies.results import _export

        return _export.dataset(self)

    def to_csv(self, path) -> None:
        """Write the summary as CSV (`.csv`, `.csv.gz`); a file there is replaced, whole or not at all.

        Text that a spreadsheet would run as a formula (= + - @ first) gets an apostrophe in front. Rows are
        in the order of the chunks: by ground, then some markets at a time, then by cell and market.

        Args:
            path: of the file.

        Raises:
            ValueError: an ending that is not known, a damaged file, a path that cannot be written.
        """
        from cmapjax.studies.results import _export

        _export.to_csv(self, path)

    def to_netcdf(self, path) -> None:
        """Write `dataset()` as netCDF 4, whole or not at all; a file that is there is replaced.

        Args:
            path: of the file.

        Raises:
            ValueError: an ending other than `.nc`, a damaged file, a path that cannot be written.
            ImportError: xarray or h5netcdf is missing (`pip install 'cmapjax[study]'`).
        """
        from cmapjax.studies.results import _export

        _export.to_netcdf(self, path)


def verify(folder, repair: bool = False) -> list[Finding]:
    """Read everything in a results folder and name what is not as it was written.

    Args:
        folder: the results folder.
        repair: put files that are damaged or not used aside, into damaged/; nothing is deleted. Then the
            chunks that are lacking are played again when the study is resumed, and no others.

    Returns:
        What was found, in order of names; empty if all is well. Chunks that are lacking are named too.

    Raises:
        Damaged: there is no study.json.
        ResultsError: there is no such folder, or it is of another format.
        Busy: `repair`, while a study runs there.
        OSError: the folder cannot be read, or not be repaired.
    """
    try:
        results = StudyResults(folder)
    except Damaged as error:
        if not os.path.lexists(error.path):
            raise
        if repair:
            with _lock.announced(error.path.parent):
                _disk.put_aside(error.path, error.path.parent / DAMAGED)
        remedy = f"put aside in {DAMAGED}/" if repair else f"--repair puts it aside in {DAMAGED}/"
        return [Finding(_about.STUDY, error.what, f"{remedy}; {error.remedy}")]
    return inspect(results, repair)
