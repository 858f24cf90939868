"""The commands and their options."""

import os
from typing import Annotated

import typer

from cmapjax.cli import _study, _study_look
from cmapjax.cli._options import add
from cmapjax.cli._requests import Explain, Sensitivity, Share, Simulate, Solve

app = typer.Typer(
    name="cmapjax",
    help="Simulate resource-sharing markets on networks, and find their equilibrium.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


app.add_typer(_study.app)
app.command()(_study_look.report)


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


for request in (Simulate, Solve, Sensitivity):
    add(app, request)
add(app, Explain, "markets")
# Production and need are what agents bring.
OF_ENDOWMENTS = (
    "agents",
    "markets",
    "mean_endowment",
    "value",
    "zero",
    "endowment_attribute",
    "value_attribute",
)
add(app, Share, *OF_ENDOWMENTS)


@app.command("list")
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="[KIND]", help="Of one kind alone: strategy, schedule, damping, family, …"),
    ] = None,
) -> None:
    """All that can be named, with fields and defaults: strategies, schedules, families, …"""
    from cmapjax.cli import _list

    _list.run(kind)


@app.command()
def info() -> None:
    """Versions and devices."""
    from cmapjax.cli import _info

    _info.run()
