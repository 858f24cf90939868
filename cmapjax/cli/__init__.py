"""The command line. Only here are words mapped to objects, files opened on a user's behalf and text printed.

JAX takes seconds to load, so this module and the option parser know nothing of it; a command imports what
it needs when it runs.
"""

import errno
import os
import sys
import warnings

from cmapjax.cli._app import app

NOT_REACHED = 1
BAD_INPUT = 2
INTERRUPTED = 130
# Errors of files that other words on the command line would not have avoided.
DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
# The library names its arguments in what it says; here they are options. (Those of a file: `FileOptions`.)
OPTIONS = {
    "isolated=Drop()": "--isolated drop",
    "isolated=Redraw()": "--isolated redraw",
    "precision float64": "--precision float64",
    "compilation_cache: ": "",
    "name another folder, or say 'off'": "name another folder with --compilation-cache DIR, or say off",
    "pass a larger memory_budget": "pass a larger --memory-budget",
}


def main() -> None:
    """Run the command line: exit 0 done, 1 not reached what was asked, 2 bad input, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without Unicode shows ? rather than a traceback
            stream.reconfigure(errors="replace")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _tell("warning", message)
        try:
            app()
        except (ValueError, ImportError) as error:
            _fail(error, BAD_INPUT)
        except OSError as error:
            where = "output" if error.filename is None else error.filename
            _fail(
                f"{where}: {error.strerror or error}",
                NOT_REACHED if error.errno in DISK_TROUBLE else BAD_INPUT,
            )
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
                raise  # a fault of ours, with its traceback
            _fail("this needs more memory than there is; take fewer agents or markets.", NOT_REACHED)
        except SystemExit as stop:
            _leave(stop)


def _leave(stop: SystemExit) -> None:
    """End as the option parser wants, but for what it makes of an interruption and of a broken pipe."""
    if stop.code == INTERRUPTED:
        _tell("interrupted", "ended before it was done.")
        os._exit(INTERRUPTED)  # compiled code may still be running in another thread; do not wait for it
    if isinstance(stop.__context__, BrokenPipeError):  # whoever read the help has seen enough
        sys.exit(0)
    raise stop


def _tell(kind: str, message) -> None:
    """One line to the user, whatever a file or a name holds."""
    text = " ".join(str(message).splitlines())
    for argument, option in OPTIONS.items():
        text = text.replace(argument, option)
    # Another's text must not be able to steer the terminal.
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    print(f"{kind}: {text}", file=sys.stderr, flush=True)


def _fail(message, code: int) -> None:
    _tell("error", message)
    sys.exit(code)
