"""CMAP solved numerically: projected gradient on the simplex, with a finite budget of iterations.

Only `JaxoptGradient` needs jaxopt, which is no longer maintained; `OptaxGradient` is the same method with
optax's projection.
"""

import abc
import warnings
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.arguments._checks import check_hops
from cmapjax.market._columns import largest, total
from cmapjax.runtime._types import Array, as_parameter
from cmapjax.strategies._base import Strategy, View, given_by_others, repeat
from cmapjax.strategies._capped import capped_level, up_to

# Below this share of a neighbour's contribution the logarithm of its utility is continued by its tangent, so
# that the gradient towards a neighbour with nothing is steep but finite.
UTILITY_FLOOR = 1e-9
LINE_SEARCH_STEPS = 30


class StepRule(eqx.Module):
    """A rule for the step sizes of a gradient method, in shares of the budget per unit of 1/ratio."""


class FixedStep(StepRule):
    """The same step in every iteration.

    Args:
        size: of the step, above 0.
    """

    size: Float[Array, ""] = eqx.field(converter=as_parameter, default=0.1)

    def __check_init__(self):
        check_step(self.size)

    def at(self, iteration: Array) -> Array:
        return jnp.asarray(self.size)


class DiminishingStep(StepRule):
    """size / √(1 + iteration): the classical rule that needs no bound on the curvature.

    Args:
        size: of the first step, above 0.
    """

    size: Float[Array, ""] = eqx.field(converter=as_parameter, default=0.1)

    def __check_init__(self):
        check_step(self.size)

    def at(self, iteration: Array) -> Array:
        return self.size / jnp.sqrt(1 + iteration.astype(jnp.result_type(self.size)))


class LineSearch(StepRule):
    """Backtracking: the step is halved until the improvement is at least what the gradient predicts.

    Agents are computed together and all wait for the one that halves most often, so expect several times the
    time of a fixed step.
    """


def check_step(size) -> None:
    """Raise ValueError unless the step is finite and above zero."""
    if isinstance(size, np.ndarray) and not (
        size.dtype.kind in "if" and np.all(np.isfinite(size) & (size > 0))
    ):
        raise ValueError(f"step size is {size}; give a finite number above 0.")


class GradientMethod(eqx.Module):
    """Minimises a smooth function over the unit simplex.

    Args:
        iterations: how many steps are taken from the start.
        step: the rule for their sizes.
    """

    iterations: eqx.AbstractVar[int]
    step: eqx.AbstractVar[StepRule]

    def __check_init__(self):
        whole = isinstance(self.iterations, int) and not isinstance(self.iterations, bool)
        if not whole or self.iterations < 1:
            raise ValueError(f"iterations is {self.iterations!r}; give a whole number, 1 or more.")
        if not isinstance(self.step, StepRule):
            raise ValueError(
                f"step is {self.step!r}; give FixedStep(size), DiminishingStep(size) or LineSearch()."
            )

    @abc.abstractmethod
    def minimise(self, loss_and_gradient: Callable, start: Float[Array, "slots"], project: Callable):
        """The point reached after all iterations.

        Args:
            loss_and_gradient: gives the loss at a point and its gradient there.
            start: a point of the simplex, zero on padding.
            project: `project(projection, x)` applies a simplex projection to the real slots of x only.

        Returns:
            A point of the simplex.
        """

    def minimise_traceably(
        self, loss_and_gradient: Callable, start: Float[Array, "slots"], project: Callable
    ):
        """The same point, computed so that JAX can differentiate it in both modes; by default `minimise`.

        Args:
            loss_and_gradient, start, project: as for `minimise`.

        Returns:
            A point of the simplex.
        """
        return self.minimise(loss_and_gradient, start, project)


