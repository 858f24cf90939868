"""What commands print and write: lines about a market, JSON without NaN, files replaced whole."""

import math
import os
import re
import secrets
from pathlib import Path

SHOWN_COMPONENTS = 3


def plain(x):
    """Numbers and arrays as JSON's own; NaN and infinities, which JSON lacks, as null."""
    if isinstance(x, dict):
        return {str(key): plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(value) for value in x]
    if hasattr(x, "tolist"):
        return plain(x.tolist())
    return None if isinstance(x, float) and not math.isfinite(x) else x


def market_lines(source, market) -> list[str]:
    """What the market is, and what reading it has merged, dropped or found."""
    from cmapjax._checks import listed

    several = f" in {market.num_markets} markets" if market.num_markets > 1 else ""
    lines = [f"{source.name}: {market.num_agents:,} agents, {market.num_links:,} links{several}"]
    origin = market.origin
    if origin.merged_links:
        lines.append(f"merged {origin.merged_links:,} links that were given more than once")
    if origin.dropped_self_loops:
        lines.append(f"dropped self-loops of agent {listed(origin.dropped_self_loops)}")
    if origin.dropped_isolated:
        count = len(origin.dropped_isolated)
        lines.append(f"dropped {count:,} agents without a neighbour: {listed(origin.dropped_isolated)}")
    parts = components(market)
    if len(parts) > market.num_markets:
        shown = [f"{p['num_agents']:,} agents and {p['num_links']:,} links" for p in parts[:SHOWN_COMPONENTS]]
        more = len(parts) - len(shown)
        lines.append(
            f"not connected: {len(parts):,} components, each with an equilibrium of its own: "
            + "; ".join(shown)
            + (f"; and {more:,} more" if more else "")
        )
    return lines


def components(market) -> list[dict]:
    """Every connected component: its agents and links, and its first agent; largest first."""
    import numpy as np

    component = market.components()
    giver, _ = market.arcs()
    agents, first = np.unique(component, return_index=True)
    num_agents = np.bincount(component)
    num_links = np.bincount(component[giver], minlength=len(agents)) // 2
    parts = [
        {
            "num_agents": int(num_agents[c]),
            "num_links": int(num_links[c]),
            "first_agent": label_of(market.labels[first[c]]),
        }
        for c in agents
    ]
    return sorted(parts, key=lambda part: -part["num_agents"])


def label_of(label):
    """A label as JSON holds it: numbers and text as they are, a pair (market, label) as a list."""
    return [label_of(part) for part in label] if isinstance(label, tuple) else label


def printable(label) -> str:
    """A label as a terminal may show it: control characters spelt out."""
    text = str(label)
    return text if text.isprintable() else repr(text)


def slug(label: str) -> str:
    """A label as part of a file name."""
    return re.sub(r"[^a-z0-9.]+", "-", label.lower()).strip("-")


def write_text(path: str | Path, text: str) -> None:
    """The text as a file, replaced whole or not at all."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file.")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Make the folder of results. Raises ValueError if there is anything in it, which might get lost."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder} is a file; name a new folder.")
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"--out {folder} is not empty; name a new folder, or remove it first.")
    folder.mkdir(parents=True, exist_ok=True)
