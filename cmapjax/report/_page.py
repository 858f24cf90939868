"""The page: one HTML file that needs nothing else and can load nothing."""

from pathlib import Path

from cmapjax.report._charts import document
from cmapjax.report._data import ReportData
from cmapjax.report._markup import Markup, data_script, page_head, script, tag
from cmapjax.report._sections import cell_table, key_figures, reproduce, status, trouble, what_was_run

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = ("base.js", "tables.js", "charts.js", "heat.js", "network.js", "start.js")
EXTRA = "pip install 'cmapjax[study]'"
# A chart's place, heading, and what it shows.
CHARTS = {
    "bands": (
        "Convergence",
        "Over time, per strategy: the line is the median market, the dark band half of all markets, the "
        "light band 90 % of them.",
    ),
    "welfare": ("Welfare at the end", "How markets are spread over values of one measure."),
    "loss": ("Loss at the end", "Likewise of a loss, on a logarithmic axis; lower is better."),
    "verdicts": ("What became of the markets", "The share of markets that came to each verdict."),
    "heat": ("Two axes", "A number per combination of two axes; it stands in its tile."),
    "network": (
        "One market",
        "A market drawn again from the study's seed, as it stood at the end. Colour: value received per "
        "value contributed. Area: contribution. Width of a link: value that flows on it, both ways together. "
        "A cross: an agent that has nothing.",
    ),
}


def render(data: ReportData, folder_name: str) -> str:
    """The whole page as text."""
    charts = document(data)
    plotly, plotly_hash = script(plotly_script())
    ours, our_hash = script("\n".join((ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS))
    policy = (
        f"default-src 'none'; script-src {plotly_hash} {our_hash}; style-src 'unsafe-inline'; "
        "img-src data: blob:; connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
    style = (ASSETS / "page.css").read_text(encoding="utf-8")
    head = page_head(f"{data.name} · cmapjax study", policy, style)
    body = tag(
        "body",
        _header(data),
        tag("main", _sections(data, charts, folder_name)),
        tag("footer", "Made by cmapjax. The page holds all that it shows and loads nothing."),
        data_script("data", charts),
        plotly,
        ours,
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def plotly_script() -> str:
    """plotly.js as the installed package brings it.

    Raises:
        ImportError: Plotly is not installed; names the extra.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise ImportError(f"the report page needs Plotly; install it: {EXTRA}") from None
    return get_plotlyjs()


def _header(data: ReportData) -> Markup:
    links = ("what", "What was run"), ("figures", "Key figures"), ("charts", "Charts"), ("cells", "Cells")
    links += (("trouble", "Trouble"), ("reproduce", "Reproduce"))
    return tag(
        "header",
        tag("p", "cmapjax study", class_="kind"),
        tag("h1", data.name),
        tag("nav", [tag("a", words, href=f"#{place}") for place, words in links], aria_label="Sections"),
    )


def _sections(data: ReportData, charts: dict, folder_name: str) -> list[Markup]:
    return [
        status(data),
        tag("section", tag("h2", "What was run"), what_was_run(data), id="what"),
        tag("section", tag("h2", "Key figures"), key_figures(data), id="figures"),
        _charts(data, charts["notes"]),
        tag("section", tag("h2", "Cells"), cell_table(data), id="cells"),
        tag("section", tag("h2", "Trouble"), trouble(data), id="trouble"),
        tag("section", tag("h2", "Reproduce"), reproduce(data, folder_name), id="reproduce"),
    ]


def _charts(data: ReportData, notes: list[str]) -> Markup:
    if not data.played:
        return tag("section", tag("h2", "Charts"), tag("p", "No market has been played yet."), id="charts")
    return tag(
        "section",
        tag("h2", "Charts"),
        tag(
            "noscript", tag("p", "Charts and sorting need scripts; tables and numbers are here all the same.")
        ),
        [tag("p", note, class_="note") for note in (*notes, *data.notes)],
        tag(
            "form",
            tag("div", id="conditions", class_="controls"),
            tag("fieldset", tag("legend", "Strategies"), id="plays"),
            id="filter",
            aria_label="What the charts show",
        ),
        tag("div", [_chart(name, *words) for name, words in CHARTS.items()], class_="charts"),
        id="charts",
    )


def _chart(name: str, heading: str, text: str) -> Markup:
    return tag(
        "figure",
        tag("figcaption", tag("h3", heading), tag("p", text)),
        tag("div", id=f"{name}-controls", class_="controls"),
        tag("div", id=f"{name}-chart", class_="chart", role="img", aria_label=heading),
        tag("p", id=f"{name}-note", class_="note", aria_live="polite"),
        tag("div", id=f"{name}-table", class_="scroll"),
        id=name,
    )
