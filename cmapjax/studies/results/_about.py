"""study.json: what a results folder is the outcome of. It is written once and never changed."""

import contextlib
import functools
import hashlib
import json
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path

from cmapjax.arguments._checks import short
from cmapjax.runtime._generator import GENERATOR
from cmapjax.studies.results import _disk
from cmapjax.studies.results._disk import Damaged, ResultsError, shown

STUDY, FORMAT = "study.json", 2
_PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "networkx", "equinox", "pyarrow")
# What makes it this study and no other, and what its values depend on besides.
IDENTITY = ("study", "sources", "plan")
CIRCUMSTANCES = ("versions", "device", "precision", "generator")
_AGAIN = "run the study again with --out there: chunks that belong to it are kept"


def new_about(study: dict, more: dict) -> dict:
    """What study.json says of a study that begins now."""
    about = {"format": FORMAT, "created": now(), "study": study, **more}
    about |= {"versions": versions(), "commit": commit(), "generator": GENERATOR}
    return json.loads(json.dumps(about, allow_nan=False))


def render(about: dict) -> bytes:
    """The bytes of study.json; `check` is the SHA-256 of the same text without it."""
    return _text(about | {"check": hashlib.sha256(_text(about)).hexdigest()})


def _text(about: dict) -> bytes:
    return (json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_about(folder: Path) -> dict:
    """What study.json says.

    Raises:
        Damaged: it is missing or altered.
        ResultsError: the folder is of another format.
    """
    path = folder / STUDY
    try:
        data = _disk.read(path)
    except Damaged as error:
        remedy = f"if {shown(folder)} is a results folder, {_AGAIN}"
        raise Damaged(path, error.what, remedy if error.what == "is missing" else error.remedy) from None
    try:
        about = json.loads(data)
        check, found = about.pop("check", None), about["format"]
        study = about["study"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Damaged(path, "is no description of a study, or altered", _AGAIN) from None
    if type(found) is int and found > FORMAT:
        import cmapjax

        raise ResultsError(
            f"{shown(path)} has format {found}, and cmapjax {cmapjax.__version__} knows format {FORMAT}; "
            "read it with the cmapjax that wrote it or a later one (pip install --upgrade cmapjax)."
        )
    if found != FORMAT or not isinstance(study, dict) or not isinstance(check, str) or render(about) != data:
        raise Damaged(path, "is altered since it was written (its check differs)", _AGAIN)
    return about


def digest_of_study(about: dict) -> str:
    """What the files of a study are known by: SHA-256 of its description and of the sources it plays."""
    identity = [about["study"], about.get("sources")]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def circumstances(about: dict) -> dict:
    """What values depend on besides the study: not on the versions of Python and pyarrow."""
    kept = {key: about[key] for key in CIRCUMSTANCES if about.get(key) is not None}
    if "versions" in kept:
        kept["versions"] = {k: v for k, v in kept["versions"].items() if k not in ("python", "pyarrow")}
    return kept


def check_same(folder: Path, before: dict, after: dict, mixed: bool) -> None:
    """Raise ResultsError, naming what differs, unless a run would go on with the same study.

    Args:
        folder: whose.
        before: what study.json says.
        after: what it would say if the study began now, or a part of that.
        mixed: whether to go on under other circumstances.
    """
    keys = [key for key in IDENTITY if key in after]
    if differing := changes(*({key: each.get(key) for key in keys} for each in (before, after)), limit=6):
        raise ResultsError(
            f"{shown(folder)} holds another study, or this one before it was changed: "
            f"{'; '.join(differing)}. Name a new folder, or resume the one that is there."
        )
    before, after = circumstances(before), circumstances(after)
    both = [key for key in before if key in after]
    differing = changes(*({key: each[key] for key in both} for each in (before, after)))
    if differing and not mixed:
        raise ResultsError(
            f"{shown(folder)} was begun otherwise: {'; '.join(differing)}. Values of both would be mixed: go "
            "on where it was begun, begin in a new folder, or say that mixing is meant."
        )


def changes(before, after, where: str = "", limit: int = 20) -> list[str]:
    """What differs between two descriptions, one line per key."""
    found: list[str] = []
    _compare(before, after, where, found)
    more = len(found) - limit
    return found[:limit] + ([f"and {more} more"] if more > 0 else [])


def _compare(before, after, where: str, found: list[str]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            name = f"{where}.{key}" if where else str(key)
            name = name.removeprefix("study.")
            if key not in after:
                found.append(f"{name}: {short(before[key])} → not given")
            elif key not in before:
                found.append(f"{name}: not given → {short(after[key])}")
            else:
                _compare(before[key], after[key], name, found)
    elif before != after or type(before) is not type(after):
        found.append(f"{where}: {short(before)} → {short(after)}")


def now() -> str:
    """This moment, as files of results have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@functools.cache
def versions() -> dict[str, str]:
    """The versions of Python and of the packages that values depend on; none is imported for it."""
    import cmapjax

    found = {"python": platform.python_version(), "cmapjax": cmapjax.__version__}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def commit() -> str | None:
    """The git commit that the package is run from, if it is run from a repository of its own."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
