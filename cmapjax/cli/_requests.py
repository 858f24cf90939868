"""The commands that take networks, each a class of its options: the only place where these are written.

A command is run by the module of its name, in lower case, as `run(source, options)`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cmapjax.graphs._file_options import ENDINGS

Json = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write JSON to this file ('-': print it).")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]

NETWORK_HELP = (
    f"A network file ({' '.join(ENDINGS)}, KONECT's out.*; .gz .bz2 .xz .zip may follow; - reads standard "
    "input, with --format), a named network (karate, "
    "les-miserables, davis, florentine, gnutella), or a random family with its fields: er:n=100,degree=6 "
    "ws:n=100,k=4,rewiring=0.1 blocks:sizes=20+30,within=0.3,between=0.05 … (cmapjax list family), or one of "
    "your own, my_nets.py:Lattice:side=8. Several are packed side by side."
)
Networks = Annotated[list[str], typer.Argument(metavar="NETWORK|FAMILY…", help=NETWORK_HELP)]


@dataclass(frozen=True)
class OfSource:
    """Where markets come from, beside the networks' names and the options of their files."""

    agents: Annotated[
        Path | None,
        typer.Option(
            "--agents",
            help="Table with the columns agent, endowment, value, priority, demand, own_use (CSV, TSV, "
            "Parquet).",
        ),
    ] = None
    markets: Annotated[
        int, typer.Option("--markets", help="How many random markets of a family to draw.")
    ] = 1
    seed: Seed = 0
    mean_endowment: Annotated[
        str,
        typer.Option(
            "--mean-endowment",
            help="Distribution of mean endowments in a random market: unit, uniform:low=0.5,high=1.5, "
            "lognormal:sigma=1, … (cmapjax list distribution), or your own.",
        ),
    ] = "unit"
    value: Annotated[str, typer.Option("--value", help="Likewise the value of a unit.")] = "unit"
    priority: Annotated[
        str | None,
        typer.Option(
            "--priority",
            help="Priorities in a random market: mix:share=0.5, coverage, heads, a distribution "
            "(cmapjax list priority-rule), or your own; by default contributions.",
        ),
    ] = None
    demand: Annotated[
        str | None,
        typer.Option("--demand", help="Distribution of demands, or one number; by default unlimited."),
    ] = None
    own_use: Annotated[str | None, typer.Option("--own-use", help="Likewise of own use; by default 0.")] = (
        None
    )
    capacity: Annotated[
        str | None,
        typer.Option("--capacity", help="Likewise of links' capacities; by default unlimited."),
    ] = None
    efficiency: Annotated[
        str | None,
        typer.Option("--efficiency", help="Likewise of what arrives of a unit; by default 1."),
    ] = None
    isolated: Annotated[
        str,
        typer.Option(
            "--isolated",
            help="Agents without a neighbour: reject them, drop them, or redraw the random network.",
        ),
    ] = "reject"


@dataclass(frozen=True)
class Simulate:
    """Run one or several strategies on the same markets, side by side."""

    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            "-s",
            help="May be repeated, to compare: a name with its fields, cmap:hops=2 (cmapjax list strategy), "
            "or a class of your own, my_rules.py:Generous:share=0.3. It may bring its own turns: "
            "cmap:schedule=sequential,damping=0.5. "
            "By default: CMAP sequential, simultaneous and damped, and proportional response.",
        ),
    ] = None
    schedule: Annotated[
        str,
        typer.Option(
            "--schedule",
            help="sequential, coloured, participation:0.5, … (cmapjax list schedule), or your own.",
        ),
    ] = "simultaneous"
    damping: Annotated[
        str,
        typer.Option(
            "--damping", help="none, a number up to 1, local, … (cmapjax list damping), or your own."
        ),
    ] = "none"
    rounds: Annotated[int, typer.Option("--rounds", help="Rounds to play.")] = 100
    every: Annotated[
        int | None,
        typer.Option(
            "--every",
            help="Record after every so many rounds; by default after 1, 2, 3, 5, 8, 13, … of them.",
        ),
    ] = None
    endowments: Annotated[
        str,
        typer.Option(
            "--endowments",
            help="Surplus of a round: exponential, gamma:cv=0.5, … (cmapjax list endowments), your own, "
            "or trace:FILE (a column per agent, a row per round; times may stand in the first column).",
        ),
    ] = "constant"
    precision: Annotated[str, typer.Option("--precision", help="float64 or float32.")] = "float64"
    equilibrium: Annotated[
        bool,
        typer.Option(help="Solve for the equilibrium first, and compare with it."),
    ] = True
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for tables of results (must be new or empty).")
    ] = None
    plot: Annotated[bool, typer.Option("--plot", help="Write pictures too, to --out.")] = False
    receipts: Annotated[
        Path | None,
        typer.Option(
            "--receipts",
            metavar="FILE",
            help="Table of what every agent received in every round (.csv .tsv .parquet): columns strategy, "
            "round, time (if a trace has it), agent, received.",
        ),
    ] = None
    json: Json = None


