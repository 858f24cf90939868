"""The generator of random numbers behind every seed, by JAX's name for it. Results record it."""

GENERATOR = "threefry2x32"
