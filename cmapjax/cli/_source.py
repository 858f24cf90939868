"""The market that the command line asks for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmapjax.arguments._checks import short
from cmapjax.cli._requests import OfSource
from cmapjax.graphs._file_options import FORMATS, OF_AGENTS, FileOptions
from cmapjax.graphs._random import DRAWN_BY
from cmapjax.runtime._timings import Timings
from cmapjax.words._networks import check_network, is_family, is_known, network_name, random_market
from cmapjax.words._objects import Builder

AS_TYPED = FileOptions(place="command")


@dataclass(frozen=True, kw_only=True)
class Source(OfSource):
    """Where markets come from, as typed."""

    networks: tuple[str, ...]
    file: FileOptions = AS_TYPED
    """How network files are to be read."""

    @property
    def terms(self) -> dict[str, str | None]:
        """Words about fields of random markets beyond endowment and value."""
        return {field: getattr(self, field) for field in DRAWN_BY} | {"directed": str(self.file.directed)}

    @property
    def name(self) -> str:
        """A title."""
        names = [text if is_known(text) else Path(text).name for text in self.networks]
        return " + ".join(names)


def source_of(networks: tuple[str, ...], file: dict[str, Any], isolated: str, **options) -> Source:
    """The source that these options describe; those of a file are apart."""
    drops = isolated == "drop"
    read = FileOptions(**file, drop_isolated=drops, place="command")
    return Source(networks=networks, isolated=isolated, file=read, **options)


def market(source: Source, timings: Timings | None = None):
    """The market, or the markets packed side by side.

    Args:
        timings: of reading, drawing and building.

    Raises:
        ValueError: whatever is wrong with the files, the families or their options.
    """
    from cmapjax import pack

    timings = Timings() if timings is None else timings
    parts = [_one(source, text, number, timings) for number, text in enumerate(source.networks)]
    with timings("building"):
        return parts[0] if len(parts) == 1 else pack(parts)


def check(source: Source) -> None:
    """Everything about the words themselves, before a file is read.

    Raises:
        ValueError: numbers out of range, unknown names, options that do not apply to what was named.
    """
    for text in source.networks:
        check_network(text)
    if not 0 <= source.seed < 2**63:
        raise ValueError(f"--seed is {source.seed}; give a whole number from 0 to 2^63 - 1.")
    random = [t for t in source.networks if is_family(t)]
    if source.markets < 1:
        raise ValueError(f"--markets is {source.markets}; give a whole number, 1 or more.")
    if source.markets > 1 and len(random) < len(source.networks):
        raise ValueError("--markets draws random markets; name a family, such as er:n=100,degree=6.")
    if source.agents is not None and (random or len(source.networks) > 1):
        raise ValueError("--agents fits one network with labelled agents; leave it out for families.")
    if not random and (source.mean_endowment, source.value) != ("unit", "unit"):
        raise ValueError(
            "--mean-endowment and --value draw for random families; give --agents FILE for a network."
        )
    drawn = [field for field in DRAWN_BY if getattr(source, field) is not None]
    if not random and drawn:
        raise ValueError(
            f"--{drawn[0].replace('_', '-')} draws for random families; for a network give a column of a "
            "file: priority, demand, own_use in --agents FILE, capacity and efficiency in a table of links."
        )
    for text in random:
        _described(source, text)
    of_families = () if len(random) == len(source.networks) else OF_AGENTS
    of_families = (*of_families, "directed") if random else of_families
    given = [name for name in source.file.given() if name not in of_families]
    files = [text for text in source.networks if not is_known(text)]
    if given and not files and not any(Path(text).is_file() for text in source.networks):
        name = source.file.called(given[0])
        raise ValueError(f"{name} is for network files; leave it out for {short(source.networks[0])}.")
    if "-" in files and (source.file.format is None or files.count("-") > 1):
        remedy = source.file.say("format", "NAME")
        formats = ", ".join(FORMATS)
        raise ValueError(f"- is standard input, read once: name its format by {remedy} ({formats}).")
    if not random and source.isolated not in ("reject", "drop"):
        raise ValueError(
            f"--isolated is {short(source.isolated)}; give reject or drop, as the network is given."
        )


def run_key(source: Source, *parts):
    """The key of random schedules and endowments; None if no part is random, as making one takes 0.2 s."""
    if not any(part.is_random for part in parts):
        return None
    from cmapjax.market._random import key_of

    return key_of(source.seed, 2**31)  # apart from the keys of drawn markets


def _one(source: Source, text: str, number: int, timings: Timings):
    if is_family(text):
        with timings("drawing"):
            drawn = _random(source, text, number)
        with timings("building"):
            return drawn.packed()
    with timings("reading"):
        from cmapjax.graphs._read import is_network_known_by, known_market, market_from_file

        if is_known(text) and is_network_known_by(network_name(text)):
            return known_market(network_name(text), source.file, agents=source.agents)
        return market_from_file(text, source.file, agents=source.agents)


def _described(source: Source, text: str):
    """The random market of a family."""
    return random_market(
        Builder(),
        text,
        endowment=source.mean_endowment,
        value=source.value,
        isolated=source.isolated,
        terms=source.terms,
    )


def _random(source: Source, text: str, number: int):
    from cmapjax.market._random import key_of

    return _described(source, text).draw_parts(key_of(source.seed, number), source.markets)
