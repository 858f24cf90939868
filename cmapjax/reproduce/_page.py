"""The page: every claim with its verdict, numbers, pictures and tables, in one file that loads nothing."""

import base64
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cmapjax.reproduce._kept import NOT_MEASURED, Kept, in_words
from cmapjax.reproduce._markup import Markup, page_head, tag
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART, OPEN

STYLES = [Path(__file__).parent / "assets" / name for name in ("base.css", "page.css")]
MOST_ROWS = 200  # of a table shown on the page; the file has all
SHORT = 24  # letters of a table's cell that are not worth a second line
# A sign and a class of style each: verdicts are told by word, sign and colour.
SIGNS = {HOLDS: "✓", IN_PART: "◐", FAILS: "✗", OPEN: "?", NOT_MEASURED: "–"}
CLASSES = {HOLDS: "holds", IN_PART: "part", FAILS: "fails", OPEN: "open", NOT_MEASURED: "none"}
WORDS = {
    "part": "One claim or experiment: what was said, measured anew.",
    "check": "One statement of it that numbers can refute, what was expected before, and what was found.",
    "verdict": "Worked out from the numbers by a rule fixed before: the statement holds, holds in part, does "
    "not hold, or is left open. A part whose checks differ holds in part.",
    "market": "A network of agents who give away all they have to their neighbours, round after round.",
    "round, agent update": "A round is every agent having had its turn; an agent update is one agent acting. "
    "Where agents act one after another, a round is as many updates as there are agents.",
    "98 % of the equilibrium": "Nash welfare (the geometric mean of what agents receive per contribution, "
    "weighted by contribution) over that of the exact equilibrium.",
    "[…]": "The 95 % bootstrap interval, over markets, of the number before it.",
}


def render(kept: Sequence[Kept]) -> str:
    """The whole page as text; `kept` is what there is of every part, measured or not."""
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    style = "\n".join(file.read_text(encoding="utf-8") for file in STYLES)
    head = page_head("CMAP and its rivals, measured · cmapjax", policy, style)
    body = tag(
        "body",
        tag(
            "header",
            tag("p", "cmapjax reproduction", class_="kind"),
            tag("h1", "What has been claimed about CMAP, measured anew"),
        ),
        tag(
            "main",
            _status(kept),
            _facts(kept),
            _verdicts(kept),
            [_section(some) for some in kept if some.document is not None],
            _missing([some for some in kept if some.document is None]),
        ),
        tag("footer", "Made by cmapjax reproduce. The page holds all that it shows and loads nothing."),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


# -- the top -----------------------------------------------------------------------------------------


def _status(kept: Sequence[Kept]) -> Markup:
    """Whether every part has been measured, and if not, which have not."""
    failed = [some for some in kept if some.failure]
    missing = [some for some in kept if some.document is None]
    if not failed and not missing:
        return tag("p", f"✓ All {len(kept)} parts have been measured.", class_="status", role="status")
    words = [f"⚠ {len(kept) - len(failed) - len(missing)} of {len(kept)} parts have been measured."]
    for some, what in ((failed, " Failed: "), (missing, " Not measured yet: ")):
        links = [[", " if i else "", _link(one)] for i, one in enumerate(some)]
        words += [what, links, "."] if some else []
    return tag("p", words, class_="status warning", role="status")


def _facts(kept: Sequence[Kept]) -> Markup:
    """What it was measured with and how long that took, and the words the page uses."""
    done = [some.document for some in kept if some.document is not None]
    stamps = [document["stamp"] for document in done]
    facts = {
        "Version": _all(_versions(stamp) for stamp in stamps),
        "Commit": _all(document.get("commit") for document in done),
        "Machine": _all(document["machine"] for document in done),
        "JAX on": _all(stamp["device"] for stamp in stamps),
        "Measured": _all(document["date"][:10] for document in done),
        "Mode": _all(stamp["mode"] for stamp in stamps),
        "Seed": _all(str(stamp["seed"]) for stamp in stamps),
        "Took": _duration(sum(document["seconds"] for document in done)) if done else None,
    }
    rows = [[tag("dt", word), tag("dd", fact)] for word, fact in facts.items() if fact]
    words = [[tag("dt", word), tag("dd", meaning)] for word, meaning in WORDS.items()]
    return tag(
        "section",
        tag("details", tag("summary", "The words of this page"), tag("dl", words), class_="words"),
        tag("dl", rows, class_="run"),
    )


def _versions(stamp: dict) -> str:
    return ", ".join(
        f"{name} {stamp['versions'][name]}"
        for name in ("cmapjax", "jax", "numpy", "python")
        if name in stamp["versions"]
    )


def _all(facts) -> str:
    """The facts of all parts: one if they agree."""
    return "; ".join(dict.fromkeys(str(fact) for fact in facts if fact))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _verdicts(kept: Sequence[Kept]) -> Markup:
    heads = ("Part", "Claim", "Verdict", "Took")
    rows = []
    for some in kept:
        took = _duration(some.document["seconds"]) if some.document else "–"
        count = tag("span", in_words(some.checks), class_="count") if some.is_finished else None
        cells = (some.part.claim, [_badge(some.verdict), count], took)
        rows.append(
            tag(
                "tr",
                tag("th", _link(some, some.part.title), scope="row"),
                [tag("td", cell, data_head=head) for head, cell in zip(heads[1:], cells, strict=True)],
            )
        )
    header = tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads]))
    table = tag("table", header, tag("tbody", rows), class_="cards")
    return tag("section", tag("h2", "Verdicts"), table, id="verdicts")


