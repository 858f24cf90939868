"""The commands and their options."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cmapjax._cli import _study

app = typer.Typer(
    name="cmapjax",
    help="Simulate resource-sharing markets on networks, and find their equilibrium.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


app.add_typer(_study.app)
app.command()(_study.report)


@app.callback()
def configure(
    compilation_cache: Annotated[
        str | None,
        typer.Option(
            "--compilation-cache",
            metavar="DIR|off",
            envvar="CMAPJAX_COMPILATION_CACHE",
            help="Folder in which compiled programs are kept for the next run (they are run as they are "
            "found: keep it to yourself), or off. By default JAX_COMPILATION_CACHE_DIR if it is set, or else "
            "the user's cache folder. Stands before the command.",
        ),
    ] = None,
) -> None:
    if compilation_cache is not None:
        os.environ["CMAPJAX_COMPILATION_CACHE"] = compilation_cache


NETWORK_HELP = (
    "A network file (.txt .edges .csv .tsv .graphml .gml .mtx, also .gz), a named network (karate, "
    "les-miserables, davis, florentine, gnutella), or a random family with its options: er:n=100,degree=6 "
    "ba:n=100,m=2 ws:n=100,k=4,rewiring=0.1 geometric:n=100,degree=8 regular:n=100,degree=4 tree:n=100 "
    "torus:rows=8,columns=8 bipartite:left=20,right=30,degree=4 blocks:sizes=20+30,within=0.3,between=0.05 "
    "complete:n=5 ring:n=5 star:n=5. Several are packed side by side."
)
Networks = Annotated[list[str], typer.Argument(metavar="NETWORK|FAMILY…", help=NETWORK_HELP)]
Agents = Annotated[
    Path | None,
    typer.Option("--agents", help="Table with the columns agent, endowment, value (CSV, TSV, Parquet)."),
]
Markets = Annotated[int, typer.Option("--markets", help="How many random markets of a family to draw.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
MeanEndowment = Annotated[
    str,
    typer.Option(
        "--mean-endowment",
        help="Distribution of mean endowments in a random market: unit, uniform:low=0.5,high=1.5, "
        "lognormal:sigma=1, pareto:alpha=2, exponential, gamma:shape=2.",
    ),
]
Value = Annotated[str, typer.Option("--value", help="Likewise the value of a unit.")]
Isolated = Annotated[
    str,
    typer.Option(
        "--isolated",
        help="Agents without a neighbour: reject them, drop them, or redraw the random network.",
    ),
]
DropSelfLoops = Annotated[
    bool, typer.Option("--drop-self-loops", help="Leave out links of an agent with itself.")
]
Symmetrize = Annotated[
    bool, typer.Option("--symmetrize", help="Make the links of a directed network go both ways.")
]
IgnoreColumns = Annotated[
    bool, typer.Option("--ignore-extra-columns", help="Read edge lists of more than two columns.")
]
EndowmentAttribute = Annotated[
    str | None,
    typer.Option("--endowment-attribute", help="Attribute of a GraphML or GML agent: its endowment."),
]
ValueAttribute = Annotated[
    str | None, typer.Option("--value-attribute", help="Attribute of a GraphML or GML agent: its value.")
]


@app.command()
def simulate(
    networks: Networks,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            "-s",
            help="May be repeated, to compare: cmap (hops=…), cmap-gradient (hops=…,iterations=20,"
            "rule=fixed|diminishing|line-search,step=0.1,library=jaxopt|optax), proportional-response (pr), "
            "dynamic-sharing, equal-split, selfish. A strategy may bring its own turns: "
            "cmap:schedule=sequential,damping=0.5. "
            "By default: CMAP sequential, simultaneous and damped, and proportional response.",
        ),
    ] = None,
    schedule: Annotated[
        str,
        typer.Option(
            "--schedule",
            help="simultaneous, sequential, coloured, random-order, one-agent, participation:0.5.",
        ),
    ] = "simultaneous",
    damping: Annotated[
        str, typer.Option("--damping", help="none, a number up to 1, 1/max-degree, or local.")
    ] = "none",
    rounds: Annotated[int, typer.Option("--rounds", help="Rounds to play.")] = 100,
    every: Annotated[int, typer.Option("--every", help="Record after every so many rounds.")] = 1,
    endowments: Annotated[
        str,
        typer.Option(
            "--endowments",
            help="Surplus of a round: constant, exponential, gamma:cv=0.5, lognormal:cv=0.5, on-off:p=0.5, "
            "or trace:FILE (a column per agent, a row per round).",
        ),
    ] = "constant",
    agents: Agents = None,
    markets: Markets = 1,
    seed: Seed = 0,
    precision: Annotated[str, typer.Option("--precision", help="float64 or float32.")] = "float64",
    mean_endowment: MeanEndowment = "unit",
    value: Value = "unit",
    isolated: Isolated = "reject",
    drop_self_loops: DropSelfLoops = False,
    symmetrize: Symmetrize = False,
    ignore_extra_columns: IgnoreColumns = False,
    endowment_attribute: EndowmentAttribute = None,
    value_attribute: ValueAttribute = None,
    equilibrium: Annotated[
        bool,
        typer.Option(help="Solve for the equilibrium first, and compare with it."),
    ] = True,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for tables of results (must be new or empty).")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Write pictures too, to --out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Run one or several strategies on the same markets, side by side."""
    from cmapjax._cli import _simulate
    from cmapjax._cli._source import Source

    source = Source(
        tuple(networks),
        agents,
        markets,
        seed,
        mean_endowment,
        value,
        isolated,
        drop_self_loops,
        symmetrize,
        ignore_extra_columns,
        endowment_attribute,
        value_attribute,
    )
    request = _simulate.Request(
        tuple(strategy or ()),
        schedule,
        damping,
        rounds,
        every,
        endowments,
        precision,
        equilibrium,
        out,
        plot,
        json,
    )
    _simulate.run(source, request)


