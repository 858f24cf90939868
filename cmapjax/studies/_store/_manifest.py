"""manifest.json: what a results folder is the outcome of, and how it can be rebuilt if it is lost.

It stands three times: in manifest.json, in the first line of the journal, and (unless it is very long) in
every chunk, there without what changes while a study runs.
"""

import hashlib
import json
import os
import platform
import time
from pathlib import Path

from cmapjax.arguments._checks import short
from cmapjax.runtime._generator import GENERATOR
from cmapjax.studies._store._disk import put, read
from cmapjax.studies._store._errors import Damaged, StoreError, shown
from cmapjax.studies._store._names import check_study_name
from cmapjax.studies._store._parquet import FORMAT, check_format

MANIFEST, STUDY_FILE = "manifest.json", "study.toml"
MAX_BYTES = 256 << 20
# What is not the same in two undisturbed runs of one study, and therefore in no chunk.
_CHANGING = ("created", "runs")
_OWN = {"format", "digest", "study", "study_file", "created", "runs", "check"}
_PACKAGES = ("cmapjax", "jax", "jaxlib", "numpy", "scipy", "networkx", "equinox", "pyarrow")


def new_manifest(document: dict, digest: str, more: dict, study_text: str | None) -> dict:
    """The manifest of a study that begins now.

    Raises:
        ValueError: a description without a proper name, or that JSON cannot hold; a taken key in `more`.
    """
    check_study_name(document.get("name"))
    if not isinstance(digest, str) or not digest.isalnum():
        raise StoreError(f"digest is {short(digest)}; give the study's digest (hexadecimal).")
    if taken := _OWN & set(more):
        raise StoreError(f"more: {', '.join(sorted(taken))} is the store's own; choose another key.")
    manifest = {
        "format": FORMAT,
        "digest": digest,
        "study": document,
        "study_file": None if study_text is None else hashlib.sha256(study_text.encode()).hexdigest(),
        "created": stamp(time.time()),
        "versions": versions(),
        "commit": commit(),
        **{key: document[key] for key in ("seed", "precision") if key in document},
        "generator": GENERATOR,
        **more,
        "runs": [],
    }
    try:
        return json.loads(json.dumps(manifest, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(
            f"the study's description is not plain JSON ({error}); give numbers and text."
        ) from None


def with_device(manifest: dict, device: str) -> dict:
    """The manifest as if the kind of device had been known when the study began; one known is kept."""
    if "device" in manifest:
        return manifest
    items = list(manifest.items())
    before = next(key for key in ("seeds", "precision", "commit") if key in manifest)
    place = 1 + list(manifest).index(before)
    return dict([*items[:place], ("device", device), *items[place:]])


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that values depend on; none is imported for it."""
    from importlib import metadata

    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The git commit that the package is run from, if it is run from a repository."""
    root = Path(__file__).resolve().parents[3]
    git = root / ".git"
    try:
        if git.is_file():  # a work tree points to its repository
            git = (root / git.read_text().removeprefix("gitdir:").strip()).resolve()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:40]
        reference = head.removeprefix("ref: ")
        common = git / "commondir"
        homes = [git, (git / common.read_text().strip()).resolve()] if common.is_file() else [git]
        for home in homes:
            if (home / reference).is_file():
                return (home / reference).read_text().strip()[:40]
        packed = (homes[-1] / "packed-refs").read_text().splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {reference}")), None)
    except (OSError, UnicodeDecodeError):
        return None


def stamp(seconds: float) -> str:
    """A moment, in seconds since 1970, as the manifest has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def text_of(manifest: dict) -> str:
    """The manifest as it stands in the file; its `check` is the sha256 of the same text without it."""
    bare = {key: value for key, value in manifest.items() if key != "check"}
    check = hashlib.sha256(_render(bare).encode()).hexdigest()
    return _render(bare | {"check": check})


def _render(content: dict) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def repeated(manifest: dict) -> str:
    """The manifest as every chunk repeats it: without what changes while a study runs."""
    kept = {key: value for key, value in manifest.items() if key not in (*_CHANGING, "check")}
    return json.dumps(kept, allow_nan=False, separators=(",", ":"))


def write_manifest(folder: Path, manifest: dict) -> None:
    """Put it into the folder, whole or not at all."""
    put(folder / MANIFEST, text_of(manifest).encode())


def read_manifest(folder: Path) -> dict:
    """The manifest of a folder.

    Raises:
        Damaged: it is missing or altered.
        Newer: it is of a later format.
    """
    path = folder / MANIFEST
    remedy = f"`cmapjax study verify {shown(folder)} --repair` writes it anew from the results"
    try:
        data = read(path, MAX_BYTES)
    except Damaged as error:
        raise Damaged(path, error.what, f"if {shown(folder)} is a results folder, {remedy}") from None
    try:
        manifest = json.loads(data)
        if not isinstance(manifest, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise Damaged(path, "is not JSON", remedy) from None
    if "format" not in manifest:
        raise Damaged(path, "has no format version: it is no manifest of a study, or altered", remedy)
    # A later format first, and in its own words: it may well be rendered and checked in another way.
    check_format(path, manifest["format"])
    if text_of(manifest).encode() != data:
        raise Damaged(path, "altered since it was written (its checksum differs)", remedy)
    del manifest["check"]
    return manifest


def rebuilt(folder: Path, started: dict | None, runs: list[dict], from_chunk: str | None) -> dict:
    """The manifest from the first line of the journal, or else from a chunk.

    Raises:
        Damaged: neither holds it.
    """
    if started is not None:
        return {**started, "runs": runs}
    if not from_chunk:
        raise Damaged(
            folder / MANIFEST,
            "can be rebuilt neither from the journal nor from a chunk",
            "run the study again with its study file and this folder: chunks that belong to it are kept",
        )
    manifest = json.loads(from_chunk)
    order = list(manifest)
    place = order.index("study_file") + 1
    kept = [*order[:place], "created", *order[place:], "runs"]
    return {key: {"created": _oldest(folder), "runs": runs}.get(key, manifest.get(key)) for key in kept}


def _oldest(folder: Path) -> str:
    """When the study began, as near as the files say: its study file is written first and never again."""
    files = (
        [folder / STUDY_FILE] if (folder / STUDY_FILE).is_file() else (folder / "summary").glob("*.parquet")
    )
    return stamp(min((os.stat(file).st_mtime for file in files), default=time.time()))


def kept_study_text(folder: Path, manifest: dict) -> str | None:
    """What study.toml says; None if the study has none, or it is no longer what the study began with."""
    if manifest["study_file"] is None:
        return None
    try:
        data = read(folder / STUDY_FILE, MAX_BYTES)
    except Damaged:
        return None
    return data.decode() if hashlib.sha256(data).hexdigest() == manifest["study_file"] else None


def check_study_file(folder: Path, manifest: dict) -> None:
    """Raise if study.toml is missing or altered: results would not be what it says."""
    if manifest["study_file"] is not None and kept_study_text(folder, manifest) is None:
        remedy = f"`cmapjax study verify {shown(folder)} --repair` puts it back; run another in a new folder"
        raise Damaged(folder / STUDY_FILE, "missing or changed since the study began", remedy)


def deciding(manifest: dict, other: dict) -> dict:
    """What values may depend on, as far as both say it: not the versions of Python and pyarrow."""
    kept = {
        key: manifest[key]
        for key in ("versions", "device", "precision", "generator")
        if key in manifest and key in other
    }
    if "versions" in kept:
        kept["versions"] = {k: v for k, v in kept["versions"].items() if k not in ("python", "pyarrow")}
    return kept


def changes(before, after, where: str = "", limit: int = 20) -> list[str]:
    """What differs between two descriptions, one line per key."""
    found: list[str] = []
    _compare(before, after, where, found)
    more = len(found) - limit
    return found[:limit] + ([f"and {more} more"] if more > 0 else [])


def _compare(before, after, where: str, found: list[str]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            name = f"{where}.{key}" if where else str(key)
            if key not in after:
                found.append(f"{name}: {short(before[key])} → not given")
            elif key not in before:
                found.append(f"{name}: not given → {short(after[key])}")
            else:
                _compare(before[key], after[key], name, found)
    elif before != after or type(before) is not type(after):
        found.append(f"{where}: {short(before)} → {short(after)}")
