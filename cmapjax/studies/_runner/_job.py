"""The chunks of one run: queued, under way, suspected of killing workers, done, given up."""

import time
from collections import Counter, deque
from collections.abc import Callable

from cmapjax.studies._runner._outcome import Outcome, Trouble
from cmapjax.studies._runner._progress import Log, State, Tally
from cmapjax.studies._runner._stop import GRACE, Stop

# A chunk that killed its worker, or met an error, is tried so many times in all.
TRIES = 3
# Once so many single markets of a ground did not fit in memory, and nothing of it did, the rest will not.
SINGLES = 2
# How often signals, the time limit and a request to cancel are looked for, in seconds.
TICK = 0.2


class Job:
    """Plays chunks through a player, stores what comes back, and decides what to do about what does not."""

    def __init__(self, store, tally: Tally, log: Log, report: Callable[[State], None]):
        self._store, self._tally, self._log, self._report = store, tally, log, report
        self._player = None
        self._queue: deque = deque()
        # Suspects: played with nothing else under way, so that a death is theirs without doubt.
        self._suspects: deque = deque()
        self._alone: str | None = None
        self._under_way: dict[str, object] = {}
        self._tries: Counter = Counter()
        # Of a ground: the fewest markets that did not fit; single ones that did not; whether any did.
        self._too_many: dict[int, int] = {}
        self._too_large: Counter = Counter()
        self._fitted: set[int] = set()
        self.done = 0
        self.failed: dict[str, str] = {}
        self.timings: dict[str, float] = {}

    @property
    def _num_left(self) -> int:
        return len(self._queue) + len(self._suspects) + len(self._under_way)

    def go(self, chunks, player, stop: Stop) -> None:
        """Play these chunks, or until there is a reason to stop."""
        self._player = player
        self._queue.extend(chunks)
        note = ""
        self._report(self._tally.state("starting"))
        while self._num_left and not stop.reason():
            self._submit()
            self._settle(self._player.wait(TICK))
            self._report(self._tally.state(player.note))
            if player.note != note:
                note = player.note
                self._log(note or "workers are there again")
        if self._under_way:
            self._report(self._tally.state("stopping"))
            self._finish_under_way(stop.reason())

    def _finish_under_way(self, why: str | None) -> None:
        for chunk in self._player.end_soon():
            self._queue.append(self._under_way.pop(chunk.name))
        self._log(f"{why}: waiting a few seconds for {len(self._under_way)} chunks under way")
        deadline = time.monotonic() + GRACE
        while self._under_way and time.monotonic() < deadline:
            for outcome in self._player.wait(TICK):
                del self._under_way[outcome.chunk.name]
                if outcome.trouble is None:
                    self._keep(outcome)
                else:
                    self._queue.append(outcome.chunk)

    def _submit(self) -> None:
        """Hand out as much as the player takes."""
        while self._queue and self._alone is None and len(self._under_way) < self._player.capacity():
            chunk = self._queue.popleft()
            if self._is_hopeless(chunk):
                self._give_up(chunk, "single markets of its kind do not fit in memory")
            elif self._is_too_large(chunk):
                self._halve(chunk)
            else:
                self._send(chunk)
        if self._suspects and not self._queue and not self._under_way and self._player.capacity():
            chunk = self._suspects.popleft()
            self._alone = chunk.name
            self._send(chunk)

    def _send(self, chunk) -> None:
        self._under_way[chunk.name] = chunk
        self._player.submit(chunk, self._num_left == 1)

    def _settle(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            name = outcome.chunk.name
            del self._under_way[name]
            was_alone, self._alone = self._alone == name, None
            if outcome.trouble is None:
                self._submit()  # first, so that nobody waits for the disk
                self._keep(outcome)
            else:
                self._tries[name] += max(1, outcome.deaths)
                self._log(f"chunk {name}: {outcome.reason}")
                self._try_again(outcome, was_alone)

    def _keep(self, outcome: Outcome) -> None:
        chunk = outcome.chunk
        self._store.write(chunk.name, summary=outcome.result.summary, curves=outcome.result.curves)
        for stage, seconds in (outcome.result.timings or {}).items():
            self.timings[stage] = self.timings.get(stage, 0.0) + seconds
        self._fitted.add(chunk.ground)
        self.done += 1
        self._tally.advance(chunk)

    def _try_again(self, outcome: Outcome, was_alone: bool) -> None:
        """Halve what is too large, try again what may succeed, give up the rest."""
        chunk, tries = outcome.chunk, self._tries[outcome.chunk.name]
        if outcome.trouble is Trouble.MEMORY:
            self._make_smaller(chunk, outcome.reason)
        elif outcome.trouble is Trouble.HOPELESS:
            self._give_up(chunk, outcome.reason)
        elif outcome.trouble is Trouble.DIED:
            if was_alone and tries >= TRIES:  # others under way may have caused it
                self._give_up(chunk, f"{outcome.reason}; it cost {tries} workers")
            elif tries >= TRIES - 1:
                self._suspects.append(chunk)
            else:
                self._queue.append(chunk)
        elif tries >= TRIES:
            self._give_up(chunk, f"{outcome.reason}; tried {tries} times")
        else:
            self._queue.append(chunk)

    def _make_smaller(self, chunk, reason: str) -> None:
        self._too_many[chunk.ground] = min(chunk.count, self._too_many.get(chunk.ground, chunk.count))
        if chunk.count > 1:
            self._halve(chunk)
        else:
            self._too_large[chunk.ground] += 1
            self._give_up(chunk, f"{reason}; a single market does not fit")

    def _halve(self, chunk) -> None:
        first, second = chunk.halves()
        self._log(f"chunk {chunk.name} is halved: {first.name}, {second.name}")
        self._queue.extendleft((second, first))

    def _is_too_large(self, chunk) -> bool:
        return chunk.count > 1 and chunk.count >= self._too_many.get(chunk.ground, chunk.count + 1)

    def _is_hopeless(self, chunk) -> bool:
        return chunk.ground not in self._fitted and self._too_large[chunk.ground] >= SINGLES

    def _give_up(self, chunk, reason: str) -> None:
        self._log(f"chunk {chunk.name} is given up: {reason}")
        self.failed[chunk.name] = reason
        self._tally.fail()
