"""Reading everything in a results folder to see whether it is what was written, and setting it right."""

import enum
import os
import stat
from pathlib import Path
from typing import NamedTuple

from cmapjax.studies._store._catalogue import (
    ENDING,
    Catalogue,
    Entry,
    catalogue,
    inspect,
    load_of,
    path_of,
)
from cmapjax.studies._store._disk import is_draft
from cmapjax.studies._store._errors import Damaged, Newer, StoreError, reason, shown
from cmapjax.studies._store._journal import JOURNAL, Journal, read_journal
from cmapjax.studies._store._manifest import MANIFEST, STUDY_FILE, kept_study_text, read_manifest, rebuilt
from cmapjax.studies._store._names import CURVES, KINDS, SUMMARY, as_folder, as_range, overlaps, refuse_links
from cmapjax.studies._store._parquet import load


class Remedy(enum.Enum):
    """What is to be done: what --repair would do, and what it says once it has done it."""

    AGAIN = (
        "--repair puts it aside in damaged/, and resume plays that chunk again",
        "put aside in damaged/; resume plays that chunk again",
    )
    LOST = ("--repair takes it off the journal, and resume plays it again", "resume plays it again")
    ASIDE = ("--repair puts it aside in damaged/", "put aside in damaged/")
    REBUILD = (
        "--repair writes it anew from the results",
        "written anew; the old one, if any, is in damaged/",
    )
    RESTORE = ("--repair puts the old text back", "the old text is back; the altered one is in damaged/")
    ADD = ("nothing is lost: the next run or --repair adds it", "added")
    SWEEP = ("nothing is lost: the next run or --repair takes it away", "taken away")
    LOOK = ("look after the disk or the permissions, then verify again",) * 2
    KNOW = ("nothing is lost; know it when you compare",) * 2


class Finding(NamedTuple):
    """Something found out of order: the file (relative to the folder), what is wrong, what helps."""

    file: str
    what: str
    remedy: str
    harmless: bool = False

    def __str__(self) -> str:
        return f"{self.file}: {self.what}; {self.remedy}"


