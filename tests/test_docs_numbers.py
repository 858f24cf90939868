"""Measured numbers in README and docs are those of the files that commands wrote.

Every phrase below is put together from such a file and must stand on its page word for word; after a new
measurement this says which sentence to write anew.
"""

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace

import doc_blocks
import pytest

from benchmarks._page import page
from benchmarks._shortfalls import aims
from cmapjax import studies

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
WORDS = dict(enumerate(f"{ONES} seventeen eighteen nineteen twenty".split()))
GATHERED = "16 agents at a time"  # C with vector instructions
LOOPED = "market after market"
ROUNDS = ("ensembles", "cmap_rounds", "proportional_response")


def results(race: str) -> dict:
    """What `python -m benchmarks --only RACE` wrote."""
    return json.loads((DOCS / "benchmarks" / f"{race}.json").read_text())


def entries(race: str, job: str = "") -> list[SimpleNamespace]:
    """Every rival of a race in the jobs that begin so: its time and how many times ours that takes."""
    return [
        SimpleNamespace(
            job=f"{found['job']}, {found['size']}",
            rival=rival["name"],
            seconds=rival["seconds"]["median"],
            ours=found["ours"]["seconds"]["median"],
            ratio=rival["ratio"]["median"],
            target=rival.get("target"),
        )
        for found in results(race)["jobs"]
        if found["job"].startswith(job)
        for rival in found["rivals"]
    ]


def proportional_response() -> list[SimpleNamespace]:
    return entries("proportional_response") + entries("ensembles", "proportional response")


def span(values, form: str = "{:.0f}") -> str:
    """Least and greatest, as they are written in a sentence."""
    return f"{form.format(min(values))} to {form.format(max(values))}"


def of(found, *words: str) -> list[SimpleNamespace]:
    chosen = [entry for entry in found if all(word in entry.rival for word in words)]
    assert chosen, words
    return chosen


def performance():
    """The phrases of docs/performance.md."""
    memory = results("memory")
    per_arc = [sum(parts.values()) / memory["arcs"] for parts in memory["bytes"].values()]
    yield f"takes {span(per_arc)} bytes per arc"
    yield f"10⁸ arcs would need {span([b / 10 for b in per_arc])} GB"
    yield f"reaches {results('study')['share']:.0%}".replace("%", " %")


def readme():
    with open(DOCS / "figures" / "gnutella-hosts.csv") as file:
        hosts = {row.pop("gets of its fair share"): row for row in csv.DictReader(file)}
    total = sum(int(row["CMAP, all at once"]) for row in hosts.values())
    yield f"{total:,} hosts"
    yield f"one host in {WORDS[round(total / int(hosts['nothing']['CMAP, all at once']))]} with nothing"
    with open(DOCS / "figures" / "gnutella.csv") as file:
        after = {int(row["round"]): row for row in csv.DictReader(file)}
    good = next(t for t, row in after.items() if float(row["CMAP, one after another"]) > 99)
    yield f"all but perfect after {WORDS[good]} rounds"
    fifth = {name: float(share) for name, share in after[5].items()}
    yield f"{fifth['CMAP, all at once, damped']:.0f} % of the best welfare after five rounds"
    yield f"reaches {fifth['entropic CMAP, all at once']:.1f} % all at once"
    yield f"alone, {fifth['proportional response']:.1f} %"
    fastest = [e.ratio for e in of(proportional_response(), GATHERED) + of(entries("cmap_rounds"), GATHERED)]
    yield f"factor of {WORDS[round(min(fastest))]} to {WORDS[round(max(fastest))]} on a CPU"
    convex = of(entries("exact_equilibrium"), "CVXPY")[0]
    yield f"{convex.seconds:.1f} s against {convex.ours:.2f} s at 1,000 agents"


def equilibrium():
    races = json.loads((DOCS / "equilibrium-race.json").read_text())["races"]
    flows = [race["iterations"] for race in races if race["method"] == "decomposition"]
    yield f"{WORDS[min(flows)].capitalize()} to {WORDS[max(flows)]} flows were enough"


def model():
    with open(DOCS / "claims" / "verdicts.csv") as file:
        found = {row["statement"]: row["found"] for row in csv.DictReader(file) if row["part"] == "welfare"}
    text = next(text for statement, text in found.items() if "four agents who are all" in statement)
    share = float(text.partition("best (2, 2, 2, 2): ")[2].split()[0])
    yield f"unweighted geometric mean is {share:.3f} of the best feasible"


PAGES = {
    "README.md": readme,
    "docs/performance.md": performance,
    "docs/equilibrium.md": equilibrium,
    "docs/model.md": model,
}


@pytest.mark.parametrize("page", PAGES)
def test_measured_numbers_in_sentences_are_those_of_the_files(page):
    text = " ".join((ROOT / page).read_text().split())
    for phrase in PAGES[page]():
        assert phrase in text, f"{page} does not say {phrase!r}, as the files do"


def test_the_page_of_the_races_is_made_from_their_files():
    """Aims that are missed among the rest."""
    races = {file.stem: json.loads(file.read_text()) for file in sorted((DOCS / "benchmarks").glob("*.json"))}
    assert page(races) == (DOCS / "benchmarks.md").read_text()
    assert not [aim for aim in aims(races) if aim.race == "Exact equilibrium" and not aim.is_met]


def test_the_cells_of_the_example_of_a_study_are_counted():
    page = DOCS / "studies.md"
    described = next(block.text for block in doc_blocks.blocks(page) if block.kind == "toml")
    assert f"the condition leaves {len(studies.parse_study(described).cells())} cells" in page.read_text()


def test_colours_are_as_many_as_the_claim_counted():
    with open(DOCS / "claims" / "verdicts.csv") as file:
        rows = [
            row for row in csv.DictReader(file) if row["expected"].endswith("fewer than twice the clique")
        ]
    assert [row["verdict"] for row in rows] == ["holds"]
    median, most = re.search(r"over clique ([\d.]+) \[.*at most ([\d.]+);", rows[0]["found"]).groups()
    text = " ".join((DOCS / "performance.md").read_text().split())
    assert f"needs {median} times as many colours" in text
    assert f"at most {most} times (the part" in text
