"""What is done otherwise for a GPU, played on a CPU; and compiled for one, where JAX's compiler for it is."""

import jax
import numpy as np
import pytest

import cmapjax as cj
from benchmarks import whole_runs
from benchmarks._gpu import __main__ as command
from benchmarks._gpu import _launches, _target
from cmapjax.engine import _driver
from cmapjax.market import _columns
from cmapjax.runtime import _platform
from cmapjax.schedules._plans import TablePlan, TurnTable, suited
from cmapjax.strategies import _level

LINKS = [[i, j] for i in range(40) for j in range(i) if (i * j) % 7 == 1 or j == i - 1]
ENDOWMENT = np.random.default_rng(1).lognormal(size=40)
HLO = """HloModule example

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}

%put (p: f32[8], i: s32[2]) -> f32[8] {
  ROOT %scatter.1 = f32[8]{0} scatter(%p, %i, %p), to_apply=%add
}

%turn (p: (f32[8])) -> (f32[8]) {
  %x = f32[8]{0} get-tuple-element(%p), index=0
  ROOT %put.1 = f32[8]{0} fusion(%x, %x), kind=kInput, calls=%put, metadata={op_name="run/round/while"}
}

%few (p: (f32[8])) -> pred[] {
  ROOT %less = pred[] compare(%a, %b), direction=LT
}

%of_round (p: (f32[8])) -> (f32[8]) {
  %x = f32[8]{0} get-tuple-element(%p), index=0
  %both = (f64[8]{0}, f32[8]{0}) fusion(%x), kind=kLoop, calls=%add, metadata={op_name="run/round/add"}
  %turns = (f32[8]) while(%x), condition=%few, body=%turn, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %copy.1 = f32[8]{0} copy(%x)
}

ENTRY %main (p: f32[8]) -> f32[8] {
  %before = f32[8]{0} copy(%p)
  ROOT %rounds = (f32[8]) while(%before), condition=%few, body=%of_round
}
"""


@pytest.fixture(scope="module")
def market():
    return cj.Market.from_links(LINKS, endowment=ENDOWMENT)


@pytest.fixture
def for_gpu(monkeypatch):
    """Everything is laid out as for a GPU; blocks cost what they do in so small a market."""
    monkeypatch.setattr(_columns, "BLOCK_COST_ON_GPU", 1)
    with _platform.laid_out_for("gpu"):
        yield


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_levels_by_pairs_are_those_of_newtons_steps(dtype):
    rng = np.random.default_rng(0)
    weight, base = rng.lognormal(0, 2, (2, 9, 500))
    is_padding = np.arange(9)[:, None] >= rng.integers(1, 10, 500)
    base[:, 100:200] = 0  # who has nothing from others
    base[1, 200:300] = base[0, 200:300] * weight[1, 200:300] / weight[0, 200:300]  # ties
    weight, base = (np.where(is_padding, 0, x).astype(dtype) for x in (weight, base))
    budget = rng.lognormal(0, 3, 500).astype(dtype)
    with jax.enable_x64(True):
        wanted = jax.jit(jax.vmap(_level._searched, -1, -1))(budget, weight, base)
        level = jax.jit(_level._by_pairs)(budget, weight, base)
    np.testing.assert_allclose(level, wanted, rtol=20 * np.finfo(dtype).eps)


def test_a_market_for_a_gpu_has_few_blocks_and_plays_the_same():
    rng = np.random.default_rng(0)
    links = np.concatenate([rng.integers(0, 3000, (9000, 2)), [[0, j] for j in range(1, 300)]])
    options = {"drop_self_loops": True, "drop_isolated": True, "endowment": rng.lognormal(size=3000)}
    here = cj.Market.from_links(links, num_agents=3000, **options)
    with _platform.laid_out_for("gpu"):
        there = cj.Market.from_links(links, num_agents=3000, **options)
    assert len(there.links.shapes) == 1 < len(here.links.shapes)
    assert there.fingerprint() == here.fingerprint()
    utility = [
        cj.simulate(m, cj.CMAP(), rounds=1, record={}, native="off").final.utility for m in (here, there)
    ]
    np.testing.assert_allclose(*utility, rtol=1e-13)