class Inspection:
    """What is found in a folder, and what has to be done about it."""

    def __init__(self, folder: Path, repair: bool):
        self.folder, self._repair = folder, repair
        self.findings: list[Finding] = []
        self.aside: list[Path] = []
        self.drafts: list[Path] = []
        self.dropped: dict[str, str] = {}
        self.adopted: dict[str, Entry] = {}
        self.write_manifest = self.write_journal = self.restore_study = False
        self.journal, self._has_journal = self._read_journal()
        self.catalogue: Catalogue = catalogue(self.journal)
        self.manifest = self._read_manifest()
        self._study_file()
        self.drafts += [folder / name for name in sorted(os.listdir(folder)) if is_draft(name)]
        present = {kind: self._scan(kind) for kind in KINDS}
        for draft in self.drafts:
            self.note(draft, "is what a run that was killed was writing", Remedy.SWEEP, harmless=True)
        self._chunks(present)

    def note(self, path: Path, what: str, remedy: Remedy, harmless: bool = False) -> None:
        """Keep a finding."""
        file = str(path.relative_to(self.folder))
        file = file if file.isprintable() else repr(file)
        self.findings.append(Finding(file, what.rstrip("."), remedy.value[self._repair], harmless))

    # -- what describes the rest -------------------------------------------------------------------

    def _read_journal(self) -> tuple[Journal, bool]:
        path = self.folder / JOURNAL
        try:
            journal = read_journal(self.folder)
        except Damaged as error:
            self.note(path, error.what, Remedy.REBUILD)
            self.write_journal = True
            return Journal([], [], 0), False
        for number in journal.damaged_lines:
            self.note(path, f"line {number} is altered (its checksum differs)", Remedy.REBUILD)
        if journal.torn:
            what = f"the last line is torn after {journal.torn} bytes, by a run that was killed or by damage"
            self.note(path, what, Remedy.SWEEP, harmless=True)
        if not journal.damaged_lines and not any(e["event"] == "created" for e in journal.events[:1]):
            self.note(path, "does not begin with the beginning of the study", Remedy.REBUILD)
            self.write_journal = True
        self.write_journal |= bool(journal.damaged_lines)
        return journal, True

    def _read_manifest(self) -> dict:
        path, known = self.folder / MANIFEST, self.catalogue
        try:
            manifest = read_manifest(self.folder)
        except (Damaged, Newer) as error:
            if isinstance(error, Newer) and known.started is None:
                raise  # or else the journal knows better: a digit of the manifest is altered
            self.note(path, error.what, Remedy.REBUILD)
            self.write_manifest = True
            return rebuilt(self.folder, known.started, known.runs, self._manifest_of_a_chunk())
        if known.started is None or rebuilt(self.folder, known.started, manifest["runs"], None) == manifest:
            return manifest
        # Two that do not agree, each whole: one of them is of another study. The chunks decide.
        if self._votes(known.started["digest"]) >= self._votes(manifest["digest"]):
            self.note(path, "is not the manifest that this study began with", Remedy.REBUILD)
            self.write_manifest = True
            return rebuilt(self.folder, known.started, known.runs, None)
        self.note(self.folder / JOURNAL, "is the journal of another study", Remedy.REBUILD)
        self.write_journal = True
        self.catalogue, self.journal = Catalogue({}, {}, None, []), Journal([], [], 0)
        return manifest

    def _tags(self):
        for file in sorted((self.folder / SUMMARY).glob(f"g*{ENDING}")):
            try:
                yield load(file, only_tags=True).tags
            except (Damaged, OSError):
                continue

    def _manifest_of_a_chunk(self) -> str | None:
        return next((tags.manifest for tags in self._tags() if tags.manifest), None)

    def _votes(self, digest: str) -> int:
        return sum(tags.study == digest for tags in self._tags())

    def _study_file(self) -> None:
        if self.manifest["study_file"] and kept_study_text(self.folder, self.manifest) is None:
            has_text = any(event.get("study_text") is not None for event in self.journal.events[:1])
            what = "missing or altered since the study began; the description in manifest.json counts"
            self.note(self.folder / STUDY_FILE, what, Remedy.RESTORE if has_text else Remedy.KNOW)
            self.restore_study = has_text

    # -- chunks ------------------------------------------------------------------------------------

    def _scan(self, kind: str) -> set[str]:
        """Names of the chunks that have a regular file of that kind; anything else there is a finding."""
        found = set()
        place = self.folder / kind
        if not place.is_dir():
            return found
        for name in sorted(os.listdir(place)):
            path = place / name
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                self.note(path, "is a symbolic link, which is never followed", Remedy.ASIDE)
                self.aside.append(path)
            elif is_draft(name):
                self.drafts.append(path)
            elif stat.S_ISREG(mode) and _is_chunk(name):
                found.add(name.removesuffix(ENDING))
            else:
                self.note(path, "is no chunk of this study", Remedy.ASIDE)
                self.aside.append(path)
        return found

    def _chunks(self, present: dict[str, set[str]]) -> None:
        whole: dict[str, Entry] = {}
        for name, entry in sorted(self.catalogue.finished.items()):
            if self._is_whole(name, entry, present):
                whole[name] = entry
        for name in sorted(present[SUMMARY] - set(self.catalogue.finished)):
            if entry := self._unknown(name):
                whole[name] = self.adopted[name] = entry
        for name in sorted(present[CURVES] - {n for n, entry in whole.items() if entry.curves}):
            path = path_of(self.folder, CURVES, name)
            if path in self.aside:
                continue
            what = (
                "belongs to no finished chunk" if name not in whole else "belongs to a chunk without curves"
            )
            self.note(path, what, Remedy.ASIDE, harmless=name not in whole)
            self.aside.append(path)
        self._overlapping(whole)

    def _is_whole(self, name: str, entry: Entry, present: dict[str, set[str]]) -> bool:
        """Check a chunk that the journal knows."""
        trouble = False
        for kind, file in entry.files().items():
            path = path_of(self.folder, kind, name)
            if not os.path.lexists(path):
                self.note(path, "is missing", Remedy.LOST)
            elif name not in present[kind]:
                pass  # a link or folder in its place, named above
            else:
                try:
                    loaded = load_of(self.folder, kind, name, self.manifest["digest"], file=file)
                    self._made(path, loaded.tags.made if kind == SUMMARY else "")
                    continue
                except Damaged as error:
                    self.note(path, error.what, Remedy.AGAIN)
                except OSError as error:
                    self.note(path, f"cannot be read ({reason(error)})", Remedy.LOOK)
                    continue
            trouble = True
        if trouble:
            self.dropped[name] = "found damaged or missing"
            self.aside += [
                path_of(self.folder, kind, name) for kind in entry.files()
            ]  # a chunk is whole or not
        return not trouble

    def _made(self, path: Path, made: str) -> None:
        if made:
            self.note(
                path, f"was played otherwise than the study began ({made[:120]})", Remedy.KNOW, harmless=True
            )

    def _unknown(self, name: str) -> Entry | None:
        """Check a chunk that the journal does not know."""
        path = path_of(self.folder, SUMMARY, name)
        try:
            entry = inspect(self.folder, name, self.manifest["digest"])
        except (Damaged, Newer) as error:
            self.note(path, error.what, Remedy.AGAIN)
            self.aside += [path, path_of(self.folder, CURVES, name)]
        except OSError as error:
            self.note(path, f"cannot be read ({reason(error)})", Remedy.LOOK)
        else:
            self.note(path, "is whole, but the journal does not know it", Remedy.ADD, harmless=True)
            return entry
        return None

    def _overlapping(self, whole: dict[str, Entry]) -> None:
        """Of two chunks with the same markets the one not in the journal goes, or else the later."""
        left = {as_range(name) for name in whole}
        while pairs := overlaps(left):
            first, second = pairs[0]
            out = first if first.name in self.adopted and second.name not in self.adopted else second
            other = second if out is first else first
            path = path_of(self.folder, SUMMARY, out.name)
            self.note(path, f"holds markets that {other.name} holds already", Remedy.ASIDE)
            self.aside += [path_of(self.folder, kind, out.name) for kind in whole[out.name].files()]
            if self.adopted.pop(out.name, None) is None:
                self.dropped[out.name] = f"holds markets that {other.name} holds already"
            left.remove(out)


