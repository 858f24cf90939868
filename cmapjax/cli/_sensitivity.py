"""`cmapjax sensitivity`: what the equilibrium depends on."""

import math
from pathlib import Path

from cmapjax.arguments._checks import short
from cmapjax.cli._cache import switch_on
from cmapjax.cli._output import (
    PICTURES,
    PRINTED,
    check_file,
    check_json,
    market_lines,
    printable,
    say,
    show,
    write_json,
)
from cmapjax.cli._progress import interruptible
from cmapjax.cli._requests import Sensitivity
from cmapjax.cli._source import Source, check, market

GOALS = {
    "nash-welfare": "log Nash welfare",
    "min-ratio": "the least ratio",
    "utility": "the utility of",
}
# What the equilibrium may depend on; `sensitivity.FIELDS`, and links.
OF_LINKS = ("capacity", "efficiency")
RESPECTS = ("endowment", "value", "priority", "demand", "own_use", *OF_LINKS, "links")
# Exact re-solves of networks with one link changed, unless --most says otherwise: about a minute's worth.
ARCS_RESOLVED = 20_000_000


def run(source: Source, request: Sensitivity) -> None:
    """Solve, differentiate, report, write."""
    _check(source, request)
    switch_on()
    from cmapjax import solve

    studied = market(source)
    label = _agent(studied, request.of)
    if request.json != PRINTED:
        say("\n".join(market_lines(source, studied)))
    equilibrium = interruptible(lambda: solve(studied), "equilibrium")
    objective, name = _objective(request.of, label)
    study = _study(studied, request.with_respect_to)
    document, tables, pictures = interruptible(
        lambda: study(studied, equilibrium, objective, name, request), "derivatives"
    )
    document = {
        "of": request.of,
        "with_respect_to": request.with_respect_to,
        "fingerprint": studied.fingerprint(),
        "value": objective(studied, equilibrium.utility),
        "gap": equilibrium.gap,
    } | document
    write_json(request.json, document)
    if request.plot is not None:
        _draw(studied, pictures, request.plot, title=f"{source.name}: {name}")
    if request.json != PRINTED:
        for line, *table in tables:
            say(line)
            if table:
                show(*table)


def _study(studied, field: str):
    if field == "links":
        return _of_links
    return _of_terms if studied.terms or field not in ("endowment", "value") else _of_contributions


def _check(source: Source, request: Sensitivity) -> None:
    check(source)
    goal, colon, agent = request.of.partition(":")
    if goal not in GOALS or (goal == "utility") != bool(colon and agent):
        raise ValueError(f"--of is {short(request.of)}; give nash-welfare, min-ratio or utility:AGENT.")
    if request.with_respect_to not in RESPECTS:
        raise ValueError(
            f"--with-respect-to is {short(request.with_respect_to)}; give one of {', '.join(RESPECTS)}."
        )
    for option, number in (("--top", request.top), ("--most", request.most)):
        if number is not None and number < 1:
            raise ValueError(f"{option} is {number}; give a whole number, 1 or more.")
    check_json(request.json)
    if request.plot is not None:
        check_file("--plot", request.plot, PICTURES)


def _agent(studied, of: str):
    """The label of the agent whose utility is asked about; labels may be numbers, words are not."""
    goal, _, name = of.partition(":")
    if goal != "utility":
        return None
    named = [label for label in studied.labels if str(label) == name]
    if not named:
        raise ValueError(f"--of: agent {short(name)} is not among these {studied.num_agents:,} agents.")
    if len(named) > 1:
        raise ValueError(f"--of: {len(named)} agents are called {short(name)}; take one network.")
    return named[0]


def _objective(of: str, label):
    from cmapjax import metrics, sensitivity

    goal = of.partition(":")[0]
    if goal == "utility":
        return sensitivity.utility_of(label), f"{GOALS[goal]} {printable(label)}"
    return {"nash-welfare": metrics.log_nash_welfare, "min-ratio": sensitivity.min_ratio}[goal], GOALS[goal]


# -- contributions -----------------------------------------------------------------------------------


def _of_contributions(studied, equilibrium, objective, name: str, request: Sensitivity):
    """Derivatives by endowment or value; how far they reach is told of the agents shown."""
    import numpy as np

    from cmapjax import sensitivity

    field = request.with_respect_to
    slope = sensitivity.gradient(studied, objective, with_respect_to=field, groups=equilibrium.groups)
    order = np.argsort(-slope, kind="stable")
    shown = _ends(order, request.top)
    reach = sensitivity.margins(studied, of=[studied.labels[i] for i in shown], equilibrium=equilibrium)
    # Endowment and value enter as a product: a margin in one is a margin in the other.
    share = {"down": reach.down / reach.endowment, "up": reach.up / reach.endowment}
    given = np.asarray(getattr(studied, field))
    rows = [
        [
            studied.labels[i],
            f"{given[i]:.6g}",
            f"{equilibrium.ratio[i]:.6g}",
            f"{slope[i]:+.6g}" + (" (kink)" if reach.is_kink[row] else ""),
            f"{given[i] * (1 - share['down'][row]):.6g}",
            f"{given[i] * (1 + share['up'][row]):.6g}",
        ]
        for row, i in enumerate(shown)
    ]
    head = _head(name, field, "agent", request.top, is_part=len(shown) < len(order))
    notes = (
        f"holds from … to: range of that agent's {field}, others fixed, in which the same agents exchange "
        "with each other and this derivative is exact; kink: it differs from side to side."
    )
    document = {
        "agents": list(studied.labels),
        "derivative": slope,
        "shown": [
            {"agent": label, "down": down, "up": up, "is_kink": kink}
            for label, down, up, kink in zip(
                reach.agents, share["down"], share["up"], reach.is_kink.tolist(), strict=True
            )
        ],
    }
    label = f"∂ {name} / ∂ {field}"
    heads = ("agent", field, "ratio", "derivative", "holds from", "to")
    return document, [(head, rows, heads), (notes,)], [(slope, label, "")]


