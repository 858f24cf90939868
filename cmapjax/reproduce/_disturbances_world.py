"""A market in which news is late or lost, agents act when they will, follow what they will, and come and go.

Rounds here are played by a loop of this module's own, since the engine has neither late news nor agents that
leave. Strategies are the package's: each agent's `respond` is called with what *it* knows. Undisturbed, the
loop is the engine's round (tests/test_reproduce_rest.py compares them).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cmapjax.market._random import key_of
from cmapjax.strategies import CMAP, EqualSplit, ProportionalResponse, SelfishBestReply, View

KINDS = ("CMAP", "proportional response", "equal split", "selfish")
STRATEGIES = (CMAP(), ProportionalResponse(), EqualSplit(), SelfishBestReply())
LATEST = 8  # rounds by which news may be late
STEPS = 50  # of one call of compiled code


class Network(eqx.Module):
    """Who is linked with whom: column i lists the neighbours of agent i."""

    neighbour: Int[Array, "width agents"]
    reverse: Int[Array, "width agents"]
    """Where the same link stands in its other end's column, as a place in the flattened table."""
    is_link: Bool[Array, "width agents"]
    weight: Float[Array, "agents"]


class Habits(NamedTuple):
    """What agents do, and what befalls their news. Vectors over agents, but for the last two."""

    kind: np.ndarray
    """A place in `KINDS`."""
    step: np.ndarray
    """How far an agent moves towards its strategy's answer, above 0 and at most 1 …"""
    is_local: np.ndarray
    """… times 1 / max_j deg(j) over its neighbours, if this is true: local damping."""
    delay: int = 0
    """Rounds by which all news is late, 0 to LATEST."""
    loss: float = 0.0
    """Probability that a neighbour's news of a round does not arrive."""


class _State(NamedTuple):
    time: Array
    sent: Array
    """What flows now, in the columns of givers."""
    past: Array
    """What flowed in the last rounds, that of round t at t mod (LATEST + 1)."""
    heard: tuple
    """Of every neighbour, as last heard: what the agent gave it, had from it, and what it received in all."""
    is_present: Array


def network_of(market) -> Network:
    """The table of a market, or of an ensemble."""
    giver, receiver = market.arcs()
    degree = np.asarray(market.degree)
    rank = np.arange(len(giver)) - np.repeat(np.cumsum(degree) - degree, degree)
    shape = (int(degree.max()), market.num_agents)
    neighbour, is_link = np.zeros(shape, np.int32), np.zeros(shape, bool)
    neighbour[rank, giver], is_link[rank, giver] = receiver, True
    place = rank * market.num_agents + giver
    reverse = np.zeros(shape, np.int32)
    # The k-th arc by (receiver, giver) runs opposite to the k-th by (giver, receiver).
    reverse[rank[np.lexsort((giver, receiver))], giver[np.lexsort((giver, receiver))]] = place
    return Network(neighbour, reverse, is_link, np.asarray(market.contribution))


def played(
    network: Network,
    habits: Habits,
    acts: Bool[np.ndarray, "rounds agents"],
    is_present: Bool[np.ndarray, "rounds agents"] | None = None,
    seed: int = 0,
) -> Float[np.ndarray, "records agents"]:
    """What every agent received, at the start (everybody splits equally) and after every round.

    Args:
        network: the agents' links.
        habits: what they do.
        acts: who acts in which round; the others give as before.
        is_present: who is there in which round, everybody by default. Agents of whose neighbours one has
            come or gone begin that round with an equal split, and news from then on.
        seed: of the losses.
    """
    rounds, n = acts.shape
    habits = Habits(*map(np.asarray, habits))  # plain numbers would be compiled in, each anew
    present = np.ones((rounds, n), bool) if is_present is None else np.asarray(is_present)
    short = -rounds % STEPS
    acts, present = (np.concatenate([x, np.repeat(x[-1:], short, axis=0)]) for x in (acts, present))
    with jax.enable_x64(True):
        state = _begin(network, jnp.asarray(present[0]))
        out = [np.asarray(_received(network, state.sent))[None]]
        for first in range(0, len(acts), STEPS):
            some = slice(first, first + STEPS)
            state, received = _play(network, habits, acts[some], present[some], state, key_of(seed))
            out.append(np.asarray(received))
    return np.concatenate(out)[: rounds + 1]


