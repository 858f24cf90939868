"""JAX as the package needs it: settings, precision, compiled programs and their cache, the progress bar."""
