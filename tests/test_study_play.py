"""A study's chunks: what they come to, and that it depends on nothing but the study."""

import dataclasses
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import jax
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import cmapjax as cj
from cmapjax import studies
from cmapjax.arguments._checks import SpanWarning
from cmapjax.cli._report import final_columns
from cmapjax.engine._canonical import fitted
from cmapjax.market._random import key_of
from cmapjax.studies import Chunk, Study, _play
from cmapjax.studies import _build as build
from cmapjax.studies import _shape as shape
from cmapjax.studies._cells import kind_of
from cmapjax.studies._schema import SHARE
from cmapjax.studies._tables import Played, first_round

pytestmark = pytest.mark.optimised  # its values are the same bits in whatever order they are played

# Two metrics compile in half the time of all.
FEW = {"metrics": ["share_of_equilibrium", "min_ratio"], "every": 4, "curves": "full"}
RANDOM = {
    "name": "random",
    "seed": 5,
    "markets": 7,
    "rounds": 10,
    "record": FEW,
    "cells": {
        "network": "er:n=8,degree=3",
        "endowment": "lognormal:sigma=0.5",
        "isolated": "redraw",
        "process": "exponential",
    },
    "zip": [{"strategy": ["pr", "equal-split"], "schedule": ["participation:0.5", "random-order"]}],
}


def frames(study, chunks):
    """Summary and curves of these chunks, in the order of cells and markets."""
    return joined([studies.play_chunk(study, chunk) for chunk in chunks])


def joined(results):
    """The chunks' tables as one summary and one table of curves."""
    tables = [pa.concat_tables([r.summary for r in results], promote_options="permissive")]
    order = [["cell", "market"], ["cell", "metric", "round", "market"]]
    if results[0].curves is not None:
        tables.append(pa.concat_tables([r.curves for r in results]))
    found = []
    for table, keys in zip(tables, order, strict=False):
        frame = table.to_pandas().sort_values(
            [key for key in keys if key in table.schema.names], kind="stable"
        )
        words = {c: str for c in frame if frame[c].dtype == "category"}
        found.append(frame.reset_index(drop=True).astype(words))
    return found


def assert_same(one, other):
    """Equal to the last bit."""
    for frame, twin in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(frame, twin, check_exact=True)


def assert_alike(one, other):
    """Equal up to rounding."""
    for frame, twin in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(frame, twin, rtol=1e-12, atol=1e-14)


@pytest.fixture(scope="module")
def whole():
    """The random study played in one chunk."""
    study = Study(**RANDOM)
    return study, frames(study, studies.chunks(study))


# -- the same bits ---------------------------------------------------------------------------------


PARTS = [Chunk(0, 0, 3), Chunk(0, 3, 3)]


def test_values_are_the_same_bits_in_whatever_order_chunks_are_played(whole):
    study, _ = whole
    expected = frames(study, PARTS)
    shape._REMEMBERED.clear()  # as in another process, which begins with another chunk
    assert_same(expected, frames(study, PARTS[::-1]))
    assert_same(expected, joined([studies.play_chunk(study, chunk, threads=2) for chunk in PARTS]))
    with ThreadPoolExecutor(4) as threads:
        played = threads.map(lambda chunk: studies.play_chunk(study, chunk), PARTS)
        assert_same(expected, joined(list(played)))


def test_values_depend_on_how_chunks_are_cut_by_rounding_alone(whole):
    study, expected = whole
    assert studies.chunks(study) == [Chunk(0, 0, 7)]
    assert_alike([frame[frame.market < 6].reset_index(drop=True) for frame in expected], frames(study, PARTS))


@pytest.mark.parametrize("network", ["er:n=100,degree=6", "ba:n=60,m=2", "er:n=15,degree=4"])
def test_chunks_alike_have_one_shape_whoever_comes_first(network):
    study = Study(
        name="shapes",
        markets=400,
        cells={"network": network, "isolated": "redraw" if network.startswith("er") else "reject"},
        grid={"endowment": ["unit", "exponential"]},
    )
    cut = studies.chunks(study, 40)

    def shapes(chunks):
        shape._REMEMBERED.clear()
        found = {}
        for chunk in chunks:
            market = studies.draw(study, study.grounds()[chunk.ground], *chunk[1:])
            larger = fitted(market, shape.chunk_shape(study, chunk, market))
            plan = shape.chunk_plan(study, chunk, market, larger, cj.Coloured(), "coloured", 1)
            found[chunk] = larger.links.shapes, tuple(table.shape for table in plan.rows)
        return found

    found = shapes(cut)
    assert len(cut) == 20
    assert len(set(found.values())) <= 2
    assert found == shapes(cut[::-1])