@app.command()
def solve(
    networks: Networks,
    json: Annotated[
        str | None, typer.Option("--json", help="Write the equilibrium to this file ('-': print it).")
    ] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Certified gap to reach.")] = 1e-9,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="decomposition (exact, by maximum flows), identify:first=sweeps (exact, from a first "
            "approximation); of first order sweeps:max_sweeps=20000, projected-gradient (projection=optax"
            "|jaxopt), mirror or pdhg:max_steps=100000; convex:accuracy=1e-11 (CVXPY with Clarabel).",
        ),
    ] = "decomposition",
    exact: Annotated[
        bool, typer.Option("--exact", help="Give utilities and ratios as fractions too.")
    ] = False,
    agents: Agents = None,
    markets: Markets = 1,
    seed: Seed = 0,
    mean_endowment: MeanEndowment = "unit",
    value: Value = "unit",
    isolated: Isolated = "reject",
    drop_self_loops: DropSelfLoops = False,
    symmetrize: Symmetrize = False,
    ignore_extra_columns: IgnoreColumns = False,
    endowment_attribute: EndowmentAttribute = None,
    value_attribute: ValueAttribute = None,
) -> None:
    """Find the fair and stable allocation, with a certificate."""
    from cmapjax._cli import _solve
    from cmapjax._cli._source import Source

    source = Source(
        tuple(networks),
        agents,
        markets,
        seed,
        mean_endowment,
        value,
        isolated,
        drop_self_loops,
        symmetrize,
        ignore_extra_columns,
        endowment_attribute,
        value_attribute,
    )
    raise typer.Exit(_solve.run(source, _solve.Request(method, tolerance, exact, json)))


