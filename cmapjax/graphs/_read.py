"""A market from files, whatever their format."""

import dataclasses
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._agents_table import read_agents
from cmapjax.graphs._file_options import (
    ATTRIBUTES_OF_AGENTS,
    ATTRIBUTES_OF_LINKS,
    ENDINGS,
    EVERYWHERE,
    FORMATS,
    KNOWN_NETWORKS,
    NETWORKX,
    OF_AGENTS,
    SHIPPED,
    FileOptions,
)
from cmapjax.graphs._files import (
    MEMORY_PER_DIGIT,
    STANDARD_INPUT,
    check_budget,
    check_path,
    detail,
    member_of_zip,
    naming,
    packing_of,
    read_bytes,
)
from cmapjax.graphs._formats import format_of_name, memory_per_byte, read_network
from cmapjax.graphs._network import Network, market_without, with_defaults, without
from cmapjax.graphs._networkx import from_networkx
from cmapjax.market._market import Market


def read_market(
    path,
    *,
    agents=None,
    format: str | None = None,
    source_column: str | None = None,
    target_column: str | None = None,
    separator: str | None = None,
    header: bool | None = None,
    label_attribute: str | None = None,
    endowment_attribute: str | None = None,
    value_attribute: str | None = None,
    priority_attribute: str | None = None,
    demand_attribute: str | None = None,
    own_use_attribute: str | None = None,
    capacity_attribute: str | None = None,
    efficiency_attribute: str | None = None,
    drop_self_loops: bool = False,
    drop_isolated: bool = False,
    directed: bool = False,
    symmetrize: bool = False,
    ignore_extra_columns: bool = False,
    zero: str = "reject",
    memory_budget=None,
) -> Market:
    """The market on the network in a file, or on one that is known by name (`"karate"`).

    The ending of the name says the format, unless `format` does; `.gz`, `.bz2`, `.xz` or `.zip` (of one
    file) may follow it. docs/files.md says more about each:

    - `.txt .edges .edgelist .el` (`edge-list`): two labels a line, apart by blanks or tabs, perhaps with a
      weight. Comments begin with # or % and a blank. What may be a link or else a header, counts (`34 78`) or
      a comment (`#tea #milk`) is an error that names the option to decide it.
    - `.csv .tsv` (`csv`, `tsv`): a header that names the columns source and target (or from and to, src and
      dst, node1 and node2 and the like); other columns are not looked at. An apostrophe before a leading
      = + - or @ is not part of a label, as the writers put it there. A table that names the same agents in
      its first row and first column is an `adjacency-matrix`.
    - `.graphml`, `.gml`, `.gexf`, `.json` (`node-link`), `.net` (`pajek`): agents with attributes. Links of a
      directed graph must go both ways, unless they are made so or stay `directed`. A group of nodes is an
      agent only if it has links of its own. Agents are called by their ids, in GML and Pajek by their labels.
    - `.adj .adjlist` (`adjacency-list`): on every line an agent and its neighbours.
    - `.mtx` (`matrix-market`), `.npz` (`npz`): a square matrix of symmetric pattern; agents are numbered from
      1 and 0.
    - `out.*` (`konect`): a network of the KONECT collection; in a bipartite one agents are called left-1,
      right-1 and so on.

    Labels are compared exactly, as text, blanks around them cut off. Where all of them are whole numbers
    written plainly (0, 17; up to 2^63 - 1) they are Python integers. Two labels of a file that are the same
    number ("01" and "1") are an error, because they could be one agent. Agents come in the order in which
    the file declares them; in edge lists and tables of links, which declare none, in ascending order if
    they are integers, else in the order of first appearance. A link given twice, in either direction, is
    merged and counted (`market.origin.merged_links`). Weights are not used: a link is there or not; that,
    and what else was skipped, is counted in `market.origin.notes`.

    Args:
        path: the file with the links; or, where there is no file of that name, one of karate,
            les-miserables, davis, florentine and gnutella.
        agents: a file with the columns agent, endowment (units of the agent's resource per round) and
            value (per unit), in CSV, TSV or Parquet, with one row for every agent; one of the two
            numbers may be missing and is then 1. It may have priority, demand and own_use (value) as
            `Market.from_links` has them, blank where a field is absent; then an endowment may be 0. Other
            columns are not looked at.
        format: the name of the format (above), whatever the file's name ends in.
        source_column, target_column: the columns of a table that hold the ends of each link, by name, or
            by number from 1 where there is no header.
        separator: what stands between the columns of a table or edge list: one character, or tab, comma,
            semicolon, blank, bar.
        header: whether the first line is a header (of an edge list: to be skipped); by default found out.
        label_attribute: the attribute of a file's agents that names them; "id" for the file's own ids.
        endowment_attribute: the attribute of a file's agents that holds their endowment.
        value_attribute: likewise their value per unit. What is not given is 1.
        priority_attribute, demand_attribute, own_use_attribute: likewise these (value); an agent without
            one has what holds where the field is absent.
        capacity_attribute, efficiency_attribute: the attribute of a file's links that holds their capacity
            (value) or efficiency, of a directed link one way, otherwise both. What `to_networkx` and
            `write_graphml` put on links is known, too: numbers in each direction, and the two ends.
        drop_self_loops: leave out links of an agent with itself, instead of refusing them.
        drop_isolated: leave out agents without a neighbour, instead of refusing them.
        directed: links go one way: in tables, edge lists and adjacency lists from the first agent of a line
            to the others, in matrices from row to column, elsewhere as the file declares. With or without it
            a table of links may have the columns capacity and efficiency, blank where there is no limit and
            no loss.
        symmetrize: make every link of a directed graph or unsymmetric matrix go both ways.
        ignore_extra_columns: read edge lists whose lines have more columns than labels and a weight, and
            ignore those.
        zero: what becomes of agents whose endowment is zero, in the agents table or attribute: "reject", or
            "drop" them, by name in `market.origin.dropped_zero` (and with drop_isolated those who are left
            without a neighbour). In this model they have weight zero and receive nothing.
        memory_budget: bytes of memory that reading a file may take, as estimated from the size it
            unpacks to (8 times that for lists of numbers, 16 for other lists and tables, 24 for GML, JSON
            and the like) or declares; by default a third of the memory of this process, at most 32 GiB: an
            edge list of numbers of 2 GB is read where there are 48 GB.

    Returns:
        One market; `market.origin` says what was merged, dropped and ignored.

    Raises:
        ValueError: anything wrong with a file, naming it, the line where there is one, the agent, the
            value and the remedy; an option that the format does not have.
    """
    given = locals()
    options = FileOptions(**{name: given[name] for name in given.keys() - {"path", "agents"}})
    if isinstance(path, str) and is_network_known_by(path):
        return known_market(path, options, agents=agents)
    return market_from_file(path, options, agents=agents)


