"""What every reader of links returns: agents, links, and the numbers that the file has for agents."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

# What readers note in `market.origin.notes`, each with how often.
COMMENTS = "comment lines skipped"
HEADER = "header line skipped"
WEIGHTS = "weights of links ignored"
COLUMNS = "lines with further columns ignored"
DATA = "lines with a trailing {…} ignored"
BLANKS = "labels with blanks around them, cut off"
ZEROS = "stored zeros skipped"
GROUPS = "groups without links left out"
GROUP_AGENTS = "groups with links read as agents"
PORTS = "ports of agents ignored"


class Network(NamedTuple):
    """Agents by position and the links between them, before anything is checked as a market."""

    links: Int[np.ndarray, "links 2"]
    labels: Sequence[int] | Sequence[str]
    endowment: list[float] | None = None
    value: list[float] | None = None
    notes: Mapping[str, int] = MappingProxyType({})
    attributes: Sequence[str] = ()
    """The attributes of agents that the file has, for errors that recommend one."""
