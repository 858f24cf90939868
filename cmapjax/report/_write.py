"""From a results folder to its page."""

from pathlib import Path

from cmapjax.graphs._files import check_writable_path, write_bytes
from cmapjax.report._data import ReportData
from cmapjax.report._networks import networks as drawn_again
from cmapjax.report._page import plotly_script, render


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
    page = render(data, folder.resolve().name, *drawn_again(data, networks))
    write_bytes(path, page.encode("utf-8", "replace"))
    return path
