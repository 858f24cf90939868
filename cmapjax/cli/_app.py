"""The commands and their options."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cmapjax.cli import _study
from cmapjax.cli._options import Json, Seed, takes_networks

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


@app.command()
@takes_networks()
def simulate(
    source,
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
    every: Annotated[
        int | None,
        typer.Option(
            "--every",
            help="Record after every so many rounds; by default after 1, 2, 3, 5, 8, 13, … of them.",
        ),
    ] = None,
    endowments: Annotated[
        str,
        typer.Option(
            "--endowments",
            help="Surplus of a round: constant, exponential, gamma:cv=0.5, lognormal:cv=0.5, on-off:p=0.5, "
            "or trace:FILE (a column per agent, a row per round; times may stand in the first column).",
        ),
    ] = "constant",
    precision: Annotated[str, typer.Option("--precision", help="float64 or float32.")] = "float64",
    equilibrium: Annotated[
        bool,
        typer.Option(help="Solve for the equilibrium first, and compare with it."),
    ] = True,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for tables of results (must be new or empty).")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Write pictures too, to --out.")] = False,
    receipts: Annotated[
        Path | None,
        typer.Option(
            "--receipts",
            metavar="FILE",
            help="Table of what every agent received in every round (.csv .tsv .parquet): columns strategy, "
            "round, time (if a trace has it), agent, received.",
        ),
    ] = None,
    json: Json = None,
) -> None:
    """Run one or several strategies on the same markets, side by side."""
    from cmapjax.cli import _simulate

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
        receipts,
    )
    _simulate.run(source, request)


@app.command()
@takes_networks()
def solve(
    source,
    json: Json = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Certified gap to reach.")] = 1e-9,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="decomposition (exact, by maximum flows), projected-gradient:max_steps=100000 "
            "(projection=optax|jaxopt), or convex:accuracy=1e-11 (CVXPY with Clarabel).",
        ),
    ] = "decomposition",
    exact: Annotated[
        bool, typer.Option("--exact", help="Give utilities and ratios as fractions too.")
    ] = False,
) -> None:
    """Find the fair and stable allocation, with a certificate."""
    from cmapjax.cli import _solve

    raise typer.Exit(_solve.run(source, _solve.Request(method, tolerance, exact, json)))


@app.command()
@takes_networks()
def sensitivity(
    source,
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
    json: Json = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Picture of the network coloured by derivative (.png …).")
    ] = None,
) -> None:
    """What the equilibrium depends on: exact derivatives, and what a link more or less would change."""
    from cmapjax.cli import _sensitivity

    _sensitivity.run(source, _sensitivity.Request(of, with_respect_to, top, most, json, plot))


@app.command()
@takes_networks("markets")
def explain(
    source,
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
    json: Json = None,
) -> None:
    """What one agent saw in a round, what it gave to whom, and why."""
    from cmapjax.cli import _explain

    _explain.run(source, _explain.Request(agent, round, strategy, schedule, damping, plot, json))


@app.command()
def info() -> None:
    """Versions and devices."""
    from cmapjax.cli import _info

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
    from cmapjax.cli import _reproduce

    if list_parts:
        _reproduce.list_parts()
        return
    raise typer.Exit(_reproduce.run(out, only or (), quick, seed, again))