@dataclass(frozen=True)
class Solve:
    """Find the fair and stable allocation, with a certificate."""

    json: Json = None
    tolerance: Annotated[float, typer.Option("--tolerance", help="Certified gap to reach.")] = 1e-9
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="decomposition (exact), projected-gradient:max_steps=1000, convex:accuracy=1e-11 … "
            "(cmapjax list method), or your own.",
        ),
    ] = "decomposition"
    exact: Annotated[bool, typer.Option("--exact", help="Give utilities and ratios as fractions too.")] = (
        False
    )
    fairness: Annotated[
        float,
        typer.Option(
            "--fairness",
            help="α of the mean of ratios that is made largest: 1 geometric, 2 harmonic, inf the least "
            "ratio. It matters only where links lose some of what they carry.",
        ),
    ] = 1.0


@dataclass(frozen=True)
class Sensitivity:
    """What the equilibrium depends on: exact derivatives, and what a link more or less would change."""

    of: Annotated[
        str, typer.Option("--of", help="What depends: nash-welfare, min-ratio or utility:AGENT.")
    ] = "nash-welfare"
    with_respect_to: Annotated[
        str,
        typer.Option("--with-respect-to", help="On what: a field, such as endowment or capacity, or links."),
    ] = "endowment"
    top: Annotated[int, typer.Option("--top", help="Rows to print from each end.")] = 10
    most: Annotated[
        int | None,
        typer.Option("--most", help="Links to try exactly; by default about a minute's worth."),
    ] = None
    json: Json = None
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Picture of the network coloured by derivative (.png …).")
    ] = None


@dataclass(frozen=True)
class Explain:
    """What one agent saw in a round, what it gave to whom, and why."""

    agent: Annotated[str, typer.Option("--agent", help="Whose turn to explain, by its name.")]
    round: Annotated[int, typer.Option("--round", help="In which round; 1 is the first.")] = 1
    strategy: Annotated[
        str, typer.Option("--strategy", "-s", help="What everybody follows, as for simulate.")
    ] = "cmap"
    schedule: Annotated[str, typer.Option("--schedule", help="As for simulate.")] = "simultaneous"
    damping: Annotated[str, typer.Option("--damping", help="As for simulate.")] = "none"
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Picture of its neighbours as vessels (.png, .pdf, .svg).")
    ] = None
    json: Json = None


@dataclass(frozen=True)
class Share:
    """Share what agents produce and do not need, hour after hour, with those who need it."""

    production: Annotated[
        Path | None,
        typer.Option(
            "--production",
            metavar="FILE",
            help="What agents produce (.csv .tsv): a column per agent, a row per round; times may stand in "
            "the first column.",
        ),
    ] = None
    need: Annotated[
        Path | None,
        typer.Option("--need", metavar="FILE", help="What they need, likewise, in the same unit."),
    ] = None
    balance: Annotated[
        Path | None,
        typer.Option(
            "--balance", metavar="FILE", help="Instead of both, the columns time, agent, production, need."
        ),
    ] = None
    reach: Annotated[
        int, typer.Option("--reach", metavar="K", help="Agents share with others up to so many links away.")
    ] = 1
    priority: Annotated[
        str,
        typer.Option(
            "--priority",
            help="By what shares are fair: coverage (of each one's need), reciprocity (what one has to give "
            "on average), heads (equal right), solidarity:0.2 (reciprocity with a share 0.2 for heads), or "
            "your own (cmapjax list priority-rule).",
        ),
    ] = "coverage"
    gaps: Annotated[
        str,
        typer.Option(
            "--gaps", help="Cells without a number: refuse, or fill with zero, the previous one, or linear."
        ),
    ] = "refuse"
    negative: Annotated[str, typer.Option("--negative", help="Numbers below 0: refuse, or take zero.")] = (
        "refuse"
    )
    absent: Annotated[
        str, typer.Option("--absent", help="Agents that a table lacks: refuse, or take zero.")
    ] = "refuse"
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for tables and a picture (must be new or empty)."),
    ] = None
    receipts: Annotated[
        Path | None,
        typer.Option(
            "--receipts", metavar="FILE", help="Table of every agent in every round (.csv .tsv .parquet)."
        ),
    ] = None