class JaxoptGradient(GradientMethod):
    """jaxopt's ProjectedGradient with its simplex projection, without acceleration.

    Args:
        iterations: how many steps are taken from the last row.
        step: the rule for their sizes.

    Raises:
        ImportError: jaxopt is not installed; use `OptaxGradient`, the same method on optax.
    """

    iterations: int = eqx.field(static=True, default=20)
    step: StepRule = eqx.field(default_factory=FixedStep)

    def minimise(self, loss_and_gradient, start, project):
        jaxopt = import_jaxopt()
        solver = jaxopt.ProjectedGradient(
            loss_and_gradient,
            lambda x, _: project(jaxopt.projection.projection_simplex, x),
            stepsize=0.0 if isinstance(self.step, LineSearch) else self.step.at,
            maxiter=self.iterations,
            value_and_grad=True,
            maxls=LINE_SEARCH_STEPS,
            tol=0.0,  # the number of iterations is part of the rule, so none is skipped
            acceleration=False,
            implicit_diff=False,
            unroll=False,
        )
        return solver.run(start).params

    def minimise_traceably(self, loss_and_gradient, start, project):
        return descend(self, loss_and_gradient, start, project, steps_again=True)


class OptaxGradient(GradientMethod):
    """The same iteration as `JaxoptGradient`, with `optax.projections.projection_simplex`.

    Args:
        iterations: how many steps are taken from the last row.
        step: the rule for their sizes.
    """

    iterations: int = eqx.field(static=True, default=20)
    step: StepRule = eqx.field(default_factory=FixedStep)

    def minimise(self, loss_and_gradient, start, project):
        return descend(self, loss_and_gradient, start, project, steps_again=False)

    def minimise_traceably(self, loss_and_gradient, start, project):
        return descend(self, loss_and_gradient, start, project, steps_again=True)


def descend(method: GradientMethod, loss_and_gradient, start, project, *, steps_again: bool):
    """The iterations of projected gradient, written out.

    The number of halvings of a line search does not change with small changes of the input, so its step is a
    constant for derivatives. With `steps_again` the step is repeated outside the search, where JAX can
    differentiate it.
    """

    from optax.projections import projection_simplex

    def simplex(x):  # in x64 mode, optax mixes precisions between its values and slopes for float32
        return projection_simplex(x.astype(jnp.float64)).astype(x.dtype)

    def forward(x, gradient, size):
        return project(simplex, x - size * gradient)

    def search(x, value, gradient, size):
        def too_far(attempt):
            y, size, tries = attempt
            move = y - x
            gain = size * (loss_and_gradient(y)[0] - value)
            promised = size * jnp.vdot(move, gradient) + 0.5 * jnp.vdot(move, move)
            return (gain > promised + jnp.finfo(x.dtype).eps) & (tries < LINE_SEARCH_STEPS)

        def halve(attempt):
            _, size, tries = attempt
            return forward(x, gradient, size / 2), size / 2, tries + 1

        return jax.lax.while_loop(too_far, halve, (forward(x, gradient, size), size, 0))[:2]

    def iterate(carry, iteration):
        x, size = carry
        value, gradient = loss_and_gradient(x)
        if not isinstance(method.step, LineSearch):
            return (forward(x, gradient, method.step.at(iteration).astype(x.dtype)), size), None
        y, size = search(*jax.lax.stop_gradient((x, value, gradient, size)))
        if steps_again:
            y = forward(x, gradient, size)
        # jaxopt's rule: try twice the step next time, and start again from 1 if the step has vanished.
        return (y, jnp.where(size <= 1e-6, 1, 2 * size)), None

    first = (start, jnp.ones((), start.dtype))
    return jax.lax.scan(iterate, first, jnp.arange(method.iterations))[0][0]


class GradientCMAP(Strategy):
    """CMAP by projected gradient ascent: the community's program solved approximately.

    The objective sums over the whole community, members out of the agent's reach included. It is the
    community's gain Σ_{j ∈ C_i^k} w_j (log u_j(row) − log u_j(last row)), which differs from its utility by a
    constant: terms out of reach are then exactly zero and not rounding errors, so all k ≥ 1 take the same
    steps. The variable is the share of the budget, so the method does not depend on the unit of value. With
    k = 0 the objective is constant and the agent keeps its row. Claims take the place of contributions in
    markets that have them; capacities cut the simplex, and the row is then projected by a water level.

    Args:
        community_hops: k = 0, 1, 2, …, or `math.inf` for everybody the agent is connected to.
        method: `OptaxGradient` or `JaxoptGradient`, with its iteration budget and step rule.
    """

    known_as = ("cmap-gradient",)
    symbols: ClassVar[dict[str, str]] = {"hops": "community_hops"}
    community_hops: int | float = eqx.field(static=True, default=1)
    method: GradientMethod = eqx.field(default_factory=JaxoptGradient)

    def __check_init__(self):
        check_hops(self.community_hops)

    @property
    def hops(self) -> int | float:
        return self.community_hops

    def respond(self, view: View):
        return repeat(view) if self.community_hops == 0 else _approximate_row(self, view)


