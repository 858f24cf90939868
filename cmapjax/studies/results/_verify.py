"""Reading everything in a results folder to see whether it is what was written."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from cmapjax.arguments._checks import listed
from cmapjax.studies._chunks import Chunk, lacking
from cmapjax.studies.results import _disk, _lock
from cmapjax.studies.results._about import circumstances
from cmapjax.studies.results._disk import Damaged, reason
from cmapjax.studies.results._parquet import checked, split_name

SUMMARY, CURVES, RUNS, DAMAGED = "summary", "curves", "runs", "damaged"
KINDS = (SUMMARY, CURVES)


class Finding(NamedTuple):
    """Something found out of order: the file (relative to the folder), what is wrong, what helps."""

    file: str
    what: str
    remedy: str
    harmless: bool = False

    def __str__(self) -> str:
        return f"{self.file}: {self.what}; {self.remedy}"


class Inspection:
    """What is found in the folder of `results`, and what of it has to be put aside."""

    def __init__(self, results):
        self.results, self.folder, self.begun = results, results.folder, circumstances(results.about)
        self.found: list[tuple[Path, str, str, bool]] = []
        whole = {kind: self._whole(kind) for kind in (*KINDS, RUNS)}
        self._unused(whole)
        if left := results.lacking:
            names = listed([chunk.name for chunk in left]).replace("'", "")
            what = f"lacks {len(left):,} chunks of the plan ({names})"
            self.found.append((self.folder / SUMMARY, what, "resume plays them", True))

    def _whole(self, place: str) -> dict[Path, dict]:
        """Files that are what they are called, with what they say of themselves."""
        whole = {}
        for name in _disk.listed(self.folder / place):
            path = self.folder / place / name
            try:
                if _disk.is_draft(name):
                    self._note(path, "is what a run that was killed was writing", harmless=True)
                else:
                    whole[path] = self._read(path, place)
            except Damaged as error:
                again = place != RUNS and "is no chunk" not in error.what
                self._note(path, error.what, "; resume plays its chunk again" if again else "")
            except OSError as error:
                remedy = "look after the disk or the permissions, then verify again"
                self.found.append((path, f"cannot be read ({reason(error)})", remedy, False))
        return whole

    def _read(self, path: Path, place: str) -> dict:
        if place == RUNS:
            checked(path)
            return {}
        try:
            Chunk.named(split_name(path)[0])
        except ValueError:
            raise Damaged(path, "is no chunk of this study") from None
        metadata = self.results.read(path).schema.metadata
        if json.loads(metadata[b"cmapjax.made"]) != self.begun:
            what = f"was played otherwise than the study began ({metadata[b'cmapjax.made'].decode()[:120]})"
            self.found.append((path, what, "know it when you compare", True))
        return metadata

    def _unused(self, whole: dict[str, dict[Path, dict]]) -> None:
        """Files that are whole, and yet no part of a whole chunk."""
        summaries, curves = (self.results.files(kind) for kind in KINDS)
        used = set()
        for name, summary in summaries.items():
            pair = [summary, *([curves[name]] if name in curves else [])]
            if not all(path in whole[kind] for kind, path in zip(KINDS, pair, strict=False)):
                continue
            digest = whole[SUMMARY][summary].get(b"cmapjax.curves", b"").decode()
            if not digest or digest == split_name(pair[-1])[1]:
                used |= {*pair}
        done = [Chunk.named(name) for name in summaries]
        for path in whole[SUMMARY].keys() - used:
            name = split_name(path)[0]
            if summaries.get(name) == path or lacking([Chunk.named(name)], done):
                self._note(path, "lacks the curves it was written with", "; resume plays its chunk again")
            else:
                self._note(path, "is not used: another file holds its markets", harmless=True)
        for path in whole[CURVES].keys() - used:
            self._note(path, "is not used: no summary was written with it", harmless=True)

    def _note(self, path: Path, what: str, then: str = "", harmless: bool = False) -> None:
        """Keep a finding about a file that --repair puts aside."""
        self.found.append((path, what, f"--repair puts it aside in {DAMAGED}/{then}", harmless))

    def findings(self, repaired: bool) -> list[Finding]:
        """In words: what helps, or what has been done."""
        found = []
        for path, what, remedy, harmless in sorted(self.found):
            file = str(path.relative_to(self.folder))
            remedy = remedy.replace("--repair puts it aside", "put aside") if repaired else remedy
            found.append(Finding(file if file.isprintable() else repr(file), what, remedy, harmless))
        return found


def inspect(results, repair: bool) -> list[Finding]:
    """What is out of order in a results folder; with `repair`, what is damaged or unused is put aside."""
    if not repair:
        return Inspection(results).findings(False)
    with _lock.announced(results.folder):
        found = Inspection(results)
        for path, _, remedy, _ in found.found:
            if remedy.startswith("--repair") and os.path.lexists(path):
                _disk.put_aside(path, results.folder / DAMAGED)
        return found.findings(True)
