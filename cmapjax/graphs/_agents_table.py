"""The agents table: one row per agent with what it brings (CSV, TSV or Parquet)."""

import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import (
    FileError,
    check_budget,
    check_path,
    detail,
    format_and_packing,
    naming,
    on_line,
    read_bytes,
)
from cmapjax.graphs._labels import agent_number, check_label, check_numbers
from cmapjax.graphs._network import with_defaults
from cmapjax.graphs._table import check_header, folded, read_table, unescape_cell
from cmapjax.market._numbers import OF_AGENTS

_FIELDS = ("endowment", "value", *OF_AGENTS)
_FORMATS = {".csv": ",", ".tsv": "\t", ".parquet": "parquet"}
_BYTES_PER_CELL = 64  # a Python number, and the row's share of lists and dictionaries


class AgentsTable(NamedTuple):
    """The numbers of all agents in an agents table."""

    path: Path
    unit: str
    """What places are counted in: a line, or a row in Parquet."""
    place_of: dict[str, int]
    """The line or row of each agent, by its label as text."""
    numbers: dict[str, list[float]]
    """For each column given: the number of each of them; NaN where the cell is blank."""

    def fields(self, labels: Sequence) -> dict[str, Any]:
        """All fields of these agents, with what holds where a column or cell is missing.

        Agents without a row have 1; `check_agents` refuses them, unless they are dropped.
        """
        number_of = {label: number for number, label in enumerate(self.place_of)}
        places = [number_of.get(str(label), -1) for label in labels]
        return with_defaults({field: np.append(x, 1.0)[places] for field, x in self.numbers.items()})

    def check_agents(self, labels: Sequence, dropped: Sequence, remedy: str = "") -> None:
        """Raise unless the table has exactly these agents, and perhaps dropped ones; `remedy` is one more."""
        unknown = self.place_of.keys() - {str(label) for label in (*labels, *dropped)}
        missing = [label for label in labels if str(label) not in self.place_of]
        with naming(self.path):
            if unknown:
                first = min(unknown, key=self.place_of.__getitem__)
                raise self.error(
                    f"agent {short(first)} has no link in the network ({len(unknown)} such; agents there are "
                    f"{listed(labels, 3)}); correct its label, or remove its row.{remedy}",
                    self.place_of[first],
                )
            if missing:
                number = f"{len(missing)} agent(s) of the network have no row"
                raise ValueError(f"{number} ({listed(missing)}); add one for each.{remedy}")

    def error(self, message: str, place: int) -> FileError:
        """An error about one of the rows."""
        return FileError(f"row {place}: {message}") if self.unit == "row" else FileError(message, place)

    def fill(self, rows: Iterable[Sequence], options: FileOptions, allows_zero: bool) -> None:
        """Take every row: where it stands, the agent, and a number (or its text) for each field."""
        for place, label, *given in rows:
            label = "" if label is None else str(label).strip()
            try:
                check_label(label)
                if label in self.place_of:
                    there = f"{self.unit} {self.place_of[label]}"
                    raise ValueError(f"agent {short(label)} stands also on {there}; keep one.")
                for (field, numbers), number in zip(self.numbers.items(), given, strict=True):
                    what, number = f"{field} of agent {short(label)}", "" if number is None else number
                    numbers.append(agent_number(field, what, number, options, allows_zero))
            except ValueError as error:
                raise self.error(str(error), place) from None
            self.place_of[label] = place
        check_numbers(self.place_of, lambda label: f"{self.unit} {self.place_of[label]}")


def read_agents(path, options: FileOptions, *, allows_zero: bool = False) -> AgentsTable:
    """The agents table in this file.

    Columns `agent` and at least one of endowment, value, priority, demand and own_use; other columns are not
    looked at, so that a table written by `write_agents` can be read back, but one that looks like a misspelt
    field is an error. An endowment may be 0 if `allows_zero`, or if there is one of the last three columns.
    """
    path = check_path(path)
    with naming(path):
        form, packing = format_and_packing(path, _FORMATS)
        if form != "parquet":
            rows = read_table(read_bytes(path, options.budget, packing=packing), form)
            line, header = next(rows)
            with on_line(line):
                columns = _columns(header)
            agent, *places = columns.values()
            fields = list(columns)[1:]
            rows = ((line, unescape_cell(row[agent]), *(row[k] for k in places)) for line, row in rows)
        elif packing:
            raise ValueError("Parquet is compressed already; unpack it.")
        else:
            fields, rows = _read_parquet(path, options)
        unit = "row" if form == "parquet" else "line"
        table = AgentsTable(path, unit, {}, {field: [] for field in fields})
        table.fill(rows, options, allows_zero or any(field in OF_AGENTS for field in fields))
    return table


def has_endowments(path, options: FileOptions) -> bool:
    """Whether the agents table has endowments, or values alone."""
    return "endowment" in read_agents(path, options).numbers


def _columns(header: Sequence[str]) -> dict[str, int]:
    """The places of the columns agent and of all fields, whose names may be in any letter case."""
    known = ("agent", *_FIELDS)
    names = [folded(name) if folded(name) in known else name for name in header]
    check_header(names, ("agent",), used=known)
    others = {folded(name): name for name in names if name not in known}
    for field in _FIELDS:
        close = difflib.get_close_matches(field, others, n=1, cutoff=0.8)
        if field not in names and close:
            name = others[close[0]]
            raise ValueError(f"column {short(name)} looks like {field!r}; rename or remove it.")
    fields = [field for field in _FIELDS if field in names]
    if not fields:
        raise ValueError(f"no column {' or '.join(_FIELDS)} (found {listed(header)}); give at least one.")
    return {field: names.index(field) for field in ("agent", *fields)}


def _read_parquet(path: Path, options: FileOptions) -> tuple[list[str], Iterable[tuple]]:
    """The fields of a table in Parquet, and its rows as `fill` takes them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
        names = {field: schema.names[place] for field, place in _columns(schema.names).items()}
        _check_types(schema, names)
        # By row group, because pyarrow 26 crashes when it is asked for the size of a damaged column.
        groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
        needed = sum(g.total_byte_size + _BYTES_PER_CELL * len(names) * g.num_rows for g in groups)
        check_budget(needed, options.budget, "the table declares")
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
        raise FileError(f"cannot be read as Parquet ({detail(error)}); write it again.") from None
    return list(names)[1:], zip(itertools.count(1), labels, *columns)


def _check_types(schema, names: Mapping[str, str]) -> None:
    import pyarrow as pa

    kind = schema.field(names["agent"]).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (is_text or pa.types.is_integer(kind)):
        raise ValueError(f"column agent is of type {kind}; use integers or text.")
    for field in names.keys() - {"agent"}:
        kind = schema.field(names[field]).type
        if not (pa.types.is_integer(kind) or kind in (pa.float32(), pa.float64())):
            raise ValueError(f"column {field} is of type {kind}; use float64, float32 or integers.")
