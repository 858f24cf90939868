"""What several parts play on: the common grid as a study, its markets as one ensemble, its curves."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cmapjax.reproduce._grid import FAMILIES, WORDS_OF_CONTRIBUTIONS, words_of
from cmapjax.reproduce._part import Setting

CONTRIBUTION_OF = {words: name for name, words in WORDS_OF_CONTRIBUTIONS.items()}
# With equal contributions a torus starts at its equilibrium: there is nothing to find.
TRIVIAL = ("torus", "unit")


class Play(NamedTuple):
    """What agents do, in the words of studies."""

    strategy: str
    schedule: str
    damping: str


IN_TURN = "CMAP in turn"
BY_COLOURS = "CMAP by colours"
LOCAL = "CMAP at once, local damping"
HALF = "CMAP at once, damping 1/2"
AT_ONCE = "CMAP at once"
RESPONSE = "proportional response"
GRADIENT = "CMAP by 5 gradient steps, local damping"
SELFISH = "selfish"
EVEN = "equal split"
PLAYS = {
    IN_TURN: Play("cmap", "sequential", "none"),
    BY_COLOURS: Play("cmap", "coloured", "none"),
    LOCAL: Play("cmap", "simultaneous", "local"),
    HALF: Play("cmap", "simultaneous", "0.5"),
    AT_ONCE: Play("cmap", "simultaneous", "1"),  # all the way, and the program of damping 1/2
    RESPONSE: Play("proportional-response", "simultaneous", "none"),
    GRADIENT: Play("cmap-gradient:iterations=5,method=optax", "simultaneous", "local"),
    SELFISH: Play("selfish", "simultaneous", "none"),
    EVEN: Play("equal-split", "simultaneous", "none"),
}
NAME_OF = {play: name for name, play in PLAYS.items()}
METRICS = (
    "log_welfare_loss",
    "misallocated_share",
    "worst_relative_error",
    "log_nash_welfare",
    "unweighted_log_nash_welfare",
)


def study_of(setting: Setting, name: str, agents: list[int], markets: int, rounds: int, **more):
    """Every family with every distribution of contributions under some plays, as a study.

    `more` may name the plays and say what is recorded how often; by default all.
    """
    import cmapjax as cj

    networks = [words_of(family, n) for n in agents for family in FAMILIES]
    chosen = [PLAYS[play] for play in more.get("plays", PLAYS)]
    trivial = [words for words in networks if words.startswith(f"{TRIVIAL[0]}:")]
    return cj.Study(
        name=name,
        seed=setting.seed,
        markets=markets,
        rounds=rounds,
        where=[f"not (network == '{words}' and endowment == '{TRIVIAL[1]}')" for words in trivial],
        record={
            "metrics": list(more.get("metrics", METRICS)),
            "curves": "full",
            "every": more.get("every", 1),
        },
        cells={"isolated": "redraw"},
        grid={"network": networks, "endowment": list(CONTRIBUTION_OF)},
        zip=[{key: [getattr(play, key) for play in chosen] for key in Play._fields}],
    )


def kind_of(ground) -> tuple[str, str]:
    """The family and the contributions of a ground, or of a cell's words."""
    prefix = {words.split(":")[0]: family for family, words in FAMILIES.items()}
    return prefix[ground.network.split(":")[0]], CONTRIBUTION_OF[ground.endowment]


class Ensemble(NamedTuple):
    """All markets of a study side by side as one, and which kind each is."""

    market: Any
    equilibrium: Any
    kinds: pd.DataFrame
    """By market: family, contributions, agents, ground."""


ABOUT = ("ground", "family", "contributions", "agents", "play")


class Curves(NamedTuple):
    """A study's cells, and every market's metrics after every record."""

    cells: pd.DataFrame
    """By cell: ground, family, contributions, agents of a market, play."""
    values: dict[str, dict[int, np.ndarray]]
    """By metric and cell, [records, markets]; what is not finite counts as the worst."""
    rounds: np.ndarray


# What has been worked out in this process, by study and more: several parts look at the same.
_KEPT: dict[tuple, Any] = {}


def _kept(key: tuple, work: Callable[[], Any]) -> Any:
    if key not in _KEPT:
        _KEPT[key] = work()
    return _KEPT[key]


def ensemble(study) -> Ensemble:
    """The markets that the study plays on, drawn and solved."""
    return _kept(("ensemble", study.digest()), lambda: _ensemble(study))


def curves_of(setting: Setting, study) -> Curves:
    """The study's cells and curves, as `Setting.study` keeps them."""
    return _kept(("curves", study.digest(), setting.folder), lambda: _curves(setting, study))