def test_threads_begin_with_different_programs():
    """Of one program JAX compiles one, and lets other threads that want it wait."""
    strategies = ["cmap", "pr", "equal-split", "selfish"]
    study = Study(**RANDOM | {"zip": [], "grid": {"strategy": strategies, "damping": ["none", 0.5, 0.6]}})
    cells = [study.cells()[number] for number in study.grounds()[0].cells]
    kinds = {kind_of(cell) for cell in cells}
    ordered = [_play._in_order_of_programs(cells, Chunk(0, 10 * k, 10)) for k in range(4)]
    for order in ordered:
        assert sorted(order) == sorted(cells)
        assert {kind_of(cell) for cell in order[: len(kinds)]} == kinds
    assert len({kind_of(order[0]) for order in ordered}) == 4


def test_an_error_of_one_cell_is_raised_and_ends_the_others(monkeypatch):
    played = []

    def play(player, cell, timings):
        played.append(cell.number)
        raise ValueError("no such thing")

    monkeypatch.setattr(_play._Player, "play", play)
    study = Study(**RANDOM | {"zip": [], "grid": {"damping": [k / 50 for k in range(1, 50)]}})
    with pytest.raises(ValueError, match="no such thing"):
        studies.play_chunk(study, Chunk(0, 0, 1), threads=2)
    assert len(played) < 49


def test_a_chunk_says_what_float32_rounds_away_and_a_run_says_it_once(tmp_path):
    given = RANDOM | {"zip": [], "markets": 3, "rounds": 2, "precision": "float32"}
    given["cells"] = {"network": "ring:n=8", "endowment": "lognormal:sigma=5"}
    given["grid"] = {"strategy": ["pr", "equal-split"]}
    with pytest.warns(SpanWarning):  # from where it is played, once a cell
        text, ratio = studies.play_chunk(Study(**given), Chunk(0, 0, 3)).warning
    assert "keeps seven digits" in text
    assert ratio > 1e6
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        Study(**given).run(tmp_path / "out")
    (said,) = (str(each.message) for each in caught if issubclass(each.category, SpanWarning))
    assert said == text.replace("use precision float64", 'begin a study with precision = "float64"')


def seeds_of(study, ground):
    key = build.ground_key(study, study.grounds()[ground])
    keys = [jax.random.key_data(jax.random.fold_in(key, p)) for p in range(study.markets)]
    return [np.asarray(k).astype(">u4").tobytes().hex() for k in keys]


# -- markets ---------------------------------------------------------------------------------------


def test_strategies_meet_on_the_same_markets(whole):
    _, (summary, _) = whole
    one, other = (summary[summary.cell == cell].reset_index(drop=True) for cell in (0, 1))
    for column in ("seed", "fingerprint", "num_links", "equilibrium_log_welfare", "equilibrium_gap"):
        pd.testing.assert_series_equal(one[column], other[column])
    assert list(one.strategy.unique()) == ["pr"]
    assert list(other.schedule.unique()) == ["random-order"]


def test_replications_are_distinct_and_can_be_drawn_again(whole):
    study, (summary, _) = whole
    first = summary[summary.cell == 0]
    assert list(first.seed) == seeds_of(study, 0)
    assert not set(first.seed) & set(seeds_of(Study(**(RANDOM | {"seed": 6})), 0))
    assert first.seed.nunique() == first.fingerprint.nunique() == 7
    ground = study.grounds()[0]
    assert [studies.draw(study, ground, p, 1).fingerprint() for p in range(7)] == list(first.fingerprint)
    market = studies.draw(study, ground, 3, 1)
    assert market.num_links == first.num_links.iloc[3]
    assert cj.solve(market).log_nash_welfare == first.equilibrium_log_welfare.iloc[3]


def test_every_seed_ground_and_run_has_a_key_of_its_own():
    study = Study(name="s", cells={"network": "er:n={n},degree=3"}, grid={"n": list(range(6, 16))})
    keys = [of(study, ground) for ground in study.grounds() for of in (build.ground_key, build.play_key)]
    keys += [key_of(seed) for seed in (3, 3 + 2**32, 2**62)]
    keys += [jax.random.fold_in(build.ground_key(study, study.grounds()[0]), p) for p in range(40)]
    assert len({tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys}) == 20 + 3 + 40


