"""Compiling for a GPU on a machine that has none, and counting what the compiled programs launch."""
