"""A bar for those who wait at a terminal, and silence everywhere else."""

import os
import subprocess
import sys

import pytest

from tests.processes import environment

pty = pytest.importorskip("pty", reason="pseudo-terminals are a thing of Unix")

START = (
    "import sys, threading, time\nfrom cmapjax.runtime import _progress\n"
    "from cmapjax.runtime._progress import progress\n"
)
# Patience is cut, so that the test need not wait; what is drawn is the same.
SOON = START + "_progress.PATIENCE = 0.3\n"
LONG = "with progress(10) as bar:\n    for _ in range(10):\n        time.sleep(0.1); bar.advance()\n"
SAID = "print('rich' in sys.modules, threading.active_count())\n"


def at_terminal(code: str) -> tuple[str, str]:
    """What a program prints, and what it writes to a terminal as standard error."""
    ours, theirs = pty.openpty()
    variables = environment(TERM="xterm", COLUMNS="100")
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=theirs, env=variables) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += (more := os.read(ours, 4096))
            except OSError:  # how Linux says that the other end is closed
                break
            if not more:
                break
        printed = process.stdout.read().decode()
        assert process.wait() == 0, seen.decode()
    os.close(ours)
    return printed, seen.decode()


def test_a_long_run_at_a_terminal_shows_how_far_it_is_and_leaves_nothing_behind():
    printed, seen = at_terminal(SOON + LONG + SAID)
    assert printed == "True 1\n"
    assert "rounds" in seen
    assert "━" in seen
    assert "compiling" not in seen
    assert seen.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))  # the line is erased, the cursor shown again


@pytest.mark.parametrize(
    "code",
    [
        START + LONG,
        SOON + LONG.replace("progress(10)", "progress(10, show=False)"),
        SOON + f"def play():\n    {LONG.replace(chr(10), chr(10) + '    ')}\n"
        "thread = threading.Thread(target=play)\nthread.start(); thread.join()\n",
    ],
    ids=["short run", "not wanted", "another thread"],
)
def test_nothing_is_imported_or_written_where_nobody_waits_long(code):
    assert at_terminal(code + SAID) == ("False 1\n", "")


def test_nothing_is_written_into_files_and_pipes():
    done = subprocess.run(
        [sys.executable, "-c", SOON + LONG.replace("progress(10)", "progress(10, show=True)") + SAID],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("False 1\n", "")


def test_child_processes_are_silent():
    code = (
        SOON
        + "def play():\n    "
        + LONG.replace("\n", "\n    ")
        + "\nif __name__ == '__main__':\n    import multiprocessing\n"
        "    child = multiprocessing.get_context('fork').Process(target=play)\n"
        "    child.start(); child.join(); assert child.exitcode == 0\n"
    )
    assert at_terminal(code)[1] == ""


def test_it_says_that_something_is_being_compiled():
    # JAX's own reports: of steps that begin and end, as while it compiles.
    events = SOON + (
        "import jax\n"
        "with progress(10) as bar:\n"
        "    for step in ('trace', 'lower', 'compile'):\n"
        "        with jax._src.dispatch.log_elapsed_time('{fun_name} {elapsed_time}', fun_name='f',\n"
        "                event=f'/jax/core/compile/{step}'):\n"
        "            time.sleep(0.6)\n"
        "    bar.advance(5)\n"
        "    time.sleep(1.2)\n"
        "    print(_progress._is_compiling())\n"
    )
    printed, seen = at_terminal(events)
    assert printed == "False\n"
    assert "compiling…" in seen
    assert seen.rindex("compiling…") < seen.rindex("rounds")


def test_jax_reports_when_it_begins_and_ends_to_compile():
    code = START + (
        "import jax\n"
        "_progress._listen()\n"
        "seen = []\n"
        "def look(x):\n"
        "    seen.append(_progress._Compiling.depth)\n"
        "    return x + 1\n"
        "jax.jit(look)(1.0)\n"
        "print(seen[0] > 0, _progress._Compiling.depth)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "True 0\n"


def test_errors_pass_and_the_bar_is_gone():
    code = SOON + "try:\n    with progress(10):\n        time.sleep(0.6)\n        raise ValueError('x')\n"
    printed, seen = at_terminal(
        code + "except ValueError as error:\n    print(error, threading.active_count())\n"
    )
    assert printed == "x 1\n"
    assert "rounds" in seen
