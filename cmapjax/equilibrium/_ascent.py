"""The loop of every first-order method: steps, a look at the certificate, and when to stop."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cmapjax.equilibrium._equilibrium import Equilibrium, equilibrium_of_flow, price_error
from cmapjax.market._certificate import certified_gap_of_flow
from cmapjax.market._market import Market

# Once the gap is small enough, steps go on until prices and ratios agree to this, or for a quarter of
# the steps made so far and this many more: nearly free on small markets, which then come out exact.
PRICE_TOLERANCE = 1e-10
POLISHING_STEPS = 200


def check_count(name: str, number) -> None:
    """Raise ValueError unless the option is a whole number, 1 or more."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"{name} is {number!r}; give a whole number, 1 or more.")


def ascend(
    market: Market,
    state,
    step: Callable,
    flow_of: Callable,
    tolerance,
    max_iterations: int,
    check_every: int,
) -> Equilibrium:
    """The equilibrium by repeating a step from a first state. To be called in compiled code, in float64.

    Args:
        step: the next state.
        flow_of: a feasible flow [slots] of a state, of which the certificate is taken.
        check_every: steps between two looks at the certificate.
    """

    def unfinished(carry):
        _, gap, error, count, last = carry
        is_rough = jnp.any(error > PRICE_TOLERANCE) & (count < last)
        return (jnp.any(gap > tolerance) | is_rough) & (count < max_iterations)

    def advance(carry):
        state, _, _, count, last = carry
        state, _ = jax.lax.scan(lambda state, _: (step(state), None), state, length=check_every)
        flow = flow_of(state)
        gap, count = certified_gap_of_flow(market, flow), count + check_every
        # Pushed ahead for as long as the gap is too large, and left where it is afterwards.
        ahead = count + count // 4 + POLISHING_STEPS
        return (
            state,
            gap,
            price_error(market, market.received(flow)),
            count,
            jnp.where(jnp.any(gap > tolerance), ahead, last),
        )

    unknown = jnp.full(market.num_markets, jnp.inf)
    none = jnp.zeros((), jnp.int64)
    carry = (state, unknown, unknown, none, none + POLISHING_STEPS)
    state, _, _, count, _ = jax.lax.while_loop(unfinished, advance, carry)
    return equilibrium_of_flow(market, flow_of(state), tolerance, count)
