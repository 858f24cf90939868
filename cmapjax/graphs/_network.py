"""What every reader of links finds: agents, who is linked with whom, and numbers the file has for them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class Network(NamedTuple):
    """Agents by position and the links between them, before anything is checked as a market."""

    links: Int[np.ndarray, "links 2"]
    labels: Sequence[int] | Sequence[str]
    endowment: list[float] | None = None
    value: list[float] | None = None
