"""How a network file is to be read, and what each of these options is called where the reader was called.

Without JAX, because the command line and studies check words before they load it.
"""

import dataclasses
from typing import Any, Literal

from cmapjax._checks import default_memory_budget, short

SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "blank": " ", "space": " ", "bar": "|"}


def option(default, text: str) -> Any:
    """A field of `FileOptions` with its text for `--help`."""
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """The options of `read_market`, handed to every parser (their meaning stands there).

    Raises:
        ValueError: a separator that is not one character; a memory budget that is no number of bytes.
    """

    format: str | None = option(None, "Format of the file, whatever its name ends in (needed for -).")
    source_column: str | None = option(None, "Column of a table that holds one end of each link.")
    target_column: str | None = option(None, "Column of a table that holds the other end.")
    separator: str | None = option(
        None, "What stands between columns: one character, or tab, comma, semicolon, blank, bar."
    )
    header: bool | None = option(None, "Whether the first line names the columns.")
    label_attribute: str | None = option(None, "Attribute of the file's agents that names them.")
    endowment_attribute: str | None = option(None, "Attribute of the file's agents: their endowment.")
    value_attribute: str | None = option(None, "Attribute of the file's agents: their value.")
    drop_self_loops: bool = option(False, "Leave out links of an agent with itself.")
    drop_isolated: bool = False
    symmetrize: bool = option(False, "Make the links of a directed network go both ways.")
    ignore_extra_columns: bool = option(False, "Read edge lists of more than two columns.")
    memory_budget: int | None = option(None, "Bytes of memory that reading a file may take.")
    place: Literal["python", "command", "study"] = "python"
    """From where the reader was called: errors name an option as it is written there."""

    def __post_init__(self):
        separator = SEPARATORS.get(self.separator, self.separator)
        if separator is not None and (not isinstance(separator, str) or len(separator) != 1):
            raise ValueError(
                f"separator is {short(separator)}; give one character, or one of {', '.join(SEPARATORS)}."
            )
        if separator is not None and (separator in "\"'\r\n\\" or separator.isalnum()):
            raise ValueError(f"separator is {short(separator)}, which may stand in names; give another.")
        object.__setattr__(self, "separator", separator)
        as_budget(self.memory_budget)

    @property
    def budget(self) -> int:
        """Bytes of memory that reading may take."""
        return as_budget(self.memory_budget)

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
    """The budget in bytes, the default where none is given."""
    if memory_budget is None:
        return default_memory_budget()
    if isinstance(memory_budget, bool) or not isinstance(memory_budget, int) or memory_budget < 1:
        raise ValueError(f"memory_budget is {memory_budget!r}; give a positive whole number of bytes.")
    return memory_budget
