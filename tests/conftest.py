"""Shared by all tests: shapes and types of the package's functions are checked while tests run."""

from jaxtyping import install_import_hook

install_import_hook("cmapjax", "beartype.beartype")
