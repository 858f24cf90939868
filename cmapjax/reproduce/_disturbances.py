"""Part `disturbances`: asynchrony, delay, loss, mixed strategies and churn (E12)."""

import numpy as np
import pandas as pd

from cmapjax.reproduce import _disturbances_checks as checks
from cmapjax.reproduce._disturbances_pictures import churn_curves, loss_curves
from cmapjax.reproduce._disturbances_plays import (
    AGENTS,
    AWAY,
    CMAP,
    EQUAL,
    PROPORTIONAL,
    SELFISH,
    Churn,
    Play,
    World,
    churned,
)
from cmapjax.reproduce._part import Finding, Setting

DELAYS, LOSSES, SHARES, MINORITIES = (1, 2, 4, 8), (0.1, 0.3, 0.5, 0.8), (0.25, 0.5, 0.75), (0.1, 0.25, 0.5)
REMARKS = (
    "There are no figures in the literature to compare with: what is expected here is derived, or says no "
    "more than that a run should arrive. Convergence of proportional response out of step is an "
    "observation, covered by no theorem that we know for exchange (for Fisher markets: Kolumbus, Levy and "
    "Nisan, NeurIPS 2023).",
    f"Markets have {AGENTS} agents, of seven families (mean degree 6 where it can be chosen), with uniform "
    "and lognormal contributions. Everybody starts with an equal split. “CMAP” is locally damped wherever "
    "more than one agent acts at a time. A market counts as arrived when at most 1e-6 of log Nash welfare "
    "is missing, and as closing in when what is missing has fallen by at least a third over the second "
    "half of the run.",
    "Asynchrony: each agent acts in a round with a probability, or one agent at a time acts, in a fresh "
    "random order every round, or whoever comes up. A round is as many turns as there are agents.",
    "Delay: what an agent knows of its neighbours is d rounds old, together with what it itself gave them "
    "then; its own row it knows. Loss: each round the news of a neighbour does not arrive with a "
    "probability, and the agent goes by what it last heard. Gifts themselves always arrive.",
    "Mixtures and minorities: who follows what is drawn by lot, agent by agent.",
    f"Churn: {round(100 * AWAY)} % of the agents are away; every T rounds one agent of each market leaves "
    "and another returns. Agents who lose or win a neighbour thereby begin with an equal split. The "
    "equilibrium is that of those who are there.",
)


def measure(setting: Setting) -> Finding:
    """Every disturbance by itself, on the same markets."""
    world = World(setting.seed, setting.pick(2, 6))
    rounds = setting.pick(150, 400)
    plays = [
        *_asynchrony(setting, world, rounds),
        *_news(setting, world, rounds),
        *_mixed(setting, world, rounds),
    ]
    churn = _churn(setting, world, setting.pick(120, 300))
    return Finding(
        checks=[
            *checks.asynchrony(plays),
            *checks.delay(plays),
            *checks.loss(plays),
            *checks.mixed(plays),
            *checks.churn(churn),
        ],
        tables={"runs": _table(plays), "churn": checks.churn_table(churn)},
        pictures={"disturbances": loss_curves(plays), "churn": churn_curves(churn)},
        remarks=list(REMARKS),
    )


def _asynchrony(setting: Setting, world: World, rounds: int) -> list[Play]:
    setting.tell(f"{len(world.first)} markets of {AGENTS} agents: acting out of step")
    few, turns = setting.pick(12, 40), int(world.size.max())
    response, cmap = (
        world.habits(PROPORTIONAL),
        world.habits(CMAP)._replace(is_local=np.zeros(len(world.place), bool)),
    )
    group = "asynchrony"
    return [
        world.play(group, "proportional response, everybody", 1, response, world.everyone(rounds)),
        world.play(group, "proportional response, half of them", 0.5, response, world.some(rounds, 0.5)),
        world.play(group, "proportional response, a tenth", 0.1, response, world.some(rounds, 0.1)),
        *[
            world.play(group, f"{who}, {how}", 0, habits, world.one_by_one(few, is_order=is_order), turns)
            for who, habits in ((PROPORTIONAL, response), ("CMAP, undamped", cmap))
            for how, is_order in (("one by one, random order", True), ("whoever comes up", False))
        ],
    ]


def _news(setting: Setting, world: World, rounds: int) -> list[Play]:
    setting.tell("news late and lost")
    acts = world.everyone(rounds)
    plays = [world.play("undisturbed", who, 0, world.habits(who), acts) for who in (PROPORTIONAL, CMAP)]
    for who in (PROPORTIONAL, CMAP):
        plays += [world.play("delay", who, d, world.habits(who, delay=d), acts) for d in DELAYS]
        plays += [world.play("loss", who, q, world.habits(who, loss=q), acts) for q in LOSSES]
    shorter = "CMAP, step divided by 1 + delay"
    plays += [
        world.play("delay", shorter, d, world.habits(CMAP, step=1 / (1 + d), delay=d), acts) for d in DELAYS
    ]
    return plays


def _mixed(setting: Setting, world: World, rounds: int) -> list[Play]:
    setting.tell("strategies side by side")
    acts = world.everyone(rounds)
    plays = [
        world.play("mixture", f"{share:.0%} proportional response".replace("%", " %"), share, habits, acts)
        for share in SHARES
        for habits in [world.habits(CMAP, PROPORTIONAL, share)]
    ]
    return plays + [
        world.play("minority", other, share, world.habits(CMAP, other, share), acts)
        for other in (EQUAL, SELFISH)
        for share in MINORITIES
    ]


def _churn(setting: Setting, world: World, rounds: int) -> list[Churn]:
    out = []
    for period in setting.pick((40, 10, 4), (60, 20, 10, 5, 2)):
        setting.tell(f"agents come and go every {period} rounds")
        presence = world.presence(rounds, period)
        best = world.best_of(presence, period)
        out += [churned(world, who, period, presence, best) for who in (PROPORTIONAL, CMAP)]
    return out


def _table(plays: list[Play]) -> pd.DataFrame:
    """One row per run, medians over markets."""
    return pd.DataFrame(
        {
            "disturbance": play.group,
            "who": play.who,
            "level": play.level,
            "markets": play.loss.shape[1],
            "rounds": len(play.loss) - 1,
            "agent updates per agent": play.updates * (len(play.loss) - 1),
            "rounds to 98 %": float(np.quantile(play.rounds_to(0.98), 0.5, method="inverted_cdf")),
            "rounds to 99.9 %": float(np.quantile(play.rounds_to(0.999), 0.5, method="inverted_cdf")),
            "share of the equilibrium at the end": float(np.exp(-np.median(play.loss[-1]))),
            "least share": float(np.exp(-play.loss[-1].max())),
            "markets that arrive or close in": int(play.arrives.sum()),
            "minority receives of its equilibrium": float(np.nanmedian(play.gains))
            if np.isfinite(play.gains).any()
            else np.nan,
        }
        for play in plays
    )
