"""The market that the command line asks for."""

from pathlib import Path
from typing import NamedTuple

from cmapjax._checks import short
from cmapjax._words._networks import (
    ISOLATED,
    check_network,
    is_family,
    is_known,
    known_network,
    random_market,
)
from cmapjax._words._specs import DISTRIBUTIONS, choose, parse
from cmapjax._words._timings import Timings


class Source(NamedTuple):
    """Where markets come from, as typed."""

    networks: tuple[str, ...]
    agents: Path | None = None
    markets: int = 1
    seed: int = 0
    mean_endowment: str = "unit"
    value: str = "unit"
    isolated: str = "reject"
    drop_self_loops: bool = False
    symmetrize: bool = False
    ignore_extra_columns: bool = False
    endowment_attribute: str | None = None
    value_attribute: str | None = None

    @property
    def name(self) -> str:
        """A title."""
        names = [text if is_known(text) else Path(text).name for text in self.networks]
        return " + ".join(names)


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
    """Everything about the words themselves, which needs no JAX.

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
    for option, text in (("--mean-endowment", source.mean_endowment), ("--value", source.value)):
        choose(option, parse(text), DISTRIBUTIONS)
    if source.isolated not in ISOLATED:
        raise ValueError(f"--isolated is {short(source.isolated)}; give reject, drop or redraw.")
    if source.isolated == "redraw" and not random:
        raise ValueError("--isolated redraw is for random families; give reject or drop for a network.")


def _one(source: Source, text: str, number: int, timings: Timings):
    if is_family(text):
        with timings("drawing"):
            drawn = _random(source, text, number)
        with timings("building"):
            return drawn.packed()
    with timings("reading"):
        found = known_network(parse(text).name) if is_known(text) else text
        if isinstance(found, (str, Path)):
            return _from_file(source, found)
        from cmapjax.graphs import with_agents

        return found if source.agents is None else with_agents(found, source.agents)


def _from_file(source: Source, path: str | Path):
    from cmapjax.graphs import read_market

    return read_market(
        path,
        agents=source.agents,
        endowment_attribute=source.endowment_attribute,
        value_attribute=source.value_attribute,
        drop_self_loops=source.drop_self_loops,
        drop_isolated=source.isolated == "drop",
        symmetrize=source.symmetrize,
        ignore_extra_columns=source.ignore_extra_columns,
    )


def _random(source: Source, text: str, number: int):
    from cmapjax._random import key_of

    market = random_market(
        parse(text),
        endowment=("--mean-endowment", source.mean_endowment),
        value=("--value", source.value),
        isolated=source.isolated,
    )
    return market.draw_parts(key_of(source.seed, number), source.markets)
