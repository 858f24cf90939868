"""A study from its file."""

import os
import tomllib
from pathlib import Path

from cmapjax.studies._description import Study
from cmapjax.studies._errors import located

MOST_BYTES = 1 << 20  # of a file written by hand


def read_study(path) -> Study:
    """The study described in a TOML file; `docs/studies.md` says what it may hold.

    Raises:
        ValueError: whatever is wrong with the file or what it says, with file, line, key, value and what
            is allowed.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: {'no ordinary file' if path.exists() else 'no such file'}.")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes; a study has at most {MOST_BYTES:,}.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8.") from None
    return parse_study(text, folder=path.parent, source=str(path))


def parse_study(text: str, *, folder=".", source: str = "study") -> Study:
    """The study described in a text; relative paths in it start at `folder`.

    Raises:
        ValueError: as `read_study`.
    """
    try:
        description = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ValueError(f"{source}: {reason}; a study is written in TOML.") from None
    for key in ("folder", "files", "sources"):
        if key in description:
            raise ValueError(f"{source}: {key} is not a key of a study's file; leave it out.")
    try:
        return Study(**description, folder=os.path.abspath(folder))
    except ValueError as error:
        raise located(error, source, text) from None


def starter() -> str:
    """The text of a commented study file, ready to run and to be changed into one's own."""
    return (Path(__file__).parent / "starter.toml").read_text(encoding="utf-8")
