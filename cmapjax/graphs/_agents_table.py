"""The agents table: one row per agent with what it brings (CSV, TSV or Parquet)."""

import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import check_budget, check_path, complaint, detail, format_and_packing, read_bytes
from cmapjax.graphs._labels import agent_number, check_label, check_numbers, term
from cmapjax.graphs._network import with_defaults
from cmapjax.graphs._table import check_header, folded, read_table, unescape_cell
from cmapjax.market._numbers import OF_AGENTS

AGENT_FORMATS = {".csv": ",", ".tsv": "\t", ".parquet": "parquet"}
_FIELDS = ("endowment", "value", *OF_AGENTS)
_BYTES_PER_CELL = 64  # a Python number, and the row's share of lists and dictionaries


class AgentsTable(NamedTuple):
    """The numbers of all agents in an agents table."""

    path: Path
    row_of: dict[str, int]
    """The line (or row, in Parquet) of each agent, by its label as text."""
    numbers: dict[str, dict[str, float]]
    """For each column given: the number of each agent; NaN where the cell is blank."""
    unit: str = "line"
    """What `row_of` counts: a line, or a row in Parquet."""

    def complaint(self, message: str, place: int | None = None) -> ValueError:
        """An error about the table, perhaps about one of its rows."""
        is_row = place is not None and self.unit == "row"
        return complaint(
            self.path, f"row {place}: {message}" if is_row else message, None if is_row else place
        )

    def column(self, field: str, labels: Sequence) -> list[float] | float:
        """One number per agent, in order; 1 for agents without a row and for a column not given."""
        if field not in self.numbers:
            return 1.0
        return [self.numbers[field].get(str(label), 1.0) for label in labels]

    def terms(self, labels: Sequence) -> dict[str, np.ndarray]:
        """The columns beyond endowment and value that there are, with what holds where a cell is blank."""
        numbers = {
            field: np.array([self.numbers[field].get(str(label), np.nan) for label in labels])
            for field in OF_AGENTS
            if field in self.numbers
        }
        return with_defaults(numbers, self.column("endowment", labels), self.column("value", labels))

    def check_agents(self, labels: Sequence, dropped: Sequence, remedy: str = "") -> None:
        """Raise unless the table has exactly these agents (and any of the dropped ones).

        Args:
            labels: the network's agents.
            dropped: agents that were left out of the network.
            remedy: what else to do if the labels differ.
        """
        unknown = self.row_of.keys() - {str(label) for label in (*labels, *dropped)}
        if unknown:
            first = min(unknown, key=self.row_of.__getitem__)
            raise self.complaint(
                f"agent {short(first)} has no link in the network ({len(unknown)} such; agents there are "
                f"{listed(labels, 3)}); correct its label, or remove its row.{remedy}",
                self.row_of[first],
            )
        missing = [label for label in labels if str(label) not in self.row_of]
        if missing:
            raise self.complaint(
                f"{len(missing)} agent(s) of the network have no row ({listed(missing)}); add one for each."
                f"{remedy}",
            )


def read_agents(path, options: FileOptions, *, allows_zero: bool = False) -> AgentsTable:
    """The agents table in this file.

    Columns `agent` and at least one of endowment, value, priority, demand and own_use; other columns are not
    looked at, so that a table written by `write_agents` can be read back, but one that looks like a misspelt
    field is an error.

    Args:
        allows_zero: whether an endowment may be 0, as it may wherever there is one of the last three columns.
    """
    path = check_path(path)
    form, packing = format_and_packing(path, AGENT_FORMATS)
    if form != "parquet":
        rows = read_table(path, read_bytes(path, options.budget, packing=packing), form)
        line, header = next(rows)
        columns = _columns(path, header, line)
        agent, *places = columns.values()
        fields = list(columns)[1:]
        rows = ((line, unescape_cell(row[agent]), *(row[k] for k in places)) for line, row in rows)
    elif packing:
        raise complaint(path, "Parquet is compressed already; unpack it.")
    else:
        fields, rows = _read_parquet(path, options)
    unit = "row" if form == "parquet" else "line"
    table = AgentsTable(path, {}, {field: {} for field in fields}, unit)
    _fill(table, rows, fields, options, allows_zero or any(field in OF_AGENTS for field in fields))
    return table


