"""Random numbers per agent, a function of its market's number and its own place in that market.

What an agent draws therefore depends neither on the other markets of an ensemble nor on the precision of the
run.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from cmapjax.market._market import Market
from cmapjax.runtime._generator import GENERATOR
from cmapjax.runtime._settings import entry
from cmapjax.runtime._types import Array


@entry
def key_of(seed: int, *numbers: int) -> Array:
    """The key of a seed (64 bits of it), folded in turn with some numbers (32 bits each).

    The same whatever JAX's settings: `jax.random.key(seed)` depends on the default generator, on an offset to
    all seeds, and outside x64 mode on 32 bits of the seed alone.
    """
    words = np.array([seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF], np.uint32)
    key = jax.random.wrap_key_data(words, impl=GENERATOR)
    for number in numbers:
        key = jax.random.fold_in(key, number)
    return key


def draw_per_agent(key: Array, market: Market, draw: Callable) -> Shaped[Array, "agents"]:
    """`draw(key)` once per agent, each with a key of its own: fold_in(fold_in(key, number), rank).

    A padding row draws the number of the agent that it repeats.
    """
    market_of = jnp.asarray(market.market_of)
    sizes = jnp.asarray(market.members.lengths)[market.members.place]
    first = jnp.cumsum(sizes) - sizes
    agent = jnp.arange(market.num_agents, dtype=jnp.int32) if market.repeats is None else market.repeats
    rank = agent - first[market_of]
    market_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.asarray(market.numbers))
    return jax.vmap(draw)(jax.vmap(jax.random.fold_in)(market_keys[market_of], rank))


def check_key(key, needed_for: str) -> None:
    """Raise ValueError unless `key` is one JAX random key."""
    if key is None:
        raise ValueError(
            f"key: none is given for {needed_for}, drawn at random; pass key=jax.random.key(seed)."
        )
    if isinstance(key, (int, float, np.ndarray)) or not (
        hasattr(key, "dtype") and jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
    ):
        raise ValueError(f"key is {key!r}; pass a JAX key, key=jax.random.key(seed).")