def verify(folder, repair: bool = False, *, held: bool = False) -> list[Finding]:
    """Read everything in a results folder and name what is not as it was written.

    Args:
        folder: the results folder.
        repair: put damaged files aside (into damaged/, nothing is deleted), so that resume plays their chunks
            again and no others, and rebuild the manifest and the journal.
        held: whether this process holds the folder's lock.

    Returns:
        What was found, in order; empty if all is well.

    Raises:
        Damaged: neither manifest nor journal nor any chunk says which study this is.
        Newer: the folder is of a later format.
        Busy: `repair`, while a study runs there.
        OSError: the folder cannot be read, or not be repaired.
    """
    from cmapjax.studies._store._lease import Lease
    from cmapjax.studies._store._repair import set_right

    folder = as_folder(folder)
    if not folder.is_dir():
        raise StoreError(f"{shown(folder)}: there is no such folder; check the name.")
    refuse_links(folder, (MANIFEST, JOURNAL, *KINDS, "damaged"))
    if not repair:
        return Inspection(folder, repair=False).findings
    lease = None if held else Lease(folder)
    if lease:
        lease.acquire()
    try:
        found = Inspection(folder, repair=True)
        set_right(found)
        return found.findings
    finally:
        if lease:
            lease.release()


def _is_chunk(name: str) -> bool:
    if not name.endswith(ENDING):
        return False
    try:
        as_range(name.removesuffix(ENDING))
    except StoreError:
        return False
    return True
