"""The options of reading a network file, and their names in Python, on the command line and in studies.

The module needs neither JAX nor NumPy, because the command line and studies check options before loading
them.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

MOST_BY_DEFAULT = 32 << 30  # what 2 GB of an edge list with names take
SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "blank": " ", "bar": "|"}


class Format(NamedTuple):
    """A format of network files."""

    endings: tuple[str, ...]
    takes: tuple[str, ...] = ()
    """The options of this format in addition to those of every file (`EVERYWHERE`)."""
    memory: int = 16
    """Bytes of memory that reading typically takes per byte of the file."""


EVERYWHERE = ("format", "drop_self_loops", "drop_isolated", "directed", "symmetrize", "zero", "memory_budget")
# Options about agents, which also apply to networks that are known by name.
OF_AGENTS = ("zero", "memory_budget")
ZERO = ("reject", "drop")
_SWITCHES = ("header", "directed", "drop_self_loops", "drop_isolated", "symmetrize", "ignore_extra_columns")
_COLUMNS = ("source_column", "target_column", "separator", "header")
# Attributes that hold numbers of agents, and of links.
ATTRIBUTES_OF_AGENTS = tuple(
    f"{field}_attribute" for field in ("endowment", "value", "priority", "demand", "own_use")
)
ATTRIBUTES_OF_LINKS = ("capacity_attribute", "efficiency_attribute")
_ATTRIBUTES = ("label_attribute", *ATTRIBUTES_OF_AGENTS, *ATTRIBUTES_OF_LINKS)
FORMATS = {
    "edge-list": Format((".txt", ".edges", ".edgelist", ".el"), (*_COLUMNS, "ignore_extra_columns")),
    "csv": Format((".csv",), _COLUMNS),
    "tsv": Format((".tsv",), _COLUMNS),
    "graphml": Format((".graphml",), _ATTRIBUTES, 24),
    "gml": Format((".gml",), _ATTRIBUTES, 24),
    "gexf": Format((".gexf",), _ATTRIBUTES, 24),
    "node-link": Format((".json",), _ATTRIBUTES, 24),
    "pajek": Format((".net",), ("label_attribute",), 24),
    "adjacency-list": Format((".adj", ".adjlist")),
    "adjacency-matrix": Format((), ("separator", "header")),
    "matrix-market": Format((".mtx",)),
    "npz": Format((".npz",)),
    "konect": Format(()),
}
ENDINGS = {ending: name for name, form in FORMATS.items() for ending in form.endings}

# Networks that are known by name.
NETWORKX = {
    "karate": "karate_club_graph",
    "les-miserables": "les_miserables_graph",
    "davis": "davis_southern_women_graph",
    "florentine": "florentine_families_graph",
}
"""The functions of NetworkX that make them."""
SHIPPED = {"gnutella": "p2p-Gnutella04.txt.gz"}
"""Files that come with the package."""
KNOWN_NETWORKS = (*NETWORKX, *SHIPPED)


def option(default, text: str) -> Any:
    """A field of `FileOptions` with its text for `--help`."""
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """The options of `read_market`, which describes them; passed to every parser.

    Raises:
        ValueError: an unknown format, a separator that is not one character, a value of the wrong kind.
    """

    format: str | None = option(
        None, f"Format of a network file, whatever its name ends in (needed for -): {', '.join(FORMATS)}."
    )
    source_column: str | None = option(None, "Column of a table that holds one end of each link.")
    target_column: str | None = option(None, "Column of a table that holds the other end.")
    separator: str | None = option(
        None, f"What stands between columns: one character, or {', '.join(SEPARATORS)}."
    )
    header: bool | None = option(None, "Whether the first line of a table or edge list names the columns.")
    label_attribute: str | None = option(
        None, "Attribute that names the agents of a GraphML, GML, GEXF, node-link or Pajek file."
    )
    endowment_attribute: str | None = option(
        None, "Attribute of the agents of a GraphML, GML, GEXF or node-link file: their endowment."
    )
    value_attribute: str | None = option(None, "Likewise their value.")
    priority_attribute: str | None = option(None, "Likewise their priority.")
    demand_attribute: str | None = option(None, "Likewise their demand.")
    own_use_attribute: str | None = option(None, "Likewise their own use.")
    capacity_attribute: str | None = option(
        None, "Attribute of the links of a GraphML, GML, GEXF or node-link file: their capacity."
    )
    efficiency_attribute: str | None = option(None, "Likewise their efficiency.")
    drop_self_loops: bool = option(False, "Leave out links of an agent with itself.")
    drop_isolated: bool = False
    directed: bool = option(
        False,
        "Links go one way: from the first agent of a line to the second, as a file of another format says, "
        "or as it is drawn for a random family.",
    )
    symmetrize: bool = option(False, "Make the links of a directed network go both ways.")
    ignore_extra_columns: bool = option(False, "Read edge lists of more than two columns.")
    zero: str = option("reject", "Agents whose endowment is zero: reject them, or drop them.")
    memory_budget: int | None = option(None, "Bytes of memory that reading a network file may take.")
    place: Literal["python", "command", "study"] = "python"
    """Where the reader was called from; errors name an option as it is written there."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            self._check(field.name, getattr(self, field.name))
        if self.directed and self.symmetrize:
            names = self.called("directed"), self.called("symmetrize")
            raise ValueError(f"{names[0]} keeps links one way and {names[1]} makes them go both; give one.")
        if self.separator is not None:
            object.__setattr__(self, "separator", SEPARATORS.get(self.separator, self.separator))

    def _check(self, name: str, value) -> None:
        """Raise ValueError unless the option may have this value."""
        is_text = isinstance(value, str) and value != ""
        remedy = None
        if name == "memory_budget":
            as_budget(value)
        elif name in _SWITCHES:
            remedy = (
                None if isinstance(value, bool) or (name, value) == ("header", None) else "give True or False"
            )
        elif name == "zero":
            remedy = None if value in ZERO else "give reject or drop"
        elif name != "place" and value is not None and not is_text:
            remedy = "give text"
        elif name == "format" and is_text and value not in FORMATS:
            raise ValueError(
                f"{self.called(name)} {_short(value)} is not known; use one of {', '.join(FORMATS)}."
            )
        elif name == "separator" and is_text and value not in SEPARATORS:
            if len(value) != 1:
                remedy = f"give one character, or one of {', '.join(SEPARATORS)}"
            elif value.isalnum() or value in "\"'\\\r\n":
                remedy = "which names may hold; use another"
        if remedy is not None:
            raise ValueError(f"{self.called(name)} is {_short(value)}; {remedy}.")

    @property
    def budget(self) -> int:
        """Bytes of memory that reading may take."""
        return as_budget(self.memory_budget)

    def given(self) -> list[str]:
        """The names of the options of a file that differ from their defaults."""
        return [
            field.name
            for field in dataclasses.fields(self)
            if field.name not in ("place", "drop_isolated") and getattr(self, field.name) != field.default
        ]

    def called(self, name: str) -> str:
        """The name of an option where the reader was called."""
        dashed = name.replace("_", "-")
        return {"python": name, "command": f"--{dashed}", "study": dashed}[self.place]

    def say(self, name: str, value: Any = True) -> str:
        """An option as it is written where the reader was called, for an error that recommends it.

        `say("symmetrize")` is `symmetrize=True` in Python, `--symmetrize` on the command line and
        `network = "file:…,symmetrize=true"` in a study; `say("source_column", "from")` is
        `source_column='from'`, `--source-column from` and `network = "file:…,source-column=from"`.

        Args:
            name: a field of this class, or `agents`.
            value: what to set it to.
        """
        dashed = name.replace("_", "-")
        if name == "drop_isolated" and self.place != "python":
            return "--isolated drop" if self.place == "command" else 'isolated = "drop"'
        if self.place == "study":
            text = str(value).lower() if isinstance(value, bool) else value
            return f'network = "file:…,{dashed}={text}"'
        if self.place == "command":
            is_switch = isinstance(value, bool)
            return f"--{dashed if value else f'no-{dashed}'}" if is_switch else f"--{dashed} {value}"
        return f"{name}={value!r}" if name != "agents" else f"{name}={value}"


def as_budget(memory_budget) -> int:
    """The budget in bytes; by default a third of the memory that this process may have, at most 32 GiB."""
    if memory_budget is None:
        from cmapjax.arguments._checks import memory_of_process

        return max(1, min(MOST_BY_DEFAULT, memory_of_process() // 3))
    if isinstance(memory_budget, bool) or not isinstance(memory_budget, int) or memory_budget < 1:
        raise ValueError(f"memory_budget is {memory_budget!r}; give a positive whole number of bytes.")
    return memory_budget


def _short(value) -> str:
    from cmapjax.arguments._checks import short

    return short(value)
