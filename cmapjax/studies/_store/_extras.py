"""Libraries that only some uses need, imported where they are used."""

import importlib


def needed(module: str, purpose: str):
    """The module, which belongs to the extra `study`.

    Raises:
        ImportError: it is not installed; says what is.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{purpose} needs {module} (pip install 'cmapjax[study]').") from error