# Of NumPy's streams and of this package's families: they change with a version of either, and then the
# markets of a seed are others.
GOLDEN = {
    "er:n=12,degree=4": "33ef0688b8c3581a",
    "ba:n=12,m=2": "9326883712c7f0ba",
    "ws:n=12,k=4,rewiring=0.3": "5d9b37d9dc852470",
    "regular:n=12,degree=3": "b96908a0e7f6c838",
    "geometric:n=12,degree=5": "021a35f0d9cd8c66",
}
# Of the first agent, the sixth of the second market and the last.
GOLDEN_ENDOWMENTS = [1.0771425461112965, 1.43240090343242, 7.783077834370137]
GOLDEN_VALUES = [0.991917607679733, 0.05447165488140348, 0.8212767468832421]


def test_seeds_play_as_they_always_played(whole):
    """min_ratio of the first markets of both cells, with jax 0.10.2 and NumPy 2.4.6."""
    golden = [[0.265531980335, 0.0393690200137], [0.227263995319, 0.0584012561372]]
    summary = whole[1][0]
    found = [summary.min_ratio[summary.cell == cell].iloc[:2] for cell in (0, 1)]
    np.testing.assert_allclose(found, golden, rtol=1e-9)


@pytest.mark.parametrize("network", GOLDEN)
def test_seeds_draw_the_markets_they_always_drew(network):
    study = Study(
        name="golden",
        seed=2026,
        cells={
            "network": network,
            "endowment": "pareto:alpha=2",
            "value": "gamma:shape=2",
            "isolated": "redraw",
        },
    )
    market = studies.draw(study, study.grounds()[0], 0, 3)
    ones = np.ones(market.num_agents)
    assert market.with_contributions(endowment=ones, value=ones).fingerprint() == GOLDEN[network]
    # Of powers and logarithms the last bit is the processor's.
    for numbers, golden in ((market.endowment, GOLDEN_ENDOWMENTS), (market.value, GOLDEN_VALUES)):
        np.testing.assert_allclose(numbers[[0, 17, 35]], golden, rtol=1e-14)


# -- what is recorded ------------------------------------------------------------------------------


def test_the_summary_is_what_a_run_of_the_market_alone_shows():
    study = Study(
        name="alone",
        seed=3,
        markets=4,
        rounds=12,
        record={"every": 5, "curves": "quantiles"},
        cells={
            "network": "ws:n=10,k=4,rewiring=0.3",
            "endowment": "uniform:low=0.5,high=1.5",
            "damping": "local",
        },
    )
    result = studies.play_chunk(study, Chunk(0, 0, 4))
    row = result.summary.to_pylist()[2]
    market, run = studies.replay(study, 0, 2)
    utility = cj.solve(market).utility
    strategy = cj.Damped(cj.CMAP(), cj.LocalDamping())
    twin = cj.simulate(market, strategy, rounds=12, every=5, record=cj.metrics.standard(utility))
    np.testing.assert_array_equal(run.final.flow, twin.final.flow)
    for name in study.metrics:  # to rounding: so small a market alone is compiled to other code
        assert row[name] == pytest.approx(run.records[name][-1, 0], rel=1e-9, abs=1e-14), name
    assert row["verdict"] == run.verdicts[0]
    assert row["agent_updates"] == run.agent_updates[-1, 0]
    share = run.records["share_of_equilibrium"][:, 0]
    for column, wanted in (("rounds_to_98", 0.98), ("rounds_to_999", 0.999)):
        reached = run.rounds[share >= wanted]
        assert row[column] == (reached[0] if len(reached) else None)
    assert row["rounds"] == 12
    assert row["stopped_round"] is None
    assert row["flags"] is None

    # Sketches count every market once, and their quantiles are within 1 % of a market's value.
    curves = result.curves.to_pandas()
    per_round = curves.groupby(["round", "metric"], observed=True)["count"].sum()
    assert set(per_round) == {4}
    assert list(per_round.index.levels[0]) == [0, 5, 10, 12]
    last = curves[(curves["round"] == 12) & (curves.metric == "min_ratio")]
    found = np.sort(studies.values_of(last.sign, last.bucket.fillna(0)))
    values = result.summary["min_ratio"].to_numpy()
    np.testing.assert_allclose(found[[0, -1]], [values.min(), values.max()], rtol=0.01)


