"""Races against rivals, each a module: `python -m benchmarks.rounds`."""
