"""Where markets come from, in words: a random family, a network known by name, or a file."""

from pathlib import Path

from cmapjax.arguments._checks import short
from cmapjax.graphs._named_networks import KNOWN_NETWORKS
from cmapjax.words._specs import (
    FAMILIES,
    Spec,
    distribution,
    family,
    parse,
)

ISOLATED = {"reject": "Reject", "drop": "Drop", "redraw": "Redraw"}


def is_family(text: str) -> bool:
    """Whether these words name a random family."""
    return bool(text.strip()) and parse(text).name in FAMILIES


def is_known(text: str) -> bool:
    """Whether these words name a family or a network known by name, rather than a file."""
    return bool(text.strip()) and parse(text).name in (*FAMILIES, *KNOWN_NETWORKS)


def check_network(text: str) -> None:
    """Raise ValueError unless this is a family, a known network without options, or may be a file."""
    if not text.strip():
        raise ValueError("the name of a network is empty; name a file, a network or a family.")
    if not is_known(text):
        if text != "-" and not Path(text).exists() and not Path(text).suffix:
            raise ValueError(
                f"{short(text)} is neither a file nor a known network ({', '.join(KNOWN_NETWORKS)}) or "
                f"family ({', '.join(FAMILIES)})."
            )
        return
    spec = parse(text)
    if spec.options and spec.name in KNOWN_NETWORKS:
        raise ValueError(f"network {spec.name} has no options; write just {spec.name}.")


def random_market(spec: Spec, *, endowment: tuple[str, str], value: tuple[str, str], isolated: str):
    """The random market of a family; `endowment` and `value` are each what it is called, and its text."""
    from cmapjax import graphs

    return graphs.RandomMarket(
        family(spec),
        endowment=distribution(*endowment),
        value=distribution(*value),
        isolated=getattr(graphs, ISOLATED[isolated])(),
    )
