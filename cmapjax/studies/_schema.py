"""What a study may record and what its tables hold: names, types, units, meaning. Loads no JAX."""

from typing import NamedTuple

SCHEMA_VERSION = 1

# Fields of markets beyond endowments and values, as columns of the results of studies that have them.
TERMS = {
    "priority": "rule or distribution of priorities",
    "demand": "distribution of demands",
    "own_use": "distribution of own use",
    "capacity": "distribution of links' capacities",
    "efficiency": "distribution of links' efficiencies",
    "directed": "whether links go one way",
}
# What makes a cell, in the order in which a file of a study says it.
MARKET_FIELDS = ("network", "endowment", "value", "isolated", "process", *TERMS)
PLAY_FIELDS = ("strategy", "schedule", "damping")
FIELDS = (*MARKET_FIELDS, *PLAY_FIELDS)


class Column(NamedTuple):
    """A column of a table: its type as Arrow calls it, unit and meaning."""

    kind: str
    unit: str
    description: str


SHARE = "share_of_equilibrium"
# First recorded round at which the share is reached, by column.
MILESTONES = {"rounds_to_98": 0.98, "rounds_to_999": 0.999}
# Verdicts that may end a market: those that further rounds do not change.
ENDS = ("converged", "settled elsewhere", "not finite")

WORD = "dictionary"
BEFORE_AXES = {
    "cell": Column("int32", "1", "number of the cell"),
    "ground": Column("int32", "1", "number of the ground; cells of one ground play on the same markets"),
    "market": Column("int32", "1", "number of the market in its ground"),
    "seed": Column("string", "1", "key data of the market's random numbers, hexadecimal"),
    "fingerprint": Column("string", "1", "hash of the drawn market (Market.fingerprint)"),
    "network": Column(WORD, "1", "family or network"),
    "endowment": Column(WORD, "1", "distribution of mean endowments"),
    "value": Column(WORD, "1", "distribution of values per unit"),
    "process": Column(WORD, "1", "endowments of the rounds"),
    "strategy": Column(WORD, "1", "strategy"),
    "schedule": Column(WORD, "1", "schedule"),
    "damping": Column(WORD, "1", "damping"),
}
OF_TERMS = {name: Column(WORD, "1", text) for name, text in TERMS.items()}
AFTER_AXES = {
    "num_agents": Column("int32", "agents", "agents of the market"),
    "num_links": Column("int32", "links", "links of the market"),
    "rounds": Column("int32", "rounds", "rounds after which the metrics were taken"),
    "agent_updates": Column("int64", "turns", "how many times an agent had acted by then"),
    "stopped_round": Column("int32", "rounds", "round of the verdict that ended it; null if none did"),
    "verdict": Column("string", "1", "what became of the market"),
    "equilibrium_log_welfare": Column("float64", "1", "log Nash welfare of the equilibrium"),
    "equilibrium_gap": Column("float64", "1", "certified: the optimum is at most this much higher"),
}
AT_THE_END = {
    "spending_error": Column(
        "float64", "1", "by how much last rows miss their budget (rounding, or a fault)"
    ),
    "flags": Column("string", "1", "metrics that are not finite (null there) and what they are"),
}
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
CURVES = {"full": FULL, "quantiles": QUANTILES}
AXIS_KINDS = {int: "int64", float: "float64", str: "string"}
# What no axis and no metric of one's own may be called.
TAKEN = {*BEFORE_AXES, *TERMS, *AFTER_AXES, *AT_THE_END, *MILESTONES, *FULL, *QUANTILES}
TAKEN |= {"mean", "q05", "q25", "q50", "q75", "q95"}


def summary_schema(study):
    """One row per market and cell: what it is, what became of it, every metric at its end (pyarrow)."""
    from cmapjax.metrics import RECORDED

    columns = dict(BEFORE_AXES)
    columns |= {name: column for name, column in OF_TERMS.items() if name in study.terms}
    for name, values in study.axes.items():
        columns.setdefault(name, Column(AXIS_KINDS[type(values[0])], "1", "axis of the study"))
    columns |= AFTER_AXES
    for name, words in study.own_metrics().items():
        unit, text = ("of the metric", words.text) if words else RECORDED[name][1:3]
        columns[name] = Column("float64", unit, text)
    if SHARE in study.metrics:
        for name, share in MILESTONES.items():
            text = (
                f"rounds to {share:.1%} of the equilibrium's Nash welfare, at most: the first recorded round "
                "at it; null if never"
            )
            columns[name] = Column("int32", "rounds", text)
    return _schema("summary", columns | AT_THE_END)


def curves_schema(study):
    """Metrics round by round: of every market, or counted over markets; None if not recorded (pyarrow)."""
    kind = study.record.curves
    return None if kind == "none" else _schema(f"curves ({kind})", CURVES[kind])


def _schema(table: str, columns: dict[str, Column]):
    import pyarrow as pa

    def kind(name: str) -> pa.DataType:
        return pa.dictionary(pa.int32(), pa.string()) if name == WORD else getattr(pa, name)()

    fields = [
        pa.field(name, kind(c.kind), metadata={"unit": c.unit, "description": c.description})
        for name, c in columns.items()
    ]
    return pa.schema(fields, metadata={"cmapjax.table": table, "cmapjax.schema": str(SCHEMA_VERSION)})
