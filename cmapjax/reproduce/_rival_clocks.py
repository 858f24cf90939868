"""What every play needs to come how close, by four clocks."""

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


def needed(setting: Setting, plays, accuracies: dict[str, float]) -> pd.DataFrame:
    """A row per market, play and accuracy: rounds, updates, moments and messages until it is reached."""
    frames = []
    for study in studies_of(setting):
        curves = fam.curves_of(setting, study)
        everything = fam.ensemble(study)
        costs = {play: _cost_of_rounds(setting, study, play) for play in plays}
        for cell, about in curves.cells.iterrows():
            if about["play"] not in plays:
                continue
            here = everything.kinds.index[everything.kinds["ground"] == about["ground"]]
            for name, most in accuracies.items():
                rounds = fam.first_within(curves.values["log_welfare_loss"][cell], most, curves.rounds)
                frames.append(_counted(about, name, rounds, costs[about["play"]], here))
    return pd.concat(frames, ignore_index=True)


def studies_of(setting: Setting) -> list:
    """The one that others share, of 20 and 100 agents, and in full one of larger markets."""
    larger = [play for play in fam.PLAYS if play not in (fam.SELFISH, fam.EVEN)]
    options = {"plays": larger, "metrics": ["log_welfare_loss"]}
    more = [
        fam.study_of(setting, f"proportional-response-{n}", [n], 3, 300, **options)
        for n in setting.pick([], [1000])
    ]
    return [fam.common(setting), *more]


def _cost_of_rounds(setting: Setting, study, play: str) -> dict[str, np.ndarray]:
    """Moments and messages (per direction of a link) that each of the first rounds takes, of every market."""
    import cmapjax as cj

    market = fam.ensemble(study).market
    sizes = np.bincount(np.asarray(market.market_of))
    if play not in (fam.IN_TURN, fam.BY_COLOURS):
        messages = 1.0 if play == fam.RESPONSE else 2.0  # gifts, and as many announcements
        return {"moments": np.ones((1, len(sizes))), "messages": np.full((1, len(sizes)), messages)}
    moments, order = sizes, fam.OWN_ORDER
    if play == fam.BY_COLOURS:
        moments, order = np.zeros(len(sizes)), fam.COLOUR_ORDER
        np.maximum.at(moments, np.asarray(market.market_of), cj.Coloured().turns(market) + 1.0)
    arcs = _per_market(market, np.asarray(market.degree))
    announced = _announced_by_round(setting, study, order, sizes)
    return {"moments": moments[None, :].astype(float), "messages": 1 + announced / arcs}


def _per_market(market, of_agents: np.ndarray) -> np.ndarray:
    return np.bincount(np.asarray(market.market_of), of_agents, market.num_markets)


def _announced_by_round(setting: Setting, study, order: str, sizes: np.ndarray) -> np.ndarray:
    """Announcements, [rounds, markets]: after every turn whoever's total changed tells all its neighbours."""
    largest = int(sizes.max())
    # Where another part has looked turn by turn, its run is used.
    rounds = setting.pick(*in_turn.ROUNDS) if largest <= 100 else 2
    run = fam.turn_by_turn(setting, study, order, largest * rounds)
    so_far = np.cumsum(run.records["announced"][1:], axis=0)
    ends = np.arange(1, rounds + 1)[:, None] * sizes - 1
    return np.diff(np.take_along_axis(so_far, ends, axis=0), axis=0, prepend=0)


def _counted(about, accuracy: str, rounds: np.ndarray, costs, here) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "family": about["family"],
            "contributions": about["contributions"],
            "agents": int(about["agents"]),
            "market": np.arange(len(rounds)),
            "play": about["play"],
            "accuracy": accuracy,
            "rounds": rounds,
            "updates": rounds,
            "moments": _spent(costs["moments"][:, here], rounds),
            # CMAP can act only after everybody has announced what it receives at the start.
            "messages": _spent(costs["messages"][:, here], rounds)
            + (about["play"] in (fam.IN_TURN, fam.BY_COLOURS)),
        }
    )


def _spent(costs: np.ndarray, rounds: np.ndarray) -> np.ndarray:
    """What so many rounds have cost; the last row of costs is that of every later round."""
    known = np.concatenate([np.zeros((1, costs.shape[1])), np.cumsum(costs, axis=0)])
    whole = np.minimum(rounds, len(costs)).astype(int)
    first = known[whole, np.arange(len(rounds))]
    later = np.maximum(rounds - len(costs), 0)
    return np.where(np.isinf(rounds), np.inf, first + np.where(np.isinf(later), 0, later) * costs[-1])
