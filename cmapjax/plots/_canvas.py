"""What all pictures use: figures without pyplot, colours, literal text, files."""

import contextlib
import io

from cmapjax.arguments._checks import short
from cmapjax.graphs._files import check_writable_path, write_bytes

# Okabe and Ito's palette, which people with any colour vision can distinguish; line styles differ too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

EXACT_SIZE = "exact size"  # mark of a figure whose margins are not to be cut


def new_figure(width: float, height: float):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=150)


@contextlib.contextmanager
def small_text():
    """Draws text within the block in the size of figures in papers."""
    import matplotlib as mpl

    thin = {"axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "hatch.linewidth": 0.5}
    with mpl.rc_context({"font.size": 7, "axes.labelsize": 7, "legend.fontsize": 6.5, **thin}):
        yield


def save(figure, path) -> None:
    """Write a figure as PNG, PDF or SVG, by the ending of the path, with fonts embedded.

    Margins are cut, except those of charts of a study, which keep their width of a column. Equal figures give
    equal files, without dates and random names.

    Args:
        figure: a Matplotlib figure.
        path: the file, ending in .png, .pdf or .svg; one that is there is replaced.

    Raises:
        ValueError: another ending; a folder that does not exist.
    """
    import matplotlib as mpl

    path = check_writable_path(path)
    dates = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    ending = path.suffix.lower()
    if ending not in dates:
        raise ValueError(f"path is {short(str(path))}; end it in .png, .pdf or .svg.")
    content = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "cmapjax"}):
        margins = None if figure.get_gid() == EXACT_SIZE else "tight"
        figure.savefig(content, format=ending[1:], bbox_inches=margins, metadata=dates[ending])
    write_bytes(path, content.getvalue())


def plain(text) -> str:
    """Text to be drawn literally: a dollar starts no formula, and a leading underscore hides no label."""
    text = str(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
