"""`cmapjax reproduce`."""

import sys
from collections.abc import Iterable
from pathlib import Path

from cmapjax.cli import _cache
from cmapjax.cli._output import printable, say, show

DONE, FAILED = 0, 1


def list_parts() -> None:
    """Print what there is to reproduce, without measuring anything."""
    from cmapjax.reproduce import PARTS

    width = max(len(part.name) for part in PARTS)
    for part in PARTS:
        say(f"{part.name:{width}}  {part.title} ({', '.join(part.labels)})")


def run(out: Path | None, only: Iterable[str], quick: bool, seed: int, again: bool) -> int:
    """Measure the parts chosen; the exit code."""
    from cmapjax.reproduce._run import PAGE, check_place, choose, reproduce

    if out is None:
        raise ValueError("--out is missing; name the folder that tables, pictures and the page go to.")
    if not 0 <= seed < 2**63:
        raise ValueError(f"--seed is {seed}; give a whole number from 0 to 2^63 - 1.")
    names = [name.strip() for words in only for name in words.split(",")]
    parts = choose(name for name in names if name)
    check_place(out)
    _cache.switch_on()
    kept = reproduce(out, parts, quick=quick, seed=seed, again=again, tell=_tell)
    chosen = [some for some in kept if some.part in parts]
    _show(chosen)
    say(f"page: {printable(str(out / PAGE))}")
    return DONE if all(some.is_finished for some in chosen) else FAILED


def _tell(text: str) -> None:
    """A line about what is being done."""
    print(_visible(text), file=sys.stderr, flush=True)


def _visible(text: str) -> str:
    """Text that cannot steer the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _show(kept) -> None:
    """The verdicts."""
    from rich.table import Table
    from rich.text import Text

    from cmapjax.reproduce._kept import in_words

    table = Table(show_edge=False, pad_edge=False)
    for head in ("part", "verdict", "checks"):
        table.add_column(head, overflow="fold")
    for some in kept:
        words = in_words(some.checks) if some.is_finished else _visible(some.failure or "")
        table.add_row(*map(Text, (some.part.name, some.verdict, words)))
    show(table)
