"""From runs to rows: the summary of every market, and curves in full or as sketches."""

import dataclasses
import hashlib

import numpy as np
import pyarrow as pa

from cmapjax import metrics
from cmapjax.engine import _records
from cmapjax.market._market import Market
from cmapjax.market._numbers import OF_ARCS
from cmapjax.studies._cells import Cell, Ground
from cmapjax.studies._schema import (
    BEFORE_AXES,
    MILESTONES,
    OF_TERMS,
    SHARE,
    WORD,
    curves_schema,
    summary_schema,
)
from cmapjax.studies._sketch import buckets
from cmapjax.words._plans import plan

VERDICT = "verdict"
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

    @classmethod
    def of(cls, run, names, rows: slice = slice(None)) -> "Played":
        """What was recorded of a run under these names, or some rows of it."""
        records = {name: run.records[name][rows] for name in names}
        verdicts = run.records[VERDICT][rows] if VERDICT in run.records else run.verdict[None]
        return cls(run.rounds[rows], run.agent_updates[rows], records, verdicts, run.spending_error)

    @classmethod
    def joined(cls, parts: list["Played"]) -> "Played":
        """Parts of one run, played one after another."""
        if len(parts) == 1:
            return parts[0]

        def join(of) -> np.ndarray:
            return np.concatenate([of(part) for part in parts])

        return cls(
            join(lambda part: part.rounds),
            join(lambda part: part.agent_updates),
            {name: join(lambda part, name=name: part.records[name]) for name in parts[0].records},
            join(lambda part: part.verdicts),
            parts[-1].spending_error,
        )

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
            None if equilibrium is None else gap_of(market, equilibrium),
        )


def gap_of(market: Market, equilibrium) -> np.ndarray:
    """By how much the equilibrium may miss the optimum: with other terms prices do not follow from utilities
    alone, and those that were found count."""
    return equilibrium.gap if market.terms else metrics.certified_gap(market, equilibrium.utility)


def fingerprints(market: Market, bounds: np.ndarray) -> list[str]:
    """What `Market.fingerprint` says of every market drawn alone."""
    giver, receiver = market.arcs()
    ends = np.searchsorted(giver, bounds)
    endowment, value = np.asarray(market.endowment), np.asarray(market.value)
    terms = {name: np.asarray(getattr(market, name)) for name in market.terms}
    terms |= {name: market.arc_values(x) for name, x in terms.items() if name in OF_ARCS}
    found = []
    for number in range(len(bounds) - 1):
        agents, arcs = slice(*bounds[number : number + 2]), slice(*ends[number : number + 2])
        first = np.int32(bounds[number])
        digest = hashlib.sha256((giver[arcs] - first).astype(np.int32).tobytes())
        digest.update((receiver[arcs] - first).astype(np.int32).tobytes())
        digest.update(endowment[agents].tobytes())
        digest.update(value[agents].tobytes())
        digest.update(np.zeros(agents.stop - agents.start, np.int32).tobytes())
        for name, x in terms.items():
            digest.update(x[arcs if name in OF_ARCS else agents].tobytes())
        digest.update(" ".join(terms).encode())
        found.append(digest.hexdigest()[:16])
    return found


class Tables:
    """The tables of a chunk, made cell by cell, so that runs need not be kept.

    Args:
        study: what is recorded (or, of `cmapjax simulate`, what says the same of a comparison).
        ground: whose markets they are.
        facts: about these markets.
    """

    def __init__(self, study, ground: Ground, facts: Facts):
        self.study, self.ground, self.facts = study, ground, facts
        self.summaries: dict[int, pa.Table] = {}
        self.curved: dict[int, pa.Table] = {}

    def add(self, cell: Cell, played: Played) -> None:
        """Take in what became of the markets under a cell; in any order."""
        rows = _summary_of(self.study, self.ground, self.facts, cell, played)
        self.summaries[cell.number] = _table(summary_schema(self.study), rows)
        if (schema := curves_schema(self.study)) is not None:
            is_full = self.study.record.curves == "full"
            rows = (_in_full if is_full else _counted)(self.study, self.facts, cell, played)
            self.curved[cell.number] = _table(schema, rows)

    def summary(self) -> pa.Table:
        """A row per cell and market, cells in order."""
        return _joined(self.summaries)

    def curves(self) -> pa.Table | None:
        """What was recorded round by round, as the study asks for it."""
        return _joined(self.curved) if self.curved else None


def _table(schema: pa.Schema, columns: dict) -> pa.Table:
    arrays = [
        column if isinstance(column := columns[field.name], pa.Array) else pa.array(column, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


def _joined(tables: dict[int, pa.Table]) -> pa.Table:
    whole = pa.concat_tables([tables[number] for number in sorted(tables)])
    return whole.unify_dictionaries().combine_chunks()


def _words(known, places: np.ndarray) -> pa.Array:
    """Words by their places in a list of them; below 0 there is none."""
    places = pa.array(places.astype(np.int32), mask=places < 0)
    return pa.DictionaryArray.from_arrays(places, pa.array(known, pa.string()))


def _summary_of(study, ground: Ground, facts: Facts, cell: Cell, played: Played) -> dict:
    count = len(facts.seeds)
    at, stopped = played.ends(study.stop.when)
    numbers = np.arange(count)
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
        is_word = name in OF_TERMS or (name in BEFORE_AXES and BEFORE_AXES[name].kind == WORD)
        columns[name] = _words([value], np.zeros(count)) if is_word else [value] * count
    flags = [""] * count
    for name in study.metrics:
        values = played.records[name][at, numbers].astype(np.float64)
        is_plain = np.isfinite(values)
        for number in np.flatnonzero(~is_plain):
            flags[number] += f"{',' if flags[number] else ''}{name}={values[number]:g}"
        columns[name] = pa.array(values, mask=~is_plain)
    if SHARE in study.metrics:
        for name, wanted in MILESTONES.items():
            columns[name] = first_round(played, at, wanted)
    return columns | {"flags": [text or None for text in flags]}


def _or_null(values: np.ndarray | None, count: int) -> pa.Array:
    return pa.nulls(count, pa.float64()) if values is None else pa.array(np.asarray(values, np.float64))


def first_round(played: Played, at: np.ndarray, wanted: float) -> pa.Array:
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
        "metric": _words(study.metrics, np.repeat(np.arange(times), len(row))),
        "value": pa.array(values, mask=~is_plain),
        "flags": _words(("nan", "inf", "-inf"), np.where(is_plain, -1, flags)),
    }


def _counted(study, facts: Facts, cell: Cell, played: Played) -> dict:
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
        "metric": _words(study.metrics, metric),
        "sign": sign,
        "bucket": pa.array(bucket.astype(np.int32), mask=(sign == 0) & (bucket == 0)),
        "count": count,
    }


def recorded_rounds(study) -> np.ndarray:
    """The rounds after which something is recorded; the first is the start."""
    return _records.recorded_rounds(study.rounds, study.record.every)
