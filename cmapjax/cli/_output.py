"""What commands print and write: lines about a market, JSON without NaN, files replaced whole."""

import json
import math
import os
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

SHOWN_COMPONENTS = 3
# What pictures may be called.
PICTURES = (".png", ".pdf", ".svg")
# What --json is given to print its document, and nothing else.
PRINTED = "-"
# Where there is no terminal to fit (a file, a pipe) rows stay whole.
WIDE = 240


def say(text: str) -> None:
    """Print; once the reader has left (`| head`), to nobody, so that files still get written."""
    try:
        print(text, flush=True)
    except OSError as error:
        # What is left in the buffer must not fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise


def show(rows: Iterable[Sequence], heads: Sequence[str] = (), *, right: Collection[str] = ()) -> None:
    """Print a table, as wide as the terminal.

    Args:
        rows: of cells, which are printed as they stand.
        heads: of columns; without them the first column names the rows.
        right: the columns whose cells stand at the right.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_edge=False, pad_edge=False, show_header=bool(heads))
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    console = Console() if sys.stdout.isatty() else Console(width=WIDE)
    with console.capture() as captured:
        console.print(table)
    say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def plain(x):
    """Numbers, arrays and labels as JSON's own: NaN and infinities, which it lacks, as null; -0.0 as 0.0."""
    if isinstance(x, dict):
        return {str(key): plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(value) for value in x]
    if hasattr(x, "tolist"):
        return plain(x.tolist())
    if isinstance(x, float):
        return x + 0.0 if math.isfinite(x) else None
    return x


def market_lines(source, market) -> list[str]:
    """What the market is, and what reading it has merged, dropped or found."""
    several = f" in {market.num_markets:,} markets" if market.num_markets > 1 else ""
    name = printable(source.name)
    line = f"{name}: {market.num_agents:,} agents, {market.num_links:,} links{several}"
    return [line, *market.origin.told(), *_component_lines(market)]


def _component_lines(market) -> list[str]:
    """Of markets that are not connected the largest components, and how many more there are."""
    parts = sorted(unconnected(market), key=lambda part: -part["num_agents"])
    if not parts:
        return []
    number = len({part["market"] for part in parts})
    where = f" in {number:,} of {market.num_markets:,} markets" if market.num_markets > 1 else ""
    shown = [
        f"{part['num_agents']:,} agents and {part['num_links']:,} links with {printable(part['first_agent'])}"
        for part in parts[:SHOWN_COMPONENTS]
    ]
    if len(parts) > len(shown):
        shown.append(f"and {len(parts) - len(shown):,} more")
    head = f"not connected{where}: {len(parts):,} components, each with an equilibrium of its own: "
    return [head + "; ".join(shown)]


def unconnected(market) -> list[dict]:
    """The components of those markets that have several."""
    return [part for parts in components(market) if len(parts) > 1 for part in parts]


def components(market) -> list[list[dict]]:
    """Of every market its connected components, largest first: agents, links and the first agent of each."""
    import numpy as np

    component = market.components()
    _, first = np.unique(component, return_index=True)
    num_agents = np.bincount(component)
    num_links = np.bincount(component[market.arcs()[0]], minlength=len(first)) // 2
    parts: list[list[dict]] = [[] for _ in range(market.num_markets)]
    for k in np.argsort(-num_agents, kind="stable").tolist():
        number = int(market.market_of[first[k]])
        parts[number].append(
            {
                "market": number,
                "num_agents": int(num_agents[k]),
                "num_links": int(num_links[k]),
                "first_agent": market.labels[first[k]],
            }
        )
    return parts


def printable(label) -> str:
    """A label as a terminal may show it: control characters spelt out."""
    text = str(label)
    return text if text.isprintable() else repr(text)


def slug(label: str) -> str:
    """A label as part of a file name."""
    return re.sub(r"[^a-z0-9.+]+", "-", label.lower()).strip("-")  # 1e+3 is not 1e-3


def write_text(path: str | Path, text: str) -> None:
    """The text as a file, replaced whole or not at all."""
    from cmapjax.graphs._files import check_writable_path, write_bytes

    write_bytes(check_writable_path(path), text.encode())


def check_json(target: str | None) -> None:
    """Raise ValueError unless what --json names is nothing, - or a file that may be put there."""
    if target not in (None, PRINTED):
        check_file("--json", Path(target))


def write_json(target: str | None, document) -> None:
    """The document as JSON into the file that --json names, or printed for -; nothing if there is none."""
    if target is None:
        return
    text = json.dumps(plain(document), allow_nan=False)
    if target == PRINTED:
        say(text)
    else:
        write_text(target, text + "\n")


def check_file(option: str, path: Path, endings: Sequence[str] = ()) -> None:
    """Raise ValueError unless a file may be put there, before any work is done for it."""
    if endings and path.suffix.lower() not in endings:
        raise ValueError(f"{option} {path}: end its name in {', '.join(endings[:-1])} or {endings[-1]}.")
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder; give the name of a file.")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path}: its folder does not exist; make it first.")
    _check_writable(option, path)


def check_folder(option: str, folder: Path) -> None:
    """Raise ValueError if the folder holds anything, which might get lost, or cannot be made."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{option} {folder} is a file; name a new folder.")
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{option} {folder} is not empty; name a new folder, or remove it first.")
    _check_writable(option, folder)


def _check_writable(option: str, path: Path) -> None:
    nearest = next(p for p in (path, *path.absolute().parents) if p.exists() and not p.is_file())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{option} {path} cannot be made in {nearest}; name a place where you may write.")
