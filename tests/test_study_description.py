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
from cmapjax.studies._where import Constraint
from cmapjax.words import _objects

NETWORK = "er:n={agents},degree={degree}"


def described(**more):
    """A small study with these changes."""
    given = {"name": "small", "cells": {"network": NETWORK, "isolated": "redraw"}}
    given |= {"grid": {"agents": [20, 30], "degree": [4, 6]}}
    return Study(**(given | more))


def changed(**more):
    """Its description."""
    return {"name": "small", "cells": {"network": "ring:n=5"}} | more


# -- cells -----------------------------------------------------------------------------------------


def test_a_grid_covers_the_product_exactly_once_and_in_order():
    axes = {"agents": [20, 30, 40], "degree": [4, 6], "spread": [0.5, 1.0], "damping": ["none", 0.5, "local"]}
    study = described(
        cells={"network": NETWORK, "endowment": "lognormal:sigma={spread}"},
        grid=axes,
    )
    found = [tuple(cell.axes.values()) for cell in study.cells()]
    texts = axes | {"damping": ["none", "0.5", "local"]}
    assert found == list(itertools.product(*texts.values()))
    assert [cell.number for cell in study.cells()] == list(range(36))
    assert study.axes == texts
    words = study.cells()[4].words
    assert (words.network, words.endowment, words.damping) == (
        "er:n=20,degree=4",
        "lognormal:sigma=1.0",
        "0.5",
    )


def test_cells_that_differ_in_what_is_played_alone_share_a_ground():
    study = described(zip=[{"strategy": ["cmap", "pr"], "schedule": ["coloured", "simultaneous"]}])
    assert [cell.ground for cell in study.cells()] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [ground.cells for ground in study.grounds()] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert study.cells()[3].label == "proportional-response simultaneous"


def test_zips_go_together_and_listed_cells_come_last():
    study = described(
        grid={"agents": [20]},
        zip=[{"degree": [4, 6], "damping": ["none", "local"]}],
        list=[{"agents": 50, "degree": 8, "damping": 0.25}],
    )
    found = [tuple(cell.axes.values()) for cell in study.cells()]
    assert found == [(20, 4, "none"), (20, 6, "local"), (50, 8, "0.25")]


def test_a_study_may_be_a_list_alone_or_a_single_cell():
    listed = described(grid={}, list=[{"agents": 20, "degree": 4}, {"agents": 30, "degree": 3}])
    assert [cell.words.network for cell in listed.cells()] == ["er:n=20,degree=4", "er:n=30,degree=3"]
    single = Study(**changed())
    assert [cell.axes for cell in single.cells()] == [{}]


def test_constraints_leave_out_cells_and_grounds():
    study = described(where=["degree <= agents / 5", "not (agents == 30 and degree == 4)"])
    assert [tuple(cell.axes.values()) for cell in study.cells()] == [(20, 4), (30, 6)]
    assert len(study.grounds()) == 2


def test_a_condition_that_leaves_out_nothing_is_noted():
    study = described(where=["degree < 6", "agents > 10", "degree != 7"])
    assert study.notes() == [
        "where[1], agents > 10, leaves out no cell.",
        "where[2], degree != 7, leaves out no cell.",
    ]
    assert described(where=["degree < 6"]).notes() == []


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
    def points(seed):
        sample = {
            "method": method,
            "number": 48,
            "spread": [0.1, 2.0],
            "degree": {"range": [3, 30], "log": True, "whole": True},
        }
        cells = {"network": "er:n=100,degree={degree}", "endowment": "lognormal:sigma={spread}"}
        study = Study(name="s", seed=seed, cells=cells, sample=sample)
        return [tuple(cell.axes.values()) for cell in study.cells()]

    found = points(3)
    assert found == points(3) != points(4)
    assert len(set(found)) == 48
    spread, degree = np.array(found).T
    assert np.all((spread >= 0.1) & (spread <= 2) & (degree >= 3) & (degree <= 30))
    assert all(isinstance(d, int) for _, d in found)
    # Either method puts as many points into each eighth of a range as nearly can be.
    counts = np.histogram(spread, np.linspace(0.1, 2.0, 9))[0]
    assert counts.min() >= 5
    assert counts.max() <= 7
    assert np.median(degree) < 14  # the logarithm is what is spread evenly


