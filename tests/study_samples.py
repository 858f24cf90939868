"""Made-up results of studies, in the layout and with the columns of real ones, but at once.

Numbers follow simple laws (an approach to the equilibrium at a rate that the cell decides), so that
charts have a shape; nothing is simulated.
"""

import itertools
import types

import numpy as np
import pandas as pd

METRICS = (
    "share_of_equilibrium",
    "misallocated_share",
    "log_welfare_loss",
    "certified_gap",
    "min_ratio",
    "oscillation",
    "log_nash_welfare",
)
QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
PLAYS = {
    "strategy": ["cmap", "cmap", "cmap", "proportional-response"],
    "schedule": ["coloured", "simultaneous", "simultaneous", "simultaneous"],
    "damping": ["none", "none", "local", "none"],
}
GROUND_AXES = {"agents": [20, 100], "degree": [4, 6], "spread": [0.5, 1.0]}
# Rounds in which the distance to the equilibrium shrinks e-fold, of each play.
PACE = (1.5, 4.0, 5.0, 25.0)


def document(name="damping-and-degree", markets=50, rounds=200, axes=GROUND_AXES, plays=PLAYS) -> dict:
    """A study, as its canonical document has it."""
    cells = {"network": "er:n={agents},degree={degree}", "endowment": "lognormal:sigma={spread}"}
    return {
        "name": name,
        "seed": 7,
        "markets": markets,
        "rounds": rounds,
        "precision": "float64",
        "equilibrium": True,
        "record": {"metrics": "standard", "curves": "quantiles", "every": 10},
        "cells": cells,
        "grid": {axis: list(values) for axis, values in axes.items()},
        "zip": [{axis: list(values) for axis, values in plays.items()}],
    }


