"""Damping: an agent moves only part of the way from its last row to its strategy's answer."""

import abc

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.arguments._checks import check_kind
from cmapjax.market._columns import largest
from cmapjax.runtime._types import Array, as_parameter
from cmapjax.strategies import _calls
from cmapjax.strategies._base import Around, Link, Strategy, View, repeat


class Damping(eqx.Module):
    """A rule for θ, how far an agent moves towards its strategy's answer, from what the agent sees."""

    @abc.abstractmethod
    def step(self, view: View) -> Float[Array, ""]:
        """θ in (0, 1]: 1 moves all the way."""

    def post(self, view: View):
        """What an agent announces so that its neighbours can compute its θ."""
        return self.step(view)

    def posted_step(self, terms) -> Float[Array, "..."]:
        """θ, from what was announced."""
        return terms


class FixedDamping(Damping):
    """The same θ for all agents.

    Args:
        theta: θ, above 0 and at most 1; with `PerAgent`, one for each agent.

    Raises:
        ValueError: a θ out of range.
    """

    theta: Float[Array, ""] = eqx.field(converter=as_parameter)

    def __check_init__(self):
        if isinstance(self.theta, np.ndarray) and not (
            self.theta.dtype.kind in "if" and np.all((self.theta > 0) & (self.theta <= 1))
        ):
            raise ValueError(f"damping theta is {self.theta}; give a number above 0 and at most 1.")

    def step(self, view: View):
        return jnp.asarray(self.theta, view.sent.dtype)

    def post(self, view: View):
        return None  # all agents follow one strategy, so all know θ

    def posted_step(self, terms):
        return jnp.asarray(self.theta)


class MaxDegreeDamping(Damping):
    """θ = 1/Δ, Δ the largest degree in the market: simultaneous CMAP never lowers welfare.

    Source: the steps of all givers to a receiver sum to at most 1, so Jensen's inequality holds
    receiver by receiver; Δ is the constant ω of Richtárik and Takáč, Math. Prog. 156, 2016.
    """

    known_as = ("1/max-degree",)

    def step(self, view: View):
        return 1 / jnp.maximum(view.max_degree, 1)


class LocalDamping(Damping):
    """θ_i = 1 / max_{j ∈ N_i} deg(j): as safe as 1/Δ, from local knowledge, and never slower.

    Simultaneous CMAP never lowers welfare under it: the givers p of a receiver j have θ_p ≤ 1/deg(j),
    so their steps sum to at most 1.
    """

    def step(self, view: View):
        return 1 / jnp.maximum(largest(view.degree), 1)


class Damped(Around):
    """Moves θ of the way: y ← (1 − θ) y + θ · (the strategy's answer).

    Args:
        strategy: whose answer it is.
        damping: the rule for θ, or a number for `FixedDamping`.
    """

    damping: Damping = eqx.field(
        converter=lambda x: x if isinstance(x, Damping) else FixedDamping(x), default=0.5
    )

    def __check_init__(self):
        check_kind("strategy", self.strategy, Strategy, "CMAP()")

    @property
    def is_posted(self):
        return self.strategy.is_posted

    def post(self, view: View):
        """What the rule for θ announces, and the strategy's terms; for strategies that post."""
        return _calls.call(self.damping, "post", view), _calls.post(self.strategy, view)

    def flow(self, terms, link: Link):
        """What an agent with these terms gives on a link, elementwise; for strategies that post.

        Args:
            terms: what the giver has posted (`post`).
            link: what both ends know of the link.

        Returns:
            (1 − θ) y_ij + θ · (the strategy's flow), in value.
        """
        damping, answer = terms
        # At the receiving end there is one giver per entry, and terms are vectors.
        theta = jnp.asarray(_calls.call(self.damping, "posted_step", damping)).astype(link.sent.dtype)
        return (1 - theta) * link.repeated + theta * _calls.flow(self.strategy, answer, link)

    def respond(self, view: View):
        theta = _calls.step(self.damping, view).astype(view.sent.dtype)
        return (1 - theta) * repeat(view) + theta * _calls.respond(self.strategy, view)
