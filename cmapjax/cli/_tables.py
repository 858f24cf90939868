"""The tables of a comparison: those of a study in which every line is a cell."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pyarrow.parquet as pq

from cmapjax import metrics
from cmapjax.cli._output import write_text
from cmapjax.graphs._files import replacing
from cmapjax.studies._cells import NONE, OWN, Cell, CellWords, Ground
from cmapjax.studies._schema import MARKET_FIELDS, TERMS
from cmapjax.studies._tables import Facts, Played, Tables

ROWS = 1_000_000  # of a table of curves, made at a time


class Comparison:
    """What the tables need to know of a study, of a comparison."""

    axes: ClassVar[dict] = {}
    stop = SimpleNamespace(when=[])

    def __init__(self, names: list[str], curves: str, terms: list[str]):
        self.metrics, self.record, self.terms = names, SimpleNamespace(curves=curves), terms

    def own_metrics(self) -> dict[str, None]:
        """All are metrics of this package."""
        return dict.fromkeys(self.metrics)


def write(folder: Path, source, request, market, outcomes, equilibrium) -> None:
    """summary.csv and .parquet, a row per line and market; curves.parquet, a row per recorded value."""
    names = [name for name in metrics.RECORDED if name in outcomes[0].run.records]
    facts = Facts.of(market, 0, np.zeros((market.num_markets, 0), np.uint32), equilibrium)
    facts = dataclasses.replace(facts, seeds=[None] * market.num_markets)
    words = _of_market(source, request, market)
    terms = [field for field in TERMS if words[field] != NONE]
    ground = Ground(0, *words.values(), tuple(range(len(outcomes))), market.num_markets)
    ends = Tables(Comparison(names, "none", terms), ground, facts)
    with replacing(folder / "curves.parquet") as stream:
        writer = None
        for number, (line, run, *_) in enumerate(outcomes):
            cell = Cell(number, {}, 0, CellWords(*words.values(), *line))
            ends.add(cell, Played.of(run, names))
            step = max(ROWS // (market.num_markets * len(names)), 1)
            for first in range(0, len(run.rounds), step):
                some = Tables(Comparison(names, "full", terms), ground, facts)
                some.add(cell, Played.of(run, names, slice(first, first + step)))
                table = some.curves()
                writer = pq.ParquetWriter(stream, table.schema) if writer is None else writer
                writer.write_table(table)
        writer.close()
    summary = ends.summary()
    with replacing(folder / "summary.parquet") as stream:
        pq.write_table(summary, stream)
    write_text(folder / "summary.csv", summary.to_pandas().to_csv(index=False))


def _of_market(source, request, market) -> dict[str, str]:
    """What makes the markets, in words, by the fields of a cell."""
    given = source.mean_endowment if source.agents is None else str(source.agents)
    words = (source.name, given, source.value, source.isolated, request.endowments)
    terms = {field: source.terms[field] or (OWN if field in market.terms else NONE) for field in TERMS}
    terms["directed"] = "true" if source.file.directed else NONE
    return dict(zip(MARKET_FIELDS, (*words, *terms.values()), strict=True))