def test_columns_have_the_types_units_and_meanings_of_the_schema(whole):
    study, _ = whole
    result = studies.play_chunk(study, Chunk(0, 0, 7))
    assert result.summary.schema.equals(studies.summary_schema(study), check_metadata=True)
    assert result.curves.schema.equals(studies.curves_schema(study), check_metadata=True)
    for table in (result.summary, result.curves):
        for field in table.schema:
            assert field.metadata[b"unit"], field.name
            assert field.metadata[b"description"], field.name
        assert table.schema.metadata[b"cmapjax.schema"] == b"1"
    assert set(result.timings) >= {"drawing", "solving", "simulating", "compiling", "tables", "total"}


def test_what_is_not_finite_is_null_and_flagged():
    study = Study(
        name="starving",
        markets=8,
        rounds=20,
        record={"metrics": ["log_nash_welfare", "num_starved"], "every": 5, "curves": "full"},
        equilibrium=False,
        cells={"network": "er:n=12,degree=4", "endowment": "lognormal:sigma=1", "isolated": "redraw"},
    )
    result = studies.play_chunk(study, studies.chunks(study)[0])
    rows = result.summary.to_pylist()
    assert "starved for now" in [row["verdict"] for row in rows]
    for row in rows:
        has_nothing = row["num_starved"] > 0
        assert (row["log_nash_welfare"] is None) == has_nothing
        assert row["flags"] == ("log_nash_welfare=-inf" if has_nothing else None)
        assert row["equilibrium_log_welfare"] is None
        assert "rounds_to_98" not in row
    curves = result.curves.to_pandas()
    is_null = curves.value.isna()
    assert set(curves["flags"][is_null]) == {"-inf"}
    assert curves["flags"][~is_null].isna().all()


def test_precision_is_what_the_study_says():
    given = RANDOM | {"zip": [], "record": FEW, "markets": 3}
    given["cells"] = RANDOM["cells"] | {"strategy": "equal-split", "process": "gamma:cv=0.5"}
    double, single = (
        frames(study, studies.chunks(study))[0]
        for study in (Study(**given), Study(**given, precision="float32"))
    )
    np.testing.assert_allclose(single.min_ratio, double.min_ratio, rtol=1e-5)
    assert np.any(single.min_ratio != double.min_ratio)
    assert list(single.fingerprint) == list(double.fingerprint)


SHARES = np.array(
    [[0.3, 0.99, 0.3, 0.3], [0.4, 0.99, 0.5, 0.981], [0.5, 0.99, 0.98, 0.6], [0.985, 0.99, 0.97, 0.7]]
)


@pytest.mark.parametrize(
    ("ends", "wanted"),
    [
        ([3, 3, 3, 3], [20, 0, 14, 7]),
        ([2, 0, 2, 1], [None, 0, 14, 7]),  # at its end a market has got there, after it not
        ([1, 0, 1, 0], [None, 0, None, None]),
    ],
)
def test_a_share_reached_at_a_markets_last_record_counts_and_later_ones_do_not(ends, wanted):
    rounds = np.array([0, 7, 14, 20])
    played = Played(rounds, np.zeros((4, 4)), {SHARE: SHARES}, np.zeros((1, 4)), np.zeros(4))
    assert first_round(played, np.array(ends), 0.98).to_pylist() == wanted


def test_the_command_line_counts_a_share_reached_at_the_last_record():
    run = SimpleNamespace(
        records={"certified_gap": -np.log(SHARES)},
        rounds=np.array([0, 7, 14, 20]),
        agent_updates=np.repeat([[0], [35], [70], [100]], 4, axis=1),
        spending_error=np.zeros(4),
        varies=False,
    )
    found = final_columns(None, run, None)
    assert found["rounds_to_0.98"].tolist() == [20, 0, 14, 7]
    assert found["agent_updates_to_0.98"].tolist() == [100, 0, 70, 35]
    assert np.isnan(found["rounds_to_0.999"]).all()


# -- files -----------------------------------------------------------------------------------------


