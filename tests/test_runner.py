"""Running a study: what is played, what is tried again and given up, and how a run ends."""

import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import Future
from pathlib import Path

import commands
import pytest
import tiny_study
from processes import environment, with_interrupts
from tiny_study import NUM_CHUNKS, files

from cmapjax.studies import run
from cmapjax.studies._chunks import Chunk
from cmapjax.studies.results import Busy, Results, ResultsError
from cmapjax.studies.run import _pool
from cmapjax.studies.run._loop import TRIES, Loop, Rest
from cmapjax.studies.run._pool import Kind, Trouble, of_error
from cmapjax.studies.run._progress import Log, Tally
from cmapjax.studies.run._stop import Stop

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The files of a run that nothing happened to; each is named after its content."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    assert tiny_study.run(folder).done == NUM_CHUNKS
    return files(folder)


def start(folder, player, *how, interrupts=signal.SIG_DFL, **more) -> subprocess.Popen:
    """A run of the tiny study in a process of its own, which answers to ctrl-C or not."""
    words = [sys.executable, str(HERE / "tiny_study.py"), str(folder), player, *map(str, how)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(with_interrupts(words, interrupts), env=environment(**more), **pipes)


def wait_for(is_so, seconds=60.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


# -- in this process ----------------------------------------------------------------------------


def test_a_run_plays_everything_once_and_says_so(tmp_path, undisturbed):
    states = []
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    summary = tiny_study.run(tmp_path / "out", progress=states.append)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert (summary.done, summary.failed, summary.missing, summary.stopped) == (NUM_CHUNKS, {}, 0, None)
    assert files(tmp_path / "out") == undisturbed
    assert (states[0].markets_done, states[-1].markets_done, states[-1].markets) == (0, 160, 160)
    assert (states[-1].cells_done, states[-1].cells, states[-1].failures) == (8, 8, 0)
    assert f"{NUM_CHUNKS} of {NUM_CHUNKS} chunks are missing" in (tmp_path / "out" / "log.txt").read_text()
    again = tiny_study.run(tmp_path / "out")
    assert (again.done, again.missing) == (0, 0)
    (noted,) = Results(tmp_path / "out").runs
    assert (noted["done"], noted["rows"], noted["failed"], noted["halved"]) == (NUM_CHUNKS, 160, {}, [])
    assert noted["timings"]["seconds"] == pytest.approx(0.01 * NUM_CHUNKS)


def test_threads_play_side_by_side_and_keep_the_same_values(tmp_path, undisturbed):
    both = threading.Barrier(2)

    def play(study, chunk):
        both.wait(timeout=30)  # until another chunk is being played
        return tiny_study.play(study, chunk)

    summary = tiny_study.run(tmp_path / "out", play, threads=2)
    assert (summary.done, summary.failed) == (NUM_CHUNKS, {})
    assert files(tmp_path / "out") == undisturbed


def test_what_is_missing_alone_is_played_again(tmp_path, undisturbed):
    tiny_study.run(tmp_path / "out")
    for file in sorted((tmp_path / "out" / "summary").iterdir())[::7]:
        file.unlink()
    assert tiny_study.run(tmp_path / "out").done == 6
    assert files(tmp_path / "out") == undisturbed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "--workers is 0"),
        ({"workers": 2, "cluster": "tcp://127.0.0.1:1"}, "give one"),
        ({"time_limit": 0.0}, "--time-limit is 0.0"),
        ({"worker_memory": 10**9}, "say how many"),
        ({"cluster": "no-such-file.json"}, "no such scheduler file"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": 2, "workers": 1}, "threads is 2"),
        ({"chunk_size": 0}, "--chunk-size is 0"),
    ],
)
def test_options_that_make_no_sense_are_refused_and_leave_nothing(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        tiny_study.run(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_size_of_chunks_belongs_to_the_study(tmp_path):
    assert tiny_study.run(tmp_path / "out", chunk_size=4, time_limit=1e-9).missing == NUM_CHUNKS / 2
    assert tiny_study.run(tmp_path / "out", chunk_size=4).done == NUM_CHUNKS / 2
    first = next(iter(Results(tmp_path / "out").chunks.values()))
    first.unlink()
    with pytest.raises(ResultsError, match=r"--chunk-size is 2, but .* chunks of up to 4 markets"):
        tiny_study.run(tmp_path / "out", chunk_size=2)
    assert tiny_study.run(tmp_path / "out").done == 1  # the plan is what the folder says
    assert first.is_file()


def test_a_time_limit_ends_the_run_in_good_order(tmp_path):
    summary = tiny_study.run(tmp_path / "out", tiny_study.slow, time_limit=0.5)
    assert (summary.stopped, summary.failed) == ("time limit", {})
    assert 1 <= summary.done < NUM_CHUNKS
    assert summary.done + summary.missing == NUM_CHUNKS == summary.missing + len(files(tmp_path / "out"))


def test_a_request_to_cancel_ends_the_run_and_does_not_outlive_it(tmp_path):
    threading.Timer(0.7, run.cancel, [tmp_path / "out"]).start()
    summary = tiny_study.run(tmp_path / "out", tiny_study.slow)
    assert summary.stopped == "cancelled"
    assert 1 <= summary.done < NUM_CHUNKS
    assert tiny_study.run(tmp_path / "out").missing == 0


def test_a_run_that_is_refused_leaves_a_request_to_whom_it_is_for(tmp_path):
    tiny_study.run(tmp_path / "out", time_limit=1e-9)
    assert tiny_study.run(tmp_path / "out", tiny_study.slow, time_limit=0.2).missing
    with Results(tmp_path / "out").announce():
        run.cancel(tmp_path / "out")
        with pytest.raises(Busy):
            tiny_study.run(tmp_path / "out")
        assert (tmp_path / "out" / "cancel").exists()


@pytest.mark.parametrize("action", ["default", "ignore"])
def test_of_warnings_that_every_chunk_gives_the_first_and_the_widest_are_said(tmp_path, action):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        assert tiny_study.run(tmp_path / "out", tiny_study.wide, threads=2).missing == 0
    if action == "ignore":
        assert not caught
        return
    first, rest = (str(each.message) for each in caught)
    assert first.startswith("spans ")
    assert rest == f"{NUM_CHUNKS - 1} more such warnings, of other markets; the widest: spans 40000018"
    log = (tmp_path / "out" / "log.txt").read_text()
    assert (log.count("warning: spans"), log.count(f"warning: {rest}")) == (1, 1)


def test_a_chunk_that_is_the_only_one_is_played_by_all_threads():
    with _pool.Threads(lambda chunk, threads: threads, 3) as pool:
        assert pool.capacity() == 4
        found = [pool.submit(Chunk(0, 0, 1), is_only).result() for is_only in (False, True)]
    assert found == [1, 3]


def test_as_many_threads_as_cores_and_memory_allow(monkeypatch):
    monkeypatch.setattr(_pool.os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(_pool, "memory_of_process", lambda: 20e9)
    assert _pool.num_threads(1e9, "cpu:cpu") == 6
    assert _pool.num_threads(3e9, "cpu:cpu") == 2
    assert _pool.num_threads(30e9, "cpu:cpu") == 1
    assert _pool.num_threads(1e9, "gpu:NVIDIA H200") == 1


@pytest.mark.parametrize(("width", "markets"), [(0.8, 8), (0.5, None), (1e-6, 20)])
def test_drawing_ends_at_the_same_market_however_chunks_are_cut(tmp_path, width, markets):
    of = tiny_study.study(stop={"interval": {"metric": "gini", "width": width, "least": 4}})
    drawn = set()
    for size in (1, 4):
        summary = tiny_study.run(tmp_path / f"out-{size}", of=of, chunk_size=size)
        assert (summary.failed, summary.missing) == ({}, 0)
        found = run.status(tmp_path / f"out-{size}")
        assert found.is_complete
        assert markets is None or found.markets_done == 8 * markets
        drawn.add(found.markets_done)
    assert len(drawn) == 1


# -- how a run ends -----------------------------------------------------------------------------


def test_a_run_is_watched_refused_a_second_runner_and_cancelled_from_another_process(tmp_path, undisturbed):
    folder = tmp_path / "out"
    running = start(folder, "slow")
    wait_for(lambda: files(folder))
    found = run.status(folder)
    assert f"process {running.pid} on" in found.running
    assert 0 < found.markets_done < 160
    assert found.rate > 0
    assert found.remaining > 0
    with pytest.raises(Busy, match=f"process {running.pid} on"):
        tiny_study.run(folder)
    cancelled = commands.cmapjax("study", "cancel", folder)
    assert (cancelled.returncode, cancelled.stderr) == (0, "")
    assert f"process {running.pid} on" in cancelled.stdout
    assert "has ended. Go on with: cmapjax study resume" in cancelled.stdout
    out, error = running.communicate(timeout=30)
    done, failed, missing, why = out.split()
    assert (running.returncode, error, failed, why) == (1, "", "0", "cancelled")
    assert int(done) + int(missing) == NUM_CHUNKS
    assert len(files(folder)) == int(done)
    assert run.status(folder).running is None
    assert tiny_study.run(folder).done == int(missing)
    assert files(folder) == undisturbed


def test_ctrl_c_lets_what_is_under_way_finish(tmp_path):
    (tmp_path / "marks").mkdir()
    running = start(tmp_path / "out", "long", TINY_STUDY_MARKS=str(tmp_path / "marks"))
    wait_for((tmp_path / "marks" / "played").exists)
    running.send_signal(signal.SIGINT)
    out, error = running.communicate(timeout=30)
    done, _, missing, why = out.split()
    assert (running.returncode, error, why) == (1, "", "interrupted")
    # One was done, the next under way, and begun in the seconds that it is given was perhaps another.
    assert 2 <= int(done) == NUM_CHUNKS - int(missing) == len(files(tmp_path / "out"))


@pytest.mark.parametrize("signals", [1, 2])
def test_a_run_that_is_stuck_ends_within_ten_seconds_and_at_once_by_a_second_signal(tmp_path, signals):
    (tmp_path / "marks").mkdir()
    running = start(tmp_path / "out", "stuck", TINY_STUDY_MARKS=str(tmp_path / "marks"))
    wait_for((tmp_path / "marks" / "played").exists)
    began = time.monotonic()
    for _ in range(signals):
        running.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    out, error = running.communicate(timeout=30)
    assert time.monotonic() - began < (10 if signals == 1 else 2)
    if signals == 1:
        assert (running.returncode, out, error) == (1, f"0 0 {NUM_CHUNKS} interrupted\n", "")
    else:
        assert running.returncode == 130
        assert error == "interrupted: ended at once; resume when you like.\n"


def test_ctrl_c_is_ignored_where_it_was_when_the_run_began():
    """So are programs in the background of a script: they end by SIGTERM, `cancel` or the time limit."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stop() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.reason() is None
            signal.raise_signal(signal.SIGTERM)
            assert stop.reason() == "interrupted"
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_status_of_a_folder_needs_no_jax(tmp_path):
    tiny_study.run(tmp_path / "out")
    for file in sorted((tmp_path / "out" / "summary").iterdir())[::4]:
        file.unlink()
    code = (
        "import sys\nfrom cmapjax.studies import run\n"
        f"found = run.status({str(tmp_path / 'out')!r})\n"
        "print(found.markets_done, found.markets, found.is_complete, found.running)\n"
        "sys.exit('jax' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["120", "160", "False", "None"]


# -- what is tried again, and what is given up --------------------------------------------------


class Script:
    """A pool that answers as told: `answer(chunk, others)` gives an error, or None."""

    note = ""

    def __init__(self, answer, size):
        self.answer, self.size = answer, size
        self.under_way, self.attempts = {}, []

    def capacity(self):
        return self.size

    def submit(self, chunk, is_only):
        future = Future()
        self.under_way[future] = chunk
        threading.Timer(0.001, self.finish, [future]).start()
        return future

    def finish(self, future):
        chunk = self.under_way[future]
        self.attempts.append(chunk.name)
        answer = self.answer(chunk, [*self.under_way.values()])
        del self.under_way[future]
        if answer is None:
            future.set_result(tiny_study.play(tiny_study.study(), chunk))
        else:
            future.set_exception(answer)

    def trouble(self, error):
        return Trouble(Kind.DIED, "why", *error.args) if isinstance(error, Died) else of_error(error)


class Died(Exception):
    """What became of a scripted attempt: so many workers died."""


def played(tmp_path, answer, chunks, capacity=3):
    """The loop, and the pool, after these chunks were played."""
    of = tiny_study.study()
    results = Results.begin(tmp_path / "out", of.document(), plan=[chunk.name for chunk in chunks])
    rest, script = Rest(of, results), Script(answer, capacity)
    loop = Loop(rest, script, Tally(of, chunks, chunks), Log(tmp_path), lambda state: None)
    with Stop() as stop:
        loop.play(stop)
    failed = {chunk.name: reason for chunk, reason in rest.failed.items()}
    assert sorted(results.chunks) == sorted(chunk.name for chunk in loop.done)
    return loop, failed, script.attempts


def test_a_chunk_that_does_not_fit_is_halved_and_others_of_its_kind_with_it(tmp_path):
    chunks = [Chunk(0, 0, 8), Chunk(0, 8, 8), Chunk(1, 0, 8)]

    def answer(chunk, others):
        full = RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 10 bytes")
        return full if chunk.ground == 0 and chunk.count > 2 else None

    loop, failed, attempts = played(tmp_path, answer, chunks, capacity=1)
    assert not failed
    assert sorted(loop.done) == [*(Chunk(0, first, 2) for first in range(0, 16, 2)), Chunk(1, 0, 8)]
    assert loop.halved == [Chunk(0, 0, 8), Chunk(0, 0, 4)]
    assert len(attempts) == len(loop.done) + 4  # 8 and 4 markets were tried in company and alone


def test_a_chunk_that_does_not_fit_beside_another_is_not_halved(tmp_path):
    chunks = [Chunk(0, 0, 2), Chunk(1, 0, 2), Chunk(2, 0, 2)]

    def answer(chunk, others):
        return MemoryError() if len(others) > 1 else None

    loop, failed, _ = played(tmp_path, answer, chunks)
    assert (failed, sorted(loop.done), loop.halved) == ({}, chunks, [])


def test_single_markets_that_do_not_fit_are_given_up_without_trying_all(tmp_path):
    chunks = [Chunk(0, 0, 16), Chunk(1, 0, 4)]
    answer = lambda chunk, others: MemoryError("no") if chunk.ground == 0 else None  # noqa: E731
    loop, failed, attempts = played(tmp_path, answer, chunks)
    assert loop.done == [Chunk(1, 0, 4)]
    assert sorted(failed) == [Chunk(0, first, 1).name for first in range(16)]
    assert len(attempts) < 32  # of 31 halves and singles, in company and alone
    assert sum("a single market does not fit" in reason for reason in failed.values()) == 2


def test_an_error_is_tried_three_times_and_a_wrong_value_once(tmp_path):
    chunks = [Chunk(0, 0, 2), Chunk(1, 0, 2), Chunk(2, 0, 2)]
    errors = {0: OSError("a disk is away"), 1: ValueError("no such thing")}
    loop, failed, attempts = played(tmp_path, lambda chunk, others: errors.get(chunk.ground), chunks)
    assert loop.done == [chunks[2]]
    assert attempts.count(chunks[0].name) == TRIES
    assert attempts.count(chunks[1].name) == 1
    assert failed[chunks[0].name] == "OSError: a disk is away; tried 3 times"
    assert failed[chunks[1].name] == "ValueError: no such thing"


@pytest.mark.parametrize("deaths", [1, 4])  # four: what Dask allows unless told otherwise
def test_chunks_that_die_beside_a_poisonous_one_are_not_given_up(tmp_path, deaths):
    chunks = [Chunk(ground, first, 2) for ground in range(3) for first in range(0, 6, 2)]
    poisonous = chunks[4]

    def answer(chunk, others):  # whoever is there while the poison is dies as well
        return Died(deaths) if poisonous in others else None

    loop, failed, attempts = played(tmp_path, answer, chunks)
    assert sorted(loop.done) == sorted(set(chunks) - {poisonous})
    tries = TRIES if deaths == 1 else 2
    assert failed == {poisonous.name: f"why; it cost {tries * deaths} workers"}
    assert attempts.count(poisonous.name) == tries


def test_halves_are_the_same_whatever_was_played_before(tmp_path):
    whole, of = Chunk(0, 0, 13), tiny_study.study()
    results = Results.begin(tmp_path / "out", of.document(), plan=[whole.name])
    for part in (Chunk(0, 7, 3), Chunk(0, 2, 2)):  # halves of halves
        results.write(part, summary=tiny_study.play(of, part).summary)
    left = [Chunk(0, 0, 2), Chunk(0, 4, 3), Chunk(0, 10, 3)]
    assert Rest(of, results).missing() == left
