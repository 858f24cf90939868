"""What is recorded of a run."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from cmapjax import metrics
from cmapjax._certificate import delivered


def are_known(record) -> bool:
    known = {type(f) for f in metrics.standard().values()}
    return all(type(f) in known or f is metrics.received for f in record.values())


def observations(market, record, state, is_steady: bool):
    if is_steady and state.flow.dtype == jnp.float32:
        utility = market.unstored(delivered(market, state.flow))
        history = jnp.concatenate([utility[None], state.history[1:].astype(utility.dtype)])
        state = dataclasses.replace(state, history=history)
    return {name: jnp.asarray(f(market, state)) for name, f in record.items()}


def observations_on_host(market, record, states, is_steady):
    rows = []
    for k in range(len(states.round)):
        s = jax.tree.map(lambda x: x[k], states)
        seen = {}
        for name, f in record.items():
            seen[name] = np.asarray(f(market, s))
        rows.append(seen)
    return {n: np.stack([r[n] for r in rows]) for n in record}