def test_a_gpu_plays_turns_by_number_up_to_a_size(market, for_gpu, monkeypatch):
    plan = cj.Coloured().plan(market)
    assert isinstance(plan, TablePlan)
    numbered = suited(plan, market)
    assert isinstance(numbered, TurnTable)
    monkeypatch.setattr(_driver._small, "is_small", lambda *_: False)
    turned = cj.simulate(market, cj.CMAP(), schedule=plan, rounds=2, record={})
    with _platform.laid_out_for("cpu"):
        assert suited(plan, market) is plan
        tabled = cj.simulate(market, cj.CMAP(), schedule=plan, rounds=2, record={})
    np.testing.assert_allclose(turned.final.utility, tabled.final.utility, rtol=1e-12)
    np.testing.assert_array_equal(turned.final.agent_updates, tabled.final.agent_updates)
    monkeypatch.setattr("cmapjax.schedules._plans.NUMBERED_ON_GPU", 10)
    assert suited(plan, market) is plan


def test_the_platform_is_that_of_the_default_device():
    assert _platform.platform() == "cpu"
    with jax.default_device(jax.devices("cpu")[0]):
        assert _platform.platform() == "cpu"
    with _platform.laid_out_for("gpu"):
        assert _platform.platform() == "gpu"
    assert _platform.platform() == "cpu"


def test_launches_of_a_round_are_counted():
    found = _launches.round_of(HLO)
    # One fusion, one copy, three turns of a scatter and their tests (known in number), and the rounds' test.
    assert found["kernels"] == 1 + 1 + 3 * (1 + 1) + 1
    assert found["copies"] == 1
    assert found["scatters"] == 3
    assert found["sorts"] == found["conditionals"] == 0
    assert found["reads_by_cpu"] == 1
    assert found["float64"] == 1
    assert found["loops"] == [{"kernels": 2, "passes": 3}]
    assert found["bytes"] == (64 + 32 + 32) + 3 * (32 + 32 + 1) + 64 + 1
    assert _launches.round_of(HLO.replace("/round/", "/")) is None


def test_the_programs_of_a_run_are_found_without_compiling_one(market):
    found = _target.programs(market, cj.CMAP(), rounds=3, record={}, schedule=cj.OneAgentPerRound())
    assert "play_rounds" in found
    with _platform.laid_out_for("gpu"):
        larger = cj.pack([market] * 4)
    record = {"utility": lambda market, state: state.utility}
    assert {"_play_span", "_records_of_many"} <= set(
        _target.programs(larger, cj.CMAP(), rounds=3, record=record)
    )


@pytest.mark.skipif(bool(_target.missing()), reason=f"not installed: {', '.join(_target.missing())}")
def test_a_run_compiles_for_a_gpu_and_results_are_kept(tmp_path, capsys):
    assert command.main(["--quick", "--out", str(tmp_path)]) == 0
    assert "kernels in a round" in capsys.readouterr().out
    assert "| 34 | CMAP |" in (tmp_path / "benchmarks.md").read_text()
    assert command.main(["--quick", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""  # nothing is compiled again


def test_whole_runs_are_timed_only_if_the_device_agrees_with_the_cpu(monkeypatch, capsys):
    cpu = jax.devices("cpu")[0]
    (job, *_) = whole_runs.jobs(quick=True)
    assert whole_runs.checked(job, cpu, cpu) == 0
    utility = np.ones(3)
    wrong = iter([utility, utility * [1, 1, 1.01]])
    monkeypatch.setattr(whole_runs, "played", lambda *_: next(wrong))
    monkeypatch.setattr(whole_runs, "jobs", lambda quick: [job])
    with pytest.raises(whole_runs.Disagreement, match=r"2,000 agents × 5 rounds: a round on cpu differs by"):
        whole_runs.results(True, cpu)
    assert capsys.readouterr().out == ""


def test_whole_runs_begin_anew_and_keep_every_sample(monkeypatch):
    built = []
    job = whole_runs.WholeRun("tiny", lambda: built.append(1) or cj.Market.from_links(LINKS), 2)
    monkeypatch.setattr(whole_runs, "jobs", lambda quick: [job])
    found = whole_runs.results(True, jax.devices("cpu")[0])
    (run,) = found["runs"]
    assert len(built) == 2 + 1 + len(run["samples"])
    assert len(run["samples"]) == 2
    for sample in (run["first"], *run["samples"]):
        stages = sample["construction"] + sample["play"] + sample["results"]
        assert sample["in_all"] == pytest.approx(stages)
        assert sample["outcome"] == run["first"]["outcome"]
    assert found["tables"][0]["rows"][0][:3] == ["tiny", "cpu", 2]