@jax.custom_jvp
def _approximate_row(strategy: GradientCMAP, view: View) -> Float[Array, "neighbours"]:
    return _best_row(view, strategy.method.minimise, floored_log)


@_approximate_row.defjvp
def _approximate_row_derivative(primals, tangents):
    # JAX's while loops have no reverse mode, so derivatives use another way to compute the row.
    def traceable(strategy, view):
        return _best_row(view, strategy.method.minimise_traceably, branched_log)

    return jax.jvp(traceable, primals, tangents)


def _best_row(view: View, minimise: Callable, log: Callable) -> Float[Array, "neighbours"]:
    start = repeat(view)
    budget = jnp.where(view.budget > 0, view.budget, 1)
    base = given_by_others(view)
    arrives = 1 if view.efficiency is None else view.efficiency

    def gains(share):
        after, before = base + arrives * (budget * share), base + arrives * start
        return gain(view.claim, after, before, log) / budget

    def loss(share):
        value = total(gains(share))
        if view.beyond is not None:
            out_of_reach = view.beyond.utility
            value += total(gain(view.beyond.contribution, out_of_reach, out_of_reach, log)) / budget
        return -value

    def loss_and_gradient(share):
        # Each term depends on its own entry only, so one forward derivative is the gradient.
        _, slopes = jax.jvp(gains, (share,), (jnp.ones_like(share),))
        return loss(share), -slopes

    def project(projection, x):
        if view.capacity is not None:
            return capped_point(x, view.is_neighbour, view.capacity / budget)
        # Large, negative and finite: −inf would become NaN in the projection's cumulative sum.
        lowest = -jnp.sqrt(jnp.finfo(x.dtype).max)
        share = projection(jnp.where(view.is_neighbour, x, lowest))
        return jnp.where(view.is_neighbour, share, 0)

    share = minimise(loss_and_gradient, start / budget, project)
    return jnp.where(view.budget > 0, view.budget * share, 0)


def capped_point(x, is_slot, capacity):
    """The nearest point of {0 ≤ p ≤ K, Σ p = min(1, Σ K)}: min(K, max(0, x + τ)), a row filled to a level."""
    weight = is_slot.astype(x.dtype)
    below = jnp.where(is_slot, largest(jnp.where(is_slot, x, -jnp.inf)) - x, 0)
    return jnp.where(is_slot, up_to(capped_level(1.0, weight, below, capacity), weight, below, capacity), 0)


def gain(weight, after, before, log):
    """w (log after − log before), with the logarithm continued by its tangent below the floor."""
    floor = jnp.where(weight > 0, UTILITY_FLOOR * weight, 1)
    return jnp.where(weight > 0, weight * (log(after, floor) - log(before, floor)), 0)


def floored_log(utility, floor):
    """log u, continued below the floor f by its tangent, log f − (f − u) / f."""
    above = jnp.maximum(utility, floor)
    return jnp.log(above) - (above - utility) / floor


def branched_log(utility, floor):
    """`floored_log` for reverse mode, in which slopes of 1/f would cancel and lose nine digits."""
    above = jnp.log(jnp.maximum(utility, floor))
    return jnp.where(utility > floor, above, jnp.log(floor) - (floor - utility) / floor)


def import_jaxopt():
    """The module jaxopt, its end-of-life warning silenced. Raises ImportError, which says what to use
    instead."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="JAXopt is no longer maintained")
        try:
            import jaxopt
        except ImportError as error:
            raise ImportError(
                "JaxoptGradient needs jaxopt (pip install jaxopt); OptaxGradient is the same method "
                "without it."
            ) from error
    return jaxopt
