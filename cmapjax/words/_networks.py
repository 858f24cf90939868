"""Where markets come from, in words: a random family, a network known by name, or a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmapjax.arguments._checks import short
from cmapjax.graphs._file_options import KNOWN_NETWORKS
from cmapjax.words._classes import find
from cmapjax.words._grammar import file_words, literal, module_words
from cmapjax.words._objects import Builder
from cmapjax.words._sources import Sources
from cmapjax.words._texts import choices


def is_family(text: str, sources: Sources | None = None) -> bool:
    """Whether these words name a random family, of the package or of one's own.

    Args:
        text: the words.
        sources: tell which modules there are; by default those that can be found from here.
    """
    if file_words(text) is not None:
        return True
    name = network_name(text)
    # Names of files are told apart without loading the families.
    if name in KNOWN_NETWORKS or not name or any(mark in name for mark in "./\\"):
        return False
    from cmapjax.graphs import Family

    if find(Family, name) is not None:
        return True
    own = module_words(text)
    return own is not None and (Sources() if sources is None else sources).has(own.place)


def network_name(text: str) -> str:
    """What stands before the options."""
    return text.partition(":")[0].strip().lower().replace("_", "-")


def is_known(text: str) -> bool:
    """Whether these words name a family or a network known by name, rather than a file."""
    return network_name(text) in KNOWN_NETWORKS or is_family(text)


def check_known(text: str) -> None:
    """Raise ValueError if a network that is known by name is given options, which it has none of."""
    if ":" in text and network_name(text) in KNOWN_NETWORKS:
        raise ValueError(f"network {network_name(text)} has no options; write just {network_name(text)}.")


def check_network(text: str) -> None:
    """Raise ValueError unless this is a family, a known network without options, or may be a file."""
    if not text.strip():
        raise ValueError("the name of a network is empty; name a file, a network or a family.")
    check_known(text)
    if is_known(text) or text == "-" or Path(text).exists() or Path(text).suffix:
        return
    raise ValueError(f"{short(text)} is neither a file nor a known network or family: {known_networks()}.")


def known_networks() -> str:
    """All networks and families, for an error."""
    from cmapjax.graphs import Family

    return f"networks {', '.join(KNOWN_NETWORKS)}; families {choices(Family)}"


def random_market(
    builder: Builder,
    network: str,
    *,
    endowment: str,
    value: str,
    isolated: str,
    terms: Mapping[str, str | None],
):
    """The random market that words describe.

    Args:
        builder: makes the objects.
        network: words of a family.
        endowment: of a distribution over agents.
        value: likewise.
        isolated: what is done about agents without a neighbour.
        terms: of priority, demand, own_use, capacity and efficiency, and whether links are directed.

    Raises:
        ValueError: unknown names, numbers out of range.
    """
    from cmapjax.graphs import Distribution, Family, IsolatedAgents, RandomMarket

    return RandomMarket(
        builder.build(Family, network),
        endowment=builder.build(Distribution, endowment),
        value=builder.build(Distribution, value),
        isolated=builder.build(IsolatedAgents, isolated),
        **{field: term(builder, field, text) for field, text in terms.items()},
    )


def term(builder: Builder, field: str, text: str | None) -> Any:
    """What draws a field beyond endowment and value: a distribution, of priorities also a rule.

    Args:
        builder: makes it.
        field: priority, demand, own_use, capacity, efficiency or directed.
        text: words; a number is every agent's or link's; None or none: the field is absent.

    Returns:
        The object, None without it; of `directed` whether links are.

    Raises:
        ValueError: unknown names, numbers out of range.
    """
    from cmapjax.graphs import Constant
    from cmapjax.graphs._random import DRAWN_BY

    given = None if text is None else literal(text)
    if field == "directed":
        if given is not None and not isinstance(given, bool):
            raise ValueError(f"directed is {short(text)}; write true or false.")
        return bool(given)
    if given is None:
        return None
    try:
        is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
        return Constant(given) if is_number else builder.build(DRAWN_BY[field], text)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


def trace_path(text: str) -> str | None:
    """The file of `trace:FILE`; None for any other process. Raises ValueError if no file is named."""
    if network_name(text) != "trace":
        return None
    path = text.partition(":")[2].strip()
    if not path:
        raise ValueError("a trace needs a file: trace:FILE (CSV or TSV, a column per agent).")
    return path
