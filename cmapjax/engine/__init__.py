"""From one round to the next: a round, a run, what is recorded of it, and what is said of it at the end."""
