"""Shared by all tests: array shapes are checked while tests run, and a few small markets."""

import gc
import os
from pathlib import Path

import beartype
import jax
import numpy as np
import pytest
from costs import Costs
from jaxtyping import install_import_hook

# Modules of compiled code. The others take whatever the caller hands in and say themselves, as
# ValueError, what is wrong with it.
CHECKED = [
    "cmapjax.market._certificate",
    "cmapjax.engine._round",
    "cmapjax.market._random",
    "cmapjax.schedules._turns",
    "cmapjax.metrics",
    "cmapjax.strategies._base",
    "cmapjax.strategies._simple",
]

# An int is a float, as the type system has it.
checked = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))

install_import_hook(CHECKED, "conftest.checked")

import cmapjax as cj  # noqa: E402 - after the hook
from cmapjax.runtime import _compilation_cache  # noqa: E402
from cmapjax.runtime._programs import forget_if_many  # noqa: E402

# Commands and pages that run in this process do not move its folder of programs (`pytest_configure`).
_compilation_cache._tell_jax = lambda folder: None


def pytest_addoption(parser):
    parser.addoption(
        "--costs", type=int, metavar="N", help="processor time and programs of the N dearest files and tests"
    )


def pytest_configure(config):
    """One folder of compiled programs for all workers, runs and processes: each program is compiled once.

    JAX names a program by its text, the versions and the options it is compiled with.
    """
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or Path(config.rootpath, ".pytest_cache", "compiled")
    folder = str(Path(folder).absolute())
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # For processes that tests start. Commands leave nothing in the user's cache folder.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["CMAPJAX_COMPILATION_CACHE"] = folder
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # Tracing and compiling make many objects that live long: going through them is 5 % of the suite.
    gc.set_threshold(100_000, 50, 100)
    if config.getoption("costs") is not None:
        config.pluginmanager.register(Costs())


# Compiling is most of the suite's time, and optimising is half of compiling. Laws and answers hold whatever
# the optimisation, so that they are tried without. What is said about bits, memory or time is marked
# `optimised` and compiled as users' programs are; so is all with another -m than by default.
compiled = {"optimised": None}


def pytest_collection_modifyitems(items):
    """Those marked `optimised` come last: a change of mind forgets what was compiled."""
    items.sort(key=lambda item: item.get_closest_marker("optimised") is not None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Compile as this test asks for, also in processes that it starts."""
    by_default = item.config.getoption("markexpr") == "not slow"
    optimised = not by_default or item.get_closest_marker("optimised") is not None
    if optimised != compiled["optimised"]:
        compiled["optimised"] = optimised
        jax.config.update("jax_disable_most_optimizations", not optimised)
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(not optimised)
        jax.clear_caches()  # what was compiled otherwise is not taken for it


@pytest.fixture(autouse=True)
def _few_compiled_programs():
    """Forget compiled programs before there are too many, after tests that call no public function too."""
    yield
    forget_if_many()


@pytest.fixture(scope="session")
def small_market():
    """Five agents, unlike in degree and in contribution: a triangle with a tail of two."""
    links = np.array([[0, 1], [1, 2], [0, 2], [2, 3], [3, 4]])
    return cj.Market.from_links(links, endowment=[1.0, 2.0, 3.0, 0.5, 2.0], value=[1.0, 1.5, 0.5, 2.0, 1.0])


@pytest.fixture(scope="session")
def ensemble():
    """Small markets of all kinds side by side: trees, cycles, a clique, a hub; equal and unequal."""
    figures = [
        [[0, 1]],
        [[0, 1], [1, 2]],
        [[0, 1], [1, 2], [2, 3], [3, 0]],
        [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]],
        [[0, i] for i in range(1, 6)] + [[1, 2]],
        [[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [4, 5], [3, 5]],
    ]
    rng = np.random.default_rng(7)
    markets = []
    for links in figures:
        n = int(np.max(links)) + 1
        markets.append(
            cj.Market.from_links(
                np.array(links), endowment=rng.uniform(0.2, 2, n), value=rng.uniform(0.5, 2, n)
            )
        )
    return cj.pack(markets)


@pytest.fixture(scope="session")
def hostile_page(tmp_path_factory):
    """The results and the page of a study of two hundred cells and hostile names (`study_samples`)."""
    import study_samples

    return study_samples.hostile_page(tmp_path_factory.mktemp("studies") / "two hundred")
