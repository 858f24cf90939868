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
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cmapjax.arguments._checks import short
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import _about, _disk, _lock, _ranges
from cmapjax.studies.results._errors import Damaged, ResultsError, shown
from cmapjax.studies.results._parquet import (
    check_rows,
    checked,
    declared,
    decoded,
    encoded,
    split_name,
)
from cmapjax.studies.results._verify import DAMAGED, RUNS, Finding, inspect

SUMMARY, CURVES = "summary", "curves"
KINDS = (CURVES, SUMMARY)  # in the order of writing: a chunk counts once its summary is there
# What a file of a chunk says of itself.
_TAGS = (b"cmapjax.study", b"cmapjax.chunk", b"cmapjax.kind")
_KNOWN = {_about.STUDY, *KINDS, RUNS, DAMAGED, _lock.LOCK, "log.txt", "report.html", "cancel"}


class Results:
    """The results folder of a study: read by anyone at any time, written to by whoever runs the study.

    Attributes:
        folder: where it is.
        about: what study.json says.
        digest: what the study's files are known by.
        is_announced: whether this object is the one that runs the study (`announce`).
    """

    def __init__(self, folder):
        """Open a results folder.

        Raises:
            Damaged: its study.json is missing or altered.
            ResultsError: there is no such folder, or it is of another format.
        """
        self.folder = _as_folder(folder)
        _disk.check_folder(self.folder, _KNOWN)
        self.about = _about.read_about(self.folder)
        self.digest = _about.digest_of_study(self.about)
        self._made = _about.circumstances(self.about)
        self.is_announced = False

    @classmethod
    def begin(cls, folder, study: dict, *, mixed: bool = False, **about) -> "Results":
        """A new folder, or one that holds this very study.

        Args:
            folder: where the results go; made if its parent exists.
            study: the study's description, plain JSON.
            mixed: go on with other versions or on another device than it was begun with.
            about: what else study.json says: `plan` (names of all chunks), `text` (of the study file),
                `sources` (of strategies of the user's own), `device`, `precision`, `cells`, `rows`, …

        Returns:
            The results, open. What is there already of the study is kept.

        Raises:
            ResultsError: the folder holds another study (what differs is named) or anything else.
            OSError: it cannot be written to.
        """
        folder = _as_folder(folder)
        wanted = _about.new_about(study, about)
        for name in wanted.get("plan") or ():
            Chunk.named(name)
        _disk.make_folder(folder)
        _disk.check_folder(folder, _KNOWN)
        if not os.path.lexists(folder / _about.STUDY):
            _check_vacant(folder, _about.digest_of_study(wanted))
            _disk.put(folder / _about.STUDY, _about.render(wanted))
        found = cls(folder)
        found.check_same(mixed, **({"sources": None} | wanted))
        return found

    def check_same(self, mixed: bool = False, **about) -> None:
        """Check that a run goes on with the same study, under the same circumstances.

        Args:
            mixed: allow other versions and another device; the files written from now on say so.
            about: what study.json would say of them if the study began now, as far as known.

        Raises:
            ResultsError: it does not; what differs is named.
        """
        about = {"versions": _about.versions()} | about
        _about.check_same(self.folder, self.about, about, mixed)
        self._made = _about.circumstances(self.about | about)

    @property
    def plan(self) -> list[Chunk]:
        """All chunks of the study, in the order of playing."""
        return [Chunk.named(name) for name in self.about.get("plan") or ()]

    @property
    def has_curves(self) -> bool:
        """Whether the study records curves: then a chunk without them is not whole."""
        return (self.about["study"].get("record") or {}).get("curves", "none") != "none"

    # -- what is there ---------------------------------------------------------------------------------

    def chunks(self, kind: str = SUMMARY) -> dict[str, Path]:
        """The files of that kind by chunk, in order of ground and market, of all whole chunks.

        Of several files of one chunk the first counts; of chunks that overlap the larger.
        """
        files = {each: self._files(each) for each in KINDS}
        names = set(files[SUMMARY])
        if self.has_curves:
            names &= set(files[CURVES])
        kept = [chunk.name for chunk in _ranges.without_overlaps(map(Chunk.named, names))]
        if kind == SUMMARY:
            return {name: files[SUMMARY][name][0] for name in kept}
        return {name: self._curves_of(name, files) for name in kept if name in files[CURVES]}

    def _files(self, kind: str) -> dict[str, list[Path]]:
        """Files by chunk, by the look of their names."""
        found: dict[str, list[Path]] = {}
        for file in _disk.listed(self.folder / kind):
            path = self.folder / kind / file
            with contextlib.suppress(ValueError):  # no chunk
                found.setdefault(Chunk.named(split_name(path)[0]).name, []).append(path)
        return found

    def _curves_of(self, name: str, files: dict) -> Path:
        """The curves that the chunk's summary was written with, if there are several."""
        if len(files[CURVES][name]) > 1:
            digest = declared(files[SUMMARY][name][0]).metadata.get(b"cmapjax.curves", b"").decode()
            for path in files[CURVES][name]:
                if split_name(path)[1] == digest:
                    return path
        return files[CURVES][name][0]

    def lacking(self, plan: Iterable[Chunk] | None = None) -> list[Chunk]:
        """What is left to play of a plan (the study's own by default): whole chunks, or halves of them."""
        return _ranges.lacking(self.plan if plan is None else plan, map(Chunk.named, self.chunks()))

    def runs(self) -> list[dict]:
        """What has been noted of every run that ended, in order.

        Raises:
            Damaged: a note is altered.
        """
        return [json.loads(checked(self.folder / RUNS / name)) for name in _disk.listed(self.folder / RUNS)
                if not _disk.is_draft(name)]  # fmt: skip

    def failed(self) -> dict[str, str]:
        """Chunks that runs have given up, with the reason; not those whose markets were played since."""
        given_up = {name: why for run in self.runs() for name, why in (run.get("failed") or {}).items()}
        done = [Chunk.named(name) for name in self.chunks()]
        return {name: why for name, why in given_up.items() if _ranges.lacking([Chunk.named(name)], done)}

    def runner(self) -> str | None:
        """Who is running the study now, as far as the disk can tell."""
        return _lock.runner(self.folder)

    # -- reading and writing ---------------------------------------------------------------------------

    def read(self, path: Path, columns: Sequence[str] | None = None):
        """The table of a chunk's file, checked against its name, its study and its chunk.

        Args:
            path: one of `chunks()`.
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
        """The chunks' tables (pyarrow) one after another, each checked; of one ground, or of all."""
        for name, path in self.chunks(kind).items():
            if ground is None or Chunk.named(name).ground == ground:
                yield self.read(path, columns)

    def num_rows(self, kind: str = SUMMARY) -> dict[str, int]:
        """How many rows the files of each chunk declare; nothing else of them is read."""
        return {name: declared(path).num_rows for name, path in self.chunks(kind).items()}

    def write(self, name: str, *, summary, curves=None) -> None:
        """Keep a chunk: whole or not at all, for good once this returns.

        Args:
            name: of the chunk.
            summary: one row per market and cell, a pyarrow table.
            curves: what was recorded round by round; None if the study records none.

        Raises:
            ValueError: not a chunk's name; rows of other markets; curves that the study does not record.
            OSError: the disk is full, or worse; nothing is left behind.
        """
        check_rows(Chunk.named(name), summary)
        if (curves is not None) != self.has_curves:
            raise ResultsError(
                f"chunk {name} has {'no ' if curves is None else ''}curves; the study says otherwise."
            )
        digest = ""
        for kind, table in ((CURVES, curves), (SUMMARY, summary)):
            if table is not None:
                tags = {"study": self.digest, "chunk": name, "kind": kind, "made": _plain(self._made)}
                data = encoded(table, tags | ({"curves": digest} if digest else {}))
                digest = self._put(kind, name, data, "parquet")

    def note_run(self, **about) -> None:
        """Keep what a run took, and what it gave up (`failed`: reasons by chunk); `ended` is added."""
        about = {"ended": _about.now(), **about}
        self._put(RUNS, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), _plain(about).encode(), "json")

    def _put(self, place: str, label: str, data: bytes, ending: str) -> str:
        """Write a file under a name of its own, unless it is there; the last part of the name."""
        digest = _disk.digest_of(data)
        path = self.folder / place / f"{label}-{digest}.{ending}"
        _disk.make_folder(path.parent)
        if not path.exists() or _disk.read(path) != data:
            _disk.put(path, data)
        return digest

    @contextlib.contextmanager
    def announce(self) -> Iterator[None]:
        """Be the one runner of this folder for as long as the block lasts.

        Raises:
            Busy: another process is; it is named, and since when.
            OSError: the folder cannot be written to.
        """
        with _lock.announced(self.folder):
            self.is_announced = True
            try:
                yield
            finally:
                self.is_announced = False

    def verify(self, repair: bool = False) -> list:
        """Read everything and name what is not as it was written; see the function `verify`."""
        return inspect(self, repair)


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
        results = Results(folder)
    except Damaged as error:
        if not os.path.lexists(error.path):
            raise
        if repair:
            with _lock.announced(error.path.parent):
                _disk.put_aside(error.path, error.path.parent / DAMAGED)
        remedy = f"put aside in {DAMAGED}/" if repair else f"--repair puts it aside in {DAMAGED}/"
        return [Finding(_about.STUDY, error.what, f"{remedy}; {error.remedy}")]
    return results.verify(repair)


def _check_vacant(folder: Path, digest: str) -> None:
    """Raise unless the folder holds nothing but chunks of this study, whose study.json was lost."""
    _about.check_not_format_1(folder)
    foreign = [name for name in _disk.listed(folder) if name not in _KNOWN and not _disk.is_draft(name)]
    if foreign:
        raise ResultsError(f"{shown(folder)} is not empty (it holds {short(foreign[0])}); name a new folder.")
    for name in _disk.listed(folder / SUMMARY):
        path = folder / SUMMARY / name
        if not _disk.is_draft(name) and declared(path).metadata.get(_TAGS[0]) != digest.encode():
            raise Damaged(path, "belongs to another study", "name a new folder")


def _as_folder(folder) -> Path:
    if (
        not isinstance(folder, (str, os.PathLike))
        or isinstance(os.fspath(folder), bytes)
        or "\0" in str(folder)
    ):
        raise ResultsError(f"folder is {short(folder)}; give the path of a results folder.")
    return Path(folder)


def _plain(document: dict) -> str:
    return json.dumps(document, allow_nan=False, separators=(",", ":"))
