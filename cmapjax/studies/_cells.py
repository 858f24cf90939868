"""Cells and grounds: every combination of the axes, in words."""

import re
from collections import namedtuple
from collections.abc import Iterable
from typing import Any, NamedTuple

from cmapjax.arguments._checks import short
from cmapjax.studies._axes import Axes, product, text_of
from cmapjax.studies._files import check_network, check_there
from cmapjax.studies._schema import FIELDS, MARKET_FIELDS, TERMS
from cmapjax.studies._where import Constraint
from cmapjax.words._networks import is_family, term, trace_path
from cmapjax.words._objects import NOT_LOADED, Builder
from cmapjax.words._plans import NO_DAMPING, make, plan

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
OWN, NONE = "own", "none"

CellWords = namedtuple("CellWords", FIELDS)
CellWords.__doc__ = "What a cell is, all axes put in."


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


Ground = namedtuple("Ground", ("number", *MARKET_FIELDS, "cells", "markets"))
Ground.__doc__ = """What decides markets: cells of one ground are played on the same markets.

`cells` are the numbers of its cells; `markets` is 1 if nothing is random here."""


def kept_rows(study, axes: Axes) -> tuple[list[dict[str, Any]], list[int]]:
    """The axes' values of every cell, and which conditions leave out no cell that those before leave.

    Raises:
        ValueError: a condition that cannot be worked out; a listed cell that lacks an axis, breaks a
            condition or is there already; no cell at all.
    """
    conditions = []
    for number, text in enumerate(study.where):
        try:
            conditions.append(Constraint(text, axes.given))
        except ValueError as error:
            raise ValueError(f"where[{number}] is {error}") from None
    rows: dict[tuple, dict] = {}
    idle = set(range(len(conditions)))
    for row in product(study.factors) if study.factors or not study.listed else ():
        broken = next((k for k, condition in enumerate(conditions) if not condition.holds(row)), None)
        idle.discard(broken)
        if broken is None:
            row = axes.row(row)
            rows[tuple(row.values())] = row
    for number, row in enumerate(study.listed):
        place = f"list[{number}]"
        if missing := sorted(set(axes.values) - set(row)):
            raise ValueError(
                f"{place} lacks {', '.join(missing)}; every cell listed gives every axis "
                f"({', '.join(axes.values)})."
            )
        for k, condition in enumerate(conditions):
            if not condition.holds(row):
                raise ValueError(f"{place} breaks where[{k}], {condition.text}; take one of them out.")
        row = axes.row(row)
        if tuple(row.values()) in rows:
            raise ValueError(f"{place} is a cell that is there already; list it once.")
        rows[tuple(row.values())] = row
    if not rows:
        raise ValueError("where leaves no cell; relax a condition.")
    return list(rows.values()), sorted(idle)


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
        names = tuple(self.axes.values)
        used = {name for name in names if name in FIELDS}
        texts = [(f"cells.{field}", text) for field, text in self.defaults.items() if text is not None]
        texts += [(f"axis {n}", str(v)) for n, known in self.axes.values.items() for v in known]
        for place, text in texts:
            for name in PLACEHOLDER.findall(text):
                if name not in names:
                    known = ", ".join(names) or "none yet"
                    raise ValueError(
                        f"{place} is {short(text)}, but {short(name)} is not an axis; the axes are {known}."
                    )
                used.add(name)
        if unused := [name for name in names if name not in used]:
            raise ValueError(
                f"axis {unused[0]} is used nowhere; write {{{unused[0]}}} in a field of [cells] (as in "
                f'network = "er:n=20,degree={{{unused[0]}}}"), or name it after a field: {", ".join(FIELDS)}.'
            )
        if self.defaults["network"] is None and "network" not in names:
            raise ValueError(
                'cells.network is missing; name a family or a file: network = "er:n=20,degree=4".'
            )

    def resolve(self, rows: Iterable[dict[str, Any]]) -> tuple[list[Cell], list[Ground]]:
        """All cells and grounds."""
        cells: list[Cell] = []
        members: dict[tuple, list[Cell]] = {}
        for number, row in enumerate(rows):
            words = self.words(number, row)
            of_ground = members.setdefault(words[: len(MARKET_FIELDS)], [])
            ground = of_ground[0].ground if of_ground else len(members) - 1
            cells.append(Cell(number, row, ground, words))
            of_ground.append(cells[-1])
        grounds = []
        for ground, (key, own) in enumerate(members.items()):
            plays = {cell.words[len(MARKET_FIELDS) :] for cell in own}
            is_random = self._are_markets_random(key) or any(map(self._is_play_random, plays))
            markets = self.study.markets if is_random else 1
            grounds.append(Ground(ground, *key, tuple(cell.number for cell in own), markets))
        return cells, grounds

    def words(self, number: int, row: dict[str, Any]) -> CellWords:
        """The words of one cell, checked."""
        texts = self.defaults | {name: text_of(row[name]) for name in FIELDS if name in row}
        given: dict[str, str] = {}
        for field, text in texts.items():
            if text is None:
                drawn = NONE if field in TERMS else "unit"
                text = drawn if self._is_family(given["network"]) else OWN
            for _ in range(2):  # the value of an axis may hold the names of further axes
                text = PLACEHOLDER.sub(lambda match: text_of(row[match[1]]), text)
            if PLACEHOLDER.search(text):
                raise ValueError(
                    f"{field} {short(text)}: axes named within axes within axes; write them out."
                )
            given[field] = text.strip()
        words = CellWords(**given)
        for field in FIELDS:
            # What a field may say of agents depends on whether their network is drawn.
            key = field, getattr(words, field), words.network if field in MARKET_FIELDS else ""
            if key not in self.checked:
                try:
                    self._object(*key)
                except (ValueError, OSError) as error:
                    raise ValueError(f"{self.place(field, row)} is {short(key[1])}: {error}") from None
                self.checked.add(key)
        return words

    def _object(self, field: str, text: str, network: str) -> Any:
        """What words of a field come to, as far as that can be told without loading a file of the user's."""
        from cmapjax.endowments import Endowments
        from cmapjax.graphs import Distribution, IsolatedAgents

        if field not in MARKET_FIELDS:
            usual = {"strategy": "cmap", "schedule": "simultaneous", "damping": NO_DAMPING}
            return make(plan(*(usual | {field: text}).values()), self.builder)
        if field == "network":
            return check_network(text, self.study.folder, self.builder)
        if field == "process" and (path := trace_path(text)) is not None:
            if self._is_family(network):
                raise ValueError("a trace is of the agents of one network; name its file as network.")
            return check_there(path, self.study.folder)
        if text == OWN and field in ("endowment", "value", *TERMS):
            if self._is_family(network):
                raise ValueError("own is what a file says of its agents; for a family name a distribution.")
            return None
        if field == "directed" and not self._is_family(network):
            raise ValueError('only links of a family are drawn so; write network = "file:…,directed=true".')
        if field in TERMS:
            return term(self.builder, field, text)
        kinds = {"isolated": IsolatedAgents, "process": Endowments}
        return self.builder.build(kinds.get(field, Distribution), text)

    def _is_family(self, network: str) -> bool:
        if network not in self.families:
            self.families[network] = is_family(network, self.builder.sources)
        return self.families[network]

    def _are_markets_random(self, key: tuple[str, ...]) -> bool:
        """Whether two markets of a ground may differ. What is not loaded counts as random."""
        parts = [self._object(field, text, key[0]) for field, text in zip(MARKET_FIELDS, key, strict=True)]
        family, is_directed = parts[0], parts[MARKET_FIELDS.index("directed")]
        if is_directed and not getattr(family, "has_sides", False):
            return True
        return any(part is NOT_LOADED or getattr(part, "is_random", False) for part in parts)

    def _is_play_random(self, words: tuple[str, ...]) -> bool:
        _, schedule = make(plan(*words), self.builder)
        return schedule is NOT_LOADED or schedule.is_random

    def place(self, field: str, row: dict[str, Any]) -> str:
        """Where the words of a field come from, as a path in the description."""
        study = self.study
        path, text = f"cells.{field}", self.defaults[field] or ""
        if field in row:
            path, text = f"axis {field}", text_of(row[field])
            tables = {"grid": study.grid} | {f"zip[{k}]": table for k, table in enumerate(study.zipped)}
            for name, table in tables.items():
                if field in table:
                    path = f"{name}.{field}[{[text_of(v) for v in table[field]].index(text)}]"
        names = dict.fromkeys(PLACEHOLDER.findall(text))
        values = ", ".join(f"{name} = {row[name]!r}" for name in names if name in row)
        return f"{path} (where {values})" if values else path