def _of_terms(studied, equilibrium, objective, name: str, request: Sensitivity):
    """Derivatives by any field, of agents or of links, in a market of any kind."""
    import numpy as np

    from cmapjax import sensitivity
    from cmapjax.sensitivity._fields import numbers_of, with_field

    field = request.with_respect_to
    options = {"with_respect_to": field}
    slope = sensitivity.gradient(studied, objective, **options)
    is_kink = sensitivity.kinks(studied, **options)
    labels = list(studied.labels)
    giver, receiver = studied.arcs()
    is_of_links = field in OF_LINKS
    ends = list(zip(giver.tolist(), receiver.tolist(), strict=True)) if is_of_links else None
    whose = [[labels[a], labels[b]] for a, b in ends] if is_of_links else [[label] for label in labels]
    given = numbers_of(with_field(studied, field), field)
    order = np.argsort(-slope, kind="stable")
    order = order[np.isfinite(slope[order])]
    if is_of_links:  # the way back of a directed link
        capacity = numbers_of(with_field(studied, "capacity"), "capacity")
        order = order[(capacity[order] > 0) | (slope[order] != 0)]
    shown = _ends(order, request.top)
    rows = [
        [
            *whose[k],
            f"{given[k]:.6g}",
            f"{slope[k]:+.6g}" + (" (kink)" if is_kink[k] else ""),
        ]
        for k in shown
    ]
    each = "link" if is_of_links else "agent"
    lines: list = [
        (
            _head(name, field, each, request.top, is_part=len(shown) < len(order)),
            rows,
            (*(("from", "to") if is_of_links else ("agent",)), field, "derivative"),
        ),
    ]
    if np.any(is_kink[shown]):
        lines.append(("kink: the derivative differs from side to side; this is one of them.",))
    num_missing = np.count_nonzero(np.isnan(slope))
    if num_missing:
        lines.append(
            (
                f"{num_missing:,} {each}(s) without a derivative are left out: amounts on cycles of links in "
                "use are not settled, or with a little more somebody would count who does not.",
            )
        )
    document = {
        "links" if is_of_links else "agents": whose if is_of_links else labels,
        "derivative": [x if np.isfinite(x) else None for x in slope.tolist()],
        "is_kink": is_kink,
    }
    drawn = slope
    if is_of_links:  # a picture has a colour for each agent: what more on its own links would bring
        drawn = np.bincount(giver, np.where(np.isfinite(slope), slope, 0), studied.num_agents)
    label = f"∂ {name} / ∂ {field}" + (" of all its links" if is_of_links else "")
    return document, lines, [(drawn, label, "")]


def _ends(order, top: int):
    """The first and the last of them."""
    return order if len(order) <= 2 * top else [*order[:top], *order[-top:]]


def _head(name: str, field: str, each: str, top: int, *, is_part: bool) -> str:
    ends = f", the {top} highest and the {top} lowest" if is_part else ""
    return f"derivative of {name} with respect to the {field} of each {each}{ends}:"


# -- links -------------------------------------------------------------------------------------------


def _of_links(studied, equilibrium, objective, name: str, request: Sensitivity):
    """What a link more and a link less would change, by exact re-solves."""
    from cmapjax import sensitivity

    most = request.most
    if most is None:
        most = max(50, ARCS_RESOLVED // (2 * studied.num_links))
    options = {"most": most, "equilibrium": equilibrium}
    new = sensitivity.new_links(studied, objective, **options)
    gone = sensitivity.removed_links(studied, objective, **options)
    tables = [
        *_link_lines(f"new links that would raise {name} most:", new, request.top, first=True),
        *_link_lines(f"links without which {name} would fall most:", gone, request.top, first=False),
    ]
    document = {
        key: {
            "links": [list(link) for link in changes.links],
            "change": [
                _in_words(agents) if agents and change == -math.inf else change
                for change, agents in zip(changes.change.tolist(), changes.strands, strict=True)
            ],
            "num_untried": changes.num_untried,
        }
        for key, changes in (("new_links", new), ("removed_links", gone))
    }
    document["removed_links"]["strands"] = [list(agents) for agents in gone.strands]
    label = f"change of {name}"
    return document, tables, [(new, label, "new links"), (gone, label, "links removed")]


def _link_lines(head: str, changes, top: int, *, first: bool) -> list:
    rows = list(zip(changes.links, changes.change.tolist(), changes.strands, strict=True))
    rows = rows[:top] if first else rows[::-1][:top]
    cells = []
    for (a, b), change, agents in rows:
        parts = [] if agents and change == -math.inf else [f"{change:+.6g}"]
        if change != 0:
            cells.append([a, b, ", ".join(parts + [_in_words(agents)] * bool(agents))])
    lines: list = [(head, cells, ("between", "and", "change"))] if cells else [(head + " none",)]
    if changes.num_untried:
        lines.append((f"{changes.num_untried:,} less promising ones were not tried (--most N tries more)",))
    return lines


def _in_words(agents) -> str:
    """Who is left without a link, instead of a logarithm of 0."""
    return f"strands agent {' and '.join(printable(agent) for agent in agents)}"


def _draw(studied, pictures, path: Path, title: str) -> None:
    """One picture under the name given; of two, the second gets a name of its own beside it."""
    from cmapjax import plots

    for number, (slope, label, what) in enumerate(pictures):
        figure = plots.derivatives(studied, slope, label=label, title=f"{title}, {what}" if what else title)
        plots.save(figure, path if number == 0 else path.with_stem(f"{path.stem}-{what.replace(' ', '-')}"))
