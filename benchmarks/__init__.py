"""Races against rivals: `python -m benchmarks` runs them all; each is a module with `results(quick)`."""
