"""What a study is, in words: cells, grounds, samples, constraints, and what is refused."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cmapjax import studies
from cmapjax.studies import Study
from cmapjax.studies._axes import sampled
from cmapjax.studies._schema import FIELDS
from cmapjax.studies._sections import Sample, Words
from cmapjax.studies._where import Constraint
from cmapjax.words import _objects

NETWORK = "er:n={agents},degree={degree}"


def described(**more):
    """A small study with these changes."""
    given = {"name": "small", "cells": {"network": NETWORK, "isolated": "redraw"}}
    given |= {"grid": {"agents": [20, 30], "degree": [4, 6]}}
    return Study(**(given | more))


def changed(**more):
    """The description of a ring with these changes."""
    return {"name": "small", "cells": {"network": "ring:n=5"}} | more


def ring(**more):
    """The same with these words."""
    return changed(cells={"network": "ring:n=5"} | more)


def points(study):
    return [tuple(cell.axes.values()) for cell in study.cells()]


# -- cells -----------------------------------------------------------------------------------------


def test_the_words_of_a_cell_are_the_fields_of_the_section():
    assert tuple(Words.model_fields) == FIELDS == studies.CellWords._fields


def test_a_grid_covers_the_product_exactly_once_and_in_order():
    axes = {"agents": [20, 30, 40], "degree": [4, 6], "spread": [0.5, 1.0], "damping": ["none", 0.5, "local"]}
    study = described(cells={"network": NETWORK, "endowment": "lognormal:sigma={spread}"}, grid=axes)
    texts = axes | {"damping": ["none", "0.5", "local"]}
    assert points(study) == list(itertools.product(*texts.values()))
    assert [cell.number for cell in study.cells()] == list(range(36))
    assert study.axes == texts
    words = study.cells()[4].words
    assert words[:2] == ("er:n=20,degree=4", "lognormal:sigma=1.0")
    assert words.damping == "0.5"


def test_cells_that_differ_in_what_is_played_alone_share_a_ground():
    study = described(zip=[{"strategy": ["cmap", "pr"], "schedule": ["coloured", "simultaneous"]}])
    assert [cell.ground for cell in study.cells()] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [ground.cells for ground in study.grounds()] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert study.cells()[3].label == "proportional-response simultaneous"


def test_zips_go_together_and_listed_cells_come_last_or_alone():
    study = described(
        grid={"agents": [20]},
        zip=[{"degree": [4, 6], "damping": ["none", "local"]}],
        list=[{"agents": 50, "degree": 8, "damping": 0.25}],
    )
    assert points(study) == [(20, 4, "none"), (20, 6, "local"), (50, 8, "0.25")]
    listed = described(grid={}, list=[{"agents": 20, "degree": 4}, {"agents": 30, "degree": 3}])
    assert [cell.words.network for cell in listed.cells()] == ["er:n=20,degree=4", "er:n=30,degree=3"]
    assert points(Study(**changed())) == [()]


def test_an_axis_may_hold_the_names_of_others():
    study = described(
        cells={},
        grid={"network": [NETWORK, "ring:n={agents}"], "agents": [20], "degree": [4, 6]},
        where=["network != 'ring:n={agents}' or degree == 4"],
    )
    assert [c.words.network for c in study.cells()] == ["er:n=20,degree=4", "er:n=20,degree=6", "ring:n=20"]
    assert study.axes["network"] == [NETWORK, "ring:n={agents}"]


@pytest.mark.parametrize("method", ["sobol", "latin-hypercube"])
def test_samples_fill_their_ranges_and_follow_the_seed(method):
    def of_seed(seed):
        degree = {"range": [3, 30], "log": True, "whole": True}
        sample = {"method": method, "number": 48, "spread": [0.1, 2.0], "degree": degree}
        cells = {"network": "er:n=100,degree={degree}", "endowment": "lognormal:sigma={spread}"}
        return points(Study(name="s", seed=seed, cells=cells, sample=sample))

    found = of_seed(3)
    assert found == of_seed(3) != of_seed(4)
    assert len(set(found)) == 48
    spread, degree = np.array(found).T
    assert np.all((spread >= 0.1) & (spread <= 2) & (degree >= 3) & (degree <= 30))
    assert all(isinstance(d, int) for _, d in found)
    # Either method puts as many points into each eighth of a range as nearly can be.
    counts = np.histogram(spread, np.linspace(0.1, 2.0, 9))[0]
    assert counts.min() >= 5
    assert counts.max() <= 7
    assert np.median(degree) < 14  # the logarithm is what is spread evenly


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("method", ["sobol", "latin-hypercube"])
def test_every_whole_number_of_a_range_gets_its_part_the_ends_too(method, log):
    ranges = {"hops": {"range": [2, 9], "whole": True, "log": log}, "spread": [0.0, 1.0]}
    found = sampled(Sample(method=method, number=1024, **ranges), seed=5)
    counts = np.bincount([hops for hops, _ in found], minlength=10)[2:]
    bounds = np.arange(1.5, 10)
    parts = np.diff(np.log(bounds) if log else bounds)
    np.testing.assert_allclose(counts, 1024 * parts / parts.sum(), atol=2)


def test_a_sample_is_a_factor_of_the_product():
    study = described(
        grid={"agents": [20, 30], "damping": ["none", "local"]},
        sample={"number": 4, "degree": [3.0, 6.0]},
    )
    assert len(study.cells()) == 2 * 2 * 4
    assert [factor.kind for factor in study.factors] == ["grid", "grid", "sample"]


# -- documents -------------------------------------------------------------------------------------


def test_the_document_makes_the_same_study_and_the_same_digest():
    study = described(
        sample={"number": 3, "spread": [0.1, 1]},
        cells={"network": NETWORK, "endowment": "lognormal:sigma={spread}"},
        stop={"when": ["converged"], "interval": {"metric": "min_ratio", "width": 0.1}},
    )
    again = Study(**json.loads(json.dumps(study.document())))
    assert again.cells() == study.cells()
    assert again.digest() == study.digest()
    turned = described(grid={"degree": [4, 6], "agents": [20, 30]})  # order numbers the cells
    assert len({described().digest(), described(seed=1).digest(), turned.digest()}) == 3


def test_the_starter_and_the_study_in_the_docs_are_studies():
    starter = studies.parse_study(studies.starter())
    assert (len(starter.cells()), len(starter.grounds())) == (24, 8)
    starter.check()
    text = (Path(__file__).parents[1] / "docs" / "studies.md").read_text()
    assert len(studies.parse_study(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1]).cells()) == 18
    for name in Study.known_keys():
        assert name in ("folder", "files", "sources") or name in text, name


def test_describing_a_study_starts_no_device(tmp_path):
    """Whoever hands chunks to workers must not occupy the device that they need."""
    (tmp_path / "s.toml").write_text(studies.starter())
    code = "import sys; from cmapjax.studies import read_study\n"
    code += f"read_study({str(tmp_path / 's.toml')!r}).document()\n"
    code += "from jax._src import xla_bridge; sys.exit(xla_bridge.backends_are_initialized())"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_network_file_that_changes_changes_the_digest_and_is_noticed(tmp_path):
    links = tmp_path / "links.csv"
    links.write_text("source,target\na,b\nb,c\n")
    given = changed(cells={"network": "file:links.csv"}, folder=str(tmp_path))
    study = Study(**given)
    document = study.document()
    assert Study(**document, folder=str(tmp_path)).digest() == study.digest()
    links.write_text("source,target\na,b\nb,c\nc,d\n")
    assert Study(**given).digest() != study.digest()
    with pytest.raises(ValueError, match=r"links\.csv is not the file"):
        Study(**document, folder=str(tmp_path))


def test_what_one_may_not_have_meant_is_noted():
    fixed = Study(**changed(markets=50, grid={"schedule": ["sequential", "simultaneous"]}))
    assert [ground.markets for ground in fixed.grounds()] == [1]
    assert "one market each instead of 50" in fixed.notes()[0]
    assert Study(**changed(grid={"schedule": ["random-order"]}, markets=50)).grounds()[0].markets == 50
    assert Study(**changed(cells={"network": "karate", "value": "exponential"})).grounds()[0].markets == 100
    twins = {"agents": [20], "degree": [4], "hops": [1, 2], "strategy": ["pr", "cmap:hops={hops}"]}
    assert "1 cell(s), such as number 2" in described(grid=twins).notes()[0]
    assert described(where=["degree < 6", "agents > 10"]).notes() == [
        "where[1], agents > 10, leaves out no cell."
    ]
    assert described().notes() == []


# -- what is refused -------------------------------------------------------------------------------

RANGE = {"network": "er:n=9,degree={d}"}
GRID = {
    "no values": ({"damping": []}, "grid.damping is []; give at least 1"),
    "a value twice": ({"damping": ["none", "local", "none"]}, "grid.damping ; 'none' is listed twice"),
    "nan": ({"damping": [float("nan")]}, "grid.damping[0] is nan; finite"),
    "no number or text": ({"damping": [0.5, True]}, "grid.damping[1] is True; a text"),
    "out of range": ({"damping": ["none", 2.0]}, "grid.damping[1]; damping theta is 2.0; at most 1"),
    "no word": (
        {"damping": ["none", "locl"]},
        "grid.damping[1]; did you mean local?; max-degree | 1/max-degree",
    ),
    "unused": ({"degree": [3, 4]}, "axis degree is used nowhere; {degree}"),
    "a column's name": ({"verdict": [1]}, "verdict; column"),
    "no name": ({"Degree": [1]}, "Degree; a-z"),
}
REFUSED = {
    "name missing": ({"cells": {"network": "ring:n=5"}}, "name is missing"),
    "cells missing": ({"name": "a"}, "cells.network is missing; name a family or a file; er:"),
    "a list among the cells": (
        changed(cells={"network": ["karate", "davis"]}),
        "cells.network; give one text here; [grid]: network = […]",
    ),
    "no name": (changed(name=""), "name is ''; at least 1"),
    "unknown key": (changed(marktes=3), "marktes; did you mean markets?"),
    "unknown key in a table": (changed(record={"evry": 3}), "record.evry; every"),
    "unknown key in a table's table": (
        changed(stop={"interval": {"metric": "gini", "width": 0.1, "leas": 3}}),
        "stop.interval.leas; did you mean least?",
    ),
    "true is no number": (changed(markets=True), "markets is True; integer"),
    "several at once": (
        changed(markets=0, rounds="x"),
        "markets is 0; greater than or equal to 1; rounds is 'x'",
    ),
    "precision": (changed(precision="half"), "precision is 'half'; float32"),
    "metric": (changed(record={"metrics": ["gap"]}), "record.metrics; 'gap' is not a metric; certified_gap"),
    "metric without equilibrium": (
        changed(equilibrium=False, record={"metrics": ["log_welfare_loss"]}),
        "record.metrics has log_welfare_loss; equilibrium = true",
    ),
    "strategy": (
        ring(strategy="magic"),
        "cells.strategy is 'magic'; cmap (community_hops|hops=1, ; FILE.py:Class",
    ),
    "schedule in a zip": (changed(zip=[{"schedule": ["never"]}]), "zip[0].schedule[0]; 'never'; sequential"),
    "family": (ring(network="nonsense:n=3"), "cells.network; erdos-renyi; file:PATH"),
    "no such file": (ring(network="file:no.csv"), "cells.network; 'no.csv'"),
    "no option of a file": (
        ring(network="file:no.csv,agnts=a"),
        "cells.network; 'agnts' is no option; agents",
    ),
    "distribution": (ring(endowment="normal"), "cells.endowment; 'normal'; log-normal (sigma, mean=1.0)"),
    "own of a family": (ring(value="own"), "cells.value; own"),
    "process": (ring(process="sine"), "cells.process; exponential"),
    "isolated": (ring(isolated="keep"), "cells.isolated; redraw"),
    "unknown placeholder": (ring(network="ring:n={n}"), "cells.network; 'n' is not an axis"),
    "degree beyond the agents": (
        ring(network="er:n=10,degree=50"),
        "cells.network is 'er:n=10,degree=50'; mean_degree is 50",
    ),
    "no such field": (
        ring(network="er:n=10,degre=5"),
        "cells.network; 'degre'; did you mean degree?; mean_degree|degree=none",
    ),
    "a field missing": (ring(endowment="lognormal"), "needs sigma; write log-normal:sigma=…; mean=1.0"),
    "a field of a zip out of range": (ring(schedule="participation:2"), "schedule; probability"),
    "no number": (ring(network="ring:n=five"), "ring: num_agents is 'five'; not a number"),
    "parentheses": (ring(network="ring:n=(5"), "cells.network; parentheses do not match"),
    "an axis twice": (
        changed(grid={"damping": ["none"]}, zip=[{"damping": ["local"]}]),
        "axis damping is given twice",
    ),
    "zip of unequal lengths": (
        changed(zip=[{"strategy": ["cmap", "pr"], "damping": ["none"]}]),
        "zip[0]; strategy has 2, damping has 1",
    ),
    "mixed axis": (
        changed(cells={"network": "ring:n={n}"}, grid={"n": [5, "six"]}),
        "axis n; 'six'; 5; one kind",
    ),
    "listed cell lacks an axis": (
        changed(grid={"damping": ["none"], "strategy": ["pr"]}, list=[{"damping": "local"}]),
        "list[0] lacks strategy",
    ),
    "listed cell is there": (
        changed(grid={"damping": ["none", "local"]}, list=[{"damping": "local"}]),
        "list[0]; there already",
    ),
    "listed cell breaks a constraint": (
        changed(grid={"damping": ["none"]}, list=[{"damping": "local"}], where=["damping == 'none'"]),
        "list[0] breaks where[0]",
    ),
    "no cell left": (
        changed(grid={"damping": ["none"]}, where=["damping != 'none'"]),
        "where leaves no cell",
    ),
    "where compares unlikes": (
        changed(grid={"damping": ["none"]}, where=["damping == damping", "damping == 3"]),
        "where[1] is; axis damping, which has texts ('none'",
    ),
    "range upside down": (
        changed(cells=RANGE, sample={"number": 4, "d": [6, 3]}),
        "sample.d; low below high",
    ),
    "log of zero": (
        changed(cells=RANGE, sample={"number": 4, "d": {"range": [0, 3], "log": True}}),
        "sample.d; above 0",
    ),
    "interval of what is not recorded": (
        changed(stop={"interval": {"metric": "gini", "width": 0.1}}, record={"metrics": ["min_ratio"]}),
        "stop.interval.metric is gini; min_ratio",
    ),
    "records without end": (changed(rounds=10**9, record={"every": 1}), "record.every is 1; Raise"),
    "cells without end": (
        changed(
            cells={"network": "blocks:sizes={a}+{b},within={c},between={d}"},
            grid={name: list(range(1, 1001)) for name in "abcd"},
        ),
        "1,000,000,000,000 cells; at most 1,000,000 are allowed",
    ),
    **{f"grid: {case}": (changed(grid=grid), words) for case, (grid, words) in GRID.items()},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_fault_is_named_with_key_value_and_what_is_allowed(case):
    description, expected = REFUSED[case]
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are compared below
        Study(**description)
    assert [word for word in expected.split("; ") if word not in str(error.value)] == [], str(error.value)


def test_markets_that_cannot_be_drawn_are_refused_before_anything_runs():
    study = Study(name="deep", cells={"network": "er:n=30,degree=1"})
    with pytest.raises(ValueError, match=r'cell 0: .*no neighbour.* isolated = "redraw"'):
        studies.chunks(study)


def test_every_word_is_built_once_however_many_cells_share_it(monkeypatch):
    built = []

    def made(builder, cls, name, parts, base=None, real=_objects.Builder._make):
        built.append(name)
        return real(builder, cls, name, parts, base)

    monkeypatch.setattr(_objects.Builder, "_make", made)
    cells = {"network": "ring:n={n}", "endowment": "lognormal:sigma={s}"}
    grid = {"n": list(range(3, 23)), "s": [k / 10 for k in range(1, 31)]}
    assert len(studies.chunks(Study(name="many", markets=2, cells=cells, grid=grid))) == 600
    # Once to look at the words, and once to play them.
    assert [built.count(name) for name in ("log-normal", "ring", "unit")] == [60, 40, 2]


# -- files -----------------------------------------------------------------------------------------

HEAD = 'name = "a"\n[cells]\nnetwork = "ring:n=5"\n'
FILES = {
    "a line is named": (HEAD + '[grid]\ndamping = ["none", 3]\n', "line 5"),
    "of the second of several": (HEAD + '[[zip]]\ndamping = ["none"]\n[[zip]]\nschedule = ["x"]\n', "line 7"),
    "an unknown key": ("market = 3\n" + HEAD, "line 1: market"),
    "not TOML": ('name = "a"\n[cells\n', "line 2"),
    "where below a table": (HEAD + "where = []\n", "before the first"),
    "a date": (HEAD + "[grid]\ndamping = [1979-05-27]\n", "grid.damping[0]"),
    "nested without end": ("a = " + "[" * 3000 + "]" * 3000, "TOML"),
    "reserved": ('folder = "/"\n' + HEAD, "folder is not a key"),
    "not UTF-8": (b'name = "\xff"', "byte 8 is not UTF-8"),
}


@pytest.mark.parametrize("case", FILES)
def test_faults_of_a_file_are_named_with_its_line(case, tmp_path):
    text, expected = FILES[case]
    file = tmp_path / "study.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"study\.toml") as error:
        studies.read_study(file)
    assert expected in str(error.value)


def test_files_that_are_none_are_refused_and_marks_of_windows_read(tmp_path):
    for path, words in ((tmp_path / "study.toml", "no such file"), (tmp_path, "no ordinary file")):
        with pytest.raises(ValueError, match=words):
            studies.read_study(path)
    (tmp_path / "study.toml").write_bytes(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode())
    assert studies.read_study(tmp_path / "study.toml").name == "a"


# -- constraints -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("degree < agents", True),
        ("2 * degree + 1 >= agents - 3", False),
        ("1 < degree < 5", True),
        ("1 < degree < 4", False),
        ("degree == 4 or agents / 0 > 1", True),
        ("not degree % 2 == 1 and -agents < 0", True),
        ("rule != 'none'", False),
        ("(agents)==(20.0)", True),
    ],
)
def test_constraints_mean_what_they_say(text, holds):
    axes = {"agents": 20, "degree": 4, "rule": "none"}
    assert Constraint(text, {name: [value] for name, value in axes.items()}).holds(axes) is holds


@pytest.mark.parametrize(
    "text",
    [
        "().__class__.__bases__ == 1",
        "degree.real == 4",
        "f(degree) == 1",
        "[degree][0] == 4",
        "(lambda: 1) == 1",
        "degree ** 99999 > 1",
        "degree if agents else 3 == 4",
        "degree is 4",
        "degree in (1, 2)",
        "f'{degree}' == '4'",
        "(degree := 3) == 3",
        "True == 1",
        "1j == degree",
        "degree",
        "degree + 1",
        "degree and agents",
        "unknown == 1",
        "unknown + 1 == 1",
        "degree = 4",
        "",
        "(" * 300 + "1" + ")" * 300 + " == 1",
        "degree < agents\n and 1 == 1; 2",
    ],
)
def test_constraints_are_no_python(text):
    with pytest.raises(ValueError, match=r"\S"):
        Constraint(text, {"agents": [20], "degree": [4]})


@pytest.mark.parametrize("text", ["agents / (degree - 4) > 1", "spread < 3", "agents > spread >= 1"])
def test_a_constraint_without_a_value_says_for_which_cell(text):
    axes = {"agents": [20], "degree": [4], "spread": [0.5, "none"]}
    with pytest.raises(ValueError, match="agents = 20"):
        Constraint(text, axes).holds({"agents": 20, "degree": 4, "spread": "none"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hops == '3'", "axis hops; (3, 5); text '3'; write 3 without quotes"),
        ("1 < hops <= '5'", "write 5 without quotes"),
        ("hops != 'three'", "give a number instead"),
        ("rule == 4", "axis rule; ('cmap', '4'); number 4; write '4' in quotes"),
        ("hops > 2 and (rule == 'cmap' or not rule != 2 * 2)", "number 2 * 2; numbers with numbers"),
        ("rule == hops", "axis rule; axis hops; texts with texts"),
        ("1 == 1.0 == 'a'", "text 'a'; give a number instead"),
        ("'a' * 9 == rule", "no arithmetic with the text 'a'"),
        ("-rule == rule", "no arithmetic with axis rule"),
        ("mixed == '0.5'", "axis mixed, which has numbers and texts; write 0.5 without quotes"),
    ],
)
def test_a_text_is_never_compared_with_a_number(text, words):
    """Equal they never are, so such a condition would keep or drop every cell in silence."""
    axes = {"hops": [3, 5], "rule": ["cmap", "4"], "mixed": ["none", 0.5]}
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are compared below
        Constraint(text, axes)
    assert [word for word in words.split("; ") if word not in str(error.value)] == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("damping == 0.25", ["0.25"]),
        ("damping == 0.5", ["0.5"]),
        ("damping != 'none'", ["0.25", "0.5"]),
        ("damping == 'none' or damping < 0.5", ["none", "0.25"]),
    ],
)
def test_on_an_axis_of_both_a_text_that_reads_as_a_number_is_that_number(text, kept):
    study = Study(**changed(grid={"damping": ["none", 0.25, "0.5"]}, where=[text]))
    assert [cell.words.damping for cell in study.cells()] == kept