def test_a_logarithmic_sample_has_a_point_in_every_part_of_equal_ratio():
    sample = {"number": 8, "method": "latin-hypercube", "degree": {"range": [3.0, 30.0], "log": True}}
    study = Study(name="s", cells={"network": "er:n=100,degree={degree}"}, sample=sample)
    degree = [cell.axes["degree"] for cell in study.cells()]
    # A Latin hypercube of eight points has one in each eighth, here of the logarithm.
    assert np.histogram(degree, np.geomspace(3, 30, 9))[0].tolist() == [1] * 8


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
    assert described(seed=1).digest() != described().digest()


def test_the_order_of_axes_counts_for_it_numbers_the_cells():
    turned = described(grid={"degree": [4, 6], "agents": [20, 30]})
    assert turned.digest() != described().digest()


def test_the_starter_is_a_study():
    study = studies.parse_study(studies.starter())
    assert len(study.cells()) == 24
    assert len(study.grounds()) == 8
    study.check()


def test_the_study_in_the_docs_is_one():
    text = (Path(__file__).parents[1] / "docs" / "studies.md").read_text()
    study = studies.parse_study(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
    assert len(study.cells()) == 18
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


def test_what_is_not_random_gets_one_market_and_a_note():
    study = Study(**changed(markets=50, grid={"schedule": ["sequential", "simultaneous"]}))
    assert [ground.markets for ground in study.grounds()] == [1]
    assert "one market each instead of 50" in study.notes()[0]
    assert Study(**changed(grid={"schedule": ["random-order"]}, markets=50)).grounds()[0].markets == 50
    assert Study(**changed(cells={"network": "karate", "value": "exponential"})).grounds()[0].markets == 100


def test_cells_that_come_to_the_same_are_noted():
    study = described(
        grid={"agents": [20], "degree": [4], "hops": [1, 2], "strategy": ["pr", "cmap:hops={hops}"]}
    )
    assert "1 cell(s), such as number 2" in study.notes()[0]


# -- what is refused -------------------------------------------------------------------------------

REFUSED = {
    "name missing": ({"cells": {"network": "ring:n=5"}}, ["name is missing"]),
    "cells missing": ({"name": "a"}, ["cells.network is missing", "name a family or a file"]),
    "a list among the cells": (
        {"name": "a", "cells": {"network": ["karate", "davis"]}},
        ["cells.network", "give one text here", "[grid]: network = […]"],
    ),
    "network missing": ({"name": "a", "cells": {}}, ["cells.network is missing", "er:"]),
    "name is a path": (changed(name="../../x"), ["name is '../../x'", "letters"]),
    "unknown key": (changed(marktes=3), ["marktes", "did you mean markets?"]),
    "unknown key in a table": (changed(record={"evry": 3}), ["record.evry", "every"]),
    "true is no number": (changed(markets=True), ["markets is True", "integer"]),
    "text is no number": (changed(rounds="10"), ["rounds is '10'", "integer"]),
    "a number too small": (changed(markets=0), ["markets is 0", "greater than or equal to 1"]),
    "a negative seed": (changed(seed=-1), ["seed is -1"]),
    "a fraction of rounds": (changed(rounds=1.5), ["rounds is 1.5"]),
    "precision": (changed(precision="half"), ["precision is 'half'", "float32"]),
    "curves": (changed(record={"curves": "some"}), ["record.curves is 'some'", "quantiles"]),
    "metric": (
        changed(record={"metrics": ["gap"]}),
        ["record.metrics", "'gap' is not a metric", "certified_gap"],
    ),
    "metric without equilibrium": (
        changed(equilibrium=False, record={"metrics": ["log_welfare_loss"]}),
        ["record.metrics has log_welfare_loss", "equilibrium = true"],
    ),
    "empty axis": (changed(grid={"damping": []}), ["grid.damping is []", "at least one"]),
    "value twice": (
        changed(grid={"damping": ["none", "local", "none"]}),
        ["grid.damping", "'none' is listed twice"],
    ),
    "nan": (changed(grid={"damping": [float("nan")]}), ["grid.damping[0] is nan", "finite"]),
    "infinite": (changed(grid={"damping": [float("inf")]}), ["grid.damping[0] is inf", "finite"]),
    "a boolean value": (changed(grid={"damping": [0.5, True]}), ["grid.damping[1] is True", "a text"]),
    "damping out of range": (
        changed(grid={"damping": ["none", 2.0]}),
        ["grid.damping[1]", "damping theta is 2.0", "at most 1"],
    ),
    "damping that is no word": (
        changed(grid={"damping": ["none", "locl"]}),
        ["grid.damping[1]", "did you mean local?", "max-degree | 1/max-degree"],
    ),
    "strategy": (
        changed(cells={"network": "ring:n=5", "strategy": "magic"}),
        ["cells.strategy is 'magic'", "cmap (community_hops|hops=1)", "FILE.py:Class"],
    ),
    "schedule in a zip": (
        changed(zip=[{"schedule": ["never"]}]),
        ["zip[0].schedule[0]", "'never'", "sequential"],
    ),
    "family": (changed(cells={"network": "nonsense:n=3"}), ["cells.network", "erdos-renyi", "file:PATH"]),
    "no such file": (changed(cells={"network": "file:no.csv"}), ["cells.network", "'no.csv'"]),
    "distribution": (
        changed(cells={"network": "ring:n=5", "endowment": "normal"}),
        ["cells.endowment", "'normal'", "log-normal (sigma, mean=1.0)"],
    ),
    "own of a family": (changed(cells={"network": "ring:n=5", "value": "own"}), ["cells.value", "own"]),
    "process": (changed(cells={"network": "ring:n=5", "process": "sine"}), ["cells.process", "exponential"]),
    "isolated": (changed(cells={"network": "ring:n=5", "isolated": "keep"}), ["cells.isolated", "redraw"]),
    "unused axis": (changed(grid={"degree": [3, 4]}), ["axis degree is used nowhere", "{degree}"]),
    "unknown placeholder": (
        changed(cells={"network": "ring:n={n}"}),
        ["cells.network", "'n' is not an axis"],
    ),
    "a column's name": (changed(grid={"verdict": [1]}), ["verdict", "column"]),
    "an axis that is no name": (changed(grid={"Degree": [1]}), ["Degree", "a-z"]),
    "an axis twice": (
        changed(grid={"damping": ["none"]}, zip=[{"damping": ["local"]}]),
        ["axis damping is given twice"],
    ),
    "zip of unequal lengths": (
        changed(zip=[{"strategy": ["cmap", "pr"], "damping": ["none"]}]),
        ["zip[0]", "strategy has 2, damping has 1"],
    ),
    "mixed axis": (
        changed(cells={"network": "ring:n={n}"}, grid={"n": [5, "six"]}),
        ["axis n", "'six'", "5", "one kind"],
    ),
    "listed cell lacks an axis": (
        changed(grid={"damping": ["none"], "strategy": ["pr"]}, list=[{"damping": "local"}]),
        ["list[0] lacks strategy"],
    ),
    "listed cell is there": (
        changed(grid={"damping": ["none", "local"]}, list=[{"damping": "local"}]),
        ["list[0]", "there already"],
    ),
    "listed cell breaks a constraint": (
        changed(grid={"damping": ["none"]}, list=[{"damping": "local"}], where=["damping == 'none'"]),
        ["list[0] breaks where[0]"],
    ),
    "no cell left": (
        changed(grid={"damping": ["none"]}, where=["damping != 'none'"]),
        ["where leaves no cell"],
    ),
    "range upside down": (
        changed(cells={"network": "er:n=9,degree={d}"}, sample={"number": 4, "d": [6, 3]}),
        ["sample.d", "low below high"],
    ),
    "log of zero": (
        changed(
            cells={"network": "er:n=9,degree={d}"}, sample={"number": 4, "d": {"range": [0, 3], "log": True}}
        ),
        ["sample.d", "above 0"],
    ),
    "stop": (changed(stop={"when": ["tired"]}), ["stop.when[0] is 'tired'", "converged"]),
    "interval of what is not recorded": (
        changed(stop={"interval": {"metric": "gini", "width": 0.1}}, record={"metrics": ["min_ratio"]}),
        ["stop.interval.metric is gini", "min_ratio"],
    ),
    "records without end": (changed(rounds=10**9, record={"every": 1}), ["record.every is 1", "Raise"]),
    "where that is no comparison": (
        changed(grid={"damping": ["none"]}, where=["damping"]),
        ["where[0]", "comparison"],
    ),
    "where with a call": (changed(where=["__import__('os').system('x') == 0"]), ["where[0]", "not allowed"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_fault_is_named_with_key_value_and_what_is_allowed(case):
    description, expected = REFUSED[case]
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are compared below
        Study(**description)
    assert [word for word in expected if word not in str(error.value)] == [], str(error.value)


def test_several_faults_are_told_at_once():
    with pytest.raises(ValueError, match=r"(?s)markets is 0.*rounds is 'x'"):
        Study(**changed(markets=0, rounds="x"))


OUT_OF_RANGE = {
    "degree beyond the agents": (
        {"network": "er:n=10,degree=50"},
        ["cells.network is 'er:n=10,degree=50'", "mean_degree is 50"],
    ),
    "no such option": (
        {"network": "er:n=10,degre=5"},
        ["cells.network", "'degre'", "did you mean degree?", "mean_degree|degree=none"],
    ),
    "lognormal without sigma": (
        {"network": "ring:n=5", "endowment": "lognormal"},
        ["needs sigma", "write log-normal:sigma=…", "mean=1.0"],
    ),
    "value": ({"network": "ring:n=5", "value": "lognormal:sigma=-1"}, ["cells.value", "sigma is -1"]),
    "process": ({"network": "ring:n=5", "process": "gamma:cv=0"}, ["cells.process", "variation is 0"]),
    "participation": ({"network": "ring:n=5", "schedule": "participation:2"}, ["schedule", "probability"]),
    "hops": ({"network": "ring:n=5", "strategy": "cmap:hops=-1"}, ["cells.strategy", "hops is -1"]),
    "no number": ({"network": "ring:n=five"}, ["ring: num_agents is 'five'", "not a number"]),
    "parentheses": ({"network": "ring:n=(5"}, ["cells.network", "parentheses do not match"]),
}


@pytest.mark.parametrize("case", OUT_OF_RANGE)
def test_fields_and_numbers_that_a_class_refuses_are_named_where_they_stand(case):
    cells, expected = OUT_OF_RANGE[case]
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are compared below
        Study(name="deep", cells=cells)
    assert [word for word in expected if word not in str(error.value)] == [], str(error.value)


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
    spreads = [k / 10 for k in range(1, 31)]
    study = Study(name="many", markets=2, cells=cells, grid={"n": list(range(3, 23)), "s": spreads})
    assert len(studies.chunks(study)) == 600
    # Once to look at the words, and once to play them.
    assert built.count("log-normal") == 2 * 30
    assert built.count("ring") == 2 * 20
    assert built.count("unit") == 2


def test_a_million_million_cells_are_refused_without_expanding_them():
    many = {name: list(range(1, 1001)) for name in ("a", "b", "c", "d")}
    with pytest.raises(ValueError, match="1,000,000,000,000 cells"):
        Study(**changed(cells={"network": "blocks:sizes={a}+{b},within={c},between={d}"}, grid=many))
    with pytest.raises(ValueError, match=r"2,000 cells × markets = 2,000,000"):
        Study(**changed(cells={"network": "ring:n={n}"}, grid={"n": list(range(3, 2003))}, markets=2_000_000))
    allowed = described(most_cells=4)
    assert len(allowed.cells()) == 4
    with pytest.raises(ValueError, match="at most 3 are allowed"):
        described(most_cells=3)


# -- files -----------------------------------------------------------------------------------------

FILES = {
    "a line is named": (
        'name = "a"\n[cells]\nnetwork = "ring:n=5"\n[grid]\ndamping = ["none", 3]\n',
        "line 5",
    ),
    "of the second of several": (
        'name = "a"\n[cells]\nnetwork = "ring:n=5"\n[[zip]]\ndamping = ["none"]\n[[zip]]\nschedule = ["x"]\n',
        "line 7",
    ),
    "an unknown key": ('name = "a"\nmarket = 3\n[cells]\nnetwork = "ring:n=5"\n', "line 2: market"),
    "not TOML": ('name = "a"\n[cells\n', "line 2"),
    "where below a table": ('name = "a"\n[cells]\nnetwork = "ring:n=5"\nwhere = []\n', "before the first"),
    "a date": (
        'name = "a"\n[cells]\nnetwork = "ring:n=5"\n[grid]\ndamping = [1979-05-27]\n',
        "grid.damping[0]",
    ),
    "not a number": ('name = "a"\n[cells]\nnetwork = "ring:n=5"\n[grid]\ndamping = [nan]\n', "finite"),
    "nested without end": ("a = " + "[" * 3000 + "]" * 3000, "TOML"),
    "reserved": ('name = "a"\nfolder = "/"\n[cells]\nnetwork = "ring:n=5"\n', "folder is not a key"),
}


@pytest.mark.parametrize("case", FILES)
def test_faults_of_a_file_are_named_with_its_line(case, tmp_path):
    text, expected = FILES[case]
    file = tmp_path / "study.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"study\.toml") as error:
        studies.read_study(file)
    assert expected in str(error.value)


def test_files_that_are_none_or_too_large_or_no_text_are_refused(tmp_path):
    file = tmp_path / "study.toml"
    with pytest.raises(ValueError, match="no such file"):
        studies.read_study(file)
    with pytest.raises(ValueError, match="no ordinary file"):
        studies.read_study(tmp_path)
    file.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ValueError, match="at most 1,048,576"):
        studies.read_study(file)
    file.write_bytes(b'name = "\xff"')
    with pytest.raises(ValueError, match="byte 8 is not UTF-8"):
        studies.read_study(file)
    file.write_bytes(b'\xef\xbb\xbfname = "bom"\r\n[cells]\r\nnetwork = "ring:n=5"\r\n')
    assert studies.read_study(file).name == "bom"


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
        "degree = 4",
        "import os",
        "",
        "(" * 300 + "1" + ")" * 300 + " == 1",
        "not " * 120 + "degree == 1" + " " * 100,
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
        ("hops == '3'", ["axis hops", "(3, 5)", "text '3'", "write 3 without quotes"]),
        ("'3' != hops", ["axis hops", "write 3 without quotes"]),
        ("1 < hops <= '5'", ["write 5 without quotes"]),
        ("hops != 'three'", ["give a number instead"]),
        ("rule == 4", ["axis rule", "('cmap', '4')", "number 4", "write '4' in quotes"]),
        ("hops > 2 and (rule == 'cmap' or not rule != 2 * 2)", ["number 2 * 2", "numbers with numbers"]),
        ("rule == hops", ["axis rule", "axis hops", "texts with texts"]),
        ("1 == 1.0 == 'a'", ["text 'a'", "give a number instead"]),
        ("(hops < 2) == 'yes'", ["text 'yes'"]),
        ("'a' * 9 == rule", ["no arithmetic with the text 'a'"]),
        ("-rule == rule", ["no arithmetic with axis rule"]),
    ],
)
def test_a_text_is_never_compared_with_a_number(text, words):
    """Equal they never are, so such a condition would keep or drop every cell in silence."""
    axes = {"hops": [3, 5], "rule": ["cmap", "4"]}
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are compared below
        Constraint(text, axes)
    assert [word for word in words if word not in str(error.value)] == []


def test_a_study_says_which_condition_compares_a_text_with_a_number():
    with pytest.raises(ValueError, match=r"where\[1\] is .*axis degree, which has numbers \(4, 6\)"):
        described(where=["degree < agents", "degree != '6'"])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("damping == 0.25", ["0.25"]),
        ("damping != 0.25", ["none", "0.5"]),
        ("damping == '0.250'", ["0.25"]),
        ("damping != 'none'", ["0.25", "0.5"]),
        ("damping == 'none' or damping < 0.5", ["none", "0.25"]),
    ],
)
def test_on_an_axis_of_both_a_text_that_reads_as_a_number_is_that_number(text, kept):
    study = Study(**changed(grid={"damping": ["none", 0.25, 0.5]}, where=[text]))
    assert [cell.words.damping for cell in study.cells()] == kept


def test_an_order_of_texts_and_numbers_on_an_axis_of_both_is_refused():
    with pytest.raises(ValueError, match=r"no value for damping = 'none': 'none' and 0\.5 have no order"):
        Study(**changed(grid={"damping": ["none", 0.25]}, where=["damping < 0.5"]))
