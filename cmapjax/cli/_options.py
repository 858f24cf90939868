"""Options that several commands have: where markets come from (one table), and --json."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cmapjax.graphs._file_options import ENDINGS, FileOptions

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
# What a source has beside its networks and the options of a file: annotation and default.
SOURCE_OPTIONS: dict[str, tuple[Any, Any]] = {
    "agents": (
        Annotated[
            Path | None,
            typer.Option(
                "--agents", help="Table with the columns agent, endowment, value (CSV, TSV, Parquet)."
            ),
        ],
        None,
    ),
    "markets": (
        Annotated[int, typer.Option("--markets", help="How many random markets of a family to draw.")],
        1,
    ),
    "seed": (Seed, 0),
    "mean_endowment": (
        Annotated[
            str,
            typer.Option(
                "--mean-endowment",
                help="Distribution of mean endowments in a random market: unit, uniform:low=0.5,high=1.5, "
                "lognormal:sigma=1, … (cmapjax list distribution), or your own.",
            ),
        ],
        "unit",
    ),
    "value": (Annotated[str, typer.Option("--value", help="Likewise the value of a unit.")], "unit"),
    "isolated": (
        Annotated[
            str,
            typer.Option(
                "--isolated",
                help="Agents without a neighbour: reject them, drop them, or redraw the random network.",
            ),
        ],
        "reject",
    ),
}


def _file_options() -> dict[str, tuple[Any, Any]]:
    """The options of `FileOptions` that have a help text, as options of a command."""
    found = {}
    for field in dataclasses.fields(FileOptions):
        if "help" in field.metadata:
            dashed = f"--{field.name.replace('_', '-')}"
            switch = f"{dashed}/--no-{dashed[2:]}" if field.name == "header" else dashed
            found[field.name] = (
                Annotated[field.type, typer.Option(switch, help=field.metadata["help"])],
                field.default,
            )
    return found


FILE_OPTIONS = _file_options()


def takes_networks(*without: str) -> Callable[[Callable], Callable]:
    """Give a command the argument NETWORK… and all options of a source; it is handed a `Source`.

    Args:
        without: options that the command does not have.
    """
    options = {n: o for n, o in (SOURCE_OPTIONS | FILE_OPTIONS).items() if n not in without}

    def decorate(command: Callable) -> Callable:
        own = list(inspect.signature(command).parameters.values())[1:]  # the first is the source

        @functools.wraps(command)
        def called(networks, **typed):
            from cmapjax.cli._source import source_of

            given = {name: typed.pop(name) for name in options}
            file = {name: given.pop(name) for name in FILE_OPTIONS}
            return command(source_of(tuple(networks), file, **given), **typed)

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            inspect.Parameter("networks", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Networks),
            *(parameter.replace(kind=keyword) for parameter in own),
            *(
                inspect.Parameter(name, keyword, annotation=kind, default=default)
                for name, (kind, default) in options.items()
            ),
        ]
        called.__signature__ = inspect.Signature(parameters)
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return called

    return decorate
