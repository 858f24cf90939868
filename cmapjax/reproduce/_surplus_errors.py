"""Errors of running averages over rounds, and how fast they fall."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

# Slopes are fitted at so many times, evenly spaced in log t.
NUM_TIMES = 25

Recordings = dict[str, Float[np.ndarray, "records processes markets"]]


@dataclasses.dataclass(frozen=True)
class Errors:
    """What was recorded of the averages, by strategy."""

    rounds: Int[np.ndarray, "records"]
    family: Int[np.ndarray, "markets"]
    families: tuple[str, ...]
    size: int
    """Agents of a market, about."""
    variation: dict[str, float]
    """Of the processes: standard deviation over mean."""
    noise: Float[np.ndarray, "markets"]
    """Relative deviation of utilities over one round at best, for endowments of variation 1."""
    worst: Recordings
    """Worst relative error."""
    rms: Recordings
    """Root mean square, over agents, of the relative error."""
    loss: Recordings
    """Misallocated share."""

    @property
    def num_markets(self) -> int:
        return len(self.family)

    @property
    def last(self) -> int:
        """Rounds played."""
        return int(self.rounds[-1])

    @property
    def since(self) -> int:
        """The first round that slopes are fitted to."""
        return self.last // 40

    @property
    def random(self) -> list[str]:
        """The processes that vary."""
        return [process for process, variation in self.variation.items() if variation > 0]

    def of(self, rule: str, process: str) -> Float[np.ndarray, "records markets"]:
        """Worst relative errors."""
        return self.worst[rule][:, list(self.variation).index(process)]

    def at(self, rule: str, process: str, round: int) -> Float[np.ndarray, "markets"]:
        """… after the recorded round nearest to this one."""
        return self.of(rule, process)[np.argmin(np.abs(self.rounds - round))]

    def slopes(self, rule: str, process: str) -> Float[np.ndarray, "markets"]:
        """Of log error on log t. An error of exactly zero counts as one rounding."""
        rows = self._times()
        error = np.maximum(self.of(rule, process)[rows], np.finfo(float).eps)
        return np.polyfit(np.log(self.rounds[rows]), np.log(error), 1)[0]

    def constants(self, rule: str, process: str, power: float) -> Float[np.ndarray, "markets"]:
        """The mean of error × t^power."""
        rows = self._times()
        return (self.of(rule, process)[rows] * self.rounds[rows, None] ** power).mean(axis=0)

    def two_terms(self, rule: str, process: str) -> Float[np.ndarray, "2 markets"]:
        """a and b ≥ 0 of a/t + b/√t, by least squares on relative deviations."""
        from scipy.optimize import nnls

        rows = self._times()
        t, error = self.rounds[rows], np.maximum(self.of(rule, process)[rows], np.finfo(float).eps)
        terms = np.stack([1 / t, 1 / np.sqrt(t)], axis=1)
        return np.array([nnls(terms / e[:, None], np.ones(len(t)))[0] for e in error.T]).T

    def fall(self, rule: str, process: str) -> Float[np.ndarray, "markets"]:
        """The last error over that of a tenth of the rounds."""
        return self.at(rule, process, self.last) / self.at(rule, process, self.last // 10)

    def over_noise(self, rule: str, process: str) -> Float[np.ndarray, "markets"]:
        """The root mean square error over that of what arrived, over the second half of the rounds."""
        later = self.rounds >= self.last / 2
        error = self.rms[rule][later, list(self.variation).index(process)]
        least = self.variation[process] * self.noise / np.sqrt(self.rounds[later, None])
        return np.sqrt(np.mean((error / least) ** 2, axis=0))

    def _times(self) -> Int[np.ndarray, "times"]:
        wanted = np.geomspace(self.since, self.last, NUM_TIMES)
        return np.unique(np.searchsorted(self.rounds, wanted * (1 - 1e-12)))


def rates(errors: Errors):
    """A row per strategy, process and family: medians over its markets."""
    import pandas as pd

    rows = []
    for rule in errors.worst:
        for process in errors.variation:
            numbers = {
                "slope": errors.slopes(rule, process),
                "error_last_over_tenth": errors.fall(rule, process),
                "worst_relative_error_last": errors.at(rule, process, errors.last),
            }
            if process in errors.random:
                numbers["error_over_noise_of_arrivals"] = errors.over_noise(rule, process)
            for number, name in enumerate(errors.families):
                here = errors.family == number
                row = {"strategy": rule, "process": process, "family": name, "markets": int(here.sum())}
                rows.append(row | {column: np.median(x[here]) for column, x in numbers.items()})
    return pd.DataFrame(rows)


def by_and_by(errors: Errors):
    """Medians over all markets at times evenly spaced in log t, a row per strategy, process and time."""
    import pandas as pd

    wanted = np.unique(np.geomspace(max(errors.rounds[1], 10), errors.last, 16).astype(int))
    at = np.unique(np.searchsorted(errors.rounds, wanted))
    frames = []
    for rule in errors.worst:
        for k, process in enumerate(errors.variation):
            columns = {"strategy": rule, "process": process, "round": errors.rounds[at]}
            for name, table in (
                ("worst_relative_error", errors.worst),
                ("rms_relative_error", errors.rms),
                ("misallocated_share", errors.loss),
            ):
                columns[name] = np.median(table[rule][at, k], axis=1)
            frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)
