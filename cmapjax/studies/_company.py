"""Companies: small chunks of several grounds, played side by side so that few programs are compiled.

Compiled code is made for the shapes of its arrays, and every network family has its own. On small markets
compiling takes far longer than playing, so that chunks played one by one cost a study as many compilations
as it has grounds. What a market comes to does not depend on its company, bit for bit.
"""

import itertools
from collections.abc import Hashable, Iterable

from cmapjax._differences import WIDEST_BY_PAIRS
from cmapjax._words._plans import plan
from cmapjax._words._specs import parse
from cmapjax.studies._build import random_market
from cmapjax.studies._cells import RANDOM_SCHEDULES, CellWords, Ground
from cmapjax.studies._chunks import AGENTS, VALUES, Chunk, values_per_market

# A ground of a single market is played in its own shape, and not in one that others fit too, if it has more
# agents: there is but one way to cut it, and that shape has room for a second market.
LARGEST_SINGLE = 1_000
# How many chunks next in line are looked at for a company: neighbours in line are alike in size.
LOOK_AHEAD = 256


def is_drawn(words: CellWords) -> bool:
    """Whether agents draw in the rounds of this cell: from a key that is their ground's own."""
    schedule = plan(words.strategy, words.schedule, words.damping).schedule
    return parse(words.process).name != "constant" or parse(schedule).name in RANDOM_SCHEDULES


def is_fitted(study, ground: Ground, num_agents: int) -> bool:
    """Whether its markets are played in a shape that others fit too, so that company changes no bit."""
    return ground.markets > 1 or (num_agents <= LARGEST_SINGLE and _bill(study, ground) is not None)


def _bill(study, ground: Ground) -> Hashable:
    """What a ground is played under, in order; None if none of it can be played beside other grounds."""
    words = [study.cells()[number].words for number in ground.cells]
    return None if all(map(is_drawn, words)) else tuple(each[-3:] for each in words)


class Companies:
    """Which chunks of a study go together."""

    def __init__(self, study):
        self._study = study
        self._bills: dict[Hashable, int] = {}
        self._known: dict[int, tuple[int | None, int, int]] = {}

    def company(self, chunk: Chunk, line: Iterable[Chunk]) -> list[Chunk]:
        """The chunk and those next in line to be played beside it: of other grounds, played alike.

        Together they are no larger than a chunk may be. Chunks of one ground do not meet: they were cut apart
        for being too large, or because somebody asked for it.
        """
        bill, agents, values = self._about(chunk.ground)
        company, markets, left_behind = [chunk], chunk.count, chunk.count * values
        if bill is None or (markets + 1) * agents > AGENTS:
            return company
        grounds = {chunk.ground}
        for other in itertools.islice(line, LOOK_AHEAD):
            own, size, values = self._about(other.ground)
            if own != bill or other.ground in grounds:
                continue
            # Markets' lists of agents are all as long as the longest.
            is_small = (markets + other.count) * max(agents, size) <= AGENTS
            if is_small and left_behind + other.count * values <= VALUES:
                company.append(other)
                grounds.add(other.ground)
                agents, markets = max(agents, size), markets + other.count
                left_behind += other.count * values
        return company

    def _about(self, number: int) -> tuple[int | None, int, int]:
        """Of a ground: its bill, agents of a market, and values that a market leaves behind."""
        if number not in self._known:
            ground = self._study.grounds()[number]
            agents = random_market(self._study, ground).family.num_agents
            bill = _bill(self._study, ground) if is_fitted(self._study, ground, agents) else None
            # The Gini index of larger markets is worked out by sorting, which rounds differently.
            key = bill, agents <= WIDEST_BY_PAIRS
            place = None if bill is None else self._bills.setdefault(key, len(self._bills))
            self._known[number] = place, agents, values_per_market(self._study, ground)
        return self._known[number]


def companies(study, chunks: Iterable[Chunk]) -> list[list[Chunk]]:
    """The chunks as they are played by one process alone, side by side or one by one."""
    rule, line, found = Companies(study), list(chunks), []
    while line:
        found.append(rule.company(line[0], line[1:]))
        gone = set(found[-1])
        line = [chunk for chunk in line if chunk not in gone]
    return found