def _link(some: Kept, words: str | None = None) -> Markup:
    return tag("a", words or some.part.name, href=f"#{some.part.name}")


def _badge(verdict: str) -> Markup:
    sign = tag("span", SIGNS[verdict], aria_hidden="true")
    return tag("span", sign, f" {verdict}", class_=f"badge {CLASSES[verdict]}")


# -- a part ------------------------------------------------------------------------------------------


def _section(some: Kept) -> Markup:
    part = some.part
    inside = [
        tag("h2", part.title),
        tag("p", [", ".join(part.labels), " · ", tag("a", "all verdicts", href="#verdicts")], class_="kind"),
        tag("p", tag("b", "Claim: "), part.claim, class_="claim"),
        tag("p", _badge(some.verdict)),
    ]
    if some.failure:
        where = tag("code", f"{part.name}/trouble.txt")
        words = ["⚠ It could not be measured: ", some.failure, ". The place is in ", where, "."]
        inside.append(tag("p", words, class_="status warning"))
    else:
        inside += _finding(some)
    inside.append(tag("pre", some.command))
    return tag("section", inside, id=part.name, class_="part")


def _missing(kept: Sequence[Kept]) -> Markup | None:
    """The parts that nobody has measured yet, and how to."""
    if not kept:
        return None
    rows = [
        tag("li", [tag("b", some.part.title), ": ", tag("code", some.command)], id=some.part.name)
        for some in kept
    ]
    return tag("section", tag("h2", "Not measured yet"), tag("ul", rows), class_="part")


def _finding(some: Kept) -> list[Markup]:
    document, stamp = some.document, some.document["stamp"]
    took = _duration(document["seconds"])
    about = (
        f"Measured {document['date']} in {took}, mode {stamp['mode']}, seed {stamp['seed']}. This part alone:"
    )
    remarks = [tag("li", remark) for remark in document["remarks"]]
    return [
        _checks(some),
        [_picture(some, name, caption) for name, caption in document["pictures"].items()],
        tag("div", tag("h3", "Remarks"), tag("ul", remarks)) if remarks else Markup(""),
        [_table(some, name, rows) for name, rows in document["tables"].items()],
        tag("p", about, class_="note"),
    ]


def _checks(some: Kept) -> Markup:
    heads = ("Statement", "Expected", "Found", "Verdict")
    rows = [
        tag(
            "tr",
            tag("th", _together(check.statement), scope="row"),
            tag("td", _together(check.expected), data_head="Expected"),
            tag("td", _together(check.found), data_head="Found"),
            tag("td", _badge(check.verdict), data_head="Verdict"),
        )
        for check in some.checks
    ]
    header = tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads]))
    return tag("table", header, tag("tbody", rows), class_="cards checks")


def _together(text: str) -> str:
    """The text, its numbers not parted from their %."""
    return re.sub(r"(?<=\d) %", "\u00a0%", text)


def _picture(some: Kept, name: str, caption: str) -> Markup:
    data = base64.b64encode((some.folder / "pictures" / f"{name}.png").read_bytes()).decode()
    # What it shows is in the caption beneath, which readers of screens read too.
    image = tag(
        "img", src=f"data:image/png;base64,{data}", alt=f"{name.replace('-', ' ')}: {some.part.title}"
    )
    files = tag("a", "PDF", href=f"{some.part.name}/pictures/{name}.pdf")
    return tag("figure", image, tag("figcaption", tag("p", caption, " (", files, ")")))


def _table(some: Kept, name: str, rows: int) -> Markup:
    import pandas as pd

    frame = pd.read_csv(
        some.folder / "tables" / f"{name}.csv", keep_default_na=False, na_values=[""], nrows=MOST_ROWS
    )
    numeric = [pd.api.types.is_numeric_dtype(frame[column]) for column in frame.columns]
    kinds = ["number" if is_number else None for is_number in numeric]
    heads = [
        tag("th", str(column).replace("_", " "), scope="col", class_=kind)
        for column, kind in zip(frame.columns, kinds, strict=True)
    ]
    body = [
        tag("tr", [_cell(shown(value), kind) for value, kind in zip(row, kinds, strict=True)])
        for row in frame.itertuples(index=False, name=None)
    ]
    file = f"{some.part.name}/tables/{name}.csv"
    more = f"The first {MOST_ROWS} of {rows:,} rows; all are in " if rows > MOST_ROWS else "As a file: "
    return tag(
        "details",
        tag("summary", f"Table: {name.replace('-', ' ')} ({rows:,} row{'s' * (rows != 1)})"),
        tag("p", more, tag("a", file, href=file), class_="note"),
        tag(
            "div",
            tag("table", tag("thead", tag("tr", heads)), tag("tbody", body)),
            class_="scroll",
            tabindex="0",
            role="region",
            aria_label=f"Table {name}",
        ),
    )


def _cell(text: str, kind: str | None) -> Markup:
    """Short words stay on one line."""
    return tag("td", text, class_=kind or ("short" if len(text) <= SHORT else None))


def shown(value) -> str:
    """A value of a table as the page has it: numbers to four digits, nothing as a dash."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, float):
        if math.isnan(value):
            return "–"
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        if value == int(value) and abs(value) < 1e15:
            return f"{int(value):,}"
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