@pytest.fixture
def network(tmp_path):
    (tmp_path / "links.csv").write_text("source,target\nann,bob\nbob,cy\ncy,ann\ncy,dan\n")
    (tmp_path / "agents.csv").write_text("agent,endowment,value\nann,1,2\nbob,2,1\ncy,3,1\ndan,0.5,1\n")
    (tmp_path / "days.csv").write_text("dan,cy,bob,ann\n1,2,3,4\n2,0,1,4\n0,1,2,1\n")
    return tmp_path


def test_networks_are_read_from_files_with_their_agents(network):
    study = Study(
        name="file",
        folder=str(network),
        cells={"network": "file:links.csv,agents=agents.csv"},
        grid={"endowment": ["own", "lognormal:sigma=1"]},
        markets=3,
    )
    own, drawn = study.grounds()
    assert (own.markets, drawn.markets) == (1, 3)
    market = studies.draw(study, own, 0, 1)
    assert list(market.labels) == ["ann", "bob", "cy", "dan"]
    assert list(market.contribution) == [2, 2, 3, 0.5]
    several = studies.draw(study, drawn, 0, 3)
    assert several.num_agents == 12
    assert list(several.value) == [2, 1, 1, 1] * 3
    assert len(set(several.endowment)) == 12
    (network / "agents.csv").write_text("agent,endowment,value\nann,1,2\nbob,2,1\ncy,3,1\ndan,9,1\n")
    build._read_network.cache_clear()
    with pytest.raises(ValueError, match=r"agents\.csv' has changed"):
        studies.draw(study, own, 0, 1)


def test_a_trace_brings_its_own_endowments(network):
    study = Study(
        name="trace",
        folder=str(network),
        rounds=3,
        record={"metrics": ["min_ratio"], "every": 1, "curves": "none"},
        cells={"network": "file:links.csv", "process": "trace:days.csv", "strategy": "equal-split"},
    )
    ground = study.grounds()[0]
    np.testing.assert_allclose(studies.draw(study, ground, 0, 1).endowment, [3, 2, 1, 1])
    assert build.process(study, ground, 2).values.shape == (3, 8)
    result = studies.play_chunk(study, studies.chunks(study)[0])
    assert result.curves is None
    assert result.summary.num_rows == 1
    longer = Study(**{**study.document(), "rounds": 4}, folder=str(network))
    with pytest.raises(ValueError, match="trace has 3 rounds"):
        longer.check()


# -- stopping --------------------------------------------------------------------------------------

STOPPING = {
    "name": "stopping",
    "seed": 1,
    "markets": 6,
    "rounds": 64,
    "record": {"metrics": ["certified_gap", "share_of_equilibrium"], "every": 4, "curves": "full"},
    "cells": {"network": "er:n=6,degree=3", "endowment": "lognormal:sigma=1", "isolated": "redraw"},
}


def test_a_market_ends_with_its_verdict_wherever_it_is_played():
    study = Study(**STOPPING, stop={"when": ["converged", "settled elsewhere"]})
    summary, curves = frames(study, [Chunk(0, 0, 6)])
    whole, all_curves = frames(Study(**STOPPING), [Chunk(0, 0, 6)])
    assert summary.stopped_round.notna().any()
    assert set(summary.verdict[summary.stopped_round.notna()]) <= {"converged", "settled elsewhere"}
    assert set(whole["rounds"]) == {64}
    for row in summary.itertuples():
        assert row.rounds == (64 if pd.isna(row.stopped_round) else row.stopped_round)
        own = curves[curves.market == row.market]
        assert own["round"].max() == row.rounds
        gap = own[(own.metric == "certified_gap") & (own["round"] == row.rounds)].value.iloc[0]
        assert row.certified_gap == gap or pd.isna(gap)
    early = all_curves.merge(curves, on=["cell", "market", "round", "metric"])
    assert len(early) == len(curves) < len(all_curves)
    np.testing.assert_allclose(early.value_x, early.value_y, rtol=1e-12, atol=1e-14)
    assert_alike([summary, curves], frames(study, PARTS))


def test_sketches_count_ended_markets_on_whoever_they_are_played_with():
    given = {**STOPPING, "record": {"metrics": ["min_ratio"], "every": 4, "curves": "quantiles"}}
    study = Study(**given, stop={"when": ["converged", "settled elsewhere"]})
    keys = ["cell", "round", "metric", "sign", "bucket"]

    def counted(chunks):
        tables = [studies.play_chunk(study, chunk).curves for chunk in chunks]
        frame = pa.concat_tables(tables).to_pandas().astype({"metric": str})
        return frame.groupby(keys, dropna=False)["count"].sum()

    pd.testing.assert_series_equal(counted([Chunk(0, 0, 6)]), counted(PARTS))
    assert set(counted([Chunk(0, 0, 6)]).groupby(["round", "metric"]).sum()) == {6}


