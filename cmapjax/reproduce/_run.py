"""Parts measured one after another in a folder that keeps what is done."""

import hashlib
import importlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from cmapjax.arguments._checks import listed
from cmapjax.reproduce._kept import (
    Kept,
    in_words,
    read_kept,
    stamp_of_now,
    write_failure,
    write_finding,
    write_verdicts,
)
from cmapjax.reproduce._part import Part, Setting
from cmapjax.reproduce._parts import PARTS

# A part may compile programs that take half of the memory maps that Linux allows a process: before one
# begins, those of earlier parts are forgotten if they take more than this share.
MOST_MAPS_SHARE = 0.3
MARK = "reproduction.json"
PAGE = "report.html"


def choose(names: Iterable[str]) -> tuple[Part, ...]:
    """The parts of these names, in the order of telling; all if no name is given.

    Raises:
        ValueError: names that no part has.
    """
    wanted = set(names)
    known = {part.name: part for part in PARTS}
    if unknown := sorted(wanted - set(known)):
        raise ValueError(f"--only {listed(unknown)}: no such part; the parts are {', '.join(known)}.")
    return tuple(part for part in PARTS if not wanted or part.name in wanted)


def check_place(folder: Path) -> None:
    """Raise ValueError if a reproduction cannot be put there, or something else would be in its way."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder} is a file; name a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise ValueError(
            f"--out {folder} holds something else; name a new folder, or one that cmapjax reproduce has made."
        )
    nearest = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"--out {folder} cannot be made in {nearest}; name a place where you may write.")


def reproduce(
    folder: Path,
    parts: Sequence[Part] = PARTS,
    *,
    quick: bool = False,
    seed: int = 0,
    again: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Kept]:
    """What all parts have come to, after measuring these as far as the folder lacks them.

    A part is not measured again if it was with the same versions, device, mode and seed, unless `again`. One
    that raises is kept as failed, with the reason, while the rest goes on. Page and verdicts are written
    after every part, so that they can be read while the rest is measured.

    Raises:
        ValueError: the folder holds something else, or cannot be made.
    """
    folder = Path(folder)
    check_place(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stamp = _stamp(quick, seed)
    _mark(folder, stamp)
    digest = hashlib.sha256(json.dumps(stamp, sort_keys=True).encode()).hexdigest()[:8]
    # Other versions, devices or seeds play other studies: each has a folder of its own.
    place = folder / "studies" / f"{stamp['mode']}-{digest}"
    setting = Setting(place, quick, seed, tell=lambda text: tell(f"    {text}"), again=again)
    for number, part in enumerate(parts, 1):
        head = f"[{number}/{len(parts)}] {part.name}: {part.title}"
        kept = read_kept(folder, part)
        if kept.is_finished and kept.stamp == stamp and not again:
            tell(f"{head}: measured already ({in_words(kept.checks)})")
            continue
        tell(head)
        kept = _measured(folder, part, setting, stamp)
        tell(f"    {kept.document['seconds']:.0f} s: {kept.failure or in_words(kept.checks)}")
        write_page(folder)
    return write_page(folder)


def write_page(folder: Path) -> list[Kept]:
    """Write page and verdicts anew from what the folder holds; what that is."""
    from cmapjax.graphs._files import write_bytes
    from cmapjax.reproduce._page import render

    kept = [read_kept(folder, part) for part in PARTS]
    write_verdicts(folder, kept)
    write_bytes(folder / PAGE, render(kept).encode("utf-8", "replace"))
    return kept


def _measured(folder: Path, part: Part, setting: Setting, stamp: dict) -> Kept:
    from cmapjax.runtime._programs import forget_if_many
    from cmapjax.studies.results._about import commit

    began = time.monotonic()
    about = {"part": part.name, "stamp": stamp, "commit": commit(), "machine": _machine()}

    def told() -> dict[str, Any]:
        return {**about, "date": stamp_of_now(), "seconds": round(time.monotonic() - began, 1)}

    place = folder / part.name
    forget_if_many(MOST_MAPS_SHARE)
    try:
        measure = importlib.import_module(f"cmapjax.reproduce.{part.module}").measure
        write_finding(place, measure(setting), told())
    except Exception as error:  # whatever it is, it costs this part and is reported with it
        write_failure(place, error, told())
    return read_kept(folder, part)


def _stamp(quick: bool, seed: int) -> dict[str, Any]:
    """All that values depend on besides the package's own text."""
    from cmapjax.studies.results._about import versions
    from cmapjax.studies.run._worker import device

    return {
        "mode": "quick" if quick else "full",
        "seed": seed,
        "device": device(),
        "versions": versions(),
    }


def _machine() -> str:
    """Cores and processor, as far as the system says."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), name)
    except OSError:
        pass  # not Linux
    return f"{cores} core{'s' * (cores != 1)}, {name}"


def _mark(folder: Path, stamp: dict) -> None:
    """Say that this folder is a reproduction's, so that it may be gone on with."""
    from cmapjax.graphs._files import write_bytes

    document = {"format": 1, "last": {**stamp, "date": stamp_of_now()}}
    write_bytes(folder / MARK, (json.dumps(document, indent=2) + "\n").encode())
