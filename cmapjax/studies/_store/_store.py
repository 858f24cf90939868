"""The store of a study: chunks go in whole, one runner at a time, and nothing finished is ever changed."""

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from cmapjax.studies._store import _journal as journals
from cmapjax.studies._store._catalogue import (
    ENDING,
    Entry,
    File,
    altered,
    catalogue,
    inspect,
    load_of,
    names_in,
    path_of,
    sha256_of,
)
from cmapjax.studies._store._disk import is_draft, make_folder, put, put_aside, read, trouble
from cmapjax.studies._store._errors import Busy, Damaged, StoreError, shown
from cmapjax.studies._store._journal import JOURNAL, MAX_REASON
from cmapjax.studies._store._layout import DAMAGED, PLACES, begin, check_empty, check_rows, plain_timings
from cmapjax.studies._store._lease import Lease
from cmapjax.studies._store._manifest import (
    MANIFEST,
    changes,
    check_study_file,
    deciding,
    kept_study_text,
    new_manifest,
    read_manifest,
    repeated,
    stamp,
    versions,
    with_device,
    write_manifest,
)
from cmapjax.studies._store._names import (
    CURVES,
    KINDS,
    SUMMARY,
    Range,
    as_folder,
    as_range,
    cut,
    refuse_links,
)
from cmapjax.studies._store._parquet import MAX_REPEATED_MANIFEST, Tags, encode
from cmapjax.studies._store._values import NO_VALUES, values_of


