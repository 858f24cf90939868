"""How a network file is to be read, and what each of these options is called where the reader was called."""

import dataclasses
from typing import Any, Literal

from cmapjax.graphs._files import as_budget


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """The options of `read_market`, handed to every parser (their meaning stands there)."""

    format: str | None = None
    source_column: str | None = None
    target_column: str | None = None
    separator: str | None = None
    header: bool | None = None
    label_attribute: str | None = None
    endowment_attribute: str | None = None
    value_attribute: str | None = None
    drop_self_loops: bool = False
    drop_isolated: bool = False
    symmetrize: bool = False
    ignore_extra_columns: bool = False
    memory_budget: int | None = None
    place: Literal["python", "command", "study"] = "python"
    """From where the reader was called: errors name an option as it is written there."""

    @property
    def budget(self) -> int:
        """Bytes of memory that reading may take."""
        return as_budget(self.memory_budget)

    def say(self, option: str, value: Any = True) -> str:
        """An option as it is written where the reader was called, for an error that recommends it.

        `say("symmetrize")` is `symmetrize=True` in Python, `--symmetrize` on the command line and
        `network = "file:…,symmetrize=true"` in a study; `say("source_column", "from")` is
        `source_column='from'`, `--source-column from` and `network = "file:…,source-column=from"`.

        Args:
            option: the name of a field of this class.
            value: what to set it to.
        """
        if option == "drop_isolated":
            return {
                "python": "drop_isolated=True",
                "command": "--isolated drop",
                "study": 'isolated = "drop"',
            }[self.place]
        dashed = option.replace("_", "-")
        if self.place == "python":
            return f"{option}={value!r}"
        if self.place == "study":
            text = str(value).lower() if isinstance(value, bool) else value
            return f'network = "file:…,{dashed}={text}"'
        if isinstance(value, bool):
            return f"--{dashed}" if value else f"--no-{dashed}"
        return f"--{dashed} {value}"

    def say_agents(self) -> str:
        """Likewise an agents table."""
        return {
            "python": "agents=FILE",
            "command": "--agents FILE",
            "study": 'network = "file:…,agents=FILE"',
        }[self.place]
