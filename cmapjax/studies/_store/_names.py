"""Names of chunks and of the folder: what may become a path, and what is refused."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from cmapjax.arguments._checks import short
from cmapjax.studies._store._disk import trouble
from cmapjax.studies._store._errors import StoreError, shown

_CHUNK = re.compile(r"g(\d{5,9})-m(\d{7,10})-n(\d{6,10})", re.ASCII)
MAX_NAME = 200
SUMMARY, CURVES = "summary", "curves"
KINDS = (SUMMARY, CURVES)


class Range(NamedTuple):
    """Markets first … first + count - 1 of a ground: what a chunk holds."""

    ground: int
    first: int
    count: int

    @property
    def name(self) -> str:
        """The name of the chunk's files, without the ending."""
        return f"g{self.ground:05d}-m{self.first:07d}-n{self.count:06d}"

    @property
    def end(self) -> int:
        """The first market behind the chunk."""
        return self.first + self.count


def as_range(name: str) -> Range:
    """What a chunk of this name holds.

    Raises:
        ValueError: not the name of a chunk, so that it never becomes a path.
    """
    match = _CHUNK.fullmatch(name) if isinstance(name, str) else None
    parts = Range(*map(int, match.groups())) if match else None
    if parts is None or parts.name != name or parts.count < 1:
        raise StoreError(
            f"chunk name is {short(name)}; it must read g<ground>-m<first market>-n<number>, "
            "as in g00012-m0000000-n000250."
        )
    return parts


def check_study_name(name) -> None:
    """Raise ValueError if the name of a study could be taken for a path or breaks a line."""
    is_path = not isinstance(name, str) or name in ("", ".", "..") or bool(set(name) & set("/\\\0"))
    if is_path or not name.isprintable() or len(name) > MAX_NAME or name != name.strip():
        raise StoreError(
            f"name is {short(name)}; give the study a name of 1 to {MAX_NAME} printable characters without "
            "/ and \\ (it is no path)."
        )


def as_folder(folder) -> Path:
    """The path of a results folder, which may not exist yet.

    Raises:
        ValueError: not a path; a symbolic link, which may point elsewhere tomorrow.
    """
    if not isinstance(folder, (str, os.PathLike)) or isinstance(os.fspath(folder), bytes):
        raise StoreError(f"folder is {short(folder)}; give the path of a results folder.")
    path = Path(folder)
    if "\0" in str(path):
        raise StoreError(f"{shown(path)}: a path cannot hold a null character; correct the name.")
    with trouble(path):
        is_link, is_other = path.is_symlink(), path.exists() and not path.is_dir()
    if is_link:
        raise StoreError(
            f"{shown(path)} is a symbolic link; name the folder itself ({shown(os.path.realpath(path))})."
        )
    if is_other:
        raise StoreError(f"{shown(path)} is not a folder; name the folder that holds the results.")
    return path


def refuse_links(folder: Path, names) -> None:
    """Raise ValueError if one of these entries of the folder is a symbolic link."""
    for name in names:
        if (folder / name).is_symlink():
            raise StoreError(
                f"{shown(folder / name)} is a symbolic link; results are neither read from nor written to "
                "another place: put the file or folder itself there."
            )


def cut(ranges, wanted: Range) -> list[Range]:
    """The parts of a wanted range that none of these ranges covers, in order."""
    left, start = [], wanted.first
    for have in sorted(r for r in ranges if r.ground == wanted.ground):
        if have.end <= start or have.first >= wanted.end:
            continue
        if have.first > start:
            left.append(Range(wanted.ground, start, have.first - start))
        start = max(start, have.end)
    if start < wanted.end:
        left.append(Range(wanted.ground, start, wanted.end - start))
    return left


def overlaps(ranges) -> list[tuple[Range, Range]]:
    """Pairs of ranges that hold the same markets."""
    pairs, furthest = [], None
    for current in sorted(ranges):
        if furthest and furthest.ground == current.ground and current.first < furthest.end:
            pairs.append((furthest, current))
        if not furthest or furthest.ground != current.ground or current.end > furthest.end:
            furthest = current
    return pairs
