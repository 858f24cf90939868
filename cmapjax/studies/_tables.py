"""From runs to rows: the summary of every market, and curves in full or as sketches."""

import dataclasses
import hashlib

import numpy as np
import pyarrow as pa

from cmapjax import metrics
from cmapjax.engine import _records
from cmapjax.market._market import Market
from cmapjax.studies._cells import Cell, Ground
from cmapjax.studies._names import BEFORE_AXES, MILESTONES, SHARE, WORD
from cmapjax.studies._schema import curves_schema, summary_schema
from cmapjax.studies._sketch import buckets
from cmapjax.words._plans import plan

# Rounds after which a verdict can be made: of the last three utilities, the start's among them.
LEAST_ROUNDS = 2


@dataclasses.dataclass(frozen=True)
class Played:
    """What one cell's run left behind, of the markets that count (NumPy)."""

    rounds: np.ndarray
    """[records]"""
    agent_updates: np.ndarray
    """[records, markets]"""
    records: dict[str, np.ndarray]
    """Each [records, markets]."""
    verdicts: np.ndarray
    """[records, markets], places in `metrics.VERDICTS`; if not recorded the last row alone is given."""
    spending_error: np.ndarray

    def verdict(self, at: np.ndarray) -> np.ndarray:
        """That of each market at its end."""
        return self.verdicts[np.minimum(at, len(self.verdicts) - 1), np.arange(len(at))]

    def ends(self, when: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The record at which each market ends, and whether a verdict ended it."""
        last = np.full(self.agent_updates.shape[1], len(self.rounds) - 1)
        if not when or len(self.verdicts) < len(self.rounds):
            return last, np.zeros(len(last), bool)
        ending = [metrics.VERDICTS.index(name) for name in when]
        is_over = np.isin(self.verdicts, ending) & (self.rounds >= LEAST_ROUNDS)[:, None]
        stopped = is_over.any(axis=0)
        return np.where(stopped, np.argmax(is_over, axis=0), last), stopped


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of every market of a chunk before anything is played."""

    first: int
    seeds: list[str]
    fingerprints: list[str]
    num_agents: np.ndarray
    num_links: np.ndarray
    equilibrium_log_welfare: np.ndarray | None
    equilibrium_gap: np.ndarray | None

    @classmethod
    def of(cls, market: Market, first: int, keys: np.ndarray, equilibrium) -> "Facts":
        """Of the market drawn; `keys` is the key data of each part."""
        starts, _ = market.neighbour_rows()
        sizes = np.bincount(np.asarray(market.market_of), minlength=market.num_markets)
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        return cls(
            first,
            [key.astype(">u4").tobytes().hex() for key in keys],
            fingerprints(market, bounds),
            sizes,
            (starts[bounds[1:]] - starts[bounds[:-1]]) // 2,
            None if equilibrium is None else np.asarray(equilibrium.log_nash_welfare),
            None if equilibrium is None else metrics.certified_gap(market, equilibrium.utility),
        )


def fingerprints(market: Market, bounds: np.ndarray) -> list[str]:
    """What `Market.fingerprint` says of every market drawn alone."""
    giver, receiver = market.arcs()
    ends = np.searchsorted(giver, bounds)
    endowment, value = np.asarray(market.endowment), np.asarray(market.value)
    found = []
    for number in range(len(bounds) - 1):
        agents, arcs = slice(*bounds[number : number + 2]), slice(*ends[number : number + 2])
        first = np.int32(bounds[number])
        digest = hashlib.sha256((giver[arcs] - first).astype(np.int32).tobytes())
        digest.update((receiver[arcs] - first).astype(np.int32).tobytes())
        digest.update(endowment[agents].tobytes())
        digest.update(value[agents].tobytes())
        digest.update(np.zeros(agents.stop - agents.start, np.int32).tobytes())
        found.append(digest.hexdigest()[:16])
    return found


# -- the summary -----------------------------------------------------------------------------------


class Tables:
    """The tables of a chunk, made cell by cell, so that runs need not be kept."""

    def __init__(self, study, ground: Ground, facts: Facts):
        self.study, self.ground, self.facts = study, ground, facts
        self.summaries: dict[int, dict] = {}
        self.curved: dict[int, dict] = {}

    def add(self, cell: Cell, played: Played) -> None:
        """Take in what became of the markets under a cell; in any order."""
        self.summaries[cell.number] = _summary_of(self.study, self.ground, self.facts, cell, played)
        match self.study.record.curves:
            case "full":
                self.curved[cell.number] = _in_full(self.study, self.facts, cell, played)
            case "quantiles":
                self.curved[cell.number] = _counted(self.study, cell, played)

    def summary(self) -> pa.Table:
        """A row per cell and market, cells in order."""
        return self._joined(summary_schema(self.study), self.summaries)

    def curves(self) -> pa.Table | None:
        """What was recorded round by round, as the study asks for it."""
        schema = curves_schema(self.study)
        return None if schema is None else self._joined(schema, self.curved)

    @staticmethod
    def _joined(schema: pa.Schema, of_cells: dict[int, dict]) -> pa.Table:
        parts = [of_cells[number] for number in sorted(of_cells)]
        columns = [_column(schema.field(n).type, [part[n] for part in parts]) for n in schema.names]
        return pa.table(columns, schema=schema)


def _column(kind: pa.DataType, parts: list) -> pa.Array:
    """One column of all cells. Of words a part is one for all its rows, or places in a list of words."""
    if not pa.types.is_dictionary(kind):
        return pa.concat_arrays([pa.array(part, kind) for part in parts])
    words: dict[str, int] = {}
    places = []
    for known, rows in parts:
        numbers = np.array([words.setdefault(word, len(words)) for word in known], np.int32)
        places.append(np.where(rows < 0, -1, numbers[rows]))  # below 0: no word at all
    joined = np.concatenate(places)
    return pa.DictionaryArray.from_arrays(
        pa.array(joined, pa.int32(), mask=joined < 0), pa.array(list(words), pa.string())
    )


def _summary_of(study, ground: Ground, facts: Facts, cell: Cell, played: Played) -> dict:
    count = len(facts.seeds)
    at, stopped = played.ends(study.stop.when)
    numbers, same = np.arange(count), np.zeros(count, np.int32)
    line = plan(cell.words.strategy, cell.words.schedule, cell.words.damping)
    columns = {
        "cell": np.full(count, cell.number),
        "ground": np.full(count, ground.number),
        "market": facts.first + numbers,
        "seed": facts.seeds,
        "fingerprint": facts.fingerprints,
        "num_agents": facts.num_agents,
        "num_links": facts.num_links,
        "rounds": played.rounds[at],
        "agent_updates": played.agent_updates[at, numbers],
        "stopped_round": pa.array(played.rounds[at], pa.int32(), mask=~stopped),
        "verdict": [metrics.VERDICTS[code] for code in played.verdict(at)],
        "equilibrium_log_welfare": _or_null(facts.equilibrium_log_welfare, count),
        "equilibrium_gap": _or_null(facts.equilibrium_gap, count),
        "spending_error": _or_null(None if study.stop.when else played.spending_error, count),
    }
    # Words that vary stand as the axis has them, so that rows can be grouped by it.
    words = cell.words._asdict() | {"schedule": line.schedule, "damping": line.damping} | cell.axes
    for name, value in words.items():
        is_word = name in BEFORE_AXES and BEFORE_AXES[name].kind == WORD
        columns[name] = ([value], same) if is_word else [value] * count
    flags = [""] * count
    for name in study.metrics:
        values = played.records[name][at, numbers].astype(np.float64)
        is_plain = np.isfinite(values)
        for number in np.flatnonzero(~is_plain):
            flags[number] += f"{',' if flags[number] else ''}{name}={values[number]:g}"
        columns[name] = pa.array(values, mask=~is_plain)
    if study.has_milestones:
        for name, wanted in MILESTONES.items():
            columns[name] = _first_round(played, at, wanted)
    return columns | {"flags": [text or None for text in flags]}


def _or_null(values: np.ndarray | None, count: int):
    return pa.nulls(count, pa.float64()) if values is None else pa.array(np.asarray(values, np.float64))


def _first_round(played: Played, at: np.ndarray, wanted: float) -> pa.Array:
    """The first recorded round, up to each market's end, at which the share is reached."""
    reached = played.records[SHARE] >= wanted
    reached &= np.arange(len(played.rounds))[:, None] <= at
    first = np.argmax(reached, axis=0)
    return pa.array(played.rounds[first], pa.int32(), mask=~reached.any(axis=0))


# -- curves ----------------------------------------------------------------------------------------


def _in_full(study, facts: Facts, cell: Cell, played: Played) -> dict:
    """Every value up to each market's end: metric by metric, round by round, market by market."""
    at, _ = played.ends(study.stop.when)
    is_kept = np.arange(len(played.rounds))[:, None] <= at
    row, market = np.nonzero(is_kept)
    values = np.concatenate([played.records[name][is_kept].astype(np.float64) for name in study.metrics])
    times, is_plain = len(study.metrics), np.isfinite(values)
    flags = np.where(np.isnan(values), 0, np.where(values > 0, 1, 2))
    return {
        "cell": np.full(len(values), cell.number),
        "market": np.tile(facts.first + market, times),
        "round": np.tile(played.rounds[row], times),
        "agent_updates": np.tile(played.agent_updates[row, market], times),
        "metric": (study.metrics, np.repeat(np.arange(times), len(row))),
        "value": pa.array(values, mask=~is_plain),
        "flags": (("nan", "inf", "-inf"), np.where(is_plain, -1, flags)),
    }


def _counted(study, cell: Cell, played: Played) -> dict:
    """How many markets are in which bucket, metric by metric and round by round.

    A market that has ended stands with its last value, so that every round counts the same markets.
    """
    at, _ = played.ends(study.stop.when)
    rounds = recorded_rounds(study)  # all, though a chunk ends when its markets have
    records = np.minimum(np.arange(len(rounds))[:, None], at)
    values = np.stack([np.take_along_axis(played.records[n], records, 0) for n in study.metrics])
    sign, bucket = buckets(values)
    # One sort for all of the cell: metric and round, then sign and bucket, as one whole number.
    place = np.arange(values.shape[0] * values.shape[1], dtype=np.int64).reshape(*values.shape[:2], 1)
    code = (place << 35) + ((sign.astype(np.int64) + 1) << 33) + (bucket.astype(np.int64) + 2**32)
    code, count = np.unique(code, return_counts=True)
    place, rest = code >> 35, code & (2**35 - 1)
    sign, bucket = (rest >> 33) - 1, (rest & (2**33 - 1)) - 2**32
    metric, row = np.divmod(place, len(rounds))
    return {
        "cell": np.full(len(code), cell.number),
        "round": rounds[row],
        "metric": (study.metrics, metric),
        "sign": sign,
        "bucket": pa.array(bucket.astype(np.int32), mask=(sign == 0) & (bucket == 0)),
        "count": count,
    }


def recorded_rounds(study) -> np.ndarray:
    """The rounds after which something is recorded; the first is the start."""
    return _records.recorded_rounds(study.rounds, study.record.every)