class Store:
    """A results folder. Read by anyone at any time; written to inside `with store.lock():` alone.

    Attributes:
        folder: where it is.
        manifest: what manifest.json says.
        remarks: what was found out of order and set right, in words, for the log.
    """

    def __init__(self, folder: Path, manifest: dict):
        self.folder = folder
        self.manifest = manifest
        self.remarks: list[str] = []
        self._made, self._mixed = "", False
        self._spent: dict[str, float] = {}
        self._lease: Lease | None = None
        self._read()

    @classmethod
    def create(
        cls,
        folder,
        document: dict,
        digest: str,
        more: dict,
        *,
        study_text: str | None = None,
        resume: bool = False,
        mixed: bool = False,
    ) -> "Store":
        """Begin a study in a folder that does not exist yet or is empty.

        Args:
            folder: where the results go; made if its parent exists.
            document: the study's description, plain JSON.
            digest: the description's hash.
            more: what else the manifest says: rule of the seeds, device, precision, …
            study_text: the study file as given, kept as study.toml.
            resume: open a folder that holds this very study already.
            mixed: do so although versions, device or precision differ (`check_same`).

        Raises:
            ValueError: the folder holds another study (what has changed is named) or anything else.
            OSError: it cannot be written to.
        """
        folder = as_folder(folder)
        manifest = new_manifest(document, digest, more, study_text)
        make_folder(folder)
        refuse_links(folder, PLACES)
        if not (folder / MANIFEST).exists():
            lease = Lease(folder)
            check_empty(folder, digest if resume else None)
            lease.acquire()
            try:
                if not (folder / MANIFEST).exists():
                    begin(folder, manifest, study_text)
                    return cls(folder, manifest)
            finally:
                lease.release()
        old = read_manifest(folder)
        if old["digest"] != digest:
            differing = changes(old["study"], manifest["study"], limit=6) or ["its digest differs"]
            raise StoreError(
                f"{shown(folder)} holds another study, or this one before it was changed: "
                f"{'; '.join(differing)}. Name a new folder, or resume the one that is there."
            )
        if not resume:
            raise StoreError(f"{shown(folder)} holds this study already; resume it, or name a new folder.")
        return cls.open(folder, more, mixed=mixed)

    @classmethod
    def open(cls, folder, more: dict | None = None, *, mixed: bool = False) -> "Store":
        """Open a results folder.

        Args:
            folder: where it is.
            more: what will play the rest (`check_same`); not needed to look.
            mixed: let it go on although the study was begun otherwise.

        Raises:
            ValueError: there is no such folder; `more` is otherwise than the study was begun with.
            Damaged: no results folder, or its manifest or study file is missing or altered.
            Newer: written by a later version.
        """
        folder = as_folder(folder)
        if not folder.is_dir():
            raise StoreError(f"{shown(folder)}: there is no such folder; check the name.")
        refuse_links(folder, PLACES)
        store = cls(folder, read_manifest(folder))
        check_study_file(folder, store.manifest)
        if more is not None:
            store.check_same(more, mixed)
        return store

    def check_same(self, more: dict, mixed: bool = False) -> None:
        """Raise ValueError if what is played now would be mixed with what was played otherwise before.

        Args:
            more: what the manifest would say of device, precision, … if the study began now.
            mixed: go on all the same; the chunks written from now on say what they were made with.
        """
        now = json.loads(json.dumps({"versions": versions(), **more}))
        before, now = deciding(self.manifest, now), deciding(now, self.manifest)
        differing = changes(before, now)
        self._mixed |= mixed
        if differing and not self._mixed:
            raise StoreError(
                f"{shown(self.folder)} was begun otherwise: {'; '.join(differing)}. Values of both would be "
                "mixed: go on where it was begun, begin in a new folder, or say that mixing is meant."
            )
        if differing:
            self._made = json.dumps(now, separators=(",", ":"))

    def _read(self) -> None:
        try:
            self._journal = journals.read_journal(self.folder)
        except Damaged:
            self._journal = journals.Journal([], [], 0)
            self.remarks.append(f"{JOURNAL} is missing: every chunk is read to see whether it is whole")
        found = catalogue(self._journal)
        self._entries, self._failed = found.finished, found.failed
        for name in sorted(set(names_in(self.folder, SUMMARY)) - set(self._entries)):
            try:
                self._entries[name] = inspect(self.folder, name, self.manifest["digest"])
                self.remarks.append(f"{SUMMARY}/{name}{ENDING} is whole, but the journal does not know it")
            except (Damaged, OSError) as error:
                self.remarks.append(f"not used: {error}")

    @contextlib.contextmanager
    def lock(self, *, mixed: bool = False) -> Iterator[Lease]:
        """Be the one runner of this study for as long as the block lasts.

        Args:
            mixed: go on although the study was begun with other versions (`check_same`).

        Raises:
            StoreError: other versions, and mixing is not meant.
            Busy: another process is.
            OSError: the folder cannot be written to.
        """
        lease = Lease(self.folder)
        self.check_same({}, mixed)
        lease.acquire()
        try:
            self._tidy()
            if lease.said:
                self.remarks.insert(0, lease.said)
            self._lease = lease
            yield lease
        finally:
            self._lease = None
            lease.release()

    def _tidy(self) -> None:
        """What a run that was killed has left: drafts, a torn line, chunks not yet in the journal."""
        for place in (self.folder, *(self.folder / kind for kind in KINDS)):
            make_folder(place)
            with trouble(place):
                for name in os.listdir(place):
                    if is_draft(name):
                        os.unlink(place / name)
        self.remarks.clear()
        self.manifest = read_manifest(self.folder)
        self._read()
        path = self.folder / JOURNAL
        if not path.exists():
            put(
                path,
                journals.line_of(
                    journals.beginning(self.manifest, kept_study_text(self.folder, self.manifest))
                ),
            )
            for run in self.manifest["runs"]:
                journals.add(self.folder, {"event": "run", **run})
        elif self._journal.torn:
            with trouble(path):
                os.truncate(path, path.stat().st_size - self._journal.torn)
            self.remarks.append(f"the last line of {JOURNAL} was torn; taken off")
        for name, what in altered(self.folder, self._entries).items():
            self.remarks.append(f"{what}; its chunk is played again")
            journals.add(self.folder, {"event": "dropped", "chunk": name, "reason": what})
            del self._entries[name]
        known = catalogue(journals.read_journal(self.folder)).finished
        for name in sorted(set(self._entries) - set(known)):
            journals.add(self.folder, self._entries[name].event(name))

    def _held(self) -> None:
        if self._lease is None:
            raise Busy(f"{shown(self.folder)}: take the lock first (`with store.lock():`).")
        self._lease.check()

    def write(self, name: str, result) -> Entry:
        """Keep a chunk: whole or not at all, for good once this returns.

        Args:
            name: the chunk's name, which says its markets.
            result: its `summary` (a pyarrow table), `curves` (likewise, or None) and `timings` (seconds).

        Raises:
            ValueError: not a chunk's name; rows of other markets; markets that another chunk holds; a chunk
                that is there with other values.
            Busy: the lock is not held, or no longer.
            OSError: the disk is full, or worse; nothing is left behind.
        """
        chunk = as_range(name)
        check_rows(chunk, result.summary)
        self._held()
        finished = self.finished()
        if name in finished:
            return self._same(name, finished[name], result)
        others = [
            r.name for r in map(as_range, finished) if r.ground == chunk.ground and cut([r], chunk) != [chunk]
        ]
        if others:
            raise StoreError(
                f"chunk {name} holds markets that {', '.join(others[:3])} holds already; leave it out."
            )
        files = {}
        for kind in (CURVES, SUMMARY):  # a chunk counts once its summary is there
            table = getattr(result, kind)
            if table is not None:
                tags = self._tags(name, kind, files[CURVES].sha256 if CURVES in files else "")
                data, values = encode(table, tags)
                files[kind] = File(sha256_of(data), len(data), table.num_rows, values.text())
                self._place(path_of(self.folder, kind, name), data)
        timings = plain_timings(getattr(result, "timings", None) or {})
        seconds = timings.get("seconds", timings.get("total", round(math.fsum(timings.values()), 6)))
        entry = Entry(files[SUMMARY], files.get(CURVES), timings, seconds, socket.gethostname(), os.getpid())
        journals.add(self.folder, entry.event(name))
        for stage, spent in timings.items():
            self._spent[stage] = self._spent.get(stage, 0.0) + spent
        self._entries[name] = entry
        self._failed.pop(name, None)
        return entry

    def _tags(self, name: str, kind: str, curves: str) -> Tags:
        manifest = repeated(self.manifest) if kind == SUMMARY else ""
        if len(manifest) > MAX_REPEATED_MANIFEST:
            manifest = ""
        return Tags(self.manifest["digest"], name, kind, "", curves, manifest, self._made)

    def _place(self, path: Path, data: bytes) -> None:
        """Put a new file in place; what lies there, of an unfinished chunk, is put aside unless equal."""
        if os.path.lexists(path):
            try:
                if read(path, len(data)) == data:
                    return
            except Damaged:
                pass
            put_aside(path, self.folder / DAMAGED)
        put(path, data)

    def _same(self, name: str, entry: Entry, result) -> Entry:
        for kind, file in entry.files().items():
            table = getattr(result, kind)
            if table is None or values_of(table).text() != file.values:
                raise StoreError(
                    f"chunk {name} is finished, and its {kind} has other values than this; it is "
                    "never changed. Were the two played by different versions or on different devices?"
                )
        return entry

    def note_failure(self, name: str, reason: str) -> None:
        """Keep why a chunk could not be played. It counts as missing, and may be tried again."""
        as_range(name)
        self._held()
        reason = " ".join(str(reason).split())[:MAX_REASON]
        event = {
            "event": "failed",
            "chunk": name,
            "reason": reason,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        journals.add(self.folder, event)
        self._failed[name] = reason

    def note_device(self, device: str) -> None:
        """Keep the kind of device that plays, which was not known when the study began."""
        self._held()
        self.manifest = with_device(self.manifest, device)
        text = kept_study_text(self.folder, self.manifest)
        journals.add(self.folder, journals.beginning(self.manifest, text))
        write_manifest(self.folder, self.manifest)

    def note_run(self, run: dict) -> None:
        """Keep what a run took: seconds, workers, … Goes into the manifest's `runs`.

        `ended` (now) and `timings` (seconds by stage, of all chunks written since the last note) are added.
        """
        self._held()
        timings = {stage: round(spent, 6) for stage, spent in self._spent.items()}
        run = json.loads(json.dumps({"ended": stamp(time.time()), **run, "timings": timings}))
        self._spent = {}
        journals.add(self.folder, {"event": "run", **run})
        self.manifest["runs"].append(run)
        write_manifest(self.folder, self.manifest)

    def finished(self) -> dict[str, Entry]:
        """Finished chunks by name: those whose files are there in their right size."""
        sizes = {kind: names_in(self.folder, kind) for kind in KINDS}
        return {
            name: entry
            for name, entry in sorted(self._entries.items())
            if all(sizes[kind].get(name) == file.bytes for kind, file in entry.files().items())
        }

    def failed(self) -> dict[str, str]:
        """Chunks that could not be played, with the reason; not those whose markets were played since."""
        done = [as_range(name) for name in self.finished()]
        return {name: why for name, why in self._failed.items() if cut(done, as_range(name))}

    def missing(self, chunks: Iterable) -> list:
        """What is left to do of these chunks: whole ones, or the parts that no finished chunk holds."""
        done: dict[int, list[Range]] = {}
        for finished in map(as_range, self.finished()):
            done.setdefault(finished.ground, []).append(finished)
        left = []
        for chunk in chunks:
            wanted = Range(chunk.ground, chunk.first, chunk.count)
            parts = cut(done.get(wanted.ground, ()), wanted)
            left += [chunk if part == wanted else type(chunk)(*part) for part in parts]
        return left

    def values_digest(self) -> str:
        """A hash of all values, read from the files: equal for equal values, however markets were chunked.

        Timings, versions, hosts and the order of work play no part.
        """
        total = dict.fromkeys(KINDS, NO_VALUES)
        for name, entry in self.finished().items():
            for kind, file in entry.files().items():
                loaded = load_of(self.folder, kind, name, self.manifest["digest"], file=file)
                total[kind] = total[kind] + values_of(loaded.table)
        return sha256_of("\n".join(f"{kind} {total[kind].text()}" for kind in KINDS).encode())

    def verify(self, repair: bool = False) -> list:
        """Read everything and name what is damaged; see `cmapjax.studies._store.verify`."""
        from cmapjax.studies._store._verify import verify

        findings = verify(self.folder, repair=repair, held=self._lease is not None)
        if repair:
            self.manifest = read_manifest(self.folder)
            self._read()
        return findings
