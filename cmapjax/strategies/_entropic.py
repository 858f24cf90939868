"""Entropic CMAP: one step of mirror descent on what CMAP optimises in full."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.arguments._checks import check_fairness, short
from cmapjax.market._columns import largest
from cmapjax.runtime._settings import is_traced
from cmapjax.runtime._types import Array, as_parameter
from cmapjax.strategies._base import Link, PostedStrategy, View
from cmapjax.strategies._bid import given, posted

# Claims follow demands: utility and claim of a satisfied receiver change by a matrix of trace 2(1 − η) and
# determinant 1 − η in a round, which is stable below this η (docs/why-all-at-once.md).
MOST_WITH_DEMAND = 4 / 3
# exp of this is finite in float32. Only links without a gift exceed it, whose weight is 0 all the same.
MOST_EXPONENT = 80.0


class EntropicCMAP(PostedStrategy):
    """Each neighbour gets what it had, times a power of how poor it is: y_ij ← b_i y_ij π_j / Σ_k y_ik π_k.

    Its pull is π_j = (w_j / u_j)^η. The row maximises Σ_j y_ij log(w_j / u_j) − KL(y_i ‖ last row) / η: what
    CMAP sees, taken to first order, and inertia. For η ≤ 1 no round lowers Nash welfare or raises
    Ψ = Σ_j u_j log(u_j / w_j), whoever acts, everybody at once included, and each with its own η. Near the
    equilibrium rounds contract for η < 2 in every market, and beyond that not in all. At η = 1 a round is two
    rounds of `ProportionalResponse`. A link along which nothing is given stays so; an agent that gave nothing
    splits equally.

    In a market with priorities, capacities and losses y_ij ← min(K_ij, P_i y_ij π_ij) with
    π_ij = (β_j e_ij^(1/α) / u_j)^η and P_i such that i spends what it has; at η = 1 that is `BidResponse`.
    What is said of welfare and of η < 2 holds there too, for the welfare of this α, as long as there are no
    demands; with demands, which claims follow, rounds contract for η < 4/3, and larger steps are refused.

    Args:
        step: η > 0; with `PerAgent`, one for each agent. Above 1 welfare may fall for a while, above 2 runs
            do not settle.
        fairness: α > 0 of the welfare Σ b_j (u_j / b_j)^(1−α) / (1−α), the logarithm for 1. It matters only
            where there are losses.

    Raises:
        ValueError: a step that is not above 0, or infinite; such an α; on a market with demands, a step of
            4/3 or more.

    Source: derived in docs/why-all-at-once.md; mirror descent on the entropy is Beck and Teboulle's,
    Operations Research Letters 31, 2003.
    """

    known_as = ("entropic",)
    step: Float[Array, ""] = eqx.field(converter=as_parameter, default=1.0)
    fairness: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        check_fairness(self.fairness, may_be_infinite=False)
        if not isinstance(self.step, np.ndarray):
            return
        is_number = self.step.dtype.kind == "f"
        wrong = np.ravel(~((self.step > 0) & (self.step < np.inf))) if is_number else np.ones(1, bool)
        if wrong.any():
            first = wrong.argmax()
            who = f" of agent {first}" if self.step.ndim else ""
            raise ValueError(
                f"step{who} is {short(self.step.ravel()[first].item())}; give a number η above 0: at most 1 "
                "for welfare that never falls, 1.5 for speed, and below 2 for runs that settle."
            )

    def check_market(self, market):
        if market.demand is None or is_traced((market.demand, self.step)):
            return
        step = np.asarray(self.step)
        if np.any(np.asarray(market.demand) < np.inf) and np.any(step >= MOST_WITH_DEMAND):
            raise ValueError(
                f"strategy: EntropicCMAP has the step {step.max():.4g}; in a market with the field demand, "
                "where claims follow utilities, steps of 4/3 or more do not settle; use a smaller one, "
                "such as 1.2."
            )

    def post(self, view: View):
        gives = view.is_neighbour & (view.sent > 0)
        least = jnp.finfo(view.sent.dtype).min
        # Measured from the largest pull, so that a power of a small utility does not overflow. It cancels.
        pull = jax.lax.stop_gradient(largest(jnp.where(gives, self._log_pull(view), least)))
        return pull, posted(view, self._weight(view, pull))

    def flow(self, terms, link: Link):
        pull, split = terms
        return given(split, link, self._weight(link, pull))

    def _weight(self, link: Link, pull: Float[Array, "..."]) -> Float[Array, "..."]:
        """y_ij π_ij, in parts of the giver's largest pull."""
        return link.sent * jnp.exp(jnp.minimum(self._log_pull(link) - pull, MOST_EXPONENT))

    def _log_pull(self, link: Link) -> Float[Array, "..."]:
        """η log(β_j e_ij^(1/α) / u_j); 0 where nothing is received or wanted."""
        has = (link.utility > 0) & (link.claim > 0)
        log = jnp.log(jnp.where(has, link.claim, 1) / jnp.where(has, link.utility, 1))
        if link.efficiency is not None:
            log = log + jnp.log(jnp.where(has, link.efficiency, 1)) / self.fairness
        return jnp.where(has, jnp.asarray(self.step, log.dtype) * log, 0)
