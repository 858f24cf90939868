"""Files and modules that hold classes of the user's own: found, hashed, kept with a study, and loaded.

A class is always made from the kept text, here and on workers alike, so that what works here works there.
Loading runs the file, and so happens only where somebody is about to play. Without loading, a file is read
as a syntax tree.
"""

import ast
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from cmapjax.arguments._checks import short

MOST_BYTES = 1 << 20
PLACE = "__cmapjax_place__"
"""Of a loaded module: how words name it."""


class Sources:
    """The texts of own files by the names that words give them.

    Args:
        folder: where relative paths start, and modules are looked for first.
        kept: texts that are known already, and not read again.
    """

    def __init__(self, folder: str | Path = ".", kept: Mapping[str, str] | None = None):
        self.folder = Path(folder)
        self.texts: dict[str, str] = dict(kept or {})
        self.is_complete = False
        """Whether no further files are read: those of a study are known once it is described."""

    def text(self, place: str) -> str:
        """The source of a file or module. Raises ValueError if there is none."""
        if place not in self.texts:
            if self.is_complete:
                raise ValueError(f"{place} was not found in the study's words; name it by its file there.")
            file = self._file(place)
            if not file.is_file():
                folder = short(str(self.folder.absolute()), 200)
                raise ValueError(
                    f"{short(place)}: there is no such file in {folder}; name one by its path from there, as "
                    "in my_rules.py:Generous."
                )
            data = file.read_bytes()
            if len(data) > MOST_BYTES:
                raise ValueError(f"{place}: {len(data):,} bytes; such a file has at most {MOST_BYTES:,}.")
            try:
                self.texts[place] = data.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{place}: byte {error.start} is not UTF-8; save the file as UTF-8."
                ) from None
        return self.texts[place]

    def _file(self, place: str) -> Path:
        if place.endswith(".py"):
            return self.folder / place
        file = module_file(place, self._path())
        if file is None:
            raise ValueError(
                f"{short(place)}: there is no such module; name a file by its path, my_rules.py:Generous."
            )
        return file

    def _path(self) -> list[str]:
        """Where modules are looked for."""
        return [str(self.folder.absolute()), *sys.path]

    def has(self, place: str) -> bool:
        """Whether there is such a file or module."""
        if place in self.texts or place.endswith(".py"):
            return True  # a file that is missing is told of when it is read
        return module_file(place, self._path()) is not None

    def defined(self, place: str, kinds: tuple[type, ...]) -> list[str]:
        """The public classes (or functions) that a file defines at its top, without loading it."""
        text = self.text(place)
        try:
            tree = ast.parse(text, filename=place)
        except SyntaxError as error:
            raise ValueError(f"{place}, line {error.lineno}: {error.msg}; this is not Python.") from None
        return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]

    def check(self, place: str, name: str, kinds: tuple[type, ...] = (ast.ClassDef,)) -> None:
        """Raise ValueError unless the file is there and defines this name (or anything, if that is empty)."""
        known = self.defined(place, kinds)
        what = "function" if ast.FunctionDef in kinds else "class"
        if not known:
            raise ValueError(f"{place} defines no public {what} at its top; define one there.")
        if name and name not in known:
            raise ValueError(f"{place} defines no {what} {name}; it defines {', '.join(known)}.")

    def load(self, place: str) -> ModuleType:
        """The module made of a source. Raises ValueError if it cannot be run."""
        return load(place, self.text(place), str(self.folder / place) if place.endswith(".py") else place)

    def document(self) -> dict[str, dict[str, str]]:
        """Every source with its SHA-256, as JSON's data."""
        return {place: {"sha256": sha256(text), "source": text} for place, text in sorted(self.texts.items())}


def kept_in(document: Mapping) -> dict[str, str]:
    """The sources of `Sources.document`. Raises ValueError where a text is not the one that was hashed."""
    texts = {}
    for place, entry in document.items():
        if not isinstance(entry, Mapping) or not {"sha256", "source"} <= set(entry):
            raise ValueError(f"sources: {short(place)} lacks sha256 or source; take the study's own.")
        if sha256(entry["source"]) != entry["sha256"]:
            raise ValueError(
                f"sources: {short(place)} was altered (its SHA-256 differs); take the study's own."
            )
        texts[place] = entry["source"]
    return texts


def sha256(text: str) -> str:
    """Of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def module_file(name: str, path: Iterable[str]) -> Path | None:
    """The file of a module, found without running it or the packages it is in."""
    importlib.invalidate_caches()  # a file that was just written shall be found
    places: Iterable[str] | None = list(path)
    parts = name.split(".")
    for depth in range(len(parts)):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[: depth + 1]), places)
        if spec is None:
            return None
        places = spec.submodule_search_locations
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


class _Loader(importlib.abc.SourceLoader):
    """Runs a text as the code of a module."""

    def __init__(self, text: str, file: str):
        self.text, self.file = text, file

    def get_filename(self, fullname: str) -> str:
        return self.file

    def get_data(self, path: str) -> bytes:
        return self.text.encode()


_LOADED: dict[tuple[str, str], ModuleType] = {}


def load(place: str, text: str, file: str) -> ModuleType:
    """The module of a source, made once per process.

    Raises:
        ValueError: it raised something while it ran; the line is named.
    """
    key = place, sha256(text)
    if key in _LOADED:
        return _LOADED[key]
    stem = Path(place).stem if place.endswith(".py") else place.replace(".", "_")
    name = f"{stem}_{sha256(place + text)[:12]}"  # apart from whatever else is called so
    spec = importlib.util.spec_from_file_location(name, file, loader=_Loader(text, file))
    module = importlib.util.module_from_spec(spec)
    if not place.endswith(".py"):
        module.__package__ = place.rpartition(".")[0]
    setattr(module, PLACE, place)
    sys.modules[name] = module  # dataclasses look there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ValueError(f"{place} cannot be loaded: {_in_words(error, file)}") from None
    _LOADED[key] = module
    return module


def _in_words(error: Exception, file: str) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    where = f"line {lines[-1]}: " if lines else ""
    text = f"{where}{type(error).__name__}: {error}"
    if isinstance(error, ImportError):
        text += "; a file may import what is installed, but no files beside it, since it travels alone"
    return text + "."
