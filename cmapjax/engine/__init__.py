"""A round, a run, what is recorded of it, and the verdict at its end."""
