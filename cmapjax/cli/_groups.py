"""The groups of an equilibrium, as data and as a table of bottleneck pairs."""

import numpy as np

from cmapjax.cli._output import printable

SHOWN_PAIRS = 8
SHOWN_LABELS = 4
SHOWN_LETTERS = 24
HEADS = ("α", "|B|", "B, of ratio α", "|C|", "C, of ratio 1/α")


def as_documents(market, groups) -> list[list[dict]]:
    """Of every market its groups by rising ratio: who receives in each, and who gives."""
    labels = market.labels
    documents: list[list[dict]] = [[] for _ in range(market.num_markets)]
    for number, (receivers, givers) in enumerate(groups.members()):
        documents[int(groups.market[number])].append(
            {
                "ratio": groups.ratio[number],
                "receivers": [labels[i] for i in receivers],
                "givers": [labels[i] for i in givers],
            }
        )
    return documents


def pairs(groups) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """The bottleneck pairs (group, B, C) of all markets by rising ratio."""
    return sorted(groups.pairs(), key=lambda pair: groups.ratio[pair[0]])


def pair_rows(market, groups, ratio_text) -> list[list]:
    """The pairs of lowest ratio as rows of a table, whose heads are `HEADS`."""
    several = market.num_markets > 1
    return [
        [
            *([groups.market[number]] if several else []),
            ratio_text(b[0], groups.ratio[number]),
            f"{len(b):,}",
            _few(market, b),
            f"{len(c):,}",
            "the same agents" if np.array_equal(b, c) else _few(market, c),
        ]
        for number, b, c in pairs(groups)[:SHOWN_PAIRS]
    ]


def _few(market, agents) -> str:
    """The first few labels, and how many more there are."""
    texts = [printable(market.labels[i]) for i in agents[:SHOWN_LABELS]]
    cut = [t if len(t) <= SHOWN_LETTERS else t[: SHOWN_LETTERS - 1] + "…" for t in texts]
    more = len(agents) - len(cut)
    return ", ".join(cut) + (f" and {more:,} more" if more else "")
