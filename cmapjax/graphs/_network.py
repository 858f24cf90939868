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
    notes: Sequence[str] = ()
    """What the file holds that the market does not use, a sentence each (`market.origin.notes`)."""


def weights_note(what: str) -> str:
    """The note that weights are not used, the same in every format.

    Args:
        what: where they stand, such as `the third column` or `the values of entries`.
    """
    return f"weights are not used: {what} (a link is there or not)"
