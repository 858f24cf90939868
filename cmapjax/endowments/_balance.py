"""What agents produce and need, round after round: surplus, demand and own use follow."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmapjax.arguments._checks import short
from cmapjax.arguments._labelled import Parts, by_name, places
from cmapjax.endowments._processes import Endowments
from cmapjax.endowments._recorded import check_amounts, recorded
from cmapjax.market._market import Market
from cmapjax.market._packing import copies
from cmapjax.runtime._types import Array, as_parameter


class Balance(Endowments):
    """What agents produce and need in each round, such as the kilowatt-hours of households.

    An agent that produces g and needs d uses min(g, d) itself and has the surplus (g − d)⁺ to give; its
    demand is d, own use included. So who gives in one round may receive in the next. Columns with names are
    matched with the market's agents, and the tables' index are the times of the rounds, as in `Trace`.

    `cmapjax.share` finds who gives what to whom in the equilibrium of every round. `simulate` plays the
    rounds one after another on the market of their means, `mean(market)`: a round's surplus, demand and own
    use are announced at its beginning, and claims are carried on from round to round.

    Args:
        production: g, a row per round and a column per agent, in any unit of value.
        need: d likewise, in the same unit.

    Raises:
        ValueError: not two tables of the same rounds and agents, or a number that is not finite or below 0.

    Warns:
        UserWarning: times that do not ascend; rounds stay in the order of the rows.
    """

    production: Float[Array, "rounds agents"] = eqx.field(converter=as_parameter)
    need: Float[Array, "rounds agents"] = eqx.field(converter=as_parameter)
    names: tuple | None = eqx.field(static=True, default=None)
    """The names of the columns; None if they have none."""
    times: tuple | None = eqx.field(static=True, default=None)
    """The names of the rows, such as times; None if they have none."""

    def __init__(self, production, need):
        self.production, names, times = recorded("production", production)
        need, need_names, need_times = recorded("need", need)
        _check_same_rounds(np.shape(self.production), np.shape(need), times, need_times)
        if (names is None) != (need_names is None):
            raise ValueError(
                "one of production and need has names of agents, the other has none; name the columns of "
                "both, or of neither."
            )
        if names is not None:
            need = np.asarray(need)[:, _places(need_names, names)]
        self.need, self.names = need, names
        self.times = need_times if times is None else times

    def __check_init__(self):
        for field in ("production", "need"):
            check_amounts(field, getattr(self, field), self.names, field)

    def __repr__(self) -> str:
        rounds, agents = self.production.shape
        return f"Balance({rounds:,} rounds, {agents:,} agents)"

    @property
    def is_random(self):
        return False

    @property
    def num_rounds(self) -> int:
        return self.production.shape[0]

    @property
    def own_use(self) -> Float[np.ndarray, "rounds agents"]:
        """min(g, d), what agents use of their own (value)."""
        return np.minimum(self.production, self.need)

    @property
    def surplus(self) -> Float[np.ndarray, "rounds agents"]:
        """(g − d)⁺, what agents have for others (value)."""
        return np.maximum(self.production - self.need, 0)

    def solidarity(self, share: float):
        """Priorities (1 − τ) w_i + τ W / n, where w_i is agent i's mean surplus and W = Σ w_i.

        τ = 0 is reciprocity (points are earned by what one has to give), τ = 1 an equal right of all heads.

        Args:
            share: τ, from 0 to 1.

        Returns:
            A number per agent (value); if the columns have names, a pandas Series with these.

        Raises:
            ValueError: a share out of range.
        """
        if isinstance(share, bool) or not isinstance(share, (int, float, np.floating)) or not 0 <= share <= 1:
            raise ValueError(f"share is {short(share)}; give a number from 0 to 1.")
        mean = self.surplus.mean(axis=0)
        points = (1 - share) * mean + share * mean.mean()
        if self.names is None:
            return points
        import pandas as pd

        return pd.Series(points, index=pd.Index(self.names, tupleize_cols=False))

    def matched(self, market: Market) -> "Balance":
        if self.names is None:
            _check_columns(self.production.shape[1], market)
            return self
        place = places("balance", Parts(self.production, list(self.names), self.times), market.labels)
        place = slice(None) if place is None else np.asarray(place)
        return Balance(self.production[:, place], self.need[:, place]).matched(market)

    def at(self, market: Market, round: int, *, priority=None) -> Market:
        """The market of one round.

        Args:
            market: the network, whose endowments play no part.
            round: which row, from 0.
            priority: by what fair shares are measured, as `markets` takes it.

        Returns:
            A market with endowment (g − d)⁺, demand d, own use min(g, d), and the priority.

        Raises:
            ValueError: no such round, and as `markets`.
        """
        if not isinstance(round, (int, np.integer)) or not 0 <= round < self.num_rounds:
            raise ValueError(f"round is {short(round)}; give a whole number from 0 to {self.num_rounds - 1}.")
        fields = self._fields(market, np.array([round]), priority)
        surplus, *terms = (field[0] for field in fields.values())
        terms = dict(zip(list(fields)[1:], terms, strict=True))
        return market.with_terms(**terms).with_contributions(endowment=surplus)

    def markets(self, market: Market, rounds=None, *, priority=None) -> Market:
        """The markets of many rounds, packed side by side as `cmapjax.copies` packs them.

        Args:
            market: the network, whose endowments play no part.
            rounds: which rows; by default all.
            priority: by what fair shares are measured (value), a number per agent, or a row of them per round
                of this balance; by default the market's priority if it has one, else the need, by which
                everybody's ratio is the share of its need that is met (*coverage*). `solidarity` has others.

        Returns:
            A market per round.

        Raises:
            ValueError: agents or rounds that do not fit; a market of other values than 1, or with demands or
                own use of its own; priorities out of range.
        """
        try:
            rounds = np.arange(self.num_rounds)[slice(None) if rounds is None else rounds]
        except IndexError:
            raise ValueError(
                f"rounds is {short(rounds)}; give whole numbers from 0 to {self.num_rounds - 1}."
            ) from None
        return copies(market, **self._fields(market, rounds, priority))

    def _fields(self, market: Market, rounds: np.ndarray, priority) -> dict[str, np.ndarray]:
        """What the markets of these rounds have, a row per round; the endowment first."""
        if market.num_markets > 1:
            raise ValueError("balance: several markets are packed here; give the network of one.")
        if np.any(np.asarray(market.value) != 1):
            raise ValueError(
                "balance: production and need are in one unit, so leave the market's values out."
            )
        given = [name for name in ("demand", "own_use") if name in market.terms]
        if given:
            raise ValueError(
                f"balance brings demand and own use, and the market has {given[0]}; leave it out."
            )
        own = self.matched(market)
        priority = market.priority if priority is None else by_name("priority", priority, market.labels)
        priority = own.need if priority is None else np.asarray(priority)
        if priority.shape not in ((market.num_agents,), own.need.shape):
            raise ValueError(
                f"priority has shape {priority.shape}; give one number per agent {(market.num_agents,)}, or "
                f"a row per round {own.need.shape}."
            )
        priority = np.broadcast_to(priority, own.need.shape)
        fields = {"endowment": own.surplus, "priority": priority, "demand": own.need, "own_use": own.own_use}
        return {name: x[rounds] for name, x in fields.items()}

    def mean(self, market: Market, *, priority=None) -> Market:
        """The market of the means of all rounds, on which `simulate` plays one round after another.

        Args:
            market: the network, whose endowments play no part.
            priority: a number per agent, as `markets` takes it; by default the market's priority if it has
                one, else the mean need.

        Returns:
            A market with the mean surplus, demand and own use.

        Raises:
            ValueError: as `markets`.
        """
        fields = self._fields(market, np.arange(self.num_rounds), priority)
        surplus, *terms = (field.mean(axis=0) for field in fields.values())
        terms = dict(zip(list(fields)[1:], terms, strict=True))
        return market.with_terms(**terms).with_contributions(endowment=surplus)

    def check(self, market, rounds):
        if rounds > self.num_rounds:
            raise ValueError(
                f"balance has {self.num_rounds:,} rounds, and {rounds:,} are to be played; play fewer."
            )
        means = {"endowment": self.surplus, "demand": self.need, "own_use": self.own_use}
        for field, x in means.items():
            has = getattr(market, field)
            if has is None or not np.allclose(has, x.mean(axis=0), rtol=1e-9, atol=0):
                raise ValueError(
                    f"Balance: the market's {field} is not the mean of the rounds; play on "
                    "balance.mean(market), or the markets of rounds side by side, "
                    "simulate(balance.markets(market, rounds), …)."
                )

    @property
    def changes_needs(self):
        return True

    def draw(self, market, round, key):
        production, need = self._of(round)
        return jnp.maximum(production - need, 0)

    def needs(self, market, round):
        production, need = self._of(round)
        return need, jnp.minimum(production, need)

    def _of(self, round):
        return jnp.asarray(self.production)[round], jnp.asarray(self.need)[round]


def _check_same_rounds(shape, need_shape, times, need_times) -> None:
    """Raise ValueError unless both tables have the same rounds and as many columns."""
    if len(shape) == len(need_shape) == 2 and shape[0] != need_shape[0]:
        raise ValueError(
            f"production has {shape[0]} rounds and need {need_shape[0]}; give the same rounds in both."
        )
    if times is not None and need_times is not None and times != need_times:
        row = next(i for i, pair in enumerate(zip(times, need_times, strict=True)) if pair[0] != pair[1])
        raise ValueError(
            f"production is of the time {short(times[row])} in row {row}, need of "
            f"{short(need_times[row])}; give the same times in both, in the same order."
        )
    if len(shape) == len(need_shape) == 2 and shape[1] != need_shape[1]:
        raise ValueError(
            f"production has {shape[1]} columns and need {need_shape[1]}; give one for each agent in both, "
            "of zeros if it produces or needs nothing."
        )


def _places(names: tuple, wanted: tuple) -> list[int]:
    """Where the columns of need stand that production names."""
    place = {name: i for i, name in enumerate(names)}
    other = [name for name in wanted if name not in place]
    if other or len(place) < len(names) or len(set(wanted)) < len(wanted):
        what = f"no column {short(other[0])}" if other else "a column twice"
        raise ValueError(
            f"need or production has {what}; give one column for each agent in both, of zeros if it produces "
            "or needs nothing."
        )
    return [place[name] for name in wanted]


def _check_columns(number: int, market: Market) -> None:
    if number != market.num_agents:
        raise ValueError(
            f"balance has {number} columns for a market of {market.num_agents} agents; give one each."
        )
