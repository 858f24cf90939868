"""The code in the documentation: where it stands, and how each kind of it is tried.

- `python` blocks are executed, page by page, in order, in one namespace and a folder of their own.
- `sh` blocks: `cmapjax` commands are executed in this process, with the replacements that
  `test_doc_blocks.py` names (smaller numbers, files in place of FILE and DIR); those named there as too dear
  are parsed by the command line, so that a command or option that does not exist fails. Of other programs
  `OTHERS` says how.
- `toml` blocks are read as studies, `sql` blocks run in DuckDB.
- `cmapjax …` within a sentence is parsed.
- `{code-cell}`s are executed like `python` blocks, but for what is left to the build of the site, and without
  the notebook's own commands (`%…`).
"""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

import typer
import typer.exceptions
import typer.main

from cmapjax.cli._app import app

ROOT = Path(__file__).parents[1]
WITH_CODE = {"python", "sh", "toml", "sql", "{code-cell}"}
KINDS = {*WITH_CODE, "{include}", "{toctree}", "text"}
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
)


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    kind: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found, opened = [], None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = re.match(r"```(\S*)", line)
        if opened is None and fence:
            opened = number, fence[1], []
        elif opened is not None and line == "```":
            found.append(Block(page, opened[0], opened[1], "\n".join(opened[2]) + "\n"))
            opened = None
        elif opened is not None:
            opened[2].append(line)
    assert opened is None, f"{page}:{opened[0]}: a block that is never closed"
    return found


def is_notebook(page: Path) -> bool:
    """Whether the build of the site executes it."""
    return page.read_text().startswith("---\nfile_format: mystnb")


def without_magic(text: str) -> str:
    """A cell without what only a notebook understands: options of the cell, and lines that begin with %."""
    return re.sub(r"^(%|:\w+:).*$", "", text, flags=re.MULTILINE)


def commands(block: Block) -> list[str]:
    """The lines of a shell block, without what stands behind a #; several joined by && are several."""
    lines = [line.partition(" #")[0].strip() for line in block.text.splitlines()]
    return [part.strip() for line in lines for part in line.split("&&") if part.strip() and line[0] != "#"]


def spoken_commands(page: Path) -> list[str]:
    """The `cmapjax …` within sentences (and tables)."""
    outside = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(text.split()) for text in re.findall(r"`(cmapjax [^`]+)`", outside)]


def parse(command: str, *, is_whole: bool = True) -> None:
    """Fails if the command line knows no such command, or the command no such option. Runs nothing.

    A command that is not whole, as in a sentence, names what matters and may lack what else is needed.
    """
    for line in _alternatives(command):
        words = [word for word in shlex.split(line) if word not in ("…", "...", "--help")]
        program, context, name, rest = typer.main.get_command(app), None, words[0], words[1:]
        try:
            while hasattr(program, "resolve_command") and rest:
                context = program.make_context(name, rest, parent=context)
                rest = [*context._protected_args, *context.args]
                name, program, rest = program.resolve_command(context, rest)
            if rest or (is_whole and not hasattr(program, "resolve_command")):
                program.make_context(name, list(rest), parent=context)
        except typer.exceptions.TyperException as error:
            if is_whole or type(error).__name__ != "MissingParameter":
                raise AssertionError(f"{line}: {error}") from error


def _alternatives(command: str) -> list[str]:
    """`a [--b N | --c X]` is `a --b N` and `a --c X`; `x|y` is `x`; N is 1."""
    optional = re.search(r"\[([^\]]*)\]", command)
    choices = optional[1].split(" | ") if optional else [""]
    whole = [re.sub(r"\[[^\]]*\]", choice, command, count=1) for choice in choices]
    return [re.sub(r"\bN\b", "1", re.sub(r"(\S+)\|\S+", r"\1", line)) for line in whole]


# -- programs other than cmapjax -------------------------------------------------------------------


def _extras_exist(words: list[str]) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words:
        asked = re.search(r"\[(.*)\]$", word)
        for extra in asked[1].split(",") if asked else []:
            assert extra in known, f"pip install {word}: there is no extra {extra!r}"
        if word == "-c":
            assert (ROOT / words[words.index(word) + 1]).exists()


def _module_exists(words: list[str]) -> None:
    if "-m" in words:
        name = words[words.index("-m") + 1]
        assert importlib.util.find_spec(name), f"python -m {name}: there is no such module"
    else:
        assert (ROOT / words[1]).exists() or (ROOT / "docs" / words[1]).exists(), words


def _dask_parses(words: list[str]) -> None:
    from distributed.cli import dask_scheduler, dask_worker

    programs = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}
    programs[words[1]].make_context(words[1], words[2:])


def _is_tool(words: list[str]) -> None:
    assert importlib.util.find_spec(words[0]) or words[0] == "ruff", words


def _is_activation(words: list[str]) -> None:
    assert words == [".", ".venv/bin/activate"]


OTHERS = {
    "pip": _extras_exist,
    "python": _module_exists,
    "python3": _module_exists,
    "dask": _dask_parses,
    "pytest": _is_tool,
    "ruff": _is_tool,
    ".": _is_activation,
}


def try_other(command: str) -> None:
    """Tries a command of another program as far as is said in `OTHERS`."""
    words = shlex.split(command)
    if words[0].startswith("scripts/"):
        script = ROOT / words[0]
        assert script.exists(), f"{command}: no such script"
        assert script.stat().st_mode & 0o100, f"{command}: not executable"
        return
    assert words[0] in OTHERS, f"{command}: say in doc_blocks.OTHERS how this is tried"
    OTHERS[words[0]](words)