def test_markets_are_drawn_in_blocks_until_means_are_known():
    study = Study(
        name="interval",
        markets=50,
        cells={"network": "er:n=6,degree=3"},
        grid={"endowment": ["exponential", "lognormal:sigma=1"]},
        stop={"interval": {"metric": "min_ratio", "width": 0.4, "least": 20}},
    )
    assert studies.blocks(study, study.grounds()[0]) == [(0, 20), (20, 20), (40, 10)]
    missing = studies.chunks(study, size=10)
    asked = []

    def values_of(ground, count):
        asked.append((ground, count))
        narrow = [0.6, 0.7] * (count // 2)
        return [narrow] if ground == 0 else [narrow, [0.0, 1.0] * (count // 2)]

    first = studies.due(study, missing, values_of)
    assert first == [Chunk(g, m, 10) for g in (0, 1) for m in (0, 10)]
    missing = [chunk for chunk in missing if chunk not in first[1:]]
    assert studies.due(study, missing, values_of) == [first[0], Chunk(1, 20, 10), Chunk(1, 30, 10)]
    assert asked == [(1, 20)]
    missing = [chunk for chunk in missing if chunk.first >= 40]
    assert studies.due(study, missing, values_of) == [Chunk(1, 40, 10)]
    assert studies.due(study, [], values_of) == []


# -- chunks and estimates --------------------------------------------------------------------------


def test_chunks_cover_every_market_once_and_are_alike_in_size():
    study = Study(
        name="cover",
        markets=1000,
        cells={"network": "er:n={n},degree=4", "isolated": "drop"},
        grid={"n": [10, 100, 1000], "damping": ["none", "local"]},
    )
    for size in (None, 1, 7, 333, 5000):
        cut = studies.chunks(study, size)
        for ground in range(3):
            covered = [p for c in cut if c.ground == ground for p in range(c.first, c.first + c.count)]
            assert covered == list(range(1000))
        assert len({chunk.name for chunk in cut}) == len(cut)
    counts = {ground: [c.count for c in studies.chunks(study) if c.ground == ground] for ground in range(3)}
    assert counts[0] == [1000]
    assert max(counts[2]) * 1000 <= 75_000
    assert max(counts[2]) - min(counts[2]) < len(counts[2])


@pytest.mark.parametrize("chunk", [Chunk(1, 0, 1), Chunk(0, 5, 3), Chunk(0, -1, 2), Chunk(0, 0, 0)])
def test_a_chunk_of_another_study_is_refused(chunk):
    with pytest.raises(ValueError, match="chunk g0"):
        studies.play_chunk(Study(**RANDOM), chunk)


def test_a_chunk_is_halved_but_for_one_market():
    assert Chunk(0, 0, 7).halves() == (Chunk(0, 0, 4), Chunk(0, 4, 3))
    with pytest.raises(ValueError, match="cannot be halved"):
        Chunk(0, 3, 1).halves()


def test_an_estimate_counts_and_measures():
    study = Study(
        name="estimate",
        markets=40,
        rounds=50,
        record={"metrics": ["min_ratio"], "every": 10},
        equilibrium=False,
        cells={"network": "regular:n={n},degree=3", "strategy": "equal-split"},
        grid={"n": [6, 8], "damping": [0.5, 0.25]},
    )
    rough = studies.estimate(study, sample=False)
    assert (rough.cells, rough.grounds, rough.markets, rough.runs) == (4, 2, 80, 160)
    assert rough.agents == 2 * 40 * (6 + 8)
    assert (rough.chunks, rough.programs) == (2, 2)
    assert rough.seconds is None
    assert 6e8 < rough.memory_bytes < 2e9
    measured = studies.estimate(study)
    assert dataclasses.replace(measured, seconds=None, compile_seconds=None, disk_bytes=0) == (
        dataclasses.replace(rough, disk_bytes=0)
    )
    assert 0 < measured.compile_seconds < measured.seconds < 100
    assert 1e3 < measured.disk_bytes < 1e6
