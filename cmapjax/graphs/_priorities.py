"""Rules by which the agents of a random market get their priorities."""

import abc
import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from cmapjax.graphs._parameters import Checked, real


class PriorityRule(Checked, abc.ABC):
    """How priorities follow from what agents bring and want; every `Distribution` is such a rule, too.

    Parameters outside their range raise ValueError.
    """

    is_random: ClassVar[bool] = False
    """Whether two markets of the same contributions and demands may differ."""

    @abc.abstractmethod
    def priorities(
        self,
        rng: np.random.Generator,
        contribution: Float[np.ndarray, "agents"],
        demand: Float[np.ndarray, "agents"] | None,
    ) -> Float[np.ndarray, "agents"]:
        """The priority of every agent of a market.

        Args:
            rng: a NumPy generator, for rules that draw.
            contribution: w_j (value); NaN for agents that are left out of the market.
            demand: D_j (value); None if there is none.

        Returns:
            b_j ≥ 0, one number per agent (value).
        """


@dataclasses.dataclass(frozen=True)
class Mix(PriorityRule):
    """A share τ of all points is given to all equally, the rest by contribution: b_j = (1 - τ) w_j + τ W/n.

    Args:
        share: τ, from 0 (priorities are contributions) to 1 (they are equal).
    """

    share: float | int = real(most=1, above=False)

    def priorities(self, rng, contribution, demand):
        return (1 - self.share) * contribution + self.share * np.nanmean(contribution)


@dataclasses.dataclass(frozen=True)
class Coverage(PriorityRule):
    """Priorities are demands, b_j = D_j: what is shared evenly is the share of each demand that is met."""

    def priorities(self, rng, contribution, demand):
        return demand
