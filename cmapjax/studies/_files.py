"""The files that a study reads: where they are, and that they are the same as when it was described."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cmapjax._checks import short
from cmapjax._words._networks import KNOWN_NETWORKS, is_family, is_known
from cmapjax._words._specs import FAMILIES, parse

CHUNK = 1 << 20


class NetworkFile(NamedTuple):
    """`file:PATH`, perhaps with `agents=TABLE`, as given."""

    path: str
    agents: str | None

    @property
    def paths(self) -> list[str]:
        return [path for path in self if path is not None]


def network_file(text: str) -> NetworkFile:
    """The files that `file:links.csv,agents=agents.csv` names."""
    path, *options = (part.strip() for part in text.partition(":")[2].split(","))
    agents = None
    for option in options:
        key, _, value = option.partition("=")
        if key.strip() != "agents" or not value.strip() or agents is not None:
            raise ValueError(
                f"{short(option)} is no option of a file; write file:PATH or file:PATH,agents=TABLE."
            )
        agents = value.strip()
    if not path:
        raise ValueError("file: needs a path; write file:PATH, from the folder of the study's file.")
    return NetworkFile(path, agents)


def is_file(text: str) -> bool:
    return text.partition(":")[0].strip().lower() == "file"


def check_network(text: str, folder: str) -> None:
    """Raise ValueError unless this is a family, a known network, or a file that is there."""
    if is_file(text):
        for path in network_file(text).paths:
            _check_there(path, folder)
        return
    if not is_known(text):
        raise ValueError(
            f"this is no family ({', '.join(FAMILIES)}) and no known network ({', '.join(KNOWN_NETWORKS)}); "
            "a file is written file:PATH."
        )
    spec = parse(text)
    if spec.options and not is_family(text):
        raise ValueError(f"network {spec.name} has no options; write just {spec.name}.")


def trace_path(text: str) -> str:
    """The file of `trace:PATH`."""
    return text.partition(":")[2].strip()


def check_trace(text: str, folder: str) -> None:
    """Raise ValueError unless the trace's file is there."""
    if not trace_path(text):
        raise ValueError("a trace needs a file: trace:PATH (CSV or TSV, a column per agent).")
    _check_there(trace_path(text), folder)


def _check_there(path: str, folder: str) -> None:
    if not (Path(folder) / path).is_file():
        raise ValueError(f"there is no file {short(path)} in {short(str(folder), 200)}.")


def digests(grounds: Iterable, folder: str) -> dict[str, str]:
    """SHA-256 of every file that a study reads, by its path as given."""
    paths: dict[str, None] = {}
    for ground in grounds:
        if is_file(ground.network):
            paths |= dict.fromkeys(network_file(ground.network).paths)
        if parse(ground.process).name == "trace":
            paths[trace_path(ground.process)] = None
    return {path: sha256(Path(folder) / path) for path in paths}


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(CHUNK):
            digest.update(part)
    return digest.hexdigest()
