"""What every play needs to come how close, by four clocks."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from cmapjax.reproduce import _families as fam
from cmapjax.reproduce import _in_turn as in_turn
from cmapjax.reproduce._part import Setting

# A clock, and the unit in which the tables have it.
CLOCKS = {
    "rounds": "rounds",
    "updates": "agent updates per agent",
    "moments": "moments",
    "messages": "messages per direction of a link",
}
ORDERS = {fam.IN_TURN: fam.OWN_ORDER, fam.BY_COLOURS: fam.COLOUR_ORDER}


def studies_of(setting: Setting, plays) -> list:
    """The one that others share, of 20 and 100 agents, and in full one of larger markets."""
    options = {"plays": plays, "metrics": ["log_welfare_loss"]}
    more = [
        fam.study_of(setting, f"proportional-response-{n}", [n], 3, 300, **options)
        for n in setting.pick([], [1000])
    ]
    return [fam.common(setting), *more]


def needed(setting: Setting, studies: list, plays, accuracies: dict[str, float]) -> pd.DataFrame:
    """A row per market, play and accuracy: rounds, updates, moments and messages until it is reached."""
    frames = []
    for study in studies:
        curves, everything = fam.curves_of(setting, study), fam.ensemble(study)
        meters = {play: _Meter.of(setting, study, play) for play in plays if play in ORDERS}
        for cell, about in curves.cells.iterrows():
            if about["play"] not in plays:
                continue
            here = everything.kinds.index[everything.kinds["ground"] == about["ground"]].to_numpy()
            loss = curves.values["log_welfare_loss"][cell]
            for name, most in accuracies.items():
                rounds = fam.first_within(loss, most, curves.rounds)
                if about["play"] in meters:
                    columns = meters[about["play"]].read(here, most, rounds)
                else:
                    columns = _all_at_once(rounds, about["play"])
                frames.append(
                    pd.DataFrame(
                        {"family": about["family"], "contributions": about["contributions"]}
                        | {"agents": int(about["agents"]), "market": np.arange(len(here))}
                        | {"play": about["play"], "accuracy": name}
                        | columns
                    )
                )
    return pd.concat(frames, ignore_index=True)


def _all_at_once(rounds: np.ndarray, play: str) -> dict[str, np.ndarray]:
    """A round is one moment; a gift on every link, and as many announcements where they are needed."""
    messages = rounds if play == fam.RESPONSE else 2 * rounds
    return {"rounds": rounds, "updates": rounds, "moments": rounds, "messages": messages}


class _Meter(NamedTuple):
    """What acting one after another costs: every table is [turns, markets], from the start on."""

    loss: np.ndarray
    moments: np.ndarray
    messages: np.ndarray
    """Per direction of a link; the start has been announced."""
    sizes: np.ndarray

    @classmethod
    def of(cls, setting: Setting, study, play: str) -> "_Meter":
        import cmapjax as cj

        market = fam.ensemble(study).market
        market_of = np.asarray(market.market_of)
        sizes, degree = np.bincount(market_of), np.asarray(market.degree)
        largest = int(sizes.max())
        # Where another part has looked turn by turn, its run is used.
        rounds = setting.pick(*in_turn.ROUNDS) if largest <= 100 else 3
        run = fam.turn_by_turn(setting, study, ORDERS[play], rounds * largest)
        colour = cj.Coloured().turns(market) if play == fam.BY_COLOURS else None
        turns = np.arange(rounds * largest + 1)
        moments, messages = (np.empty((len(turns), len(sizes))) for _ in range(2))
        announced = np.cumsum(run.records["announced"], axis=0)
        for number, n in enumerate(sizes):
            agents = np.flatnonzero(market_of == number)
            place = np.arange(1, n + 1)
            if colour is not None:
                agents = agents[np.argsort(colour[agents], kind="stable")]
                place = colour[agents] + 1
            # So many moments and gifts there have been after each turn of a round.
            moments[:, number] = _repeated(place, turns)
            gifts = _repeated(np.cumsum(degree[agents]), turns)
            arcs = degree[agents].sum()
            messages[:, number] = (arcs + gifts + announced[:, number]) / arcs
        return cls(run.records["log_welfare_loss"], moments, messages, sizes)

    def read(self, here: np.ndarray, most: float, rounds: np.ndarray) -> dict[str, np.ndarray]:
        """The clocks of these markets at a loss of at most `most`.

        `rounds` is when that was seen at the end of a round, for those that are not there within the turns
        looked at one by one: then later rounds cost what the last of these did.
        """
        n, known = self.sizes[here], len(self.loss) - 1
        turn = fam.first_within(self.loss[:, here], most, np.arange(known + 1))
        turn = np.where(np.isinf(turn), rounds * n, turn)
        return {
            "rounds": np.ceil(turn / n),
            "updates": turn / n,
            "moments": _at(self.moments[:, here], turn, n),
            "messages": np.where(turn > 0, _at(self.messages[:, here], turn, n), 0),
        }


def _repeated(within: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """A count that rises within a round as given, after each turn of round upon round."""
    whole, rest = np.divmod(turns, len(within))
    return whole * within[-1] + np.concatenate([[0], within])[rest]


def _at(table: np.ndarray, turn: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The table at these turns; beyond its end it goes on as in its last round."""
    last = len(table) - 1
    columns = np.arange(len(turn))
    inside = np.minimum(turn, last).astype(int)
    slope = (table[last, columns] - table[last - n, columns]) / n
    beyond = np.where(turn > last, turn - last, 0)
    return table[inside, columns] + np.where(beyond > 0, slope * beyond, 0)
