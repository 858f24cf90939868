"""Setting a results folder right after an inspection: nothing is deleted but drafts."""

import contextlib
import os

from cmapjax.studies._store._disk import make_folder, put, put_aside, trouble
from cmapjax.studies._store._journal import JOURNAL, add, beginning, line_of
from cmapjax.studies._store._layout import DAMAGED
from cmapjax.studies._store._manifest import MANIFEST, STUDY_FILE, kept_study_text, write_manifest
from cmapjax.studies._store._names import KINDS


def set_right(found) -> None:
    """Do what an inspection has found necessary; it can be interrupted and done again."""
    folder = found.folder
    for kind in KINDS:
        make_folder(folder / kind)
    for draft in found.drafts:
        with trouble(draft), contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
    if found.restore_study:
        _aside(found, STUDY_FILE)
        put(folder / STUDY_FILE, found.journal.events[0]["study_text"].encode())
    if found.write_manifest:
        _aside(found, MANIFEST)
        write_manifest(folder, found.manifest)
    _set_journal_right(found)
    for path in found.aside:
        if os.path.lexists(path):
            put_aside(path, folder / DAMAGED)


def _set_journal_right(found) -> None:
    path = found.folder / JOURNAL
    events = [{"event": "dropped", "chunk": name, "reason": why} for name, why in found.dropped.items()]
    events += [entry.event(name) for name, entry in found.adopted.items()]
    if not found.write_journal:
        if found.journal.torn:
            with trouble(path):
                os.truncate(path, path.stat().st_size - found.journal.torn)
        for event in events:
            add(found.folder, event)
        return
    text = kept_study_text(found.folder, found.manifest)
    # The last one: it also knows the device of a cluster whose first worker came later.
    started = next((e for e in reversed(found.journal.events) if e["event"] == "created"), None)
    started = started or beginning(found.manifest, text)
    kept = [e for e in found.journal.events if e["event"] != "created"]
    known = [e for e in kept if e["event"] == "run"]
    if not known:
        kept += [{"event": "run", **run} for run in found.manifest["runs"]]
    _aside(found, JOURNAL)
    put(path, b"".join(line_of(event) for event in [started, *kept, *events]))


def _aside(found, name: str) -> None:
    path = found.folder / name
    if os.path.lexists(path):
        put_aside(path, found.folder / DAMAGED)
