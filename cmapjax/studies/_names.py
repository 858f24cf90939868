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


class Metric(NamedTuple):
    """A metric that may be recorded."""

    unit: str
    description: str
    is_standard: bool = True
    needs_equilibrium: bool = False


METRICS = {
    "log_nash_welfare": Metric("1", "Σ w log r / W, what the equilibrium maximises"),
    "certified_gap": Metric("1", "log Nash welfare missing, at most"),
    "min_ratio": Metric("value per value", "ratio of the agent worst off"),
    "jain_index": Metric("1", "Jain's index of the ratios"),
    "gini": Metric("1", "Gini coefficient of the ratios"),
    "num_starved": Metric("agents", "agents that have nothing"),
    "oscillation": Metric("1", "share of value that changes hands every round only to come back"),
    "average_log_nash_welfare": Metric("1", "log Nash welfare of the utilities averaged over all rounds"),
    "share_of_equilibrium": Metric("1", "Nash welfare over the equilibrium's", needs_equilibrium=True),
    "misallocated_share": Metric("1", "share of all value in the wrong hands", needs_equilibrium=True),
    "log_welfare_loss": Metric("1", "log Nash welfare missing", needs_equilibrium=True),
    "worst_relative_error": Metric("1", "largest |u / u* − 1| of an agent", needs_equilibrium=True),
    "average_misallocated_share": Metric(
        "1", "misallocated share of the utilities averaged over all rounds", needs_equilibrium=True
    ),
    "nash_welfare": Metric("1", "weighted geometric mean ratio", is_standard=False),
    "unweighted_log_nash_welfare": Metric("log value", "mean log utility", is_standard=False),
    "unweighted_nash_welfare": Metric("value", "geometric mean utility", is_standard=False),
    "mean_community_utility": Metric(
        "value × log value", "mean utility of the agents' communities", is_standard=False
    ),
}
SHARE = "share_of_equilibrium"
# Metrics that lie in [0, 1] whatever the endowments of the rounds, and those that do if they are constant.
ALWAYS_IN_UNIT = ("jain_index", "gini")
IN_UNIT = (
    SHARE,
    "misallocated_share",
    "average_misallocated_share",
    "nash_welfare",
    "min_ratio",
    "oscillation",
    *ALWAYS_IN_UNIT,
)
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
TAKEN = {*BEFORE_AXES, *AFTER_AXES, *AT_THE_END, *METRICS, *MILESTONES, "round", "metric", "bucket", "sign"}
TAKEN |= {"count", "mean", "q05", "q25", "q50", "q75", "q95"}

# Verdicts that may end a market: those that further rounds do not change.
ENDS = ("converged", "settled elsewhere", "not finite")
