"""A market from files, whatever their format."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cmapjax._checks import short
from cmapjax._file_options import FileOptions, as_budget
from cmapjax._market import Market
from cmapjax.graphs._agents_table import read_agents
from cmapjax.graphs._edge_list import read_edge_list
from cmapjax.graphs._files import check_path, complaint, detail, format_and_gzip, read_bytes
from cmapjax.graphs._gml import parse_gml
from cmapjax.graphs._graphml import parse_graphml
from cmapjax.graphs._labels import unless_numbers
from cmapjax.graphs._link_table import read_link_table
from cmapjax.graphs._matrix import read_matrix_market
from cmapjax.graphs._network import Network
from cmapjax.graphs._structured import declared_network

_FORMATS = {
    ".txt": "edges",
    ".edges": "edges",
    ".edgelist": "edges",
    ".el": "edges",
    ".csv": ",",
    ".tsv": "\t",
    ".graphml": "graphml",
    ".gml": "gml",
    ".mtx": "matrix",
}


def read_market(
    path,
    *,
    agents=None,
    endowment_attribute: str | None = None,
    value_attribute: str | None = None,
    drop_self_loops: bool = False,
    drop_isolated: bool = False,
    symmetrize: bool = False,
    ignore_extra_columns: bool = False,
    memory_budget=None,
) -> Market:
    """The market on the network in a file.

    The ending of the name says the format; `.gz` may follow it, of any but a Parquet agents table:

    - `.txt .edges .edgelist .el`: an edge list as SNAP publishes them. Two labels a line, apart by tabs
      or blanks; lines that begin with # or % are comments. Every line is an undirected link.
    - `.csv .tsv`: a header that names the columns source and target; other columns are not looked at.
      An apostrophe before a leading = + - or @ is not part of a label (the writers put it there, so that
      no spreadsheet runs the label as a formula); likewise in agents tables.
    - `.graphml`, `.gml`: agents with attributes. Links of a directed graph must go both ways.
    - `.mtx`: a square MatrixMarket matrix of symmetric pattern; agents are numbered from 1, as there.

    Labels are compared exactly, as text. Where all of them are whole numbers written plainly (0, 17) they
    are Python integers. One that looks like a number but is not written so ("01", "1.0", "-1", "nan") is
    an error, because it could be a second name of an agent. Agents come in the order in which the file
    declares them; in edge lists and tables of links, which declare none, in ascending order if they are
    integers, else in the order of first appearance. A link given twice, in either direction, is merged
    and counted (`market.origin.merged_links`).

    Args:
        path: the file with the links.
        agents: a file with the columns agent, endowment (units of the agent's resource per round) and
            value (per unit), in CSV, TSV or Parquet, with one row for every agent; one of the two
            numbers may be missing and is then 1. Other columns are not looked at.
        endowment_attribute: the attribute of agents in GraphML or GML that holds their endowment.
        value_attribute: likewise their value per unit. What is not given is 1.
        drop_self_loops: leave out links of an agent with itself, instead of refusing them.
        drop_isolated: leave out agents without a neighbour, instead of refusing them.
        symmetrize: make every link of a directed graph or unsymmetric matrix go both ways.
        ignore_extra_columns: read edge lists whose lines have more than two columns, and ignore those.
        memory_budget: bytes of memory that reading a file may take, as estimated from the size it
            unpacks to (16 times that) or declares; by default a quarter of the memory of this process,
            at most 2 GiB, which allows edge lists of about ten million links.

    Raises:
        ValueError: anything wrong with a file, naming it, the line where there is one, the agent, the
            value and the remedy.
    """
    options = FileOptions(
        endowment_attribute=endowment_attribute,
        value_attribute=value_attribute,
        drop_self_loops=drop_self_loops,
        drop_isolated=drop_isolated,
        symmetrize=symmetrize,
        ignore_extra_columns=ignore_extra_columns,
        memory_budget=memory_budget,
    )
    return market_from_file(path, options, agents=agents)


def market_from_file(path, options: FileOptions, *, agents=None) -> Market:
    """`read_market` with its options as one object, which also says how errors are to name them."""
    budget = options.budget
    path = check_path(path)
    form, gzipped = format_and_gzip(path, _FORMATS)
    for option in ("endowment_attribute", "value_attribute"):
        attribute = getattr(options, option)
        if attribute is not None and form not in ("graphml", "gml"):
            raise complaint(
                path,
                f"has no attributes for {options.say(option, attribute)}; give an agents table, "
                f"{options.say('agents', 'FILE')}.",
            )
        if attribute is not None and agents is not None:
            raise complaint(path, f"both {option} and an agents table are given; leave one out.")
    try:
        network = _read_network(path, read_bytes(path, budget, gzipped=gzipped), form, options)
    except (MemoryError, RecursionError) as error:
        raise complaint(path, f"needs more memory than there is ({detail(error)}).") from None
    table = None if agents is None else read_agents(agents, budget)
    try:
        market = _build(network, table, options)
    except ValueError as error:
        raise complaint(path, _in_words_of(options, str(error))) from None
    if table is not None:
        table.check_agents(market.labels, market.origin.dropped_isolated)
    return market


def with_agents(market: Market, agents, *, memory_budget=None) -> Market:
    """The same network with the endowments and values of an agents table (see `read_market`).

    Raises:
        ValueError: anything wrong with the file; agents missing from it or not in the market.
    """
    table = read_agents(agents, as_budget(memory_budget))
    table.check_agents(market.labels, market.origin.dropped_isolated)
    return market.with_contributions(
        endowment=table.column("endowment", market.labels), value=table.column("value", market.labels)
    )


# Files that come with the package, by name.
SHIPPED = {"gnutella": "p2p-Gnutella04.txt.gz"}


def shipped(name: str) -> Path:
    """The path of a network that comes with the package: "gnutella", 10,875 peer-to-peer hosts.

    Raises:
        ValueError: no network of this name comes with the package.
    """
    if name not in SHIPPED:
        raise ValueError(f"no network {short(name)} comes with the package; there is {', '.join(SHIPPED)}.")
    return Path(__file__).parents[1] / "data" / SHIPPED[name]


def _read_network(path, data, form, options: FileOptions) -> Network:
    if form == "edges":
        return read_edge_list(path, data, options)
    if form == "matrix":
        return read_matrix_market(path, data, options)
    if form in ("graphml", "gml"):
        nodes, edges = (parse_graphml if form == "graphml" else parse_gml)(path, data, options)
        return declared_network(path, nodes, edges, options)
    return read_link_table(path, data, form, options)


def _in_words_of(options: FileOptions, message: str) -> str:
    """What `Market.from_links` says, which knows its own arguments alone."""
    for option in ("drop_self_loops", "drop_isolated"):
        message = message.replace(f"{option}=True", options.say(option))
    return message


def _build(network: Network, table, options: FileOptions) -> Market:
    def numbers(field: str, found: Sequence[float] | None):
        if table is not None:
            return table.column(field, network.labels)
        return 1.0 if found is None else found

    market = Market.from_links(
        network.links,
        endowment=numbers("endowment", network.endowment),
        value=numbers("value", network.value),
        labels=unless_numbers(network.labels),
        num_agents=len(network.labels),
        drop_self_loops=options.drop_self_loops,
        drop_isolated=options.drop_isolated,
    )
    return dataclasses.replace(market, origin=market.origin.noting(network.notes))
