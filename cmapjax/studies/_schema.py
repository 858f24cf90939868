"""The tables that a study leaves behind: their columns, with units and meaning."""

import pyarrow as pa

from cmapjax.metrics import RECORDED
from cmapjax.studies._names import (
    AFTER_AXES,
    AT_THE_END,
    BEFORE_AXES,
    MILESTONES,
    SCHEMA_VERSION,
    WORD,
    Column,
)

TYPES = {
    "int8": pa.int8(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    WORD: pa.dictionary(pa.int32(), pa.string()),
}
AXIS_KINDS = {int: "int64", float: "float64", str: "string"}

FULL = {
    "cell": BEFORE_AXES["cell"],
    "market": BEFORE_AXES["market"],
    "round": Column("int32", "rounds", "rounds played (0 is the start)"),
    "agent_updates": AFTER_AXES["agent_updates"],
    "metric": Column(WORD, "1", "name of the metric"),
    "value": Column("float64", "of the metric", "null where it is not finite"),
    "flags": Column(WORD, "1", "inf, -inf or nan where the value is null"),
}
QUANTILES = {
    "cell": BEFORE_AXES["cell"],
    "round": FULL["round"],
    "metric": FULL["metric"],
    "sign": Column("int8", "1", "sign of the values counted: -1, 0 or 1"),
    "bucket": Column(
        "int32",
        "1",
        "magnitudes from γ^(bucket-1) to γ^bucket, γ = 1.01/0.99; null is zero, 2147483647 infinite, "
        "2147483646 no number",
    ),
    "count": Column("int32", "markets", "markets counted here"),
}


def summary_schema(study) -> pa.Schema:
    """One row per market and cell: what it is, what became of it, every metric at its end."""
    columns = dict(BEFORE_AXES)
    for name, values in study.axes.items():
        if name not in columns:
            columns[name] = Column(AXIS_KINDS[type(values[0])], "1", "axis of the study")
    columns |= AFTER_AXES
    columns |= {name: metric_column(name, words) for name, words in study.own_metrics().items()}
    if study.has_milestones:
        for name, share in MILESTONES.items():
            text = (
                f"rounds to {share:.1%} of the equilibrium's Nash welfare, at most: the first recorded round "
                "at it; null if never"
            )
            columns[name] = Column("int32", "rounds", text)
    return _schema("summary", columns | AT_THE_END)


def metric_column(name: str, words) -> Column:
    """The column of a metric: of the package, or in the words of one's own."""
    if words is not None:
        return Column("float64", "of the metric", words.text)
    return Column("float64", RECORDED[name].unit, RECORDED[name].description)


def curves_schema(study) -> pa.Schema | None:
    """Metrics round by round: of every market, or counted over markets; None if not recorded."""
    if study.record.curves == "none":
        return None
    is_full = study.record.curves == "full"
    return _schema(f"curves ({study.record.curves})", FULL if is_full else QUANTILES)


def _schema(table: str, columns: dict[str, Column]) -> pa.Schema:
    fields = [
        pa.field(
            name, TYPES[c.kind], metadata={b"unit": c.unit.encode(), b"description": c.description.encode()}
        )
        for name, c in columns.items()
    ]
    return pa.schema(
        fields, metadata={b"cmapjax.table": table.encode(), b"cmapjax.schema": b"%d" % SCHEMA_VERSION}
    )
