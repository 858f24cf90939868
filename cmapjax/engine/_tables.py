"""Runs as tables of pandas and xarray, with the agents' labels."""

import numpy as np

from cmapjax import metrics
from cmapjax.market._market import Market


def frame_of(run, market: Market):
    """`Run.to_frame`."""
    import pandas as pd

    rounds, markets = _axes(run, market)
    columns = {
        "market": np.tile(np.arange(markets), len(rounds)),
        "round": np.repeat(rounds, markets),
        "agent_updates": np.asarray(run.agent_updates).ravel(),
    }
    per_market, _ = _records(run, market)
    return pd.DataFrame(columns | {name: x.ravel() for name, x in per_market.items()})


def dataset_of(run, market: Market):
    """`Run.to_xarray`."""
    try:
        import xarray as xr
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "to_xarray needs xarray: pip install xarray, or 'cmapjax[study]'.", name="xarray"
        ) from None

    rounds, markets = _axes(run, market)
    per_market, per_agent = _records(run, market)
    labels = np.empty(market.num_agents, object)
    labels[:] = list(market.labels)
    values = {name: (("round", "market"), x) for name, x in per_market.items()}
    values |= {name: (("round", "agent"), x) for name, x in per_agent.items()}
    values["agent_updates"] = ("round", "market"), np.asarray(run.agent_updates)
    values["utility"] = "agent", np.asarray(run.final.utility, np.float64)
    values["contribution"] = "agent", np.asarray(market.contribution)
    values["verdict"] = "market", np.array([metrics.VERDICTS[code] for code in np.asarray(run.verdict)])
    values["verdict_gap"] = "market", np.asarray(run.gap)
    places = {"agent": labels, "market_of": ("agent", np.asarray(market.market_of))}
    return xr.Dataset(values, {"round": rounds, "market": np.arange(markets), **places})


def _axes(run, market: Market) -> tuple[np.ndarray, int]:
    updates = np.asarray(run.agent_updates)
    slots = np.shape(run.final.flow)
    if updates.shape[1] != market.num_markets or slots != (market.links.num_slots,):
        raise ValueError(
            f"market: the run is of {updates.shape[1]} markets with {slots[0]} slots, this market has "
            f"{market.num_markets} with {market.links.num_slots}; give the market that was simulated."
        )
    return np.asarray(run.rounds), market.num_markets


def _records(run, market: Market) -> tuple[dict, dict]:
    """What was recorded of every market, and of every agent."""
    found = {name: np.asarray(x) for name, x in run.records.items()}
    of_agents = {name for name in found if name == "received" or _is_of_agents(found[name], market)}
    per_agent = {name: x for name, x in found.items() if name in of_agents}
    return {name: x for name, x in found.items() if name not in of_agents}, per_agent


def _is_of_agents(x: np.ndarray, market: Market) -> bool:
    """Whether the record has a number for each agent, and not for each market."""
    if x.ndim == 2 and x.shape[1] == market.num_markets:
        return False
    if x.ndim == 2 and x.shape[1] == market.num_agents:
        return True
    raise ValueError(
        f"records: one has shape {x.shape[1:]} a round; tables hold a number for each of the "
        f"{market.num_markets} markets, or for each of the {market.num_agents} agents."
    )
