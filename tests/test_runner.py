"""Running a study: what is played, by whom, and how a run ends."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import tiny_study
from processes import cluster, environment, with_interrupts

from cmapjax import studies
from cmapjax.studies import _runner
from cmapjax.studies._chunks import Chunk
from cmapjax.studies._runner import _here
from cmapjax.studies._runner._job import TRIES, Job
from cmapjax.studies._runner._outcome import Outcome, Trouble, of_error
from cmapjax.studies._runner._progress import Log, Tally
from cmapjax.studies._runner._stop import Stop

HERE = Path(__file__).parent
NUM_CHUNKS = tiny_study.GROUNDS * tiny_study.MARKETS // tiny_study.SIZE


@pytest.fixture(autouse=True)
def _tiny_chunks(monkeypatch):
    """Chunks of the tiny study need no JAX."""
    monkeypatch.setattr(studies, "chunks", tiny_study.chunks, raising=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The digest of the values of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studies, "chunks", tiny_study.chunks, raising=False)
        assert tiny_study.run(folder).done == NUM_CHUNKS
    return digest(folder)


def digest(folder) -> str:
    return tiny_study.begin(folder)[1].values_digest()


def start(folder, player, *how, interrupts=signal.SIG_DFL, **more) -> subprocess.Popen:
    """A run of the tiny study in a process of its own, which answers to ctrl-C or not."""
    words = [sys.executable, str(HERE / "tiny_study.py"), str(folder), player, *map(str, how)]
    return subprocess.Popen(
        with_interrupts(words, interrupts),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
    )


def wait_for(is_so, seconds=30.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def num_stored(folder) -> int:
    return (
        len(list((Path(folder) / "summary").glob("*.parquet"))) if (Path(folder) / "summary").is_dir() else 0
    )


# -- who plays ----------------------------------------------------------------------------------


def test_a_run_plays_everything_once_and_says_so(tmp_path, undisturbed):
    states = []
    summary = tiny_study.run(tmp_path / "out", progress=states.append)
    assert (summary.done, summary.failed, summary.missing) == (NUM_CHUNKS, {}, 0)
    assert summary.stopped is None
    assert digest(tmp_path / "out") == undisturbed
    assert (states[0].markets_done, states[-1].markets_done, states[-1].markets) == (0, 160, 160)
    assert (states[-1].cells_done, states[-1].cells, states[-1].failures) == (8, 8, 0)
    again = tiny_study.run(tmp_path / "out")
    assert (again.done, again.missing) == (0, 0)
    log = (tmp_path / "out" / "log.txt").read_text()
    assert f"run begins: {NUM_CHUNKS} of {NUM_CHUNKS} chunks are missing" in log
    assert f"run begins: 0 of {NUM_CHUNKS} chunks are missing" in log


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_values(tmp_path, undisturbed, workers):
    summary = tiny_study.run(tmp_path / "out", workers=workers)
    assert (summary.done, summary.failed, summary.missing) == (NUM_CHUNKS, {}, 0)
    assert digest(tmp_path / "out") == undisturbed


def test_a_scheduler_started_by_hand_gives_the_same_values(tmp_path, undisturbed):
    with cluster(tmp_path) as (address, _):
        summary = tiny_study.run(tmp_path / "out", tiny_study.slow, cluster=address)
    assert (summary.done, summary.failed, summary.missing) == (NUM_CHUNKS, {}, 0)
    assert digest(tmp_path / "out") == undisturbed
    # Nobody knew it when the run began: the first worker told, before it played.
    assert tiny_study.begin(tmp_path / "out")[1].manifest["device"].startswith("cpu")


def test_a_worker_of_another_version_is_named_and_refused(tmp_path):
    other = tmp_path / "other" / "cmapjax"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "0.0.9"\n')
    with cluster(tmp_path, workers=1, PYTHONPATH=str(tmp_path / "other")) as (address, _):
        wait_for(lambda: _has_workers(address, 1))
        with pytest.raises(
            _runner.RunnerError, match=r"worker tcp://\S+ has cmapjax 0\.0\.9; this run is of"
        ):
            tiny_study.run(tmp_path / "out", cluster=address)
    assert num_stored(tmp_path / "out") == 0


def _has_workers(file, number) -> bool:
    from distributed import Client

    with Client(scheduler_file=file, set_as_default=False, timeout=10) as client:
        return len(client.scheduler_info(n_workers=-1)["workers"]) >= number


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "--workers is 0"),
        ({"workers": 2, "cluster": "tcp://127.0.0.1:1"}, "give one"),
        ({"time_limit": 0.0}, "--time-limit is 0.0 seconds"),
        ({"worker_memory": 10**9}, "say how many"),
        ({"cluster": "no-such-file.json"}, "no such scheduler file"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        tiny_study.run(tmp_path / "out", **options)


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("cmapjax.studies._runner._workers.CONNECT_SECONDS", 1)
    with pytest.raises(_runner.RunnerError, match=r"no scheduler answers at tcp://127\.0\.0\.1:1 "):
        tiny_study.run(tmp_path / "out", cluster="tcp://127.0.0.1:1")


# -- how a run ends -----------------------------------------------------------------------------


def test_a_second_run_on_the_same_folder_is_refused_and_named(tmp_path):
    first = start(tmp_path / "out", "long")  # while the second loads JAX, too
    wait_for(lambda: num_stored(tmp_path / "out"))
    second = start(tmp_path / "out", "slow")
    _, error = second.communicate(timeout=30)
    assert second.returncode == 1
    assert f"process {first.pid} on" in error
    assert "Traceback" not in error
    first.send_signal(signal.SIGINT)
    out, _ = first.communicate(timeout=30)
    assert (first.returncode, out.split()[-1]) == (1, "interrupted")


@pytest.mark.parametrize(
    ("player", "how", "number"),
    [("long", (), signal.SIGINT), ("stuck", (), signal.SIGTERM), ("stuck", ("workers", 2), signal.SIGINT)],
)
def test_a_signal_ends_the_run_within_ten_seconds_and_resume_completes_it(
    tmp_path, undisturbed, player, how, number
):
    (tmp_path / "marks").mkdir()
    running = start(tmp_path / "out", player, *how, TINY_STUDY_MARKS=str(tmp_path / "marks"))
    wait_for((tmp_path / "marks" / "played").exists)
    running.send_signal(number)
    began = time.monotonic()
    out, error = running.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert (running.returncode, error) == (1, "")
    done, failed, missing, why = out.split()
    assert (int(done) + int(missing), int(failed), why) == (NUM_CHUNKS, 0, "interrupted")
    assert int(done) >= (player == "long")  # what was under way was finished
    assert num_stored(tmp_path / "out") == int(done)
    assert tiny_study.run(tmp_path / "out").done == int(missing)
    assert digest(tmp_path / "out") == undisturbed


def test_a_second_signal_ends_the_run_at_once(tmp_path):
    (tmp_path / "marks").mkdir()
    running = start(tmp_path / "out", "stuck", TINY_STUDY_MARKS=str(tmp_path / "marks"))
    wait_for((tmp_path / "marks" / "played").exists)
    running.send_signal(signal.SIGINT)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, error = running.communicate(timeout=30)
    assert time.monotonic() - began < 2
    assert running.returncode == 130
    assert error == "interrupted: ended at once; resume when you like.\n"


def test_ctrl_c_is_ignored_where_it_was_when_the_run_began(tmp_path, undisturbed):
    """So are programs in the background of a script: they end by SIGTERM, `cancel` or the time limit."""
    (tmp_path / "marks").mkdir()
    marks = str(tmp_path / "marks")
    running = start(tmp_path / "out", "slow", interrupts=signal.SIG_IGN, TINY_STUDY_MARKS=marks)
    wait_for((tmp_path / "marks" / "played").exists)
    for _ in range(2):
        running.send_signal(signal.SIGINT)
    out, error = running.communicate(timeout=30)
    assert (running.returncode, error) == (0, "")
    assert out == f"{NUM_CHUNKS} 0 0 None\n"
    assert digest(tmp_path / "out") == undisturbed


def test_a_time_limit_ends_the_run_in_good_order(tmp_path):
    summary = tiny_study.run(tmp_path / "out", tiny_study.slow, time_limit=0.5)
    assert (summary.stopped, summary.failed) == ("time limit", {})
    assert 1 <= summary.done < NUM_CHUNKS
    assert summary.done + summary.missing == NUM_CHUNKS == summary.missing + num_stored(tmp_path / "out")


def test_threads_play_side_by_side_and_keep_the_same_values(tmp_path, undisturbed):
    began = time.monotonic()
    assert tiny_study.run(tmp_path / "out", tiny_study.slow, threads=10).done == NUM_CHUNKS
    assert time.monotonic() - began < NUM_CHUNKS * 0.05 / 2  # what one thread sleeps, halved
    assert digest(tmp_path / "out") == undisturbed


def test_threads_are_refused_where_they_make_no_sense(tmp_path):
    for options in ({"threads": 0}, {"threads": 2, "workers": 1}):
        with pytest.raises(ValueError, match="threads is"):
            tiny_study.run(tmp_path / "out", **options)


@pytest.mark.parametrize("how", [{}, {"threads": 2}, {"workers": 2}], ids=str)
def test_of_warnings_that_every_chunk_gives_the_first_and_the_widest_are_said(tmp_path, how):
    with warnings.catch_warnings(record=True) as caught, socket.socket() as other:
        with contextlib.suppress(OSError):  # Dask's usual port is taken: by us, or by somebody already
            other.bind(("127.0.0.1", 8787))
            other.listen()
        warnings.simplefilter("default")
        assert tiny_study.run(tmp_path / "out", tiny_study.wide, **how).missing == 0
    first, rest = (str(each.message) for each in caught)
    assert first.startswith("spans ")
    assert rest == f"{NUM_CHUNKS - 1} more such warnings, of other markets; the widest: spans 40000018"
    log = (tmp_path / "out" / "log.txt").read_text()
    assert (log.count("warning: spans"), log.count(f"warning: {rest}")) == (1, 1)


def test_whoever_wants_no_warnings_sees_none(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        assert tiny_study.run(tmp_path / "out", tiny_study.wide).missing == 0
    assert not caught


def test_a_chunk_that_is_the_only_one_is_played_by_all_threads():
    def play(study, chunk, threads):
        if chunk.ground == 2:
            raise ValueError("no such thing")
        return threads

    here = _here.Here(None, play, 3)
    assert here.capacity() == 4
    for ground in (0, 1, 2):
        here.submit(Chunk(ground, 0, 1), ground == 1)
    found = []
    while len(found) < 3:
        found += here.wait(1.0)
    found = {outcome.chunk.ground: outcome for outcome in found}
    assert [found[ground].result for ground in (0, 1)] == [1, 3]
    assert found[2].trouble is Trouble.HOPELESS
    assert here.close(patiently=True)


def test_as_many_threads_as_cores_and_memory_allow(monkeypatch):
    monkeypatch.setattr(_here.os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(_here, "memory_of_process", lambda: 20e9)
    assert _here.num_threads(1e9, "cpu:cpu") == _here.num_threads(1e9, None) == 6
    assert _here.num_threads(3e9, "cpu:cpu") == 2
    assert _here.num_threads(30e9, "cpu:cpu") == 1
    assert _here.num_threads(1e9, "gpu:NVIDIA H200") == 1


def test_another_process_cancels_a_run_and_the_request_does_not_outlive_it(tmp_path):
    threading.Timer(0.7, _runner.cancel, [tmp_path / "out"]).start()
    summary = tiny_study.run(tmp_path / "out", tiny_study.slow)
    assert summary.stopped == "cancelled"
    assert 1 <= summary.done < NUM_CHUNKS
    assert tiny_study.run(tmp_path / "out").missing == 0


def test_signals_are_answered_as_before_once_the_run_is_over(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    tiny_study.run(tmp_path / "out")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_status_of_a_folder_needs_no_jax(tmp_path):
    tiny_study.run(tmp_path / "out", tiny_study.slow, time_limit=0.3)
    code = (
        "import sys\nfrom cmapjax.studies import _runner\n"
        f"found = _runner.status({str(tmp_path / 'out')!r})\n"
        "print(found.markets_done, found.markets, found.is_complete, found.running)\n"
        "sys.exit('jax' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stderr) == (0, "")
    played, *rest = done.stdout.split()
    assert rest == ["160", "False", "None"]
    assert 0 < int(played) < 160


@pytest.mark.parametrize(("width", "markets"), [(0.8, 8), (0.5, None), (1e-6, 20)])
def test_drawing_ends_at_the_same_market_however_chunks_are_cut(tmp_path, width, markets):
    of = tiny_study.study(stop={"interval": {"metric": "gini", "width": width, "least": 4}})
    digests = set()
    for size in (1, 2, 4):
        _, store = tiny_study.begin(tmp_path / f"out-{size}", of)
        summary = _runner.run(of, store, chunk_size=size, play=tiny_study.play)
        assert (summary.failed, summary.missing) == ({}, 0)
        digests.add(store.values_digest())
        found = _runner.status(tmp_path / f"out-{size}")
        assert found.is_complete
        if markets:
            assert found.markets_done == 8 * markets
    assert len(digests) == 1


# -- what is tried again, and what is given up --------------------------------------------------


class Script:
    """A player that answers as told: `answer(chunk, others)` gives trouble or None."""

    note = ""

    def __init__(self, answer, capacity=3):
        self.answer, self.size = answer, capacity
        self.desk, self.attempts = [], []

    def capacity(self):
        return self.size

    def submit(self, chunk, is_only=False):
        self.desk.append(chunk)

    def end_soon(self):
        return []

    def wait(self, seconds):
        if not self.desk:
            return []
        chunk, others = self.desk.pop(0), list(self.desk)
        self.attempts.append(chunk.name)
        answer = self.answer(chunk, others)
        if isinstance(answer, Outcome):
            return [answer]
        return [Outcome(chunk, "result") if answer is None else Outcome(chunk, trouble=answer, reason="why")]


class Memory:
    """A store that keeps names."""

    def __init__(self):
        self.stored, self.failures = [], {}

    def write(self, name, result):
        self.stored.append(name)

    def note_failure(self, name, reason):
        self.failures[name] = reason


def played(tmp_path, answer, chunks, capacity=3):
    """The store and the player after a job over these chunks."""
    store, script = Memory(), Script(answer, capacity)
    of = tiny_study.study()
    job = Job(store, Tally(of, chunks, chunks), Log(tmp_path), lambda state: None)
    with Stop(tmp_path) as stop:
        job.go(chunks, script, stop)
    assert job.failed == store.failures
    return store, script


def test_a_chunk_that_does_not_fit_is_halved_and_others_of_its_kind_with_it(tmp_path):
    chunks = [Chunk(0, 0, 8), Chunk(0, 8, 8), Chunk(1, 0, 8)]

    def answer(chunk, others):
        return Trouble.MEMORY if chunk.ground == 0 and chunk.count > 2 else None

    store, script = played(tmp_path, answer, chunks, capacity=1)
    fours = [Chunk(0, first, 2).name for first in range(0, 16, 2)]
    assert sorted(store.stored) == sorted([*fours, Chunk(1, 0, 8).name])
    assert not store.failures
    assert len(script.attempts) == len(store.stored) + 2  # 8 and 4 markets were tried once each


def test_single_markets_that_do_not_fit_are_given_up_without_trying_all(tmp_path):
    chunks = [Chunk(0, 0, 64), Chunk(1, 0, 4)]
    answer = lambda chunk, others: Trouble.MEMORY if chunk.ground == 0 else None  # noqa: E731
    store, script = played(tmp_path, answer, chunks)
    assert store.stored == [Chunk(1, 0, 4).name]
    given_up = sum(int(name[-6:]) for name in store.failures)
    assert given_up == 64
    assert len(script.attempts) < 30  # of 127 halves and singles


def test_an_error_is_tried_three_times_and_a_wrong_value_once(tmp_path):
    chunks = [Chunk(0, 0, 2), Chunk(1, 0, 2), Chunk(2, 0, 2)]
    errors = {0: OSError("a disk is away"), 1: ValueError("no such thing")}

    def answer(chunk, others):
        return of_error(chunk, errors[chunk.ground]) if chunk.ground in errors else None

    store, script = played(tmp_path, answer, chunks)
    assert store.stored == [chunks[2].name]
    assert script.attempts.count(chunks[0].name) == TRIES
    assert script.attempts.count(chunks[1].name) == 1
    assert store.failures[chunks[0].name] == "OSError: a disk is away; tried 3 times"
    assert store.failures[chunks[1].name] == "ValueError: no such thing"


def test_chunks_that_die_beside_a_poisonous_one_are_not_given_up(tmp_path):
    chunks = [Chunk(ground, first, 2) for ground in range(3) for first in range(0, 6, 2)]
    poisonous = chunks[4]

    def answer(chunk, others):  # whoever is there while the poison is dies as well
        return Trouble.DIED if poisonous in (chunk, *others) else None

    store, script = played(tmp_path, answer, chunks)
    assert sorted(store.stored) == sorted(chunk.name for chunk in chunks if chunk != poisonous)
    assert list(store.failures) == [poisonous.name]
    assert script.attempts.count(poisonous.name) == TRIES
    assert "it cost 3 workers" in store.failures[poisonous.name]


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 10 bytes"), MemoryError("no")],
)
def test_errors_of_memory_are_known_by_their_words(error):
    assert of_error(Chunk(0, 0, 1), error).trouble is Trouble.MEMORY