def is_network_known_by(name: str) -> bool:
    """Whether a network is known by this name and no file has it; a file goes first, with a warning."""
    if name not in KNOWN_NETWORKS:
        return False
    if os.path.isfile(name):
        warnings.warn(
            f"{name} is a file here and is read, not the network that is known by this name (rename the file "
            "to have that).",
            stacklevel=3,
        )
        return False
    return True


def known_market(name: str, options: FileOptions, *, agents=None) -> Market:
    """The market on a network known by name: one of NetworkX's, or a file that comes with the package.

    Raises:
        ValueError: options of a file; anything wrong with the agents table.
    """
    given = [option for option in options.given() if option not in OF_AGENTS]
    if given:
        raise ValueError(f"{name} is a network known by name; {options.called(given[0])} is for files.")
    if name in SHIPPED:
        return market_from_file(shipped(name), options, agents=agents)
    import networkx

    market = from_networkx(getattr(networkx, NETWORKX[name])())
    return market if agents is None else with_table(market, agents, options)


def market_from_file(path, options: FileOptions, *, agents=None) -> Market:
    """`read_market` of a file, with its options as one object, which also says how errors name them.

    On the command line - is standard input.
    """
    if options.place == "command" and str(path) == "-":
        if options.format is None:
            raise ValueError(
                f"- is standard input, which has no ending; say {options.say('format', 'NAME')}."
            )
        path = STANDARD_INPUT
    else:
        path = check_path(path)
    with naming(path):
        network = _network_in(path, options, has_table=agents is not None)
    if agents is None:
        table, fields = None, with_defaults(network.of_agents)
    else:
        allows_zero = options.directed or network.is_one_way or bool(network.of_links)
        table = read_agents(agents, options, allows_zero=allows_zero)
        fields = table.fields(network.labels)
    with naming(path):
        endowment = fields["endowment"]
        drops = options.zero == "drop" and np.ndim(endowment)
        dropped = np.flatnonzero(endowment == 0) if drops else ()
        market = market_without(dropped, network._replace(of_agents=fields), options)
    if table is not None:
        left_out = (*market.origin.dropped_isolated, *market.origin.dropped_zero)
        table.check_agents(market.labels, left_out, _other_labels(network.attributes, options))
    return dataclasses.replace(market, origin=market.origin.noting(network.notes))


