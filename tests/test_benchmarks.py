"""The machinery of the races, on jobs that take no time, and the rivals in C against those in NumPy."""

import dataclasses
import json

import jax
import networkx as nx
import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import (
    _cmap_rivals,
    _devices,
    _fill_rivals,
    _fisher_rivals,
    _pr_rivals,
    first_answer,
    fisher,
    proportional_response,
)
from benchmarks._networks import ensemble, rows_of
from benchmarks._race import Job, MissingRival, Rival, largest_difference, race, results
from benchmarks._shortfalls import shortfalls

ROUNDS = 3


@pytest.fixture(scope="module")
def rows():
    return rows_of(ensemble(3, num_agents=12, mean_degree=4))


def _adds(number, rounds=None, **settings):
    """A rival whose result is this number."""
    return Rival(
        f"adds {number}", lambda: lambda rounds: lambda: np.full(3, number), rounds=rounds, **settings
    )


def _absent():
    raise ImportError("no module named 'nowhere'")


def _job(*rivals):
    return Job(
        "count", "3 numbers", _adds(1.0), rivals, (1, 2), largest_difference, 1e-6, "numbers", amount=3
    )


def _silent(*_, **__):
    """Instead of print."""


def test_a_rival_with_another_result_is_reported_as_such():
    found = race(_job(_adds(1.0 + 1e-9), _adds(2.0), _adds(np.nan)), repeats=3, say=_silent)
    right, wrong, undefined = found["rivals"]
    assert right["agrees"]
    assert right["error"] < 1e-6
    assert not wrong["agrees"]
    assert wrong["error"] == pytest.approx(1.0)
    assert not undefined["agrees"]
    assert undefined["error"] is None


def test_a_missing_rival_is_named(tmp_path):
    found = results("claim", [_job(Rival("elsewhere", _absent))], repeats=2, say=_silent)
    assert found["jobs"][0]["rivals"] == [{"name": "elsewhere", "missing": "no module named 'nowhere'"}]
    command.write("counting", found, tmp_path)
    assert "Skipped: elsewhere (no module named 'nowhere')" in (tmp_path / "benchmarks.md").read_text()


def test_a_slow_rival_plays_a_part_and_few_repeats():
    rival = dataclasses.replace(_adds(1.0), part=0.5, repeats=1, rounds=(0, 1))
    (found,) = race(_job(rival), repeats=3, say=_silent)["rivals"]
    assert found["part"] == 0.5
    assert len(found["samples"]) == 1


def test_what_we_play_on_a_market_is_written_as_json_and_as_a_page(rows, tmp_path):
    market = ensemble(3, num_agents=12, mean_degree=4)
    rivals = (
        Rival("NumPy", lambda: _pr_rivals.numpy_edges(rows, rows.equal_flow), accept=1e9, rounds=(0, 1)),
        Rival("another", lambda: lambda rounds: lambda: np.ones(rows.num_agents), rounds=(0, 1)),
    )
    job = proportional_response.job("from an equal split", market, "tiny", rows, rivals)
    found = results("It runs.", [dataclasses.replace(job, rounds=(0, ROUNDS))], repeats=3, say=_silent)
    command.write("tiny_race", found, tmp_path)
    command.write("numbers", results("", [_job(_adds(1.0))], repeats=2, say=_silent), tmp_path)
    written = json.loads((tmp_path / "benchmarks" / "tiny_race.json").read_text())
    assert written == found
    numpy, other, floor = written["jobs"][0]["rivals"]
    assert numpy["agrees"]
    assert numpy["target"]["is_met"]
    assert not other["agrees"]
    assert floor["name"].startswith("copying")
    assert {"processor", "cores", "load_average", "commit", "versions"} <= set(written["machine"])
    text = (tmp_path / "benchmarks.md").read_text()
    assert "## Tiny race" in text
    assert "## Numbers" in text
    assert "| NumPy |" in text
    assert "(wrong result)" in text
    assert "| met |" in text


def test_an_accelerator_is_compared_with_the_cpu(monkeypatch):
    market = ensemble(2, num_agents=8, mean_degree=3)
    job = proportional_response.job("from an equal split", market, "tiny", rows_of(market), ())
    cpu = jax.devices("cpu")[0]
    found = race(_devices._own_side(dataclasses.replace(job, rounds=(0, 2)), cpu, quick=True), 2, _silent)
    there, copy = found["rivals"]
    assert there["agrees"]
    assert there["error"] == 0
    assert copy["target"]["accept"] == 25
    monkeypatch.setattr(_devices, "_jobs", lambda quick: [])
    monkeypatch.setattr(_devices, "agreement", lambda quick: iter([]))
    assert _devices.results(True, cpu)["agrees"]


def test_kernels_in_c_play_proportional_response(rows):
    wanted = _pr_rivals.numpy_edges(rows, rows.equal_flow)(ROUNDS)()
    start = proportional_response.uneven(rows)
    rivals = {
        "pattern": lambda: _pr_rivals.c_pattern(rows),
        "markets": lambda: _pr_rivals.c_markets(rows),
        "sliced": lambda: _pr_rivals.c_sliced(rows),
        "chunks": lambda: _pr_rivals.c_sliced(rows, 2),
        "values": lambda: _pr_rivals.c_values(rows, rows.equal_flow),
    }
    for name, ready in rivals.items():
        assert largest_difference(_ready(ready)(ROUNDS)(), wanted) < 1e-5, name
    uneven = _pr_rivals.numpy_edges(rows, start)(ROUNDS)()
    assert largest_difference(_pr_rivals.c_values(rows, start)(ROUNDS)(), uneven) < 1e-5
    damped = _pr_rivals.numpy_edges(rows, rows.equal_flow, 0.3)(ROUNDS)()
    assert largest_difference(_pr_rivals.c_damped(rows, 0.3)(ROUNDS)(), damped) < 1e-5


