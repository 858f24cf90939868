"""The description of a study: what is played, on which markets, and what is kept."""

import functools
import hashlib
import json
import math
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, ValidationError

from cmapjax.arguments._checks import short
from cmapjax.metrics import RECORDED
from cmapjax.studies._axes import Axes, Factor, factors
from cmapjax.studies._cells import Cell, Ground, Resolver, kept_rows
from cmapjax.studies._errors import explained, located
from cmapjax.studies._files import digests
from cmapjax.studies._interval import fewest_markets
from cmapjax.studies._schema import SCHEMA_VERSION, TERMS
from cmapjax.studies._sections import (
    AxisName,
    CellWords,
    DifferentPoints,
    Point,
    Points,
    Record,
    Sample,
    Stop,
    Table,
    Words,
    own_metrics,
)
from cmapjax.words import _grammar
from cmapjax.words._networks import network_name
from cmapjax.words._objects import Builder
from cmapjax.words._sources import Sources, kept_in, sha256

MOST_CELLS = 1_000_000
MOST_RECORDS = 100_000


class Study(Table):
    """A study: cells, each a strategy on markets of one kind, and what is recorded of them.

    The same as its TOML file (`read_study`), as an object: `Study(name=…, cells={…}, grid={…})`. Objects do
    as well as the words that name them: `cells={"strategy": CMAP()}`, `grid={"damping": [0.5, "local"]}`.

    Raises:
        ValueError: whatever is wrong, with the key, the value and what is allowed.
    """

    name: str = Field(min_length=1, max_length=100)
    seed: int = Field(0, ge=0, lt=2**63)
    markets: int = Field(100, ge=1, lt=2**31)
    """Markets per cell."""
    rounds: int = Field(100, ge=1, lt=2**31)
    precision: Literal["float64", "float32"] = "float64"
    equilibrium: bool = True
    """Whether every market is solved exactly; losses and distances need it."""
    most_cells: int = Field(MOST_CELLS, ge=1)
    """A study of more cells is refused: a slip of the pen multiplies quickly."""
    where: list[str] = Field([])
    """Conditions between axes that a cell must meet."""
    folder: str = Field(".", exclude=True)
    """Where relative paths start; by default the folder of the study's file."""
    record: Record = Record()
    words: CellWords = Field(Words(), alias="cells")
    grid: dict[AxisName, DifferentPoints] = Field({})
    zipped: list[dict[AxisName, Points]] = Field([], alias="zip")
    sample: Sample | None = None
    listed: list[dict[AxisName, Point]] = Field([], alias="list")
    stop: Stop = Stop()
    files: dict[str, str] = Field({})
    """SHA-256 of the files that networks and traces are read from; found out unless given."""
    sources: dict[str, dict[str, str]] = Field({})
    """Text and SHA-256 of the files of one's own classes and metrics, by the names that words give them; read
    unless given."""

    _factors: list[Factor] = PrivateAttr()
    _axes: Axes = PrivateAttr()
    _cells: list[Cell] = PrivateAttr()
    _grounds: list[Ground] = PrivateAttr()
    _files: dict[str, str] = PrivateAttr()
    _own_metrics: dict[str, _grammar.Words | None] = PrivateAttr()
    _builder: Builder = PrivateAttr()
    _idle: list[int] = PrivateAttr()
    """Conditions that leave out no cell that those before leave."""

    def __init__(self, /, **description: Any):
        try:
            super().__init__(**description)
        except ValidationError as error:
            raise explained(error, keys=self.known_keys()) from None
        sources = Sources(self.folder, kept_in(self.sources))
        self._builder = Builder(sources)
        self._own_metrics = self._metrics_of(sources)
        self._factors = factors(self.grid, self.zipped, self.sample, self.seed)
        self._axes = Axes(self._factors, self.listed)
        self._check_sizes()
        self._check_metrics()
        resolver = Resolver(self, self._axes, Builder(sources, loads=False))
        rows, self._idle = kept_rows(self, self._axes)
        self._cells, self._grounds = resolver.resolve(rows)
        self._check_bounds()
        sources.is_complete = True
        self._files = digests(self._grounds, self.folder)
        for path, digest in self.files.items():
            if self._files.get(path) != digest:
                raise ValueError(
                    f"{path} is not the file that this study was described with (SHA-256 {digest[:12]}…, now "
                    f"{self._files.get(path, 'not used')[:12]}…); put the old one back, or start anew."
                )

    # -- what follows from it ------------------------------------------------------------------

    @property
    def factors(self) -> list[Factor]:
        """The factors of the product: grid axes, zips, the sample; the last varies fastest."""
        return self._factors

    @property
    def axes(self) -> dict[str, list]:
        """Every axis with its values, in order of appearance (as text where it names a field of a cell)."""
        return dict(self._axes.values)

    def cells(self) -> list[Cell]:
        """All cells, numbered in order."""
        return self._cells

    def grounds(self) -> list[Ground]:
        """All grounds, numbered in the order in which cells first need them."""
        return self._grounds

    @property
    def terms(self) -> list[str]:
        """The fields of markets beyond endowment and value that the study says something of."""
        return [name for name in TERMS if name in self.axes or getattr(self.words, name) is not None]

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file that is read, by its path as given."""
        return self._files

    @property
    def metrics(self) -> list[str]:
        """The names of what is recorded, in order."""
        return list(self._own_metrics)

    def own_metrics(self) -> dict[str, _grammar.Words | None]:
        """What is recorded by name, in order: the words of one's own functions, None for the package's."""
        return self._own_metrics

    def _metrics_of(self, sources: Sources) -> dict[str, _grammar.Words | None]:
        if self.record.metrics != "standard":
            return own_metrics(self.record.metrics, sources)
        return {
            name: None
            for name, metric in RECORDED.items()
            if metric.is_standard and (self.equilibrium or not metric.needs_equilibrium)
        }

    @property
    def builder(self) -> Builder:
        """What makes objects of this study's words, loading classes of one's own."""
        return self._builder

    @property
    def own_files(self) -> dict[str, str]:
        """The texts of the files and modules of one's own classes and metrics, by how words name them."""
        return dict(sorted(self._builder.sources.texts.items()))

    def document(self) -> dict:
        """The whole description as JSON's data; `Study(**document)` is this study again."""
        document = self.model_dump(mode="json", by_alias=True)
        for name in set(TERMS) - set(self.terms):
            document["cells"].pop(name, None)
        document["sample"] = None if self.sample is None else self.sample.document()
        return document | {"files": dict(self._files), "sources": self._builder.sources.document()}

    def digest(self) -> str:
        """SHA-256 of the description and of the files it reads. (Order counts: it numbers the cells.)"""
        text = json.dumps([SCHEMA_VERSION, self.document()], ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def notes(self) -> list[str]:
        """What one may not have meant, in words."""
        notes = [
            f"{place} (SHA-256 {sha256(text)[:12]}…) is run, and kept with the results."
            for place, text in self.own_files.items()
        ]
        if alone := [ground for ground in self._grounds if ground.markets < self.markets]:
            notes.append(
                f"nothing is random in {len(alone)} ground(s) such as {short(alone[0].network)}: one market "
                f"each instead of {self.markets}."
            )
        notes += [f"where[{k}], {self.where[k]}, leaves out no cell." for k in self._idle]
        if (interval := self.stop.interval) is not None:
            notes.append(
                f"markets are drawn {interval.least} at a time until {interval.metric} is known; the figures "
                "are of all that may be drawn."
            )
            if self.markets < (fewest := fewest_markets(interval.width)):
                notes.append(
                    f"stop.interval.width is {interval.width:g}, for which {fewest:,} markets are the least; "
                    f"markets = {self.markets:,} ends before. Raise markets, or the width."
                )
        seen: dict[tuple, int] = {}
        twins = [c.number for c in self._cells if seen.setdefault((c.ground, c.words), c.number) != c.number]
        if twins:
            notes.append(
                f"{len(twins)} cell(s), such as number {twins[0]}, differ from another in axes that they do "
                "not use, and will be played again with the same result; leave them out by where."
            )
        return notes

    # -- checks of several keys at once --------------------------------------------------------

    def _check_sizes(self) -> None:
        count = math.prod(len(f.points) for f in self._factors) if self._factors or not self.listed else 0
        count += len(self.listed)
        if count > self.most_cells:
            sizes = " × ".join(f"{len(f.points):,} ({', '.join(f.axes)})" for f in self._factors)
            raise ValueError(
                f"the product has {count:,} cells ({sizes}); at most {self.most_cells:,} are allowed. "
                "Shorten a list, use [sample] or [[zip]], or raise most_cells."
            )
        if self.record.every and (records := self.rounds // self.record.every) > MOST_RECORDS:
            raise ValueError(
                f"record.every is {self.record.every}, which makes {records:,} records "
                f"of {self.rounds:,} rounds; at most {MOST_RECORDS:,} are kept. Raise record.every."
            )

    def _check_metrics(self) -> None:
        for name in self.metrics:
            if name in RECORDED and RECORDED[name].needs_equilibrium and not self.equilibrium:
                raise ValueError(
                    f"record.metrics has {name}, which needs the equilibrium; say equilibrium = true."
                )
        if self.stop.interval is not None and self.stop.interval.metric not in self.metrics:
            raise ValueError(
                f"stop.interval.metric is {self.stop.interval.metric}, which is not recorded; recorded are "
                f"{', '.join(self.metrics)}."
            )

    def _check_bounds(self) -> None:
        """The metric that decides whether more markets are drawn lies in [0, 1] in every cell."""
        interval, always = self.stop.interval, [n for n, m in RECORDED.items() if m.bounds == "always"]
        if interval is None or interval.metric in always:
            return
        for ground in self._grounds:
            if network_name(ground.process) != "constant":
                raise ValueError(
                    f"stop.interval.metric is {interval.metric}, which has no bounds where endowments vary, "
                    f"as in cell {ground.cells[0]} (process = {short(ground.process)}); take "
                    f"{' or '.join(always)}, or leave out interval and set markets."
                )

    # -- what it is for ------------------------------------------------------------------------

    def run(self, folder, *, workers: int | None = None, cluster: str | None = None, chunk_size=None):
        """Play what a folder lacks of this study (`cmapjax.studies.run.run`, which has more options).

        Args:
            folder: where its results go: a new one, or one that holds a part of them.
            workers: so many processes of this machine; None for threads of this process.
            cluster: the address or the file of a Dask scheduler whose workers play.
            chunk_size: markets to play at once, at most, of a study that begins now.

        Returns:
            What was done, what failed and what is missing; `cmapjax.open_study(folder)` has the results.

        Raises:
            ValueError: options that do not go together; the folder holds another study, or another run is at
                work there.
            RunnerError: the scheduler is gone, or workers have other versions.
            OSError: the disk is full.
        """
        from cmapjax.studies.run import Options, run

        return run(self, folder, Options(workers=workers, cluster=cluster, chunk_size=chunk_size))

    def check(self) -> None:
        """Load one's own classes, try their laws, and build and draw everything once.

        Raises:
            ValueError: a file that cannot be loaded, a strategy that breaks a law, markets that cannot be
                drawn.
        """
        self._checked  # noqa: B018 - worked out once

    @functools.cached_property
    def _checked(self) -> bool:
        from cmapjax.studies._build import check_all

        check_all(self)
        return True


# -- from its file -----------------------------------------------------------------------------


def read_study(path) -> Study:
    """The study described in a TOML file; `docs/studies.md` says what it may hold.

    Raises:
        ValueError: whatever is wrong with the file or what it says, with file, line, key, value and what
            is allowed.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: {'no ordinary file' if path.exists() else 'no such file'}.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8.") from None
    return parse_study(text, folder=path.parent, source=str(path))


def parse_study(text: str, *, folder=".", source: str = "study") -> Study:
    """The study described in a text; relative paths in it start at `folder`.

    Raises:
        ValueError: as `read_study`.
    """
    try:
        description = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ValueError(f"{source}: {reason}; a study is written in TOML.") from None
    for key in ("folder", "files", "sources"):
        if key in description:
            raise ValueError(f"{source}: {key} is not a key of a study's file; leave it out.")
    try:
        return Study(**description, folder=os.path.abspath(folder))
    except ValueError as error:
        raise located(error, source, text) from None


def starter() -> str:
    """The text of a commented study file, ready to run and to be changed into one's own."""
    return (Path(__file__).parent / "starter.toml").read_text(encoding="utf-8")
