"""From the words of a study to markets, strategies, schedules and processes."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cmapjax import metrics
from cmapjax.arguments._checks import short
from cmapjax.arguments._origin import Origin
from cmapjax.endowments import Endowments, Trace
from cmapjax.graphs import Distribution, Family, IsolatedAgents, RandomMarket
from cmapjax.graphs._agents_table import has_endowments
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._read import known_market, market_from_file
from cmapjax.graphs._trace import market_with_trace
from cmapjax.market._market import Market
from cmapjax.market._random import key_of
from cmapjax.studies._cells import NONE, OWN, Ground
from cmapjax.studies._files import NetworkFile, is_file, network_file, sha256
from cmapjax.studies._given import one_network
from cmapjax.studies._schema import MARKET_FIELDS, TERMS
from cmapjax.words._networks import is_family, network_name, term, trace_path
from cmapjax.words._own import check_laws, own_metric
from cmapjax.words._plans import make, plan

# Keys of runs lie beside those of grounds: no ground has this number.
PLAY = 2**32 - 1
# What a check draws, at most: agents and markets of a network, and so many networks.
DRAWN_AGENTS, DRAWN_MARKETS, DRAWN_NETWORKS = 2_000, 8, 200
KEY_OF = {
    "isolated=Drop()": 'isolated = "drop"',
    "isolated=Redraw()": 'isolated = "redraw"',
    "pass a larger memory_budget": 'write network = "file:…,memory-budget=BYTES" with more bytes',
}


def ground_key(study, ground: Ground):
    """The key that the markets of a ground are drawn from."""
    return key_of(study.seed, ground.number)


def play_key(study, ground: Ground):
    """The key of random schedules and endowments: one for all cells of a ground, which so meet alike."""
    return key_of(study.seed, PLAY, ground.number)


def random_market(study, ground: Ground) -> RandomMarket:
    """What the markets of a ground are drawn from.

    Raises:
        ValueError: numbers out of range, a file that cannot be read.
    """
    build = study.builder.build
    words = {field: getattr(ground, field) for field in MARKET_FIELDS}
    if not _is_drawn(study, ground):
        return one_network(study.builder, fixed_market(study, ground), words)
    drawn_by = {field: build(Distribution, words[field]) for field in ("endowment", "value")}
    terms = {field: term(study.builder, field, words[field]) for field in TERMS}
    isolated = build(IsolatedAgents, ground.isolated)
    return RandomMarket(build(Family, ground.network), isolated=isolated, **drawn_by, **terms)


def _is_drawn(study, ground: Ground) -> bool:
    """Whether the network is drawn from a random family."""
    return is_family(ground.network, study.builder.sources)


def size_of(study, ground: Ground) -> tuple[int, float]:
    """Agents and links of a market of this ground, on average."""
    if _is_drawn(study, ground):
        drawn = study.builder.build(Family, ground.network)
        return drawn.num_agents, drawn.mean_links
    market = fixed_market(study, ground)
    return market.num_agents, market.num_links


def fixed_market(study, ground: Ground) -> Market:
    """The network of a ground that is not a random family, with what its file says of the agents."""
    return _market_and_trace(study, ground)[0]


def _market_and_trace(study, ground: Ground) -> tuple[Market, Any]:
    """The network of a ground, and the table of its trace, if its process is one."""
    market = _read_network(
        ground.network, ground.isolated == "drop", study.folder, tuple(study.hashes.items())
    )
    path = trace_path(ground.process)
    if path is None:
        return market, None
    file, given_in = None, None
    if is_file(ground.network):
        file = network_file(ground.network)
        given_in = _endowments_in(file, study.folder)
    if ground.endowment != OWN:
        raise ValueError(
            f"endowment = {short(ground.endowment)} draws what agents bring on average, and "
            f"{short(ground.process)} records it; leave endowment out, or take another process."
        )
    options = FileOptions(place="study") if file is None else file.options
    options = dataclasses.replace(options, drop_isolated=ground.isolated == "drop")
    _check_unchanged(path, study.folder, study.hashes)
    return market_with_trace(Path(study.folder) / path, market, options, given_in=given_in)


def _endowments_in(file: NetworkFile, folder: str) -> str | None:
    """The file or option that says what agents bring on average, if any."""
    if file.agents is not None and has_endowments(Path(folder) / file.agents, file.options):
        return file.agents
    attribute = file.options.endowment_attribute
    return None if attribute is None else file.options.say("endowment_attribute", attribute)


@functools.lru_cache(maxsize=4)
def _read_network(text: str, drops: bool, folder: str, hashes: tuple[tuple[str, str], ...]) -> Market:
    if not is_file(text):
        return known_market(network_name(text), FileOptions(drop_isolated=drops, place="study"))
    file = network_file(text)
    for each in file.paths:
        _check_unchanged(each, folder, dict(hashes))
    return market_from_file(
        Path(folder) / file.path,
        dataclasses.replace(file.options, drop_isolated=drops),
        agents=None if file.agents is None else Path(folder) / file.agents,
    )


def _check_unchanged(path: str, folder: str, hashes: dict[str, str]) -> None:
    if sha256(Path(folder) / path) != hashes[path]:
        raise ValueError(f"{short(path)} has changed since the study was read; put the old one back.")


def draw(study, ground: Ground, first: int, count: int) -> Market:
    """Markets first … first + count - 1 of a ground, packed side by side; a single one keeps its labels."""
    try:
        market = random_market(study, ground).draw(ground_key(study, ground), count, first)
    except ValueError as error:
        raise ValueError(_in_words_of_a_study(str(error))) from None
    if count > 1 or _is_drawn(study, ground):
        return market
    return dataclasses.replace(market, origin=Origin(fixed_market(study, ground).labels))


def process(study, ground: Ground, count: int = 1):
    """The endowments of rounds of `count` markets."""
    if trace_path(ground.process) is None:
        return study.builder.build(Endowments, ground.process)
    _, table = _market_and_trace(study, ground)
    return Trace(np.tile(table.to_numpy(), (1, count)))


def strategy_and_schedule(study, words) -> tuple[Any, Any]:
    """What a cell plays, as objects."""
    return make(plan(words.strategy, words.schedule, words.damping), study.builder)


def recorders(study, equilibrium: np.ndarray | None) -> dict[str, Any]:
    """What a study records, as functions of (market, state) by name.

    Args:
        study: whose metrics.
        equilibrium: utilities u*_j, if they are known.
    """
    known = metrics.standard(equilibrium)
    return {
        name: own_metric(study.builder.sources, words, equilibrium)
        if words
        else known.get(name, metrics.RECORDED[name].function)
        for name, words in study.own_metrics().items()
    }


def reading_notes(study) -> list[str]:
    """What reading the networks that are files has merged, dropped, skipped or ignored."""
    notes: dict[str, None] = {}
    for ground in study.grounds():
        if is_file(ground.network):
            path = network_file(ground.network).path
            told = fixed_market(study, ground).origin.told()
            notes |= dict.fromkeys(f"{path}: {line}." for line in told)
    return list(notes)


def check_all(study) -> None:
    """Everything built and drawn once that can only be tried by building it.

    Raises:
        ValueError: which cell, which words, and what is wrong with them.
    """
    recorders(study, np.ones(1) if study.equilibrium else None)
    cells, grounds = study.cells(), study.grounds()
    played, drawn = set(), set()
    for cell in cells:
        if (play := cell.words[len(MARKET_FIELDS) :]) not in played:
            played.add(play)
            with _of_cell(cell, play):
                check_laws(strategy_and_schedule(study, cell.words)[0])
    for ground in grounds:
        cell, market = cells[ground.cells[0]], None
        with _of_cell(cell, _market_words(cell)):
            random_market(study, ground)
            made = process(study, ground)
            if trace_path(ground.process) is not None:
                made.check(fixed_market(study, ground), study.rounds)
            agents, _ = size_of(study, ground)
            has_terms = _has_terms(study, ground)
            like = cell.words[: len(MARKET_FIELDS)] if has_terms else (ground.network, ground.isolated)
            if (has_terms or agents <= DRAWN_AGENTS) and like not in drawn and len(drawn) < DRAWN_NETWORKS:
                # A family may leave agents alone, and `reject` them; fields may contradict each other.
                count = min(ground.markets, max(1, DRAWN_AGENTS // agents), DRAWN_MARKETS)
                market = draw(study, ground, 0, count)
                drawn.add(like)
        if market is None or not market.terms:
            continue
        with _of_cell(cell, _market_words(cell)):
            _check_bounds(study)
        for number in ground.cells:
            with _of_cell(cells[number], cells[number].words[len(MARKET_FIELDS) :]):
                strategy_and_schedule(study, cells[number].words)[0].check_market(market)


def _check_bounds(study) -> None:
    """Raise ValueError unless what decides the number of markets lies in [0, 1] in markets with terms."""
    bounded = ["share_of_equilibrium", *(n for n, m in metrics.RECORDED.items() if m.bounds == "always")]
    if study.stop.interval is not None and study.stop.interval.metric not in bounded:
        raise ValueError(
            f"stop.interval.metric is {study.stop.interval.metric}, which may exceed 1 where markets have "
            f"more than endowments and values; take {', '.join(bounded[:-1])} or {bounded[-1]}, or leave out "
            "interval and set markets."
        )


def _market_words(cell) -> tuple[str, ...]:
    """The words about markets, without the fields that are absent."""
    words = {field: getattr(cell.words, field) for field in MARKET_FIELDS}
    return tuple(x for field, x in words.items() if field not in TERMS or x not in (NONE, OWN))


def _has_terms(study, ground: Ground) -> bool:
    """Whether markets of a ground may have more than endowments and values."""
    if any(getattr(ground, field) not in (OWN, NONE) for field in TERMS):
        return True
    return not _is_drawn(study, ground) and bool(fixed_market(study, ground).terms)


@contextlib.contextmanager
def _of_cell(cell, words: tuple[str, ...]) -> Iterator[None]:
    """Name the cell, and the words that were tried, in whatever is refused."""
    try:
        yield
    except (ValueError, OSError) as error:
        axes = ", ".join(f"{name} = {value!r}" for name, value in cell.axes.items())
        where = f" ({axes})" if axes else ""
        said = _in_words_of_a_study(str(error))
        raise ValueError(
            f"cell {cell.number}{where}: {said} The words are {', '.join(map(repr, words))}."
        ) from None


def _in_words_of_a_study(complaint: str) -> str:
    """The library names its arguments in what it says; in a study they are keys."""
    for argument, key in KEY_OF.items():
        complaint = complaint.replace(argument, key)
    return complaint
