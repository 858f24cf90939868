"""What callers hand in: checks of values, vectors that bring the agents' names, where agents came from."""
