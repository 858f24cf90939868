"""Studies: a table of cells, each a strategy on many markets, described once and played in chunks.

A *cell* is one combination of all axes; cells that differ only in what is played share a *ground*, and so
the same markets; a *chunk* is some markets of a ground, played under all its cells. Market p of ground g
is drawn from fold_in(fold_in(key(seed), g), p), however chunks are cut; what it comes to depends on that by
rounding alone.
"""

import importlib

_HOMES = {
    "_axes": ("Factor",),
    "_build": ("draw",),
    "_cells": ("Cell", "CellWords", "Ground"),
    "_chunks": ("Chunk", "blocks", "chunks", "due", "is_known_well"),
    "_description": ("Study", "parse_study", "read_study", "starter"),
    "_estimate": ("Estimate", "chunk_bytes", "estimate"),
    "_interval": ("MeanInterval", "mean_interval", "mean_intervals"),
    "_play": ("ChunkResult", "play_chunk", "replay"),
    "_schema": ("SCHEMA_VERSION", "curves_schema", "summary_schema"),
    "_sketch": ("buckets", "values_of"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"cmapjax.studies.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'cmapjax.studies' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
