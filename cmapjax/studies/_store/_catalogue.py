"""Which chunks a results folder holds: what the journal says, and what lies in the folder beyond it."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from cmapjax.studies._store._disk import read
from cmapjax.studies._store._errors import Damaged, StoreError
from cmapjax.studies._store._journal import Journal
from cmapjax.studies._store._names import CURVES, KINDS, SUMMARY, as_range
from cmapjax.studies._store._parquet import Loaded, load
from cmapjax.studies._store._values import values_of

ENDING = ".parquet"


class File(NamedTuple):
    """One file of a chunk."""

    sha256: str
    bytes: int
    rows: int
    values: str


class Entry(NamedTuple):
    """A finished chunk: its files (no curves where none are recorded), and who took how long."""

    summary: File
    curves: File | None = None
    timings: dict[str, float] = {}  # noqa: RUF012 - never changed
    seconds: float | None = None  # None where the journal was lost
    host: str | None = None
    pid: int | None = None

    @property
    def rows(self) -> int:
        """Rows of the summary."""
        return self.summary.rows

    @property
    def sha256s(self) -> dict[str, str]:
        """The sha256 of each file, by kind."""
        return {kind: file.sha256 for kind, file in self.files().items()}

    def files(self) -> dict[str, File]:
        """The files by kind."""
        return {SUMMARY: self.summary} | ({CURVES: self.curves} if self.curves else {})

    def event(self, name: str) -> dict:
        """As it stands in the journal."""
        files = {kind: file._asdict() for kind, file in self.files().items()}
        rest = {"timings": self.timings, "seconds": self.seconds, "host": self.host, "pid": self.pid}
        return {"event": "finished", "chunk": name, **files, **rest}


def entry_of(event: dict) -> Entry:
    """A finished chunk as the journal has it."""
    files = {kind: File(**event[kind]) for kind in KINDS if event.get(kind)}
    return Entry(**files, **{key: event[key] for key in ("timings", "seconds", "host", "pid")})


def path_of(folder: Path, kind: str, name: str) -> Path:
    """Where a chunk's file of that kind is."""
    return folder / kind / f"{as_range(name).name}{ENDING}"


class Catalogue(NamedTuple):
    """What the journal says of chunks."""

    finished: dict[str, Entry]
    failed: dict[str, str]
    started: dict | None
    runs: list[dict]


def catalogue(journal: Journal) -> Catalogue:
    """The outcome of a journal's events: the last word on a chunk counts."""
    found = Catalogue({}, {}, None, [])
    for event in journal.events:
        kind = event.get("event")
        if kind == "created":
            found = found._replace(started=event["manifest"])
        elif kind == "run":
            found.runs.append({key: value for key, value in event.items() if key != "event"})
        elif kind == "finished":
            found.finished[event["chunk"]] = entry_of(event)
            found.failed.pop(event["chunk"], None)
        elif kind == "dropped":
            found.finished.pop(event["chunk"], None)
        elif kind == "failed" and event["chunk"] not in found.finished:
            found.failed[event["chunk"]] = event["reason"]
    return found


def names_in(folder: Path, kind: str) -> dict[str, int]:
    """Chunks that have a file of that kind, by the look of its name, and its size."""
    found = {}
    try:
        with os.scandir(folder / kind) as files:
            for file in files:
                if not file.name.endswith(ENDING) or not file.is_file(follow_symlinks=False):
                    continue
                name = file.name.removesuffix(ENDING)
                try:
                    found[as_range(name).name] = file.stat(follow_symlinks=False).st_size
                except StoreError:
                    continue
    except FileNotFoundError:
        pass
    return found


def load_of(
    folder: Path, kind: str, name: str, digest: str, *, file: File | None = None, columns=None
) -> Loaded:
    """Read one file of a chunk and check that it is what its place says.

    With `file`, what the journal says of it, its bytes are compared; without, its values are.

    Raises:
        Damaged: missing, altered, of another study or another chunk.
        Newer: of a later format.
    """
    path = path_of(folder, kind, name)
    loaded = load(path, columns=columns, expected_sha256=file.sha256 if file else None)
    tags = loaded.tags
    if tags.study != digest:
        raise Damaged(path, f"belongs to another study (digest {tags.study[:12]}…, not {digest[:12]}…)")
    if (tags.chunk, tags.kind) != (name, kind):
        raise Damaged(path, f"is the {tags.kind[:20]} of chunk {tags.chunk[:40]} under another name")
    if file is None and columns is None and values_of(loaded.table).text() != tags.values:
        raise Damaged(path, "its values are not those it was written with (their hash differs)")
    return loaded


def inspect(folder: Path, name: str, digest: str) -> Entry:
    """A chunk as its files tell, read and checked whole: for one that the journal does not know.

    Raises:
        Damaged: the chunk is not whole.
        Newer: it is of a later format.
    """
    files = {}
    summary = load_of(folder, SUMMARY, name, digest)
    files[SUMMARY] = summary
    if summary.tags.curves:
        files[CURVES] = load_of(folder, CURVES, name, digest)
        if files[CURVES].sha256 != summary.tags.curves:
            raise Damaged(path_of(folder, CURVES, name), "is not what its summary was written with")
    return Entry(
        **{
            kind: File(each.sha256, each.size, each.table.num_rows, each.tags.values)
            for kind, each in files.items()
        }
    )


def altered(folder: Path, entries: dict[str, Entry]) -> dict[str, str]:
    """Chunks whose files are not, byte for byte, what the journal says, and what is wrong with them."""
    found = {}
    for name, entry in entries.items():
        for kind, file in entry.files().items():
            path = path_of(folder, kind, name)
            try:
                if sha256_of(read(path, file.bytes)) == file.sha256:
                    continue
                what = "is altered or cut short since it was written"
            except Damaged as error:
                what = error.what
            found[name] = f"{kind}/{path.name} {what}"
            break
    return found


def sha256_of(data: bytes) -> str:
    """The hash that the journal keeps of a file."""
    return hashlib.sha256(data).hexdigest()
