"""The files that a study reads: where they are, and that they are the same as when it was described."""

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import KNOWN_NETWORKS, FileOptions
from cmapjax.words import _grammar
from cmapjax.words._networks import check_known, is_family, known_networks, network_name, trace_path
from cmapjax.words._objects import Builder


class NetworkFile(NamedTuple):
    """`file:PATH` with its options, as given."""

    path: str
    agents: str | None
    options: FileOptions

    @property
    def paths(self) -> list[str]:
        """The files that are read."""
        return [path for path in (self.path, self.agents) if path is not None]


# What is an option of a file in a study: all but what a study says otherwise.
OPTIONS = {
    field.name: str(field.type)
    for field in dataclasses.fields(FileOptions)
    if field.name not in ("drop_isolated", "place")
}


def network_file(text: str) -> NetworkFile:
    """The files and options that `file:links.txt,agents=agents.csv,symmetrize=true` names."""
    path, _, options = text.partition(":")[2].partition(",")
    if not path.strip():
        raise ValueError("file: needs a path; write file:PATH, from the folder of the study's file.")
    given = dict(_grammar.parts(options))
    for name, value in given.items():
        if name not in ("agents", *OPTIONS) or not value:
            known = ", ".join(["agents", *(name.replace("_", "-") for name in OPTIONS)])
            raise ValueError(
                f"{short(name or value)} is no option of a file; write file:PATH,option=value,… with: "
                f"{known}."
            )
    agents = given.pop("agents", None)
    values = {name: _value(name, value) for name, value in given.items()}
    return NetworkFile(path.strip(), agents, FileOptions(**values, place="study"))


def _value(name: str, text: str) -> str | bool | int:
    """An option's value: true or false, bytes, or text."""
    value = _grammar.literal(text)
    for kind, words in ((bool, "true or false"), (int, "a whole number of bytes")):
        if kind.__name__ in OPTIONS[name]:
            if type(value) is not kind or value < 0:
                raise ValueError(f"{name.replace('_', '-')} is {short(text)}; write {words}.")
            return value
    return text


def is_file(text: str) -> bool:
    return text.partition(":")[0].strip().lower() == "file"


def check_network(text: str, folder: str, builder: Builder):
    """The family, if it is one. Raises ValueError if it is neither that nor a known network nor a file."""
    if is_file(text):
        for path in network_file(text).paths:
            check_there(path, folder)
        return None
    check_known(text)
    if is_family(text, builder.sources):
        from cmapjax.graphs import Family

        return builder.build(Family, text)
    if network_name(text) not in KNOWN_NETWORKS:
        raise ValueError(
            f"this is no family and no known network; a file is written file:PATH. {known_networks()}."
        )
    return None


def check_there(path: str, folder: str) -> None:
    """Raise ValueError unless there is such a file."""
    if not (Path(folder) / path).is_file():
        raise ValueError(f"there is no file {short(path)} in {short(str(folder), 200)}.")


def digests(grounds: Iterable, folder: str) -> dict[str, str]:
    """SHA-256 of every file that a study reads, by its path as given."""
    paths: dict[str, None] = {}
    for ground in grounds:
        if is_file(ground.network):
            paths |= dict.fromkeys(network_file(ground.network).paths)
        if (trace := trace_path(ground.process)) is not None:
            paths[trace] = None
    return {path: sha256(Path(folder) / path) for path in paths}


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
