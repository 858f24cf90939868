"""What a study may record and what its tables hold: names, units and meaning, known without loading JAX."""

from typing import NamedTuple

SCHEMA_VERSION = 1

# What makes a cell, in the order in which a file of a study says it.
MARKET_FIELDS = ("network", "endowment", "value", "isolated", "process")
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
TAKEN = {*BEFORE_AXES, *AFTER_AXES, *AT_THE_END, *MILESTONES, "round", "metric", "bucket", "sign"}
TAKEN |= {"count", "mean", "q05", "q25", "q50", "q75", "q95"}

# Verdicts that may end a market: those that further rounds do not change.
ENDS = ("converged", "settled elsewhere", "not finite")
