"""Faults of every kind, injected into runs of a study, and what they cost: `scripts/torture`.

A study is run undisturbed once. Then runs of it are killed, their workers and schedulers are killed, files
are altered, the disk is full; each time the run is resumed until it is complete, and its values are compared
with the undisturbed ones. Printed is a table in Markdown. The tests of the runner do the same, less often.
"""

import argparse
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from processes import cluster, environment, with_interrupts

HERE = Path(__file__).parent
STUDY = """\
name = "torture"
seed = 7
markets = 160
rounds = 40
[record]
curves = "quantiles"
every = 10
[cells]
network = "er:n=40,degree=4"
isolated = "redraw"
endowment = "lognormal:sigma={spread}"
[grid]
spread = [0.5, 1.0]
strategy = ["cmap", "pr"]
damping = ["none", "local"]
"""
CHUNK_SIZE = 8
# How often a fault may hit a run while it loads, and after how many further chunks, at most, it does else.
LOADING_SHARE, MOST_BETWEEN = 0.25, 6
END_SECONDS = 600.0


class Row(NamedTuple):
    """One kind of fault: how often it was injected, after how many all was well, and values lost."""

    fault: str
    injected: int
    survived: int
    lost: int
    remark: str = ""


class Subject:
    """A study that is run again and again: by the command line, or (tiny) by players without JAX."""

    def __init__(self, root: Path, is_tiny: bool, seed: int = 0):
        self.root, self.is_tiny = root, is_tiny
        self.rng = random.Random(seed)
        self.folders = 0
        self.file = root / "study.toml"
        self.file.write_text(STUDY)
        self.reference = self.new_folder()
        self.complete(self.reference)
        began = time.monotonic()
        self.complete(self.new_folder())  # with everything compiled, as it will be from now on
        self.seconds = time.monotonic() - began

    def new_folder(self) -> Path:
        """Where a run may begin anew."""
        self.folders += 1
        return self.root / f"run-{self.folders}"

    def start(self, folder: Path, *how: str) -> subprocess.Popen:
        """A run, or the rest of one, in a process of its own."""
        if self.is_tiny:
            words = [str(HERE / "tiny_study.py"), str(folder), "slow", *how]
        else:
            options = [f"--{how[0]}", how[1]] if how else []
            words = ["-m", "cmapjax", "study", "run", str(self.file), "--out", str(folder)]
            words += ["--chunk-size", str(CHUNK_SIZE), *options]
        return subprocess.Popen(
            with_interrupts([sys.executable, *words]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def complete(self, folder: Path, *how: str) -> None:
        """Run until all is there."""
        running = self.start(folder, *how)
        out, err = running.communicate(timeout=END_SECONDS)
        assert running.returncode == 0, f"{folder}: {running.returncode} {out} {err}"

    def moment(self, shortest: float = 0.2) -> float:
        """A random time within a run, in seconds."""
        return self.rng.uniform(shortest, max(2 * shortest, self.seconds))

    def wait(self, running: subprocess.Popen, folder: Path, shortest: float = 0.2) -> None:
        """Until a random moment of a run: any, or more often one at which chunks come in.

        Real runs first load for seconds what is compiled, and would be hit there nearly every time.
        """
        if self.is_tiny or self.rng.random() < LOADING_SHARE:
            time.sleep(self.moment(shortest))
            return
        enough = num_stored(folder) + self.rng.randint(1, MOST_BETWEEN)
        while running.poll() is None and num_stored(folder) < enough:
            time.sleep(0.01)
        time.sleep(self.rng.uniform(0, 0.3))

    def rows(self, folder: Path) -> dict:
        """All values of a summary, by cell and market."""
        import pyarrow.parquet as pq

        found = {}
        for file in sorted((folder / "summary").glob("*.parquet")):
            for row in pq.read_table(file).to_pylist():
                key = (row["cell"], row["market"])
                assert key not in found, f"{file.name} holds cell and market {key} again"
                found[key] = row
        return found

    def lost(self, folder: Path) -> int:
        """How many rows are missing or other than undisturbed ones; files that are whole and equal are."""
        from cmapjax.studies.results import verify

        undisturbed, found = self.rows(self.reference), self.rows(folder)
        different = sum(found.get(key) != row for key, row in undisturbed.items()) + len(
            set(found) - set(undisturbed)
        )
        if not different:  # files are named after their content
            assert names(folder) == names(self.reference), f"{folder}: curves differ"
        assert not [finding for finding in verify(folder) if not finding.harmless], folder
        return different


def num_stored(folder: Path) -> int:
    """Chunks that are in place."""
    return len(list((folder / "summary").glob("*.parquet")))


def names(folder: Path) -> list[str]:
    """The files of all chunks."""
    return sorted(str(file.relative_to(folder)) for file in folder.glob("*/*.parquet"))


def strike(subject: Subject, number: int, fault: str, how: tuple, hit, remark: str) -> Row:
    """Runs hit at random moments, and resumed until they are complete.

    Args:
        subject: what is run.
        number: how often.
        fault: its name.
        how: who plays.
        hit: `hit(running, processes)` does it to the run, or to the scheduler and workers that it was given.
            It returns a function that says whether the run took it well, or None if nobody was there.
        remark: beside the row.
    """
    folder, injected, survived, lost = subject.new_folder(), 0, 0, 0
    while injected < number:
        given = cluster(subject.root) if how == ("cluster",) else contextlib.nullcontext((None, []))
        with given as (address, processes):
            running = subject.start(folder, *how, *([address] if address else []))
            subject.wait(running, folder, 1.5 if hit is not kill_run else 0.2)  # once signals are minded
            is_well = hit(running, processes) if running.poll() is None else None
            began = time.monotonic()
            _, err = running.communicate(timeout=END_SECONDS)
            if is_well is not None:
                injected += 1
                survived += (well := is_well(running.returncode, err, time.monotonic() - began))
                _tell(well, f"{fault}: exit code {running.returncode}: {err}")
        if running.returncode == 0:
            lost += subject.lost(folder)
            folder = subject.new_folder()
    subject.complete(folder)
    lost += subject.lost(folder)
    return Row(fault, injected, survived, lost, remark)


def kill_run(running: subprocess.Popen, processes):
    """kill -9 of the run itself."""
    running.kill()
    return lambda code, err, seconds: True  # what it was about, the values, is looked at later


def interrupt(running: subprocess.Popen, processes):
    """SIGTERM or SIGINT, as it comes."""
    running.send_signal((signal.SIGTERM, signal.SIGINT)[running.pid % 2])
    return lambda code, err, seconds: seconds < 10


def kill_worker(running: subprocess.Popen, processes):
    """kill -9 of one of its workers, if they have been started; a chunk hit thrice is given up."""
    import psutil

    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(running.pid).children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
                return lambda code, err, seconds: "Traceback" not in err
    return None


def kill_scheduler(running: subprocess.Popen, processes):
    """kill -9 of the scheduler of another's cluster."""
    processes[0].kill()
    return lambda code, err, seconds: (
        code == 0 or (code == 1 and err.count("\n") == 1 and err.startswith("error: "))
    )


def files_of(folder: Path) -> list[Path]:
    """What is checked when it is read: everything but the log."""
    return [
        f
        for f in sorted(folder.rglob("*"))
        if f.is_file() and f.name not in ("log.txt", "lock") and "damaged" not in f.parts
    ]


def damage(subject: Subject, number: int, repaired: int) -> list[Row]:
    """Bits flipped at random places of all files, files cut short, files deleted: seen, named, repaired."""
    folder = subject.new_folder()
    shutil.copytree(subject.reference, folder)
    rows = []
    for fault, times in (
        ("bit flipped", number),
        ("file cut short", number // 4),
        ("file deleted", number // 4),
    ):
        detected = 0
        for _ in range(times):
            files = files_of(folder)
            if fault == "file deleted":  # nobody misses the note of a run
                files = [file for file in files if file.parent.name != "runs"]
            file = subject.rng.choice(files)
            kept = file.read_bytes()
            _injure(file, kept, fault, subject.rng)
            found = _said_of(folder)
            # Of a file that is gone its chunk is named, as lacking.
            name = file.name.rpartition("-")[0] if file.parent != folder and not file.exists() else file.name
            is_named = any(name in text for text in found)
            detected += is_named
            _tell(is_named, f"{fault}: {file} not named in {found}")
            file.write_bytes(kept)
        lost = _repair(subject, folder, fault, repaired)
        rows.append(Row(fault, times, detected, lost, f"detected and named; {repaired} at once repaired"))
    return rows


def _said_of(folder: Path) -> list[str]:
    """What `study verify` says of a folder, in lines."""
    from cmapjax.studies.results import verify

    try:
        return [*map(str, verify(folder))]
    except ValueError as error:
        return [str(error)]


def _injure(file: Path, kept: bytes, fault: str, rng: random.Random) -> None:
    if fault == "file deleted":
        file.unlink()
    elif fault == "file cut short":
        file.write_bytes(kept[: rng.randrange(len(kept))])
    else:
        place = rng.randrange(len(kept))
        file.write_bytes(kept[:place] + bytes([kept[place] ^ 1 << rng.randrange(8)]) + kept[place + 1 :])


def _repair(subject: Subject, folder: Path, fault: str, number: int) -> int:
    """Values lost after several files are injured at once, repaired and played again."""
    from cmapjax.studies.results import verify

    chunks = [f for f in files_of(folder) if f.suffix == ".parquet"]
    for file in subject.rng.sample(chunks, min(number, len(chunks))):
        _injure(file, file.read_bytes(), fault, subject.rng)
    verify(folder, repair=True)
    subject.complete(folder)
    return subject.lost(folder)


def full_disk(subject: Subject) -> Row:
    """A disk that is full half-way."""
    place = subject.new_folder()
    place.mkdir()
    used = sum(file.stat().st_size for file in subject.reference.rglob("*") if file.is_file())
    size = f"size={max(64, used // 2048)}k"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        return Row("full disk", 0, 0, 0, "not tried: needs the right to mount a small disk")
    try:
        running = subject.start(place / "out")
        _, err = running.communicate(timeout=END_SECONDS)
        is_clear = running.returncode == 1 and err.count("\n") == 1 and "bytes are needed" in err
        _tell(is_clear, f"exit code {running.returncode}: {err}")
        subprocess.run(["mount", "-o", "remount,size=1g", str(place)], check=True)
        subject.complete(place / "out")
        lost = subject.lost(place / "out")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)
    return Row("full disk", 1, int(is_clear), lost, "one line with the bytes needed, exit code 1, resumed")


def _tell(is_well: bool, what: str) -> None:
    """Say what went wrong; the table only counts."""
    if not is_well:
        sys.stderr.write(f"torture: {what}\n")


def show(line: str) -> None:
    """A line of the table, at once, as the next may take minutes."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def faults(subject: Subject, runs: int, few: int, many: int) -> Iterator[Row]:
    """A row per kind of fault, as soon as it is known."""
    workers = ("workers", "2")
    yield strike(subject, runs, "kill -9 of the run", (), kill_run, "resumed each time")
    yield strike(subject, few, "kill -9 of the run with 2 workers", workers, kill_run, "resumed each time")
    yield strike(subject, few, "kill -9 of a worker", workers, kill_worker, "the run goes on")
    ended = "one line, exit code 1, resumed"
    yield strike(subject, few, "kill -9 of the scheduler", ("cluster",), kill_scheduler, ended)
    yield strike(subject, few, "SIGTERM, SIGINT", (), interrupt, "ended within 10 s, resumed")
    yield from damage(subject, many, few)
    yield full_disk(subject)


def main(words: list[str] | None = None) -> int:
    """Run it all and print the table; 0 if nothing was lost and everything survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few faults, and chunks that need no JAX")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and places")
    options = parser.parse_args(words)
    runs, few, many = (3, 3, 40) if options.quick else (50, 10, 1000)
    began, rows = time.monotonic(), []
    show("| fault | injected | survived | values lost | |\n|---|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory(prefix="cmapjax-torture-") as root:
        subject = Subject(Path(root), options.quick, options.seed)
        for row in faults(subject, runs, few, many):
            rows.append(row)
            show(f"| {row.fault} | {row.injected:,} | {row.survived:,} | {row.lost:,} | {row.remark} |")
    sys.stderr.write(f"{(time.monotonic() - began) / 60:.0f} minutes\n")
    return int(any(row.lost or row.survived < row.injected for row in rows))


if __name__ == "__main__":
    sys.exit(main())