@app.command()
def sensitivity(
    networks: Networks,
    of: Annotated[
        str, typer.Option("--of", help="What depends: nash-welfare, min-ratio or utility:AGENT.")
    ] = "nash-welfare",
    with_respect_to: Annotated[
        str, typer.Option("--with-respect-to", help="On what: endowment, value or links.")
    ] = "endowment",
    top: Annotated[int, typer.Option("--top", help="Rows to print from each end.")] = 10,
    most: Annotated[
        int | None,
        typer.Option("--most", help="Links to try exactly; by default about a minute's worth."),
    ] = None,
    json: Annotated[
        str | None, typer.Option("--json", help="Write all derivatives to this file ('-': print them).")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Picture of the network coloured by derivative (.png …).")
    ] = None,
    agents: Agents = None,
    markets: Markets = 1,
    seed: Seed = 0,
    mean_endowment: MeanEndowment = "unit",
    value: Value = "unit",
    isolated: Isolated = "reject",
    drop_self_loops: DropSelfLoops = False,
    symmetrize: Symmetrize = False,
    ignore_extra_columns: IgnoreColumns = False,
    endowment_attribute: EndowmentAttribute = None,
    value_attribute: ValueAttribute = None,
) -> None:
    """What the equilibrium depends on: exact derivatives, and what a link more or less would change."""
    from cmapjax._cli import _sensitivity
    from cmapjax._cli._source import Source

    source = Source(
        tuple(networks),
        agents,
        markets,
        seed,
        mean_endowment,
        value,
        isolated,
        drop_self_loops,
        symmetrize,
        ignore_extra_columns,
        endowment_attribute,
        value_attribute,
    )
    _sensitivity.run(source, _sensitivity.Request(of, with_respect_to, top, most, json, plot))


@app.command()
def explain(
    networks: Networks,
    agent: Annotated[str, typer.Option("--agent", help="Whose turn to explain, by its name.")],
    round: Annotated[int, typer.Option("--round", help="In which round; 1 is the first.")] = 1,
    strategy: Annotated[
        str, typer.Option("--strategy", "-s", help="What everybody follows, as for simulate.")
    ] = "cmap",
    schedule: Annotated[str, typer.Option("--schedule", help="As for simulate.")] = "simultaneous",
    damping: Annotated[str, typer.Option("--damping", help="As for simulate.")] = "none",
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Picture of its neighbours as vessels (.png, .pdf, .svg).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    agents: Agents = None,
    seed: Seed = 0,
    mean_endowment: MeanEndowment = "unit",
    value: Value = "unit",
    isolated: Isolated = "reject",
    drop_self_loops: DropSelfLoops = False,
    symmetrize: Symmetrize = False,
    ignore_extra_columns: IgnoreColumns = False,
    endowment_attribute: EndowmentAttribute = None,
    value_attribute: ValueAttribute = None,
) -> None:
    """What one agent saw in a round, what it gave to whom, and why."""
    from cmapjax._cli import _explain
    from cmapjax._cli._source import Source

    source = Source(
        tuple(networks),
        agents,
        1,
        seed,
        mean_endowment,
        value,
        isolated,
        drop_self_loops,
        symmetrize,
        ignore_extra_columns,
        endowment_attribute,
        value_attribute,
    )
    _explain.run(source, _explain.Request(agent, round, strategy, schedule, damping, plot, json))


@app.command()
def info() -> None:
    """Versions and devices."""
    from cmapjax._cli import _info

    _info.run()


@app.command()
def reproduce(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder for all that comes out: new, empty, or gone on with."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller samples: minutes instead of half an hour.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="NAME", help="This part alone; may be repeated, or name several: a,b,c."
        ),
    ] = None,
    list_parts: Annotated[
        bool, typer.Option("--list", help="Print the names of the parts, and end.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Measure anew what the folder holds already.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Measure every claim about CMAP and its rivals anew: one page with verdicts, pictures and tables."""
    from cmapjax._cli import _reproduce

    if list_parts:
        _reproduce.list_parts()
        return
    raise typer.Exit(_reproduce.run(out, only or (), quick, seed, again))
