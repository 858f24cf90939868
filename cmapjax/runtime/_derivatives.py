"""What derivatives of a run need: little memory and finite slopes."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float

from cmapjax.runtime._precision import namespace
from cmapjax.runtime._types import Array


def log_or_minus_infinity(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """log x for x ≥ 0: -inf at 0, with derivative 0 there.

    With a slope of 1/0, a gradient that does not depend on this number would be 0 · ∞ = NaN.
    """
    xp = namespace(x)
    return xp.where(x == 0, -xp.inf, xp.log(xp.where(x == 0, 1, x)))


def scan_in_chunks(step: Callable, carry, length: int):
    """`jax.lax.scan(step, carry, length=length)[0]` whose reverse mode keeps about 2√length carries.

    Plain scan keeps the intermediate results of every step. Here each of about √length chunks keeps its first
    carry. The backward pass computes a chunk again and keeps the carries of its steps, and computes a step
    again when it takes its derivative, which takes the time of two more runs. Nothing else differs.
    """
    chunk = math.isqrt(length - 1) + 1
    num_chunks = -(-length // chunk)
    step = jax.checkpoint(step, prevent_cse=False)

    def numbered_step(carry, number):
        if num_chunks * chunk == length:
            return step(carry, None)
        return jax.lax.cond(number < length, lambda c: step(c, None), lambda c: (c, None), carry)

    def play_chunk(carry, numbers):
        return jax.lax.scan(numbered_step, carry, numbers)[0], None

    numbers = jnp.arange(num_chunks * chunk).reshape(num_chunks, chunk)
    return jax.lax.scan(jax.checkpoint(play_chunk, prevent_cse=False), carry, numbers)[0]
