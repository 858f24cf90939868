"""The journal: one line per event of a study, each with a checksum, added to the end and never changed.

A line is a JSON object whose last key, `check`, holds the first 16 digits of the sha256 of the line without
it. Events: `created` (the manifest as it began), `finished`, `failed` and `dropped` (a chunk), `run` (what
a run took). Everything but `run`, `failed` and timings can be found again from the files of the chunks.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from cmapjax.studies._store._disk import append, read
from cmapjax.studies._store._errors import Damaged, shown
from cmapjax.studies._store._names import KINDS, SUMMARY, as_range

JOURNAL = "journal.jsonl"
MAX_BYTES = 1 << 30  # a million chunks
MAX_REASON = 2000


class Journal(NamedTuple):
    """What a journal says: its events in order, lines that are damaged, and whether the last is torn."""

    events: list[dict]
    damaged_lines: list[int]
    torn: int  # bytes behind the last line break, which an interrupted run has left


def line_of(event: dict) -> bytes:
    """An event as a line of the journal."""
    text = json.dumps(event, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f'{text[:-1]},"check":"{_check(text)}"}}\n'.encode()


def _check(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_journal(folder: Path) -> Journal:
    """Read it all. A torn last line, which a killed process leaves, is no damage; any other bad line is.

    Raises:
        Damaged: there is no journal.
    """
    data = read(folder / JOURNAL, MAX_BYTES)
    whole, _, torn = data.rpartition(b"\n")
    events, damaged = [], []
    for number, line in enumerate(whole.split(b"\n") if whole else [], 1):
        event = _parse(line)
        if event is None:
            damaged.append(number)
        else:
            events.append(event)
    # A torn line that is whole but for its line break: the disk was full at the last byte.
    event = _parse(torn) if torn else None
    return Journal([*events, event] if event else events, damaged, len(torn))


def _parse(line: bytes) -> dict | None:
    try:
        event = json.loads(line)
        check = event.pop("check")
        is_ours = line_of(event) == line + b"\n" and isinstance(check, str)
        return event if is_ours and _is_proper(event) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_proper(event: dict) -> bool:
    """Whether an event has what its kind has; raises for some that have not."""
    kind = event["event"]
    if kind == "created":
        return {"format", "digest", "study", "study_file", "created"} <= set(event["manifest"])
    if kind in ("finished", "failed", "dropped"):
        as_range(event["chunk"])
    if kind == "finished":
        files = [event[name] for name in KINDS if event.get(name) is not None]
        return (
            SUMMARY in event
            and all(
                set(file) == {"sha256", "bytes", "rows", "values"} and isinstance(file["bytes"], int)
                for file in files
            )
            and {"timings", "seconds", "host", "pid"} <= set(event)
        )
    return kind in ("run", "dropped") or (kind == "failed" and isinstance(event["reason"], str))


def beginning(manifest: dict, study_text: str | None) -> dict:
    """The first event of a journal."""
    return {"event": "created", "manifest": {**manifest, "runs": []}, "study_text": study_text}


def add(folder: Path, event: dict) -> None:
    """Add one event, behind a line that is whole."""
    append(folder / JOURNAL, line_of(event))


def check_whole(folder: Path, journal: Journal) -> None:
    """Raise if a line is damaged."""
    if journal.damaged_lines:
        lines = ", ".join(map(str, journal.damaged_lines[:5]))
        raise Damaged(
            folder / JOURNAL,
            f"line {lines} is altered (its checksum differs)",
            f"`cmapjax study verify {shown(folder)} --repair` writes the journal anew from the results",
        )
