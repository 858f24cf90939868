"""The command line within the test's process: neither Python nor JAX is started anew."""

import contextlib
import io
import subprocess
import sys

import pytest

from cmapjax.cli import main


def cmapjax(*words, folder=".") -> subprocess.CompletedProcess:
    """`cmapjax …` typed in a folder: how it ended and what it printed, as of a process."""
    out, err = io.StringIO(), io.StringIO()
    words = ["cmapjax", *map(str, words)]
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.chdir(folder)
        patch.setattr(sys, "argv", words)
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def typed(folder):
    """A function that types `cmapjax …` in a folder: exit code, what was printed, errors."""

    def run(*words) -> tuple[int, str, str]:
        done = cmapjax(*words, folder=folder)
        return done.returncode, done.stdout, done.stderr

    return run
