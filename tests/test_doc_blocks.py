"""Every block of code in README, CONTRIBUTING and docs is tried, as `doc_blocks` says."""

import gzip
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import commands
import doc_blocks
import matplotlib.pyplot as plt
import own_classes
import pytest
from doc_blocks import PAGES, ROOT

from cmapjax import studies
from cmapjax.cli import main


class Setting(NamedTuple):
    """What is put in place before a page is read literally."""

    instead: tuple[tuple[str, str], ...] = ()
    """Replacements in code and commands: smaller numbers, real files for placeholders."""
    parsed: tuple[str, ...] = ()
    """Commands that hold one of these are parsed, not executed."""
    has_results: bool = False
    """Whether there is a study that has been played, in `results`."""
    leaves_cells: bool = False
    """Whether its cells are left to the build of the site, because they take long."""


SETTINGS = {
    # The tutorial on bandwidth plays the same on the large network, and the page on strategies tries every
    # market of the check.
    "README.md": Setting(
        (
            ('cj.graphs.shipped("gnutella")', '"my-network.csv"'),
            ("ErdosRenyi(50, mean_degree=6)", "ErdosRenyi(12, mean_degree=3)"),
            ("num_markets=1000", "num_markets=20"),
            ("er:n=50,degree=6", "er:n=12,degree=3"),
            ("check_strategy(GiveToThePoorest())", "check_strategy(GiveToThePoorest(), markets=[market])"),
        ),
    ),
    "docs/clusters.md": Setting(
        (("FILE", "study.toml"), ("DIR", "anew")),
        ("--workers", "--cluster", "study cancel"),
        has_results=True,
    ),
    "docs/report.md": Setting((("DIR", "results"), ('"agents": 100', '"agents": 20')), has_results=True),
    "docs/claims/index.md": Setting(parsed=("study run",), leaves_cells=True),
    "docs/tutorials/bandwidth.md": Setting(leaves_cells=True),
    "docs/tutorials/design.md": Setting(leaves_cells=True),
    "docs/energy.md": Setting(parsed=("share",)),
    "docs/energy-simbench.md": Setting(parsed=("share",)),
    "docs/tutorials/energy.md": Setting(parsed=("share",), leaves_cells=True),
    "docs/tutorials/ensemble.md": Setting(parsed=("study run",), leaves_cells=True),
    "docs/results.md": Setting(has_results=True),
}
# A command that takes long is shortened: what it begins with, and options added or put in place of its own.
SHORTER = {"cmapjax simulate": {"--rounds": "2", "--strategy": "equal-split", "--markets": "10"}}
MEASURED = '["share_of_equilibrium", "misallocated_share", "certified_gap", "min_ratio"]'
# As `cmapjax study init` writes it, but played in seconds.
SMALLER_STUDY = (
    (r"markets = 100 ", "markets = 2 "),
    (r"rounds = 100", "rounds = 2"),
    (r"every = 10 ", "every = 1 "),
    (r"spread = \[0.5, 1.0\]", "spread = [1.0]"),
    (r"agents = \[20, 50\]", "agents = [20]"),
    (r'metrics = "standard" ', f"metrics = {MEASURED} "),
    (r'strategy = \["cmap", .*\]', 'strategy = ["equal-split"]'),
    (r'schedule = \["coloured", .*\]', 'schedule = ["simultaneous"]'),
    (r'damping = \["none", "local", .*\]', 'damping = ["none"]'),
)
# Where the script of a cluster ends, and what is asked of it: a submit command that only takes notes.
CLUSTER = (("while True:", "for _ in range(30):"), ("time.sleep(60)", "time.sleep(0.1)"), ("8786", "0"))
SBATCH = "#!/bin/sh\nlast=$1\ncat $last >> {notes}\necho Submitted batch job 7\n"


def names(pages):
    return [str(page.relative_to(ROOT)) for page in pages]


def with_code(page: Path) -> bool:
    return any(block.kind in doc_blocks.WITH_CODE for block in doc_blocks.blocks(page))


WITH_CODE = [page for page in PAGES if with_code(page)]


def run(monkeypatch, command: str) -> None:
    """`cmapjax …` in this process; it must end well."""
    words = doc_blocks.shlex.split(command)
    for beginning, options in SHORTER.items():
        if command.startswith(beginning):
            words = shortened(words, options)
    monkeypatch.setattr(sys, "argv", words)
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    assert code == 0, f"{command}: exit code {code}"
    if words[1:3] == ["study", "init"]:
        shrink(Path(words[3]))


def shortened(words: list[str], options: dict[str, str]) -> list[str]:
    """The command with these options in place of its own, or added; markets only where it mentions them."""
    words = list(words)
    for option, value in options.items():
        if option in words:
            words[words.index(option) + 1] = value
        elif option != "--markets":
            words += [option, value]
    return words