def frames(study: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Summary and curves of a study whose grid decides the markets, and whose one zip the plays."""
    (plays,) = study["zip"]
    names = list(study["grid"])
    plays = [dict(zip(plays, values, strict=True)) for values in zip(*plays.values(), strict=True)]
    summaries, curves, number = [], [], 0
    for ground, values in enumerate(itertools.product(*study["grid"].values())):
        axes = dict(zip(names, values, strict=True))
        for place, play in enumerate(plays):
            rng = np.random.default_rng([study["seed"], ground])  # the same markets for every play
            summary, curve = _cell(study, axes, play, place, rng)
            summaries.append(summary.assign(cell=np.int32(number), ground=np.int32(ground)))
            curves.append(curve.assign(cell=np.int32(number)))
            number += 1
    return pd.concat(summaries, ignore_index=True), pd.concat(curves, ignore_index=True)


def _cell(study, axes, play, place, rng):
    markets, rounds = study["markets"], np.arange(0, study["rounds"] + 1, study["record"]["every"])
    agents = int(axes.get("agents", 50))
    pace = PACE[place % len(PACE)] * rng.lognormal(0, 0.4, markets) * (1 + 0.3 * axes.get("spread", 0))
    start = rng.uniform(0.05, 0.4, markets)
    floor = np.where(place % len(PACE) == 1, rng.uniform(0, 0.1, markets), 1e-9)
    loss = start * np.exp(-rounds[:, None] / pace) + floor
    starved = (place % len(PACE) == 1) & (rng.uniform(size=markets) < 0.04 * axes.get("degree", 4))
    values = {
        "share_of_equilibrium": np.exp(-loss),
        "misallocated_share": loss / (1 + loss),
        "log_welfare_loss": np.where(starved & (rounds[:, None] > 0), np.nan, loss),
        "certified_gap": np.where(starved & (rounds[:, None] > 0), np.nan, 1.3 * loss),
        "min_ratio": np.where(starved & (rounds[:, None] > 0), 0.0, np.exp(-3 * loss)),
        "oscillation": 0.5 * floor + 0 * loss,
        "log_nash_welfare": -0.2 - loss,
    }
    values["share_of_equilibrium"][1:, starved] = 0
    kinds = np.select(
        [starved, floor > 1e-3, loss[-1] < 1e-4], ["starved", "oscillating", "converged"], "still moving"
    )
    last = {name: values[name][-1] for name in METRICS}
    flags = np.where(starved, "log_welfare_loss,certified_gap", "")
    summary = pd.DataFrame(
        {
            "market": np.arange(markets, dtype=np.int32),
            "seed": [f"{place:08x}{p:08x}" for p in range(markets)],
            "fingerprint": [f"{agents:04x}{p:012x}" for p in range(markets)],
            "network": f"er:n={agents},degree={axes.get('degree', 4)}",
            "endowment": f"lognormal:sigma={axes.get('spread', 1)}",
            "value": "unit",
            "process": "constant",
            **{axis: [value] * markets for axis, value in axes.items()},
            **{axis: [str(value)] * markets for axis, value in play.items()},
            "num_agents": np.int32(agents),
            "num_links": np.int32(agents * 2),
            "rounds": np.int32(study["rounds"]),
            "agent_updates": np.int64(study["rounds"] * agents // (2 if place == 3 else 1)),
            "stopped_round": pd.array(np.where(kinds == "starved", 40, -1), "Int32"),
            "verdict": kinds,
            "equilibrium_log_welfare": -0.2,
            **last,
            **{name: _first(values["share_of_equilibrium"] >= s, rounds) for name, s in SHARES.items()},
            "flags": flags,
        }
    )  # fmt: skip
    summary.loc[summary["stopped_round"] < 0, "stopped_round"] = pd.NA
    return summary, _curves(values, rounds)


SHARES = {"rounds_to_98": 0.98, "rounds_to_999": 0.999}


def _first(reached, rounds):
    first = rounds[np.argmax(reached, axis=0)]
    return (
        pd.array(np.where(reached.any(axis=0), first, -1), "Int32")
        .astype("Int32")
        .map(lambda r: r if r >= 0 else pd.NA)
    )


def _curves(values: dict, rounds) -> pd.DataFrame:
    parts = []
    for name, table in values.items():
        with np.errstate(invalid="ignore"):
            columns = {q: np.quantile(table, share, axis=1) for q, share in QUANTILES.items()}
        parts.append(pd.DataFrame({"round": rounds, "metric": name, **columns, "count": table.shape[1]}))
    return pd.concat(parts)


def results(study: dict | None = None, failed: dict | None = None, networks=()):
    """What `open_study` gives for a made-up study."""
    study = document() if study is None else study
    summary, curves = frames(study)
    for name in failed or {}:
        ground, first, count = (int(part.lstrip("gmn")) for part in name.split("-"))
        lost = (summary["ground"] == ground) & summary["market"].between(first, first + count - 1)
        summary = summary[~lost].reset_index(drop=True)
    manifest = {
        "format_version": 1,
        "study": study,
        "digest": "5f" * 32,
        "versions": {"cmapjax": "0.1.0", "jax": "0.10.2", "python": "3.11.7"},
        "commit": None,
        "device": "cpu",
        "precision": study["precision"],
        "created": "2026-11-21T16:00:00Z",
    }
    return types.SimpleNamespace(
        manifest=manifest,
        study=study,
        frame=lambda: summary,
        curves=lambda: curves,
        failed=lambda: dict(failed or {}),
    )


def network(agents=30, plays=4, seed=3) -> dict:
    """A market as the network view wants it: a ring with chords, unequal agents, hostile names."""
    rng = np.random.default_rng(seed)
    links = [[i, (i + 1) % agents] for i in range(agents)] + [
        [i, (i + 7) % agents] for i in range(0, agents, 3)
    ]
    angle = 2 * np.pi * np.arange(agents) / agents
    labels = [f"agent {i}" for i in range(agents)]
    labels[:3] = ["<script>alert(1)</script>", "<b>bold</b>", '"&amp; \u2028</script>']
    runs = []
    for play in range(plays):
        ratio = rng.lognormal(0, 0.4, agents)
        if play == 1:
            ratio[5] = 0.0
        there, back = rng.lognormal(0, 1, (2, len(links)))
        runs.append(
            {
                "play": play,
                "verdict": ("converged", "starved", "still moving", "oscillating")[play % 4],
                "ratio": ratio.tolist(),
                "there": there.tolist(),
                "back": back.tolist(),
            }
        )
    return {
        "title": f"ground 0, market {seed}",
        "labels": labels,
        "x": np.cos(angle).tolist(),
        "y": np.sin(angle).tolist(),
        "contribution": rng.lognormal(0, 1, agents).tolist(),
        "links": links,
        "runs": runs,
    }
