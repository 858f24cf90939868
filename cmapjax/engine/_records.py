"""What is recorded of states: one state in compiled code, or many at once in NumPy."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Int

from cmapjax.market._certificate import delivered
from cmapjax.market._filled import of_agents
from cmapjax.market._market import Market
from cmapjax.market._reductions import look
from cmapjax.metrics._recorded import OfState, is_known
from cmapjax.runtime._precision import float64_on_host, namespace
from cmapjax.runtime._types import Array


def recorded_rounds(rounds: int, every: int | Sequence[int] | None) -> Int[np.ndarray, "records"]:
    """After which rounds something is recorded: the start and the end are always among them.

    Args:
        rounds: how many are played.
        every: a number of rounds between records; or a list of rounds; None: after 1, 2, 3, 5, 8, 13, …
            rounds.
    """
    if every is None:
        every = _growing(rounds)
    if isinstance(every, (int, np.integer)):
        return np.minimum(np.arange(1 + -(-rounds // every)) * every, rounds)
    return np.unique([0, *(r for r in every if r <= rounds), rounds]).astype(np.int64)


def _growing(rounds: int) -> list[int]:
    """1, 2, 3, 5, 8, 13, … below a number."""
    found, after = [], (1, 2)
    while after[0] < rounds:
        found.append(after[0])
        after = after[1], sum(after)
    return found


def parts(due: Int[np.ndarray, "records"], least: int) -> list[list[int]]:
    """The recorded rounds but the start, cut into parts of at least so many rounds, but for the last."""
    found, begun = [], 0
    for round in due[1:].tolist():
        if not found or found[-1][-1] - begun >= least:
            begun = found[-1][-1] if found else 0
            found.append([])
        found[-1].append(round)
    return found


def rounds_apart(played: Int[np.ndarray, "records"]) -> int:
    """The mean number of rounds between two records, rounded up."""
    return max(-(-int(played[-1]) // max(len(played) - 1, 1)), 1)


class Record(eqx.Module):
    """Functions of (market, state) by name, as an argument of compiled code.

    An array that several functions hold, such as the equilibrium's utilities, is passed once, so that
    compiled code does not treat it as several.
    """

    arrays: tuple[Array, ...]
    places: tuple[int | None, ...] = eqx.field(static=True)
    """Which of the arrays each leaf is; None for other leaves."""
    others: tuple = eqx.field(static=True)
    structure: jax.tree_util.PyTreeDef = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, functions: Mapping[str, Callable]):
        leaves, self.structure = jax.tree.flatten(list(functions.values()))
        is_array = [isinstance(leaf, (np.ndarray, np.generic, jax.Array)) for leaf in leaves]
        arrays = {id(leaf): leaf for leaf, is_one in zip(leaves, is_array, strict=True) if is_one}
        number = {key: place for place, key in enumerate(arrays)}
        self.arrays = tuple(arrays.values())
        self.places = tuple(number.get(id(leaf)) for leaf in leaves)
        self.others = tuple(None if is_one else leaf for leaf, is_one in zip(leaves, is_array, strict=True))
        self.names = tuple(functions)

    def items(self) -> Iterable[tuple[str, Callable]]:
        """Names and functions."""
        pairs = zip(self.places, self.others, strict=True)
        leaves = [other if place is None else self.arrays[place] for place, other in pairs]
        return zip(self.names, jax.tree.unflatten(self.structure, leaves), strict=True)


def observations(
    market: Market, record: Mapping[str, Callable] | Record, state, is_steady: bool
) -> dict[str, Array]:
    """What is to be recorded of a state, by name.

    For a float32 run whose rows spend the contributions, metrics use the rows scaled in float64 to spend them
    exactly. The utilities stored in float32 sum to slightly more or less than there is, by rounding, and
    could exceed the equilibrium's welfare.

    Metrics of this package are computed together: vectors over agents are cut into rows, one market a row,
    and what several formulas need is computed once. Users' functions are called one by one.

    Args:
        is_steady: whether every row spends its agent's contribution.
    """
    xp = namespace(market, state)
    if is_steady and state.flow.dtype == np.float32 and not market.terms:
        exactly = delivered(market, state.flow)
        held = [xp.asarray(u, exactly.dtype) for u in state.history[1:]]
        history = xp.stack([look(exactly, market.links.place), *held])
        state = dataclasses.replace(state, history=history)
    functions, vectors = dict(record.items()), {}
    together = {name: f for name, f in functions.items() if isinstance(f, OfState)}
    for f in together.values():
        if f.vectors_of not in vectors:
            vectors[f.vectors_of] = f.vectors_of(market, state)
    asked = [f.asked(vectors[f.vectors_of]) for f in together.values()]
    found = {}
    if asked:
        found = dict(zip(together, of_agents(market, asked), strict=True))
    for name, f in functions.items():
        if name not in found:
            found[name] = xp.asarray(f(market, state))
    return {name: found[name] for name in functions}


def observations_on_host(
    market: Market, record: Mapping[str, Callable] | Record, states, is_steady: bool
) -> dict[str, np.ndarray] | None:
    """`observations` of many states at once, in NumPy, for small markets, where compiling takes longer.

    Args:
        states: a `State` of NumPy arrays, every one with an axis of records before its own.
        is_steady: whether every row spends its agent's contribution.

    Returns:
        By name one row per record; None if a function is not of this package, because such a function may not
        accept stacked states.
    """
    record = record if isinstance(record, Record) else Record(record)
    if not all(is_known(f) for _, f in record.items()):
        return None
    found = _of_stacked(market, record, states, is_steady)
    return {name: found[name] for name in record.names}


@float64_on_host(any_market=True)
def _of_stacked(market: Market, record: Record, states, is_steady: bool):
    # Laid out like a single state: the axis of the last three rounds first, and rounds that broadcast over
    # agents.
    states = dataclasses.replace(
        states, history=np.moveaxis(states.history, -2, 0), round=states.round[:, None]
    )
    return observations(market, record, states, is_steady)