def has_endowments(path, options: FileOptions) -> bool:
    """Whether the agents table has endowments, or values alone."""
    return "endowment" in read_agents(path, options).numbers


def _columns(path: Path, header: Sequence[str], line: int | None) -> dict[str, int]:
    """The places of the columns agent and of all fields, whose names may be in any letter case."""
    names = [folded(name) if folded(name) in ("agent", *_FIELDS) else name for name in header]
    check_header(path, names, ("agent",), line, used=("agent", *_FIELDS))
    for field in _FIELDS:
        others = {folded(name): name for name in names if name not in ("agent", *_FIELDS)}
        close = difflib.get_close_matches(field, others, n=1, cutoff=0.8)
        if field not in names and close:
            name = others[close[0]]
            raise complaint(path, f"column {short(name)} looks like {field!r}; rename or remove it.", line)
    fields = [field for field in _FIELDS if field in names]
    if not fields:
        raise complaint(
            path, f"no column {' or '.join(_FIELDS)} (found {listed(header)}); give at least one.", line
        )
    return {field: names.index(field) for field in ("agent", *fields)}


def _fill(
    table: AgentsTable,
    rows: Iterable[Sequence],
    fields: Sequence[str],
    options: FileOptions,
    allows_zero: bool,
) -> None:
    """Take every row: where it stands, the agent, and a number (or its text) for each field."""
    for place, label, *given in rows:
        label = "" if label is None else str(label).strip()
        try:
            check_label(label)
            if label in table.row_of:
                raise ValueError(
                    f"agent {short(label)} stands also on {table.unit} {table.row_of[label]}; keep one."
                )
            table.row_of[label] = place
            for field, number in zip(fields, given, strict=True):
                number = "" if number is None else number
                try:
                    if field in OF_AGENTS:
                        number = term(f"agent {short(label)}", number)
                    else:
                        number = agent_number(field, label, number, options, allows_zero)
                    table.numbers[field][label] = number
                except ValueError as error:
                    raise ValueError(f"{field} {error}") from None
        except ValueError as error:
            raise table.complaint(str(error), place) from None
    try:
        check_numbers(list(table.row_of), lambda label: f"{table.unit} {table.row_of[label]}")
    except ValueError as error:
        raise table.complaint(str(error)) from None


def _read_parquet(path: Path, options: FileOptions) -> tuple[list[str], Iterator[tuple]]:
    """The fields of a table in Parquet, and its rows as `_fill` takes them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
        names = {field: schema.names[place] for field, place in _columns(path, schema.names, None).items()}
        _check_types(path, schema, names)
        # By row group, because pyarrow 26 crashes when it is asked for the size of a damaged column.
        groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
        needed = sum(g.total_byte_size + _BYTES_PER_CELL * len(names) * g.num_rows for g in groups)
        check_budget(path, needed, options.budget, "the table declares")
        # Labels as a dictionary, so that a long label that fills a billion rows is held once.
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=[names["agent"]]) as file:
            frame = file.read(columns=list(names.values()))
        frame.validate(full=True)
        labels, *columns = (frame.column(name).combine_chunks() for name in names.values())
        if pa.types.is_dictionary(labels.type):
            texts = labels.dictionary.to_pylist()
            labels = [None if i is None else texts[i] for i in labels.indices.to_pylist()]
        else:
            labels = labels.to_pylist()
        columns = [column.to_pylist() for column in columns]
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        raise complaint(path, f"cannot be read as Parquet ({detail(error)}); write it again.") from None
    return list(names)[1:], zip(itertools.count(1), labels, *columns)


def _check_types(path: Path, schema, names: Mapping[str, str]) -> None:
    import pyarrow as pa

    kind = schema.field(names["agent"]).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (is_text or pa.types.is_integer(kind)):
        raise complaint(path, f"column agent is of type {kind}; use integers or text.")
    for field in names.keys() - {"agent"}:
        kind = schema.field(names[field]).type
        if not (pa.types.is_integer(kind) or kind in (pa.float32(), pa.float64())):
            raise complaint(path, f"column {field} is of type {kind}; use float64, float32 or integers.")