def test_rivals_in_numpy_and_scipy_play_proportional_response(rows):
    wanted = _pr_rivals.numpy_edges(rows, rows.equal_flow)(ROUNDS)()
    for ready in (_pr_rivals.scipy_scaling, _pr_rivals.scipy_diagonal):
        assert largest_difference(ready(rows)(ROUNDS)(), wanted) < 1e-5
    assert largest_difference(_pr_rivals.numpy_dense(rows, 2)(ROUNDS)(), wanted) < 1e-5


def test_kernels_in_c_play_cmap(rows):
    for theta in (1.0, 0.2):
        wanted = _cmap_rivals.numpy_agents(rows, theta, 3)(2)()
        for chunk in (None, 2):
            found = _ready(lambda: _cmap_rivals.c_rounds(rows, theta, chunk))(2)()  # noqa: B023
            assert largest_difference(found, wanted) < 1e-5


def test_kernels_in_c_fill_to_the_level():
    rng = np.random.default_rng(0)
    for width in (4, 40):
        b, w = rng.uniform(0.5, 2, 32), rng.uniform(0.5, 2, (32, width))
        w[rng.random(w.shape) < 0.2] = 0
        w[:, 0] = 1
        c = w * rng.uniform(0, 2, w.shape)
        data = [x.astype(np.float32) for x in (b, w, c)]
        wanted = _fill_rivals.numpy_sort(*data, 32)(1)()
        assert largest_difference(_ready(lambda: _fill_rivals.c_kernel(*data))(1)(), wanted) < 1e-4  # noqa: B023


def test_rivals_in_a_fisher_market_play_bid_response():
    trade = fisher.trade_of(12, 5, 0.6)
    wanted = fisher.simulating(trade)(ROUNDS)()
    for ready in (_fisher_rivals.numpy_links, _fisher_rivals.numpy_table, _fisher_rivals.scipy_scaling):
        assert largest_difference(fisher.playing(trade, ready)(ROUNDS)(), wanted) < 1e-12, ready
    market, rounds = fisher.market_of(trade), 2 * _fisher_rivals.RESCALE
    few, many = (_fisher_rivals.scipy_scaling(trade)(count)() for count in (1, 100 * rounds))
    assert fisher.certified_gap(market, trade, few) > 1e-2 > 1e-4 > fisher.certified_gap(market, trade, many)
    assert fisher.certified_gap(market, trade, None) == np.inf


def _ready(ready):
    try:
        return ready()
    except MissingRival as missing:
        pytest.skip(str(missing))


def test_everybodys_first_answer_is_the_same():
    found = first_answer.race(nx.path_graph(12), repeats=1)
    assert found["wrong"] == []
    assert {"cmapjax, nothing kept", "cmapjax, programs kept", "NumPy"} <= set(found["players"])
    assert all(error < 1e-8 for error in found["errors"].values())
    runs = [{"network": "karate", "agents": 12} | found]
    jobs = [first_answer._job(runs[0], ours) for ours in (first_answer.FRESH, first_answer.KEPT)]
    page = command.page({"first_answer": {"jobs": jobs, "tables": [first_answer._table(runs)]}})
    assert "| karate, 12 agents | " in page
    assert "| cmapjax, nothing kept | karate, 12 agents | " in page
    numpy, mesa = jobs[1]["rivals"]
    assert numpy["seconds"]["median"] > found["players"]["NumPy"]["seconds"]["wall"]
    assert numpy["agrees"]
    if "missing" in mesa:
        assert "Skipped: Mesa, and loading JAX (mesa is not installed)" in page


def test_what_falls_short_is_a_table_of_what_was_measured():
    def rival(ratio, accept):
        target = {"accept": accept, "ambitious": None, "is_met": ratio <= accept}
        return {"name": f"C at {ratio}", "ratio": {"median": ratio}, "target": target}

    def timed(seconds, accept):
        target = {"accept": accept, "is_met": seconds <= accept}
        return {"ours": {"seconds": {"median": seconds}}, "target_seconds": target}

    job = {
        "job": "rounds",
        "size": "3 agents",
        "rivals": [rival(1.5, 2.0), rival(2.5, 2.0), {"name": "gone"}],
    }
    own = {"job": "all", "rival": "engine", "aim": "≥ 80%", "measured": "70%", "is_met": False}
    races = {
        "cmap_rounds": {"jobs": [job | timed(3.0, 1.0)]},
        "study": {"aims": [own, own | {"is_met": True}]},
    }
    text = shortfalls(races)
    assert "2 of 5 aims are met" in text
    assert text.splitlines()[-3:] == [
        "| CMAP rounds | rounds, 3 agents | none | ≤ 1 s | 3 s |",
        "| CMAP rounds | rounds, 3 agents | C at 2.5 | ≤ 2 of its time | 2.5 of its time |",
        "| Study | all | engine | ≥ 80% | 70% |",
    ]
    assert shortfalls({"study": {"aims": [own | {"is_met": True}]}}).endswith("1 of 1 aims are met.")


def test_a_program_that_prints_another_first_answer_is_named():
    ours = "0 1.0\n1 2.0\n"
    printed = {"cmapjax, nothing kept": ours, "near": "0 1.0\n1 2.00001\n", "short": "0 1.0\n"}
    found = first_answer._compared(printed, {})
    assert found["wrong"] == ["near", "short"]


def test_races_are_found():
    found = command.races()
    assert {"proportional_response", "cmap_rounds", "water_filling", "ensembles", "scaling"} <= set(found)
    assert not any(name.startswith("_") for name in found)
