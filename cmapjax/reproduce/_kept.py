"""Findings as files: what a part came to is written once, and read back for the page and the verdicts.

DIR/<part>/finding.json        checks, remarks, what it was measured with, names of the files below
DIR/<part>/tables/<name>.csv
DIR/<part>/pictures/<name>.png, .pdf
DIR/<part>/trouble.txt         of a part that could not be measured: where it broke
"""

import csv
import io
import json
import re
import shutil
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cmapjax.arguments._checks import short
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART, OPEN, Check, Finding, Part

FINDING, TROUBLE = "finding.json", "trouble.txt"
NOT_MEASURED = "not measured"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
COLUMNS = ("part", "labels", "claim", "statement", "expected", "found", "verdict", "mode", "seed", "version")


class Kept(NamedTuple):
    """A part, and what has been kept of measuring it."""

    part: Part
    folder: Path
    document: dict[str, Any] | None
    """What finding.json says; None if there is none."""

    @property
    def stamp(self) -> dict[str, Any]:
        """What all values depend on besides the package's text: mode, seed, device, versions."""
        return {} if self.document is None else self.document["stamp"]

    @property
    def failure(self) -> str | None:
        """Why it could not be measured, if it could not."""
        return None if self.document is None else self.document.get("failure")

    @property
    def is_finished(self) -> bool:
        return self.document is not None and self.failure is None

    @property
    def checks(self) -> list[Check]:
        return [Check(**check) for check in self.document["checks"]] if self.is_finished else []

    @property
    def verdict(self) -> str:
        """Of the part as a whole, or that it has none."""
        return overall(self.checks) if self.is_finished else NOT_MEASURED

    @property
    def command(self) -> str:
        """What measures this part alone."""
        words = ["cmapjax reproduce --out DIR"]
        words += ["--quick"] if self.stamp.get("mode") == "quick" else []
        words += [f"--seed {self.stamp['seed']}"] if self.stamp.get("seed") else []
        return " ".join([*words, "--only", self.part.name])


def overall(checks: Sequence[Check]) -> str:
    """One verdict for several: theirs if they agree, else in part."""
    verdicts = {check.verdict for check in checks}
    return verdicts.pop() if len(verdicts) == 1 else IN_PART


def in_words(checks: Sequence[Check]) -> str:
    """ "4 hold, 1 does not" """
    forms = {HOLDS: ("holds", "hold"), IN_PART: ("holds in part", "hold in part")}
    forms |= {FAILS: ("does not", "do not"), OPEN: ("left open", "left open")}
    found = {verdict: sum(check.verdict == verdict for check in checks) for verdict in forms}
    return ", ".join(f"{n} {forms[verdict][n > 1]}" for verdict, n in found.items() if n)


def write_finding(folder: Path, finding: Finding, about: dict[str, Any]) -> None:
    """Put a finding where its part's stands, in place of what was there; finding.json last.

    Raises:
        ValueError: no checks; a name of a table or picture that is no file name.
    """
    if not finding.checks:
        raise ValueError("the finding has no checks; a claim without numbers has no verdict.")
    for name in (*finding.tables, *finding.pictures):
        if not _NAME.fullmatch(name):
            raise ValueError(f"table or picture {short(name)}: name it with lower-case words and dashes.")
    _clear(folder)
    (folder / "tables").mkdir()
    (folder / "pictures").mkdir()
    for name, frame in finding.tables.items():
        _write(folder / "tables" / f"{name}.csv", _as_csv(frame).encode())
    from cmapjax import plots

    for name, picture in finding.pictures.items():
        for ending in ("png", "pdf"):
            plots.save(picture.figure, folder / "pictures" / f"{name}.{ending}")
    document = {
        **about,
        "checks": [vars(check) for check in finding.checks],
        "tables": {name: len(frame) for name, frame in finding.tables.items()},
        "pictures": {name: picture.caption for name, picture in finding.pictures.items()},
        "remarks": finding.remarks,
    }
    _put(folder / FINDING, document)


def write_failure(folder: Path, error: Exception, about: dict[str, Any]) -> None:
    """Note that a part could not be measured, and why."""
    _clear(folder)
    _write(folder / TROUBLE, "".join(traceback.format_exception(error)).encode("utf-8", "replace"))
    _put(folder / FINDING, {**about, "failure": f"{type(error).__name__}: {error}"})


def _clear(folder: Path) -> None:
    """Remove what an earlier measurement has left, first of all what says that it is whole."""
    for name in (FINDING, TROUBLE):
        (folder / name).unlink(missing_ok=True)
    for name in ("tables", "pictures"):
        shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(exist_ok=True)


def _as_csv(frame) -> str:
    """The frame; its index too, if that has a name."""
    return frame.to_csv(index=any(name is not None for name in frame.index.names))


def _put(path: Path, document: dict) -> None:
    _write(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace"))


def _write(path: Path, data: bytes) -> None:
    from cmapjax.graphs._files import write_bytes  # loads JAX, which the command line does not need yet

    write_bytes(path, data)


def read_kept(folder: Path, part: Part) -> Kept:
    """What a reproduction's folder holds of a part; damaged files count as none."""
    place = folder / part.name
    try:
        document = json.loads((place / FINDING).read_text(encoding="utf-8"))
        kept = Kept(part, place, document)
        is_whole = {"mode", "seed", "device", "versions"} <= set(kept.stamp)
        is_whole &= {"date", "seconds", "machine", "commit"} <= set(document)
        is_whole &= kept.failure is not None or (bool(kept.checks) and _files_exist(place, document))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        is_whole = False
    return Kept(part, place, document if is_whole else None)


def _files_exist(place: Path, document: dict) -> bool:
    tables = [place / "tables" / f"{name}.csv" for name in document["tables"]]
    pictures = [place / "pictures" / f"{name}.png" for name in document["pictures"]]
    return all(file.is_file() for file in (*tables, *pictures))


def write_verdicts(folder: Path, kept: Iterable[Kept]) -> None:
    """verdicts.csv: a line per check, and one for each part that has none yet."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*COLUMNS, "command"])
    for some in kept:
        stamp, part = some.stamp, some.part
        version = stamp.get("versions", {}).get("cmapjax")
        last = (stamp.get("mode"), stamp.get("seed"), version, some.command)
        first = (part.name, " ".join(part.labels), part.claim)
        for check in some.checks:
            table.writerow([*first, check.statement, check.expected, check.found, check.verdict, *last])
        if not some.is_finished:
            table.writerow([*first, "", "", some.failure or "", NOT_MEASURED, *last])
    _write(folder / "verdicts.csv", text.getvalue().encode("utf-8", "replace"))


def stamp_of_now() -> str:
    """Now, as findings say it."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
