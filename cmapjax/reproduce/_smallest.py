"""The smallest markets in which everybody following CMAP at once swings, starves somebody or never settles.

Size is counted in agents, then links, then total contribution (whole numbers). All connected networks up to
six agents (seven in full) are tried with all contributions up to a bound that depends on their size; what is
said of them is true of those and no others. Larger markets are drawn at random and shrunk: nothing smaller
next to what remains does the same, but something else might.

Undamped, nothing but rest and swings of period two is possible; `_at_once_markets` has the proof. So what
never settles is looked for with steps of one half, the first damping that comes to mind.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pandas as pd

from cmapjax.reproduce import _smallest_pictures as pictures
from cmapjax.reproduce._judging import refuted
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART, OPEN, Check, Finding, Setting
from cmapjax.reproduce._smallest_play import LONGEST, NEARLY, Exact, Tiny, exact, fate
from cmapjax.reproduce._smallest_search import (
    CHAOTIC,
    Census,
    census,
    is_chaotic,
    kinds,
    packed,
    random_markets,
    shrink,
)

# Contributions tried, by number of agents.
QUICK = {2: 6, 3: 6, 4: 5, 5: 3, 6: 2}
FULL = {2: 12, 3: 12, 4: 8, 5: 4, 6: 2, 7: 2}
HALF = Fraction(1, 2)


class Specimen(NamedTuple):
    """A market that does something, how it was found, and its run in exact fractions."""

    words: str
    market: Tiny
    theta: Fraction
    how: str
    run: Exact


def measure(setting: Setting) -> Finding:
    """The censuses undamped and with half steps, the shrunk markets, and exact runs of the smallest."""
    bounds = setting.pick(QUICK, FULL)
    setting.tell(f"smallest markets: all networks of up to {max(bounds)} agents")
    everything = packed(kinds(bounds))
    whole, half = census(everything, 1.0), census(everything, 0.5)
    setting.tell("smallest markets: larger ones with half steps, shrunk")
    drawn = shrunk_markets(setting)
    within = f"least of all {len(whole.markets):,} markets of up to {max(bounds)} agents"
    specimens = specimens_of(whole, half, drawn, within, setting.pick(300, 1000))
    return Finding(
        checks=[*_whole_checks(whole, specimens, bounds), *_half_checks(half, drawn, specimens, bounds)],
        tables={
            "smallest": specimen_table(specimens),
            "census": pd.concat([census_table(whole, 1.0, bounds), census_table(half, 0.5, bounds)]),
            "shrunk": drawn.table(),
        },
        pictures={"smallest": pictures.specimens(specimens)},
        remarks=[
            "Contributions tried: 1 to "
            + ", 1 to ".join(f"{most} with {n} agents" for n, most in bounds.items())
            + ", multiples and mirror images left out. Nothing is claimed beyond.",
            f"A period is a flow that comes back to within 1e-9 of all value in up to {LONGEST} rounds. What "
            f"does not come back to within {NEARLY:g} and has a Lyapunov exponent above {CHAOTIC:g} per "
            "round, early and after thousands of rounds, is called chaotic: numerical evidence, not a proof. "
            "Runs in exact fractions confirm it as far as they go: no flow comes back. The definition was "
            "made stricter three times after first looks at seed 0, when slow markets had been taken for "
            "chaotic.",
            "Proved: undamped, flows two rounds apart tend to each other, so there is neither a longer "
            "period nor chaos; and with any damping below 2/Δ markets converge, so with half steps none of "
            "up to four agents can fail, nor any other without an agent of at least four neighbours.",
        ],
    )


class Drawn(NamedTuple):
    """Random markets with half steps: how many were chaotic, the periods seen, and the shrunk ones."""

    number: int
    most_agents: int
    chaotic: int
    longer: dict[int, Tiny]
    """By period above 2, the least market seen with it."""
    shrunk: list
    confirmed: list[bool]
    """Whether each is still chaotic after many more rounds."""

    def smallest(self) -> Tiny | None:
        """The least of those confirmed."""
        some = [f.shrunk for f, is_so in zip(self.shrunk, self.confirmed, strict=True) if is_so]
        return min(some, key=lambda m: m.size, default=None)

    def table(self) -> pd.DataFrame:
        rows = [
            {
                "found_agents": len(f.found.weight),
                "found_links": len(f.found.links),
                "steps": f.steps,
                "agents": len(f.shrunk.weight),
                "links": len(f.shrunk.links),
                "contributions": " ".join(map(str, f.shrunk.weight)),
                "network": _written(f.shrunk.links),
                "still_chaotic_after_more_rounds": is_so,
            }
            for f, is_so in zip(self.shrunk, self.confirmed, strict=True)
        ]
        return pd.DataFrame(rows)


def shrunk_markets(setting: Setting) -> Drawn:
    """Random markets of some more agents; of those without period the least, shrunk."""
    rng = np.random.default_rng([setting.seed, 7])
    number, starts, rounds = setting.pick((120, 2, 1500), (400, 8, 2500))
    found, longer, sizes = [], {}, setting.pick((8, 9), (7, 8, 9, 10))
    for agents in sizes:
        markets = random_markets(rng, agents, number, 3)
        seen = fate(markets, 0.5, 500)
        found += [markets[k] for k in np.flatnonzero(np.nan_to_num(seen.exponent, nan=-1.0) > CHAOTIC)]
        for k in np.flatnonzero(seen.period > 2):
            period = int(seen.period[k])
            longer[period] = min(longer.get(period, markets[k]), markets[k], key=lambda m: m.size)
    stays = is_chaotic(found, 0.5, rounds) if found else []
    chaotic = [market for market, is_so in zip(found, stays, strict=True) if is_so]
    shrunk = [shrink(market, 0.5, rounds) for market in sorted(chaotic, key=lambda m: m.size)[:starts]]
    ends = [f.shrunk for f in shrunk]
    confirmed = is_chaotic(ends, 0.5, setting.pick(6000, 30000)).tolist() if ends else []
    return Drawn(
        len(sizes) * number, max(sizes), len(chaotic), dict(sorted(longer.items())), shrunk, confirmed
    )


def specimens_of(whole: Census, half: Census, drawn: Drawn, within: str, rounds: int) -> list[Specimen]:
    """The least of every sort, run exactly."""
    wanted = [
        ("swings for ever", whole.smallest((whole.period == 2) & ~whole.had_nothing), 1, within),
        ("leaves somebody with nothing, once", whole.smallest(whole.had_nothing), 1, within),
        ("leaves somebody with nothing, for ever", whole.smallest(whole.has_nothing), 1, within),
        ("swings in spite of half steps", half.smallest(half.period == 2), HALF, within),
        ("returns after four rounds, half steps", half.smallest(half.period == 4), HALF, within),
        ("never settles, half steps", half.smallest(_is_chaotic(half)), HALF, within),
    ]
    if wanted[-2][1] is None and 4 in drawn.longer:
        wanted[-2] = (wanted[-2][0], drawn.longer[4], HALF, "least of the random ones seen")
    if wanted[-1][1] is None and drawn.smallest() is not None:
        wanted[-1] = (wanted[-1][0], drawn.smallest(), HALF, "shrunk from a random one")
    return [
        Specimen(words, market, Fraction(theta), how, exact(market, Fraction(theta), rounds))
        for words, market, theta, how in wanted
        if market is not None
    ]


def _is_chaotic(some: Census) -> np.ndarray:
    return (some.period == 0) & (np.nan_to_num(some.exponent, nan=-1.0) > CHAOTIC)


# -- tables ----------------------------------------------------------------------------------------


def _written(links) -> str:
    return " ".join(f"{a}-{b}" for a, b in links)


def specimen_table(specimens: list[Specimen]) -> pd.DataFrame:
    """What each specimen is, and what its exact run showed."""
    return pd.DataFrame(
        [
            {
                "what": s.words,
                "damping": float(s.theta),
                "agents": len(s.market.weight),
                "links": len(s.market.links),
                "contributions": " ".join(map(str, s.market.weight)),
                "network": _written(s.market.links),
                "how_found": s.how,
                "exact_rounds": len(s.run.utility) - 1,
                "flow_returns": "never"
                if s.run.returns is None
                else f"{s.run.returns[0]} = {s.run.returns[1]}",
                "first_round_with_nothing": s.run.had_nothing,
                "longest_denominator_bits": s.run.bits,
                "lyapunov_exponent_per_round": round(s.run.exponent, 4),
            }
            for s in specimens
        ]
    )


def census_table(some: Census, theta: float, bounds: dict[int, int]) -> pd.DataFrame:
    """How many markets of every number of agents do what."""
    rows = []
    for n, most in bounds.items():
        here = some.agents == n
        period = some.period[here]
        rows.append(
            {
                "damping": theta,
                "agents": n,
                "contributions_up_to": most,
                "markets": int(here.sum()),
                "at_rest": int((period == 1).sum()),
                "period_2": int((period == 2).sum()),
                "longer_period": int((period > 2).sum()),
                "no_period_chaotic": int(_is_chaotic(some)[here].sum()),
                "no_period_yet": int((period == 0).sum() - _is_chaotic(some)[here].sum()),
                "somebody_once_with_nothing": int(some.had_nothing[here].sum()),
                "somebody_with_nothing_for_ever": int(some.has_nothing[here].sum()),
            }
        )
    return pd.DataFrame(rows)


# -- checks ----------------------------------------------------------------------------------------


def _told(specimen: Specimen) -> str:
    market = specimen.market
    return (
        f"{len(market.weight)} agents, {len(market.links)} links ({_written(market.links)}), contributions "
        f"{' '.join(map(str, market.weight))} ({specimen.how})"
    )


def _of(specimens: list[Specimen], words: str) -> Specimen | None:
    return next((s for s in specimens if s.words == words), None)


def _whole_checks(whole: Census, specimens: list[Specimen], bounds) -> list[Check]:
    swing = _of(specimens, "swings for ever")
    once, ever = (_of(specimens, f"leaves somebody with nothing, {w}") for w in ("once", "for ever"))
    found = f"of {len(whole.markets):,} markets of up to {max(bounds)} agents"
    odd = whole.period > 2
    return [
        Check(
            "Undamped, some market of four agents swings with period two for ever.",
            "K_{2,2} does when it leans to a side, with multiplier −1; smaller ones not known",
            "none (0 markets)"
            if swing is None
            else f"{_told(swing)}; in exact fractions rounds {swing.run.returns[0]} and "
            f"{swing.run.returns[1]} are equal"
            if swing.run.returns
            else f"{_told(swing)}; not exactly within {len(swing.run.utility) - 1} rounds",
            FAILS
            if swing is None or len(swing.market.weight) > 4
            else HOLDS
            if swing.run.returns and np.diff(swing.run.returns) == 2
            else OPEN,
        ),
        Check(
            "Undamped, some very small market diverges until an agent has exactly nothing.",
            "K_{3,2} (five agents) does; smaller ones not known",
            "none (0 markets)"
            if once is None or ever is None
            else f"once: {_told(once)}, in round {once.run.had_nothing} of the exact run; again and again "
            f"for ever: {_told(ever)}, first in round {ever.run.had_nothing}",
            FAILS
            if once is None or ever is None
            else HOLDS
            if once.run.had_nothing is not None and ever.run.had_nothing is not None
            else OPEN,
        ),
        Check(
            "Undamped, no market is chaotic or has a period above two.",
            "proved, against what the claim had led to expect",
            f"{int(odd.sum())} with a longer period and {int(_is_chaotic(whole).sum())} chaotic {found}; "
            f"{int((whole.period == 1).sum()):,} rest, {int((whole.period == 2).sum()):,} have period two, "
            f"{int((whole.period == 0).sum()):,} not clear",
            refuted(odd | _is_chaotic(whole)),
        ),
    ]


def _half_checks(half: Census, drawn: Drawn, specimens: list[Specimen], bounds) -> list[Check]:
    swing, never = (_of(specimens, w) for w in ("swings in spite of half steps", "never settles, half steps"))
    small = half.agents <= 4
    periods = sorted(set(half.period[half.period > 2].tolist()) | set(drawn.longer))
    confirmed = never is not None and never.run.returns is None and never.run.exponent > CHAOTIC
    in_census = int(_is_chaotic(half).sum())
    return [
        Check(
            "With half steps, up to four agents always come to rest, and somewhat more may swing.",
            "proved for Δ < 4; K_{4,2} (six agents) has the multiplier 1 − 4/2 = −1",
            f"{int((half.period[small] == 1).sum())} of {int(small.sum())} of up to four agents rest; least "
            "that swings: " + ("none" if swing is None else _told(swing)),
            FAILS
            if (half.period[small] != 1).any() or swing is None
            else HOLDS
            if len(swing.market.weight) >= 5
            else IN_PART,
        ),
        Check(
            "With half steps some markets never settle: they are chaotic.",
            "a positive Lyapunov exponent, and no period, confirmed without rounding",
            f"{drawn.chaotic} of {drawn.number} random markets of up to {drawn.most_agents} agents, "
            f"{in_census} of {len(half.markets):,} of up to {max(bounds)} agents; "
            + (
                "none confirmed"
                if never is None
                else f"least found {_told(never)}: exponent {never.run.exponent:.3f} per round, no flow "
                f"comes back in {len(never.run.utility) - 1} exact rounds (denominators of "
                f"{never.run.bits:,} bits)"
            ),
            HOLDS if confirmed else IN_PART if drawn.chaotic else FAILS,
        ),
        Check(
            "With half steps there are longer periods than two.",
            "not known before",
            f"periods {', '.join(map(str, periods)) or 'none (0)'}; least market seen of period "
            + "; ".join(
                f"{p}: {len(m.weight)} agents, {len(m.links)} links"
                for p, m in list(drawn.longer.items())[:3]
            ),
            HOLDS if periods else FAILS,
        ),
    ]