def shrink(file: Path) -> None:
    text = file.read_text()
    for old, new in SMALLER_STUDY:
        text, count = re.subn(old, new, text)
        assert count == 1, f"the starter has no {old!r} any more"
    file.write_text(text)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A folder with a small study, and its results."""
    folder = tmp_path_factory.mktemp("played")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(patch, "cmapjax study init study.toml")
        run(patch, "cmapjax study run study.toml --out results")
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a page is read: with the files that pages name. Their cells start commands in this process."""
    start = subprocess.run

    def here_if_ours(command, *more, **options):
        return commands.cmapjax(*command[1:]) if command[0] == "cmapjax" else start(command, *more, **options)

    monkeypatch.setattr(subprocess, "run", here_if_ours)
    (tmp_path / "my-network.csv").write_text("source,target\nann,bob\nbob,cy\ncy,dan\n")
    (tmp_path / "agents.csv").write_text("agent,endowment,value\nann,1,1\nbob,2,1\ncy,1,1\ndan,3,1\n")
    (tmp_path / "my_rules.py").write_text(Path(own_classes.__file__).read_text())
    with gzip.open(tmp_path / "my-network.txt.gz", "wt") as file:
        file.write("1 2\n2 3\n3 1\n3 4\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    plt.close("all")


@pytest.mark.parametrize("page", WITH_CODE, ids=names(WITH_CODE))
def test_every_block_of_code_runs(page, folder, monkeypatch, request):
    setting = SETTINGS.get(str(page.relative_to(ROOT)), Setting())
    if setting.has_results:
        shutil.copytree(request.getfixturevalue("played"), folder, dirs_exist_ok=True)
    namespace = {"__name__": page.stem}
    for block in doc_blocks.blocks(page):
        assert block.kind in doc_blocks.KINDS, (
            f"{page}:{block.line}: say in doc_blocks how {block.kind} is tried"
        )
        for old, new in setting.instead:
            block = block._replace(text=block.text.replace(old, new))
        if block.kind == "python" and "dask_jobqueue" in block.text:
            ask_for_a_cluster(block, folder)
        elif block.kind == "python":
            execute(block, namespace)
        elif block.kind == "{code-cell}" and not setting.leaves_cells:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                execute(block._replace(text=doc_blocks.without_magic(block.text)), namespace)
        elif block.kind == "sh":
            for command in doc_blocks.commands(block):
                if not command.startswith("cmapjax"):
                    doc_blocks.try_other(command)
                elif any(words in command for words in setting.parsed):
                    doc_blocks.parse(command)
                else:
                    run(monkeypatch, command)
        elif block.kind == "toml":
            assert studies.parse_study(block.text).cells()
        elif block.kind == "sql":
            ask_duckdb(block.text)


def execute(block, namespace: dict) -> None:
    exec(compile("\n" * block.line + block.text, str(block.page), "exec"), namespace)


def ask_duckdb(text: str) -> None:
    import duckdb

    for statement in re.sub(r"--.*", "", text).split(";"):
        if statement.strip():
            assert duckdb.sql(statement).fetchall(), statement


def ask_for_a_cluster(block, folder: Path) -> None:
    """Runs the script that asks SLURM for workers, where submitting a job takes it down."""
    notes = folder / "jobs.txt"
    (folder / "sbatch").write_text(SBATCH.format(notes=notes))
    (folder / "scancel").write_text("#!/bin/sh\n")
    for name in ("sbatch", "scancel"):
        (folder / name).chmod(0o755)
    text = block.text
    for old, new in CLUSTER:
        assert old in text, f"{block.page}:{block.line}: {old} is gone"
        text = text.replace(old, new)
    (folder / "cluster.py").write_text(text)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "cluster.py"],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    jobs = notes.read_text()
    assert jobs.count("#!/usr/bin/env bash") >= 2
    for asked in ("--lifetime 225m", "-t 04:00:00", "source ~/study/.venv/bin/activate"):
        assert asked in jobs


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_commands_within_sentences_exist(page):
    for command in doc_blocks.spoken_commands(page):
        doc_blocks.parse(command, is_whole=False)


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_no_command_stands_outside_a_fence(page):
    """Only fenced blocks are tried, so a command set in by four blanks would go untried."""
    inside = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        inside ^= line.startswith("```")
        assert inside or not re.match(r"    (cmapjax|pip|scripts/|python)", line), f"{page}:{number}"


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_within_the_repository_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if there.parent.name == "api":
            continue  # made by the build of the site, which checks them
        assert there.exists(), f"{page}: {target}"
        assert not anchor or anchor in headings(there), f"{page}: {target}"


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_command_that_does_not_exist_is_found():
    doc_blocks.parse("cmapjax study resume DIR [--workers N | --cluster ADDRESS]")
    for wrong in ("cmapjax simulat karate", "cmapjax simulate karate --round 3", "cmapjax study go DIR"):
        with pytest.raises(AssertionError, match="No such"):
            doc_blocks.parse(wrong)
    with pytest.raises(AssertionError, match="Missing parameter: file"):
        doc_blocks.parse("cmapjax study run --out DIR")
