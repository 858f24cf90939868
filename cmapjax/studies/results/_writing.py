"""The results folder of a study as whoever runs the study sees it."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from cmapjax.arguments._checks import short
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import _about, _disk, _lock
from cmapjax.studies.results._disk import Damaged, ResultsError, shown
from cmapjax.studies.results._parquet import declared, encoded
from cmapjax.studies.results._results import StudyResults
from cmapjax.studies.results._verify import CURVES, DAMAGED, KINDS, RUNS, SUMMARY

_KNOWN = {_about.STUDY, *KINDS, RUNS, DAMAGED, _lock.LOCK, "log.txt", "report.html", "cancel"}


class Results(StudyResults):
    """The same, written to by whoever runs the study."""

    def __init__(self, folder):
        super().__init__(folder)
        self._made = _about.circumstances(self.about)

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
        folder = Path(folder)
        wanted = _about.new_about(study, about)
        _disk.make_folder(folder)
        _disk.check_folder(folder)
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

    def write(self, chunk: Chunk, *, summary, curves=None) -> None:
        """Keep a chunk: whole or not at all, for good once this returns.

        Args:
            chunk: which of the study's.
            summary: one row per market and cell, a pyarrow table.
            curves: what was recorded round by round; None if the study records none.

        Raises:
            OSError: the disk is full, or worse; nothing is left behind.
        """
        digest = ""
        for kind, table in ((CURVES, curves), (SUMMARY, summary)):  # a chunk counts once its summary is there
            if table is not None:
                tags = {"study": self.digest, "chunk": chunk.name, "kind": kind, "made": _plain(self._made)}
                data = encoded(table, tags | ({"curves": digest} if digest else {}))
                digest = self._put(kind, chunk.name, data, "parquet")

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
            yield


def _check_vacant(folder: Path, digest: str) -> None:
    """Raise unless the folder holds nothing but chunks of this study, whose study.json was lost."""
    foreign = [name for name in _disk.listed(folder) if name not in _KNOWN and not _disk.is_draft(name)]
    if foreign:
        raise ResultsError(f"{shown(folder)} is not empty (it holds {short(foreign[0])}); name a new folder.")
    for name in _disk.listed(folder / SUMMARY):
        path = folder / SUMMARY / name
        if not _disk.is_draft(name) and declared(path).metadata.get(b"cmapjax.study") != digest.encode():
            raise Damaged(path, "belongs to another study", "name a new folder")


def _plain(document: dict) -> str:
    return json.dumps(document, allow_nan=False, separators=(",", ":"))