def _network_in(path: Path, options: FileOptions, *, has_table: bool) -> Network:
    """The network in a file, read within the budget."""
    form, packing = options.format, ""
    if path != STANDARD_INPUT:
        form, packing = _format_of(path, options)
    _check_options(form, options, has_table)
    budget, is_text = options.budget, form != "npz"
    try:
        per_byte = MEMORY_PER_DIGIT if is_text else 1
        data = read_bytes(path, budget, packing=packing, is_text=is_text, per_byte=per_byte)
        needed = memory_per_byte(form, data) * len(data)
        check_budget(needed, budget, f"the file has {len(data):,} bytes, and reading that takes")
        is_tabbed = form == "tsv" or (form == "adjacency-matrix" and ".tsv" in path.suffixes)
        return read_network(data, form, options, "\t" if is_tabbed else ",")
    except (MemoryError, RecursionError) as error:
        raise ValueError(f"needs more memory than there is ({detail(error)}).") from None


def _other_labels(attributes: Sequence[str], options: FileOptions) -> str:
    """Other ways to name the agents, for an error about an agents table with other names."""
    if not attributes or options.label_attribute is not None:
        return ""
    return (
        f" Or name agents by an attribute ({listed(attributes)}): {options.say('label_attribute', 'NAME')}."
    )


def _format_of(path: Path, options: FileOptions) -> tuple[str, str]:
    """The format of a file, and the ending that says how it is compressed."""
    packing = packing_of(path.name)
    name = path.name.lower().removesuffix(packing)
    form = options.format or format_of_name(name)
    if form is None and packing == ".zip":
        name = member_of_zip(path, options.budget).lower()
        form = format_of_name(name)
    if form is None:
        raise ValueError(
            f"the ending {Path(name).suffix!r} is not known; use one of {' '.join(ENDINGS)} out.* "
            f"(.gz .bz2 .xz .zip may follow), or say {options.say('format', 'NAME')}: {', '.join(FORMATS)}."
        )
    return form, packing


def _check_options(form: str, options: FileOptions, has_table: bool) -> None:
    """Raise unless the format has all options that are given."""
    for name in options.given():
        if name in EVERYWHERE or name in FORMATS[form].takes:
            continue
        having = [other for other, one in FORMATS.items() if name in one.takes]
        remedy = "leave it out"
        if name in ATTRIBUTES_OF_AGENTS:
            remedy = f"give an agents table, {options.say('agents', 'FILE')}"
        elif name in ATTRIBUTES_OF_LINKS:
            remedy = "give columns capacity and efficiency, in a table of links"
        raise ValueError(
            f"the format {form} has no {options.called(name)} (which is for {', '.join(having)}); {remedy}."
        )
    for name in ATTRIBUTES_OF_AGENTS:
        if has_table and getattr(options, name) is not None:
            raise ValueError(f"both {options.called(name)} and an agents table are given; leave one out.")


def with_agents(market: Market, agents, *, zero: str = "reject", memory_budget=None) -> Market:
    """The same network with the endowments and values of an agents table (see `read_market`).

    Args:
        market: one whose agents the table names.
        agents: the file.
        zero: what becomes of agents whose endowment is zero: "reject", or "drop" them.
        memory_budget: bytes of memory that reading the table may take.

    Returns:
        A new market, without the agents that `zero` drops.

    Raises:
        ValueError: anything wrong with the file; agents missing from it or not in the market.
    """
    return with_table(market, agents, FileOptions(zero=zero, memory_budget=memory_budget))


def with_table(market: Market, agents, options: FileOptions) -> Market:
    """`with_agents` with its options as one object."""
    table = read_agents(agents, options, allows_zero=bool(market.terms))
    table.check_agents(market.labels, market.origin.dropped_isolated)
    endowment = table.fields(market.labels)["endowment"]
    if options.zero == "drop" and np.ndim(endowment):
        market = without(market, np.flatnonzero(endowment == 0), options)
    terms = table.fields(market.labels)
    contributions = {field: terms.pop(field) for field in ("endowment", "value")}
    market = market.with_terms(**terms) if terms else market
    return market.with_contributions(**contributions)


def shipped(name: str) -> Path:
    """The path of a network that comes with the package: "gnutella", 10,875 peer-to-peer hosts.

    Raises:
        ValueError: no network of this name comes with the package.
    """
    if name not in SHIPPED:
        raise ValueError(f"no network {short(name)} comes with the package; there is {', '.join(SHIPPED)}.")
    return Path(__file__).parents[1] / "data" / SHIPPED[name]
