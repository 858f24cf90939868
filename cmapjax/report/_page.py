"""From a results folder to its page: one HTML file that needs nothing else and can load nothing."""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from cmapjax.graphs._files import check_writable_path, write_bytes
from cmapjax.report import _bands, _networks, _sections, _spread, _tiles
from cmapjax.report._data import ReportData
from cmapjax.report._plotly import COLOURS, DARK, STROKES
from cmapjax.report._view import View, view_of

EXTRA = "pip install 'cmapjax[study]'"
# A chart's place, heading, what it shows, and what stands there if there is none.
CHARTS = {
    "bands": (
        "Convergence",
        "Over time, per strategy: the line is the median market, the dark band half of all markets, the "
        "light band 90 % of them.",
        "No curves were recorded.",
    ),
    "welfare": (
        "Welfare at the end",
        "How markets are spread over values of one measure.",
        "Nothing of the kind was recorded.",
    ),
    "loss": (
        "Loss at the end",
        "Likewise of a loss, on a logarithmic axis; lower is better.",
        "Nothing of the kind was recorded.",
    ),
    "verdicts": ("What became of the markets", "The share of markets that came to each verdict.", ""),
    "heat": (
        "Two axes",
        "A number per combination of two axes; it stands in its tile.",
        "The study has fewer than two axes, or too many combinations of them for a picture.",
    ),
    "network": (
        "One market",
        "A market drawn again from the study's seed, as it stood at the end. Colour: value received per "
        "value contributed. Area: contribution. Width of a link: value that flows on it, both ways together. "
        "A cross: an agent that has nothing.",
        "No market was drawn again.",
    ),
}


def write(folder, path=None, *, networks: int = 3) -> Path:
    """Write the page of a results folder, and say where it is.

    The page opens offline from disk: scripts and numbers are inside, and its own policy forbids it to load
    anything.

    Args:
        folder: results of a study, finished or not; nothing in it but the page is changed.
        path: of the page; by default `report.html` in the folder.
        networks: how many markets are drawn and played again for the network view; 0 leaves it out.

    Returns:
        Where the page is.

    Raises:
        ValueError: no results folder, a damaged one, or no place for the page.
        ImportError: Plotly is not installed.
    """
    from cmapjax import open_study

    folder = Path(folder)
    results = open_study(folder)
    path = check_writable_path(folder / "report.html" if path is None else path)
    plotly_script()  # before any work
    data = ReportData.from_results(results)
    page = render(data, folder.resolve().name, *_networks.networks(data, networks))
    write_bytes(path, page.encode("utf-8", "replace"))
    return path


def render(
    data: ReportData, folder_name: str, drawn: Sequence[_networks.Drawn] = (), notes: Sequence[str] = ()
) -> str:
    """The whole page as text.

    Args:
        data: of the study.
        folder_name: of its results, for the commands that make them again.
        drawn: markets drawn again.
        notes: why others were not.

    Returns:
        HTML.

    Raises:
        ImportError: Plotly or Jinja is not installed; names the extra.
    """
    plotly, templates = plotly_script(), _templates()
    heard: list[str] = []
    view = view_of(data, heard) if data.played else None
    charts = _figures(view, list(drawn)) if view else {}
    packed = {
        "charts": {name: {"parts": chart.get("parts")} for name, chart in charts.items() if chart},
        "heat": charts.get("heat"),
        "conditions": [*view.conditions] if view else [],
        "dark": DARK,
    }
    script = (Path(__file__).parent / "page.js").read_text(encoding="utf-8")
    return templates.get_template("page.html").render(
        **_sections.words(data, heard, folder_name),
        charts=[(name, *words, charts.get(name)) for name, words in CHARTS.items()],
        filters=[(axis.name, list(enumerate(axis.levels))) for axis in view.axes] if view else [],
        plays=data.plays,
        colours=COLOURS,
        dark=DARK,
        strokes=STROKES,
        notes=[*heard, *notes],
        packed={"data": _packed(json.dumps(packed, allow_nan=False)), "plotly": _packed(plotly)},
        script=script,
        hashes=[_hash(plotly), _hash(script)],
    )


def _figures(view: View, drawn: list) -> dict:
    """Of every chart what the page's script draws; None for those that there are no numbers for."""
    return {
        "bands": _bands.bands(view),
        "welfare": _spread.distribution(view, is_loss=False),
        "loss": _spread.distribution(view, is_loss=True),
        "verdicts": _spread.verdicts(view),
        "heat": _tiles.tiles(view),
        "network": _networks.chart(drawn, view.data.plays),
    }


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


def _templates():
    try:
        import jinja2
    except ImportError:
        raise ImportError(f"the report page needs Jinja; install it: {EXTRA}") from None
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment


def _packed(text: str) -> str:
    """Text compressed, in letters that end no element."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _hash(script: str) -> str:
    """By which the page's policy allows a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
