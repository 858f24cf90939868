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


def kill_runs(subject: Subject, number: int, *how: str) -> Row:
    """kill -9 of the run at random moments."""
    folder, injected, lost = subject.new_folder(), 0, 0
    while injected < number:
        running = subject.start(folder, *how)
        subject.wait(running, folder)
        if running.poll() is None:
            running.kill()
            injected += 1
        running.communicate()
        if running.returncode == 0:
            lost += subject.lost(folder)
            folder = subject.new_folder()
    subject.complete(folder)
    lost += subject.lost(folder)
    name = "kill -9 of the run" + (f" with {how[1]} workers" if how else "")
    return Row(name, injected, injected if not lost else 0, lost, "resumed each time")


def signal_runs(subject: Subject, number: int) -> Row:
    """SIGTERM and SIGINT at random moments."""
    folder, injected, survived, lost = subject.new_folder(), 0, 0, 0
    while injected < number:
        running = subject.start(folder)
        subject.wait(running, folder, 1.5)  # once signals are minded
        if running.poll() is None:
            running.send_signal((signal.SIGTERM, signal.SIGINT)[injected % 2])
            injected += 1
            began = time.monotonic()
            running.communicate()
            survived += time.monotonic() - began < 10
        running.communicate()
        if running.returncode == 0:
            lost += subject.lost(folder)
            folder = subject.new_folder()
    subject.complete(folder)
    lost += subject.lost(folder)
    return Row("SIGTERM, SIGINT", injected, survived, lost, "ended within 10 s, resumed")


def children(pid: int) -> list:
    """The worker processes of a run on this machine."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return [
            child
            for child in psutil.Process(pid).children(recursive=True)
            if "spawn_main" in " ".join(child.cmdline())
        ]
    return []


def kill_workers(subject: Subject, number: int) -> Row:
    """kill -9 of a worker while the run goes on."""
    import psutil

    folder, injected, survived, lost = subject.new_folder(), 0, 0, 0
    while injected < number:
        running = subject.start(folder, "workers", "2")
        while running.poll() is None and injected < number:
            if subject.is_tiny:
                time.sleep(subject.rng.uniform(0.3, 1.5))
            else:
                subject.wait(running, folder)
            workers = children(running.pid)
            if workers and running.poll() is None:
                with contextlib.suppress(psutil.Error):
                    subject.rng.choice(workers).kill()
                    injected += 1
        _, err = running.communicate(timeout=END_SECONDS)
        assert "Traceback" not in err, err
        survived = injected
        if running.returncode != 0:  # a chunk that was hit three times was given up, and said so
            subject.complete(folder)
        lost += subject.lost(folder)
        folder = subject.new_folder()
    return Row("kill -9 of a worker", injected, survived if not lost else 0, lost, "the run goes on")


def kill_schedulers(subject: Subject, number: int) -> Row:
    """kill -9 of the scheduler of another's cluster."""
    folder, injected, survived, lost = subject.new_folder(), 0, 0, 0
    while injected < number:
        with cluster(subject.root) as (address, processes):
            running = subject.start(folder, "cluster", address)
            subject.wait(running, folder, 2.0)
            if running.poll() is None:
                processes[0].kill()
                injected += 1
            _, err = running.communicate(timeout=END_SECONDS)
        if running.returncode == 0:
            lost += subject.lost(folder)
            folder = subject.new_folder()
            survived += 1
        else:
            is_clear = running.returncode == 1 and err.count("\n") == 1 and err.startswith("error: ")
            survived += is_clear
            _tell(is_clear, f"exit code {running.returncode}: {err}")
    subject.complete(folder)
    lost += subject.lost(folder)
    return Row(
        "kill -9 of the scheduler", injected, min(survived, injected), lost, "one line, exit code 1, resumed"
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
    yield kill_runs(subject, runs)
    yield kill_runs(subject, few, "workers", "2")
    yield kill_workers(subject, few)
    yield kill_schedulers(subject, few)
    yield signal_runs(subject, few)
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
