"""How the package uses JAX: settings, precision, compiled programs and their cache; the progress bar."""
