"""What every race is made of: rivals that play the same job in turns, and what is written down of it.

A rival is readied once and then plays so many rounds from the same start. Its sample is the time of many
rounds less the time of few, so that what a call costs besides its rounds drops out. All rivals take one
sample after the other, the order moving on by one each time, and ratios are of samples of the same turn:
what else the machine does meets everybody.
"""

import datetime
import gc
import importlib.metadata
import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Clarabel's threads wait for each other for minutes where anything else runs on the machine.
os.environ.setdefault("RAYON_NUM_THREADS", "1")
# Threads of OpenMP that wait for the next loop may hold a core for some tens of microseconds, not for the
# milliseconds that are usual: whoever plays next in the same process would find the cores taken.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import jax
import numpy as np

REPEATS = 7
PACKAGES = (
    "cmapjax",
    "jax",
    "jaxlib",
    "jaxopt",
    "optax",
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "cvxpy",
    "clarabel",
    "mpax",
    "pdhcg",
    "mesa",
)

Play = Callable[[int], Callable[[], Any]]
"""Plays so many rounds, done when it returns; what it returns gives the result, outside the clock."""


class MissingRival(Exception):
    """The rival cannot play here: what it needs is not installed."""


@dataclass(frozen=True)
class Rival:
    """Who can play a job."""

    name: str
    ready: Callable[[], Play]
    """Imports, compiles, lays out data, and returns what plays from the job's start. Raises ImportError
    or MissingRival where it cannot."""
    accept: float | None = None
    """Our time in parts of this rival's that is good enough; None: reported only."""
    ambitious: float | None = None
    part: float = 1.0
    """What part of the job it plays, being slow; its times are scaled up."""
    rounds: tuple[int, int] | None = None
    """Few and many rounds, if not the job's."""
    repeats: int | None = None
    """Samples at most, if not as many as everybody's."""
    tolerance: float | None = None
    """Of its result, if not the job's."""
    is_checked: bool = True
    """False for a floor, which computes nothing."""


@dataclass(frozen=True)
class Job:
    """What is raced over: the same data, start and rounds for all."""

    name: str
    size: str
    ours: Rival
    rivals: tuple[Rival, ...]
    rounds: tuple[int, int]
    """Few and many; the results are compared after the few (after the many if those are none)."""
    error: Callable[[Any, Any], float]
    """Of a rival's result, ours being the other."""
    tolerance: float
    compared: str
    """What is compared, in words."""
    dtype: str = "float32"
    amount: int | None = None
    """How much a round moves, for rates: so many …"""
    noun: str = "arcs"
    streamed: int | None = None
    """Bytes that a round has to read and write at least."""
    accept_seconds: float | None = None
    """Our own time that is good enough, whoever else plays."""
    copy_share: float | None = None
    """Share of the copy bandwidth of an accelerator that is good enough there."""
    facts: Callable[[Any], dict] = lambda result: {}
    """What else is worth writing down of our result."""


def largest_difference(theirs, ours) -> float:
    """Largest difference in parts of the mean of ours. A rival that plays a part has the first entries."""
    theirs, ours = np.asarray(theirs, float), np.asarray(ours, float)
    error = np.abs(theirs - ours[: len(theirs)]).max() / np.abs(ours).mean()
    return float(error) if math.isfinite(error) else math.inf


class Player:
    """A rival in a race: its samples, or why there are none."""

    def __init__(self, rival: Rival, job: Job):
        self.rival, self.samples, self.result = rival, [], None
        self.few, self.many = rival.rounds or job.rounds
        self.missing, self.ready_seconds, self.first_seconds = None, None, None

    def prepare(self, after: int) -> None:
        """Ready it, call it once as it will be called, and keep its result after these rounds."""
        try:
            began = time.perf_counter()
            self.play = self.rival.ready()
            self.ready_seconds = time.perf_counter() - began
            began = time.perf_counter()
            last = self.play(self.many)
            self.first_seconds = time.perf_counter() - began
        except (ImportError, MissingRival) as error:
            self.missing = str(error)
            return
        if self.few:
            self.play(self.few)  # the number of rounds may be compiled in
        if self.rival.is_checked:
            self.result = (last if after == self.many else self.play(after))()

    def sample(self) -> None:
        if self.few:
            self.play(self.few)  # whoever played last has left its own data in the caches
        seconds = -self._seconds(self.few) + self._seconds(self.many)
        if seconds <= 0:
            seconds = math.nan  # lost in the noise
        self.samples.append(seconds / (self.many - self.few) / self.rival.part)

    def _seconds(self, rounds: int) -> float:
        if not rounds:
            return 0.0
        began = time.perf_counter()
        self.play(rounds)
        return time.perf_counter() - began

    def record(self) -> dict:
        if self.missing is not None:
            return {"name": self.rival.name, "missing": self.missing}
        return {
            "name": self.rival.name,
            "rounds": [self.few, self.many],
            "part": self.rival.part,
            "ready_seconds": self.ready_seconds,
            "first_call_seconds": self.first_seconds,
            "seconds": spread(self.samples),
            "samples": [x if math.isfinite(x) else None for x in self.samples],
        }


