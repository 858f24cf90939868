"""The command line. Only here are words mapped to objects, files opened on a user's behalf and text printed.

JAX takes seconds to load, so this module and the option parser know nothing of it; a command imports what
it needs when it runs.
"""

import sys

from cmapjax._cli._app import app

BAD_INPUT = 2


def main() -> None:
    """Run the command line: exit 0 done, 1 not reached what was asked, 2 bad input."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without Unicode shows ? rather than a traceback
            stream.reconfigure(errors="replace")
    try:
        app()
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        sys.exit(0)
    except (ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except OSError as error:
        print(f"error: {error.filename or 'file'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
