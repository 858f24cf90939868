"""The market that the command line asks for."""

from pathlib import Path
from typing import NamedTuple

from cmapjax._checks import short
from cmapjax._cli._specs import (
    DISTRIBUTIONS,
    FAMILIES,
    NAMED_NETWORKS,
    SHIPPED_NETWORKS,
    choose,
    distribution,
    family,
    parse,
)
from cmapjax._cli._timings import Timings

KNOWN_NETWORKS = (*NAMED_NETWORKS, *SHIPPED_NETWORKS)


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
        names = [text if _is_spec(text) else Path(text).name for text in self.networks]
        return " + ".join(names)


def _is_spec(text: str) -> bool:
    name = parse(text).name if text.strip() else ""
    return name in FAMILIES or name in KNOWN_NETWORKS


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
        _check_network(text)
    if not 0 <= source.seed < 2**63:
        raise ValueError(f"--seed is {source.seed}; give a whole number from 0 to 2^63 - 1.")
    random = [t for t in source.networks if _is_spec(t) and parse(t).name in FAMILIES]
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
    if source.isolated not in ("reject", "drop", "redraw"):
        raise ValueError(f"--isolated is {short(source.isolated)}; give reject, drop or redraw.")
    if source.isolated == "redraw" and not random:
        raise ValueError("--isolated redraw is for random families; give reject or drop for a network.")


def _check_network(text: str) -> None:
    if not text.strip():
        raise ValueError("the name of a network is empty; name a file, a network or a family.")
    if not _is_spec(text):
        if not Path(text).exists() and not Path(text).suffix:
            raise ValueError(
                f"{short(text)} is neither a file nor a known network ({', '.join(KNOWN_NETWORKS)}) or "
                f"family ({', '.join(FAMILIES)})."
            )
        return
    spec = parse(text)
    if spec.options and spec.name in KNOWN_NETWORKS:
        raise ValueError(f"network {spec.name} has no options; write just {spec.name}.")


def _one(source: Source, text: str, number: int, timings: Timings):
    spec = parse(text) if _is_spec(text) else None
    if spec is not None and spec.name in FAMILIES:
        with timings("drawing"):
            drawn = _random(source, spec, number)
        with timings("building"):
            return drawn.packed()
    with timings("reading"):
        if spec is None:
            return _from_file(source, text)
        if spec.name in SHIPPED_NETWORKS:
            from cmapjax.graphs import shipped

            return _from_file(source, shipped(spec.name))
        return _named(source, spec)


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


def _named(source: Source, spec):
    import networkx

    from cmapjax.graphs import from_networkx, with_agents

    built = from_networkx(getattr(networkx, NAMED_NETWORKS[spec.name])())
    return built if source.agents is None else with_agents(built, source.agents)


def _random(source: Source, spec, number: int):
    import jax

    from cmapjax import graphs

    policies = {"reject": graphs.Reject, "drop": graphs.Drop, "redraw": graphs.Redraw}
    market = graphs.RandomMarket(
        family(spec),
        endowment=distribution("--mean-endowment", source.mean_endowment),
        value=distribution("--value", source.value),
        isolated=policies[source.isolated](),
    )
    return market.draw_parts(jax.random.fold_in(jax.random.key(source.seed), number), source.markets)
