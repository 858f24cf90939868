"""Whatever JAX's settings, results are the same, bit for bit."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from test_transformations import ANYWHERE, path, plainly

import cmapjax as cj
from cmapjax import metrics, sensitivity
from cmapjax.market._random import key_of
from cmapjax.runtime._generator import GENERATOR

SETTINGS = {
    "strict types": lambda: jax.numpy_dtype_promotion("strict"),
    "no promotion of ranks": lambda: jax.numpy_rank_promotion("raise"),
    "stop at NaN": lambda: jax.debug_nans(True),
    "stop at infinity": lambda: jax.debug_infs(True),
    "no transfers": lambda: jax.transfer_guard("disallow"),
    "no transfers, not even those asked for": lambda: jax.transfer_guard("disallow_explicit"),
    "another generator": lambda: jax.default_prng_impl("rbg"),
    "another way to split": lambda: jax.threefry_partitionable(False),
    "products in half precision": lambda: jax.default_matmul_precision("bfloat16"),
    "x64": lambda: jax.enable_x64(True),
    "32 bits": lambda: jax.enable_x64(False),
    "a device": lambda: jax.default_device(jax.devices("cpu")[0]),
}


def market():
    """A triangle and a tail whose last agent brings next to nothing: infinities on the way."""
    links = [[0, 1], [1, 2], [0, 2], [2, 3]]
    return cj.Market.from_links(links, endowment=[1.0, 2.0, 3.0, 1e-9], value=[1.0, 1.5, 0.5, 1.0])


def results():
    """Numbers of every kind: drawn, simulated and recorded, solved, differentiated."""
    one, key = market(), key_of(2**40 + 3, 7)
    drawn = cj.graphs.RandomMarket(cj.graphs.ErdosRenyi(6, mean_degree=4), isolated=cj.graphs.Drop()).draw(
        key, 2
    )
    run = cj.simulate(
        one,
        cj.Damped(cj.CMAP(), 0.5),
        rounds=3,
        schedule=cj.RandomOrder(),
        endowments=cj.endowments.OnOff(0.4),
        key=key,
    )
    nothing = np.array([0.0, 1.0, 2.0, 3.0])
    return {
        "drawn": drawn.fingerprint(),
        **run.records,
        "flow": run.final.flow,
        "average": run.final.average_utility,
        "verdict": run.verdict,
        "utility": cj.solve(one).utility,
        "by a run": cj.solve(one, method=cj.ProjectedGradient(max_steps=40)).utility,
        "as a function": cj.equilibrium_utility(one),
        "slope": sensitivity.gradient(one, metrics.log_nash_welfare),
        "welfare": metrics.log_nash_welfare(one, nothing),
        "gap": metrics.certified_gap(one, nothing),
        **{name: plainly(function, path()) for name, function in ANYWHERE.items()},
    }


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, right in expected.items():
        np.testing.assert_array_equal(found[name], right, err_msg=name)
        assert isinstance(found[name], str) or found[name].dtype == right.dtype, name


@pytest.fixture(scope="module")
def standard():
    return results()


@pytest.mark.parametrize("name", SETTINGS)
def test_results_do_not_depend_on_the_setting(name, standard):
    with SETTINGS[name]():
        assert_same(results(), standard)


def test_nothing_leaks_from_a_trace():
    with jax.checking_leaks():
        utility = cj.simulate(market(), cj.EqualSplit(), rounds=1, record={}).final.utility
        cj.equilibrium_utility(market())
    assert utility.sum() == pytest.approx(market().contribution.sum())


def test_the_callers_settings_are_back_afterwards_also_after_an_error():
    with jax.numpy_rank_promotion("raise"), jax.debug_nans(True), jax.default_prng_impl("rbg"):
        cj.simulate(market(), cj.EqualSplit(), rounds=1, record={})
        with pytest.raises(ValueError, match="key"):
            cj.simulate(market(), cj.EqualSplit(), rounds=1, schedule=cj.RandomOrder())
        names = ("jax_numpy_rank_promotion", "jax_debug_nans", "jax_default_prng_impl")
        assert [getattr(jax.config, name) for name in names] == ["raise", True, "rbg"]
        assert jax.config.jax_enable_x64 is False


def test_seeds_are_of_the_generator_named_whatever_is_set():
    def words(key):
        return np.asarray(jax.random.key_data(key)).tolist()

    for seed in (0, 5, 2**31 + 1):
        assert words(key_of(seed)) == words(jax.random.key(seed, impl=GENERATOR))
    assert words(key_of(2**62 + 9)) == [2**30, 9]
    before = jax.config.jax_random_seed_offset
    jax.config.update("jax_random_seed_offset", 11)
    try:
        assert words(key_of(5)) == [0, 5] != words(jax.random.key(5))
    finally:
        jax.config.update("jax_random_seed_offset", before)


def test_a_key_of_the_callers_keeps_its_own_generator():
    def endowed(key):
        run = cj.simulate(
            market(), cj.EqualSplit(), rounds=1, record={}, endowments=cj.endowments.Exponential(), key=key
        )
        return run.final.utility

    assert not np.array_equal(endowed(jax.random.key(1, impl="rbg")), endowed(jax.random.key(1)))


def test_runs_are_played_as_written_where_nothing_shall_be_compiled():
    one, options = market(), {"rounds": 1, "record": ["min_ratio"], "schedule": cj.Sequential()}
    compiled = cj.simulate(one, cj.EqualSplit(), **options)
    with jax.disable_jit():
        written = cj.simulate(one, cj.EqualSplit(), **options)
    np.testing.assert_allclose(written.final.flow, compiled.final.flow, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(written.records["min_ratio"], compiled.records["min_ratio"], rtol=1e-13)
    few = cj.ProjectedGradient(max_steps=2, check_every=1)
    compiled = cj.solve(one, method=few)
    with jax.disable_jit():
        written = cj.solve(one, method=few)
    np.testing.assert_allclose(written.flow, compiled.flow, rtol=1e-12)


def test_the_command_gives_the_same_whatever_the_environment_sets():
    command = [sys.executable, "-m", "cmapjax", "simulate", "er:n=6,degree=4"]
    command += [
        "--isolated",
        "redraw",
        "--seed",
        str(2**33 + 1),
        "--rounds",
        "2",
        "--strategy",
        "cmap:schedule=random-order",
        "--json",
        "-",
    ]
    variables = {
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_RANDOM_SEED_OFFSET": "3",
        "JAX_THREEFRY_PARTITIONABLE": "0",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_DEBUG_NANS": "1",
        "JAX_DEBUG_INFS": "1",
        "JAX_TRANSFER_GUARD": "disallow",
        "JAX_ENABLE_X64": "1",
    }

    def document(environment):
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        del found["timings"]
        for run in found["runs"]:
            del run["seconds"], run["seconds_compiling"]
        return found

    plain = document({})
    assert plain["generator"] == GENERATOR
    assert document(variables) == plain