def _ensemble(study) -> Ensemble:
    import cmapjax as cj
    from cmapjax import studies

    parts = [studies.draw(study, ground, 0, ground.markets) for ground in study.grounds()]
    rows = []
    for ground, part in zip(study.grounds(), parts, strict=True):
        n = part.num_agents // part.num_markets
        rows += [(*kind_of(ground), n, ground.number)] * part.num_markets
    market = cj.pack(parts)
    kinds = pd.DataFrame(rows, columns=["family", "contributions", "agents", "ground"])
    return Ensemble(market, cj.solve(market), kinds)


def _curves(setting: Setting, study) -> Curves:
    from cmapjax.studies._build import random_market
    from cmapjax.studies._results import recorded_rounds

    grounds, rows = study.grounds(), []
    for cell in study.cells():
        play = NAME_OF[Play(cell.words.strategy, cell.words.schedule, cell.words.damping)]
        n = random_market(study, grounds[cell.ground]).family.num_agents
        rows.append((cell.number, cell.ground, *kind_of(cell.words), n, play))
    cells = pd.DataFrame(rows, columns=["cell", *ABOUT]).set_index("cell")
    rounds = recorded_rounds(study)
    values = {
        name: {c.number: np.full((len(rounds), grounds[c.ground].markets), np.nan) for c in study.cells()}
        for name in study.metrics
    }
    columns = ["cell", "metric", "round", "market", "value"]
    for table in setting.study(study).tables("curves", columns):
        for (cell, name), some in table.to_pandas().groupby(["cell", "metric"], observed=True):
            values[name][cell][np.searchsorted(rounds, some["round"]), some["market"]] = some["value"]
    return Curves(cells, {name: _finite(name, tables) for name, tables in values.items()}, rounds)


def _finite(metric: str, tables: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Tables in which what is no number counts as the worst."""
    worst = -np.inf if "nash" in metric else np.inf
    return {cell: np.where(np.isnan(values), worst, values) for cell, values in tables.items()}


def turn_by_turn(setting: Setting, study, order: str, turns: int):
    """The run of CMAP in which one agent of every market acts per round.

    Recorded: log Nash welfare, log welfare loss, and `announced`: how many announcements it takes for whoever
    receives more or less after a turn to tell all its neighbours. `order` is one of `ORDERS`.
    """
    return _kept(("turns", study.digest(), order, turns), lambda: _turns(setting, study, order, turns))


OWN_ORDER, RANDOM_ORDER, COLOUR_ORDER = ORDERS = ("own order", "random order", "order of colours")
# Of a total that moved by less than this share of its owner's contribution nobody needs to hear.
UNHEARD = 1e-12


def _turns(setting: Setting, study, order: str, turns: int):
    from jax.tree_util import Partial

    import cmapjax as cj
    from cmapjax import metrics

    everything = ensemble(study)
    market = everything.market
    numbers = np.arange(market.num_agents)
    if order == RANDOM_ORDER:
        numbers = np.random.default_rng(setting.seed).permutation(numbers)
    elif order == COLOUR_ORDER:
        numbers = np.lexsort((numbers, cj.Coloured().turns(market)))
    setting.tell(f"CMAP turn by turn, {order}: {turns:,} turns on {market.num_markets} markets")
    standard = metrics.standard(everything.equilibrium.utility)
    record = {name: standard[name] for name in ("log_nash_welfare", "log_welfare_loss")}
    record["announced"] = Partial(_announced, degree=np.asarray(market.degree, float))
    schedule = cj.OneAgentPerRound(numbers)
    return cj.simulate(market, cj.CMAP(), schedule=schedule, rounds=turns, record=record)


def _announced(market, state, degree):
    import jax.numpy as jnp

    moved = jnp.abs(state.history[0] - state.history[1]) > UNHEARD * market.contribution
    return market.total(jnp.where(moved, degree, 0.0))


def common(setting: Setting):
    """The study that several parts look at: 20 and 100 agents, all plays."""
    # Every play is a program to compile, which takes longer than a quick run of it.
    plays = [play for play in PLAYS if play != GRADIENT or not setting.quick]
    rounds = setting.pick(100, 300)
    return study_of(setting, "families", [20, 100], setting.pick(3, 12), rounds, plays=plays)


def tiny(x: float) -> str:
    """A difference, of which only the size matters."""
    return "0" if x == 0 else f"{x:.0e}"


def missing(loss: float) -> str:
    """What is missing of the equilibrium's log welfare, in words where it is nothing or all."""
    if np.isinf(loss):
        return "all (an agent has nothing)"
    return f"{loss:.1e}" if loss > 1e-15 else "below 1e-15"


def first_within(loss: np.ndarray, most: float, rounds: np.ndarray) -> np.ndarray:
    """Of every market the first round with a loss of at most `most`; infinite if there is none."""
    within = loss <= most
    return np.where(within.any(axis=0), rounds[np.argmax(within, axis=0)], np.inf)
