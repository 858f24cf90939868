"""Cells and grounds: every combination of the axes, in words."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from cmapjax.arguments._checks import short
from cmapjax.studies._axes import Axes, text_of
from cmapjax.studies._files import check_network, check_trace
from cmapjax.studies._names import FIELDS, MARKET_FIELDS
from cmapjax.words._networks import ISOLATED, is_family
from cmapjax.words._plans import plan
from cmapjax.words._specs import DISTRIBUTIONS, ENDOWMENTS, choose, parse
from cmapjax.words._specs import number as as_number

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# Families that are one network, and words behind which nothing is random.
FIGURES = ("complete", "ring", "star", "torus")
CERTAIN = ("own", "unit")
RANDOM_SCHEDULES = ("random-order", "participation")


class CellWords(NamedTuple):
    """What a cell is, all axes put in."""

    network: str
    endowment: str
    value: str
    isolated: str
    process: str
    strategy: str
    schedule: str
    damping: str


class Cell(NamedTuple):
    """One combination of all axes."""

    number: int
    axes: dict[str, int | float | str]
    ground: int
    words: CellWords

    @property
    def label(self) -> str:
        """What is played, in a few words."""
        return plan(self.words.strategy, self.words.schedule, self.words.damping).label


def kind_of(cell: Cell) -> tuple[str, ...]:
    """What a program is compiled for, but for the shape: strategy, schedule and rule of damping."""
    line = plan(*cell.words[-3:])
    is_number = line.damping[:1].isdigit() or line.damping.startswith(".")
    return line.strategy.text.partition(",schedule")[0], line.schedule, "fixed" if is_number else line.damping


class Ground(NamedTuple):
    """What decides markets: cells of one ground are played on the same markets."""

    number: int
    network: str
    endowment: str
    value: str
    isolated: str
    process: str
    cells: tuple[int, ...]
    markets: int
    """One if nothing is random here."""


class Resolver:
    """From a row of values to the words of a cell, every distinct text checked once, without JAX."""

    def __init__(self, study, axes: Axes):
        self.study, self.axes = study, axes
        self.defaults = {field: getattr(study.words, field) for field in FIELDS}
        self.checked: set[tuple] = set()
        self._check_use()

    def _check_use(self) -> None:
        """Every axis is used, every placeholder is an axis."""
        used = {name for name in self.axes.names if name in FIELDS}
        texts = [(f"cells.{field}", text) for field, text in self.defaults.items() if text is not None]
        texts += [(f"axis {n}", str(v)) for n, known in self.axes.values.items() for v in known]
        for place, text in texts:
            for name in PLACEHOLDER.findall(text):
                if name not in self.axes.names:
                    known = ", ".join(self.axes.names) or "none yet"
                    raise ValueError(
                        f"{place} is {short(text)}, but {short(name)} is not an axis; the axes are {known}."
                    )
                used.add(name)
        unused = [name for name in self.axes.names if name not in used]
        if unused:
            raise ValueError(
                f"axis {unused[0]} is used nowhere; write {{{unused[0]}}} in a field of [cells] (as in "
                f'network = "er:n=20,degree={{{unused[0]}}}"), or name it after a field: {", ".join(FIELDS)}.'
            )
        if self.defaults["network"] is None and "network" not in self.axes.names:
            raise ValueError(
                'cells.network is missing; name a family or a file: network = "er:n=20,degree=4".'
            )

    def resolve(self, rows: Iterable[dict[str, Any]]) -> tuple[list[Cell], list[Ground]]:
        """All cells and grounds."""
        cells, places = [], {}
        members: list[list[int]] = []
        for number, row in enumerate(rows):
            words = self.words(number, row)
            ground = places.setdefault(words[: len(MARKET_FIELDS)], len(places))
            if ground == len(members):
                members.append([])
            members[ground].append(number)
            cells.append(Cell(number, row, ground, words))
        grounds = []
        for key, ground in places.items():
            played = {cells[number].words[len(MARKET_FIELDS) :] for number in members[ground]}
            markets = self.study.markets if _is_random(key, played) else 1
            grounds.append(Ground(ground, *key, tuple(members[ground]), markets))
        return cells, grounds

    def words(self, number: int, row: dict[str, Any]) -> CellWords:
        """The words of one cell, checked."""
        texts = self.defaults | {name: text_of(row[name]) for name in FIELDS if name in row}
        if texts["network"] is None:
            raise ValueError(f"cell {number} has no network; give cells.network.")
        given = {}
        for field, text in texts.items():
            if text is None:
                is_fixed = not is_family(given["network"])
                text = "own" if is_fixed else "unit"
            for _ in range(2):  # the value of an axis may hold the names of further axes
                text = PLACEHOLDER.sub(lambda match: text_of(row[match[1]]), text)
            if PLACEHOLDER.search(text):
                raise ValueError(
                    f"{field} {short(text)}: axes named within axes within axes; write them out."
                )
            given[field] = text.strip()
        words = CellWords(**given)
        self._check(words, number, row)
        return words

    def _check(self, words: CellWords, number: int, row: dict[str, Any]) -> None:
        folder = self.study.folder
        checks = {
            "network": ((words.network,), lambda: check_network(words.network, folder)),
            "endowment": ((words.endowment, words.network), lambda: _distribution(words, "endowment")),
            "value": ((words.value, words.network), lambda: _distribution(words, "value")),
            "isolated": ((words.isolated,), lambda: _isolated(words.isolated)),
            "process": ((words.process, words.network), lambda: _process(words, folder)),
            "strategy": ((words.strategy,), lambda: plan(words.strategy, "simultaneous", "none")),
            "schedule": ((words.schedule,), lambda: plan("cmap", words.schedule, "none")),
            "damping": ((words.damping,), lambda: plan("cmap", "simultaneous", words.damping)),
        }
        for field, (texts, check) in checks.items():
            if (field, *texts) in self.checked:
                continue
            try:
                check()
            except (ValueError, OSError) as error:
                raise ValueError(f"{self.place(field, row, number)} is {short(texts[0])}: {error}") from None
            self.checked.add((field, *texts))

    def place(self, field: str, row: dict[str, Any], number: int) -> str:
        """Where the words of a field come from, as a path in the description."""
        study = self.study
        if field not in row:
            path, text = f"cells.{field}", self.defaults[field] or ""
        else:
            path, text = f"axis {field}", text_of(row[field])
            if field in study.grid:
                path = f"grid.{field}[{[text_of(v) for v in study.grid[field]].index(text)}]"
            for k, table in enumerate(study.zipped):
                if field in table:
                    path = f"zip[{k}].{field}[{[text_of(v) for v in table[field]].index(text)}]"
        names = dict.fromkeys(PLACEHOLDER.findall(text))
        values = ", ".join(f"{name} = {row[name]!r}" for name in names if name in row)
        return f"{path} (where {values})" if values else path


def _distribution(words: CellWords, field: str) -> None:
    text = getattr(words, field)
    if text == "own":
        if is_family(words.network):
            raise ValueError("own is what a file says of its agents; for a family name a distribution.")
        return
    spec = parse(text)
    choose(field, spec, {"own": None} | DISTRIBUTIONS)
    for value in spec.options.values():
        as_number(value)


def _isolated(text: str) -> None:
    if text not in ISOLATED:
        raise ValueError("give reject, drop or redraw.")


def _process(words: CellWords, folder: str) -> None:
    spec = parse(words.process)
    choose("process", spec, ENDOWMENTS)
    if spec.name == "trace":
        if is_family(words.network):
            raise ValueError("a trace is recorded of the agents of one network; name its file as network.")
        check_trace(words.process, folder)
        return
    for value in spec.options.values():
        as_number(value)


def _is_random(key: tuple[str, ...], played: set[tuple[str, ...]]) -> bool:
    network, endowment, value, _, process = key
    has_random_links = is_family(network) and parse(network).name not in FIGURES
    if has_random_links or not {endowment, value} <= set(CERTAIN):
        return True
    if parse(process).name not in ("constant", "trace"):
        return True
    return any(parse(plan(*words).schedule).name in RANDOM_SCHEDULES for words in played)
