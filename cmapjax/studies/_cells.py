"""Cells and grounds: every combination of the axes, in words."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from cmapjax.arguments._checks import short
from cmapjax.studies._axes import Axes, text_of
from cmapjax.studies._files import check_network, check_there
from cmapjax.studies._names import FIELDS, MARKET_FIELDS
from cmapjax.words._networks import is_family, trace_path
from cmapjax.words._objects import NOT_LOADED, Builder
from cmapjax.words._plans import NO_DAMPING, make, plan

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
OWN = "own"


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
    return line.strategy, line.schedule, "fixed" if is_number else line.damping


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
    """From a row of values to the words of a cell, every distinct text checked once.

    Args:
        study: whose cells.
        axes: their axes.
        builder: of objects; classes of the user's own are not loaded.
    """

    def __init__(self, study, axes: Axes, builder: Builder):
        self.study, self.axes, self.builder = study, axes, builder
        self.defaults = {field: getattr(study.words, field) for field in FIELDS}
        self.checked: set[tuple] = set()
        self.families: dict[str, bool] = {}
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
            is_random = self._are_markets_random(key) or any(map(self._is_play_random, played))
            markets = self.study.markets if is_random else 1
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
                text = "unit" if self._is_family(given["network"]) else OWN
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
        for field in FIELDS:
            # What a field may say of agents depends on whether their network is drawn.
            texts = (getattr(words, field), *([words.network] if field in MARKET_FIELDS else []))
            if (field, *texts) in self.checked:
                continue
            try:
                self._object(field, *texts)
            except (ValueError, OSError) as error:
                raise ValueError(f"{self.place(field, row, number)} is {short(texts[0])}: {error}") from None
            self.checked.add((field, *texts))

    def _object(self, field: str, text: str, network: str = "") -> Any:
        """What words of a field come to, as far as that can be told without loading a file of the user's."""
        if field == "network":
            check_network(text, self.study.folder, self.builder)
        elif field in ("endowment", "value"):
            return self._distribution(text, network)
        elif field == "process":
            return self._process(text, network)
        elif field == "isolated":
            from cmapjax.graphs import IsolatedAgents

            return self.builder.build(IsolatedAgents, text)
        else:
            usual = {"strategy": "cmap", "schedule": "simultaneous", "damping": NO_DAMPING}
            return make(plan(*(usual | {field: text}).values()), self.builder)
        return None

    def _distribution(self, text: str, network: str) -> Any:
        from cmapjax.graphs import Distribution

        if text != OWN:
            return self.builder.build(Distribution, text)
        if self._is_family(network):
            raise ValueError("own is what a file says of its agents; for a family name a distribution.")
        return None

    def _process(self, text: str, network: str) -> Any:
        from cmapjax.endowments import Endowments

        path = trace_path(text)
        if path is None:
            return self.builder.build(Endowments, text)
        if self._is_family(network):
            raise ValueError("a trace is recorded of the agents of one network; name its file as network.")
        check_there(path, self.study.folder)
        return None

    def _is_family(self, network: str) -> bool:
        if network not in self.families:
            self.families[network] = is_family(network, self.builder.sources)
        return self.families[network]

    def _are_markets_random(self, key: tuple[str, ...]) -> bool:
        """Whether two markets of a ground may differ. What is not loaded counts as random."""
        from cmapjax.graphs import Family

        network, endowment, value, _, process = key
        parts = [self.builder.build(Family, network)] if self._is_family(network) else []
        parts += [self._distribution(endowment, network), self._distribution(value, network)]
        parts.append(self._process(process, network))
        return any(part is NOT_LOADED or (part is not None and part.is_random) for part in parts)

    def _is_play_random(self, words: tuple[str, ...]) -> bool:
        _, schedule = make(plan(*words), self.builder)
        return schedule is NOT_LOADED or schedule.is_random

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