def spread(numbers: Iterable[float]) -> dict:
    """Median, best and quartiles; none if most are lost in the noise."""
    numbers = list(numbers)
    lost = sum(not math.isfinite(x) for x in numbers)
    numbers = [x for x in numbers if math.isfinite(x)]
    if len(numbers) <= lost:
        return {"median": None, "best": None, "quartiles": [None, None]}
    low, high = np.percentile(numbers, [25, 75])
    return {
        "median": statistics.median(numbers),
        "best": min(numbers),
        "quartiles": [float(low), float(high)],
    }


def race(job: Job, repeats: int = REPEATS, say=print) -> dict:
    """All rivals over one job: checked against our result, then timed in turns."""
    say(f"{job.name}, {job.size}", flush=True)
    load = _load()
    after = job.rounds[0] or job.rounds[1]
    players = [Player(rival, job) for rival in (job.ours, *job.rivals)]
    for player in players:
        player.prepare(after)
        _tell_ready(player, say)
    ours, *others = players
    if ours.missing is not None:
        raise MissingRival(f"{job.name}: {ours.missing}")
    errors = {}
    for player in others:
        if player.missing is None and player.rival.is_checked:
            errors[player.rival.name] = job.error(player.result, ours.result)
        player.result = None
    playing = [p for p in players if p.missing is None]
    for turn in range(repeats):
        for place in range(len(playing)):
            player = playing[(turn + place) % len(playing)]
            if turn < (player.rival.repeats or repeats):
                player.sample()
    seconds = spread(ours.samples)["median"]
    out = {
        "job": job.name,
        "size": job.size,
        "dtype": job.dtype,
        "compared": job.compared,
        "load_average": load,
        "repeats": repeats,
        "ours": ours.record() | {"facts": job.facts(ours.result)},
        "rivals": [_compared(player, ours, errors, job) for player in others],
    }
    if job.amount is not None and seconds is not None:
        out["rate"] = {"per_second": job.amount / seconds, "noun": job.noun}
    if job.accept_seconds is not None:
        is_met = seconds is not None and seconds <= job.accept_seconds
        out["target_seconds"] = {"accept": job.accept_seconds, "is_met": is_met}
    for rival in out["rivals"]:
        say("   " + in_words(out, rival), flush=True)
    del players, ours, others, playing
    gc.collect()
    return out


def _tell_ready(player: Player, say) -> None:
    if player.missing is None:
        say(
            f"   ready in {player.ready_seconds + player.first_seconds:.2f} s: {player.rival.name}",
            flush=True,
        )


def _compared(player: Player, ours: Player, errors: dict, job: Job) -> dict:
    """A rival's record, and how we compare."""
    out, rival = player.record(), player.rival
    if player.missing is not None:
        return out
    pairs = zip(ours.samples, player.samples, strict=False)
    ratio = spread(a / b for a, b in pairs)
    out["ratio"] = ratio
    if rival.name in errors:
        tolerance = job.tolerance if rival.tolerance is None else rival.tolerance
        error = errors[rival.name]
        out |= {"error": error if math.isfinite(error) else None, "tolerance": tolerance}
        out["agrees"] = error <= tolerance
    if rival.accept is not None:
        is_met = ratio["median"] is not None and ratio["median"] <= rival.accept
        out["target"] = {"accept": rival.accept, "ambitious": rival.ambitious, "is_met": is_met}
    return out


def results(claim: str, jobs: Iterable[Job], repeats: int = REPEATS, say=print) -> dict:
    """A whole race: what a race file's `results` returns."""
    about = machine()
    return {"claim": claim, "machine": about, "jobs": [race(job, repeats, say) for job in jobs]}


def machine() -> dict:
    """Where and with what a race is run."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")]
        processor = names[0].split(":")[1].strip() if names else processor
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
        "load_average": _load(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": versions,
    }


def _load() -> list[float] | None:
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None


def _commit() -> str | None:
    """The commit of this checkout, marked where files differ from it; None outside one."""
    here = Path(__file__).parent
    try:
        words = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


# -- in words ----------------------------------------------------------------------------------------------


def duration(seconds: float | None) -> str:
    """1.23 ms and the like."""
    if seconds is None:
        return "–"
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def quantity(number: float) -> str:
    """12.3 M and the like."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def ratio_words(ratio: dict) -> str:
    """Median and quartiles of a ratio."""
    if ratio["median"] is None:
        return "–"
    low, high = ratio["quartiles"]
    return f"{ratio['median']:.3g} [{low:.2g} – {high:.2g}]"


def in_words(job: dict, rival: dict) -> str:
    """One line of what is printed while races run."""
    if "missing" in rival:
        return f"skipped: {rival['name']} ({rival['missing']})"
    words = f"ours {duration(job['ours']['seconds']['median'])}, {rival['name']}"
    words += f" {duration(rival['seconds']['median'])}: ratio {ratio_words(rival['ratio'])}"
    if "target" in rival:
        words += f", target {rival['target']['accept']:.3g}: {met(rival['target'])}"
    if "agrees" in rival:
        words += f", differs by {_error(rival)}" + ("" if rival["agrees"] else ": DISAGREES")
    return words


def met(target: dict) -> str:
    return "met" if target["is_met"] else "NOT met"


def _error(rival: dict) -> str:
    return "not a number" if rival["error"] is None else f"{rival['error']:.0e}"