@eqx.filter_jit
def _begin(network: Network, is_present) -> _State:
    sent = _equal_split(network, _links(network, is_present))
    past = jnp.broadcast_to(sent, (LATEST + 1, *sent.shape))
    return _State(jnp.zeros((), jnp.int32), sent, past, _news(network, sent), is_present)


@eqx.filter_jit
def _play(network: Network, habits: Habits, acts, present, state: _State, key):
    def step(state, now):
        acting, is_present = now
        state = _after_change(network, state, is_present)
        is_link = _links(network, is_present)
        past = state.past.at[state.time % (LATEST + 1)].set(state.sent)
        late = past[jnp.maximum(state.time - habits.delay, 0) % (LATEST + 1)]
        coin = jax.random.uniform(jax.random.fold_in(key, state.time), is_link.shape)
        heard = _where(coin >= habits.loss, _news(network, late), state.heard)
        view = _view(network, is_link, state.sent, heard)
        answers = [jax.vmap(s.respond, in_axes=-1, out_axes=-1)(view) for s in STRATEGIES]
        answer = jnp.select([habits.kind == k for k in range(len(KINDS))], answers)
        theta = habits.step * jnp.where(habits.is_local, 1 / jnp.maximum(view.degree.max(axis=0), 1), 1)
        moved = jnp.where(acting, state.sent + theta * (answer - state.sent), state.sent)
        state = _State(state.time + 1, moved, past, heard, is_present)
        return state, _received(network, moved)

    return jax.lax.scan(step, state, (acts, present))


def _after_change(network: Network, state: _State, is_present) -> _State:
    """The state when others are present than before: who has lost or won a neighbour begins anew."""
    before, after = _links(network, state.is_present), _links(network, is_present)
    is_new = jnp.any(before != after, axis=0)
    sent = jnp.where(is_new, _equal_split(network, after), state.sent)
    heard = _where(is_new, _news(network, sent), state.heard)
    return state._replace(sent=sent, heard=heard, is_present=is_present)


def _links(network: Network, is_present):
    return network.is_link & is_present & is_present[network.neighbour]


def _equal_split(network: Network, is_link):
    degree = is_link.sum(axis=0)
    return jnp.where(is_link, network.weight / jnp.maximum(degree, 1), 0)


def _news(network: Network, sent) -> tuple:
    received = _mirrored(network, sent)
    return sent, received, jnp.where(network.is_link, received.sum(axis=0)[network.neighbour], 0)


def _mirrored(network: Network, sent):
    return jnp.where(network.is_link, sent.ravel()[network.reverse], 0)


def _received(network: Network, sent):
    return _mirrored(network, sent).sum(axis=0)


def _where(condition, new: tuple, old: tuple) -> tuple:
    return tuple(jnp.where(condition, a, b) for a, b in zip(new, old, strict=True))


def _view(network: Network, is_link, sent, heard) -> View:
    """What agents know: their own row and neighbourhood for certain, the rest as they heard it.

    What others give to a neighbour is worked out from what the agent itself gave at the time of the news.
    """
    degree = is_link.sum(axis=0).astype(sent.dtype)
    then, received, utility = (jnp.where(is_link, x, 0) for x in heard)
    return View(
        sent=then,
        repeated=sent,
        received=received,
        contribution=jnp.where(is_link, network.weight[network.neighbour], 0),
        utility=utility,
        degree=jnp.where(is_link, degree[network.neighbour], 0),
        budget=network.weight,
        is_neighbour=is_link,
        max_degree=jnp.broadcast_to(degree.max(), degree.shape),
    )
