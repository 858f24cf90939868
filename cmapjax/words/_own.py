"""Classes and functions of the user's own that are about to be played: laws checked, metrics made."""

import ast
import inspect
from collections.abc import Callable
from typing import Any

from cmapjax.words._grammar import Words
from cmapjax.words._sources import Sources

_CHECKED: list[Any] = []


def check_laws(strategy: Any) -> None:
    """Try a strategy of the user's own on small markets, once; those of the package are known to pass.

    Args:
        strategy: about to be played.

    Raises:
        ValueError: it breaks a law that every strategy must obey; law, market and numbers are named.
    """
    import equinox as eqx

    from cmapjax.strategies._calls import is_of_package
    from cmapjax.testing import StrategyError, check_strategy

    if is_of_package(strategy) or any(bool(eqx.tree_equal(strategy, known)) for known in _CHECKED):
        return
    try:
        check_strategy(strategy)
    except StrategyError as error:
        raise ValueError(str(error)) from None
    _CHECKED.append(strategy)


def own_metric(sources: Sources, words: Words, equilibrium: Any = None) -> Callable:
    """A metric of the user's own as a function of (market, state).

    It may take a third argument, `equilibrium`: the utilities u*_j.

    Args:
        sources: hold its file.
        words: name it.
        equilibrium: what it is given as such.

    Raises:
        ValueError: there is no such function, or it takes other arguments.
    """
    from jax.tree_util import Partial

    sources.check(words.place, words.name, (ast.FunctionDef,))
    function = getattr(sources.load(words.place), words.name)
    taken = list(inspect.signature(function).parameters)
    if len(taken) == 2:
        return function
    if len(taken) == 3 and taken[2] == "equilibrium":
        if equilibrium is None:
            raise ValueError(f"{words.text} takes the equilibrium; say equilibrium = true.")
        return Partial(function, equilibrium=equilibrium)
    raise ValueError(
        f"{words.text} takes ({', '.join(taken)}); a metric takes (market, state) or (market, state, "
        "equilibrium) and returns one number per market."
    )
