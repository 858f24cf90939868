"""Commands that take networks, made of the classes of their options."""

import dataclasses
import importlib
import inspect
from typing import Annotated, Any

import typer

from cmapjax.cli._requests import Networks, OfSource
from cmapjax.graphs._file_options import FileOptions

Options = dict[str, tuple[Any, Any]]  # annotation and default, by name


def _options_of(request: type) -> Options:
    return {field.name: (field.type, _default(field.default)) for field in dataclasses.fields(request)}


def _default(value: Any) -> Any:
    return inspect.Parameter.empty if value is dataclasses.MISSING else value


def _file_options() -> Options:
    """The options of `FileOptions` that have a help text, as options of a command."""
    found = {}
    for field in dataclasses.fields(FileOptions):
        if "help" in field.metadata:
            dashed = f"--{field.name.replace('_', '-')}"
            switch = f"{dashed}/--no-{dashed[2:]}" if field.name == "header" else dashed
            option = typer.Option(switch, help=field.metadata["help"])
            found[field.name] = Annotated[field.type, option], field.default
    return found


FILE_OPTIONS, SOURCE_OPTIONS = _file_options(), _options_of(OfSource)


def add(app: typer.Typer, request: type, *without: str) -> None:
    """Add the command of these options, which also takes networks and the options of a source.

    Args:
        app: where to.
        request: its options; its text is the command's.
        without: options of a source that it does not have.
    """
    name, own = request.__name__.lower(), _options_of(request)
    source = {n: o for n, o in (SOURCE_OPTIONS | FILE_OPTIONS).items() if n not in without}

    def called(networks, **typed):
        from cmapjax.cli._source import source_of

        given = {option: typed.pop(option) for option in source}
        file = {option: given.pop(option) for option in FILE_OPTIONS if option in given}
        run = importlib.import_module(f"cmapjax.cli._{name}").run
        raise typer.Exit(run(source_of(tuple(networks), file, **given), request(**typed)) or 0)

    called.__name__, called.__doc__ = name, request.__doc__
    parameters = [inspect.Parameter("networks", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Networks)]
    parameters += [
        inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for option, (kind, default) in (own | source).items()
    ]
    called.__signature__ = inspect.Signature(parameters)
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.command()(called)
