"""The page of a study: one self-contained HTML file with figures, charts and tables."""

from cmapjax.report._page import write

__all__ = ["write"]
