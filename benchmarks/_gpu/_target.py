"""An H200 as XLA's compiler knows it, and the programs that `simulate` would run there."""

import contextlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import equinox as eqx
import jax
import numpy as np

import cmapjax as cj
from cmapjax import engine
from cmapjax.engine import _run, _simulate
from cmapjax.runtime._platform import laid_out_for
from cmapjax.runtime._settings import standard_settings

NEEDED = ("jax_cuda12_plugin", "jax_plugins.xla_cuda12", "nvidia.cuda_nvcc")
CHIP = Path(__file__).with_name("h200.txtpb")


def missing() -> list[str]:
    """Which of the packages that compile for a GPU are not installed."""

    def is_here(name):
        try:
            return importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:  # the package that it would be in
            return False

    return [name for name in NEEDED if not is_here(name)]


def placement() -> jax.sharding.Sharding:
    """An H200, without one and without a driver: where programs are to be compiled for."""
    from jax.experimental import topologies

    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
    chip = topologies.get_topology_desc(
        platform="cuda", topology_name="h200", topology="1x1x1", target_config=CHIP.read_text()
    )
    return jax.sharding.SingleDeviceSharding(chip.devices[0])


class _Enough(Exception):
    """All programs that play and record have been seen."""


def programs(market: cj.Market, strategy: cj.Strategy, **options) -> dict[str, tuple[Callable, tuple, dict]]:
    """The compiled functions of the engine that `simulate` calls, by name, each with its arguments.

    Nothing is compiled and nothing played: each returns zeros of the shapes that it would return.
    """
    found = {}

    def stand_in(name, function):
        def seen(*args, **kwargs):
            found.setdefault(name, (function, args, kwargs))
            shapes = eqx.filter_eval_shape(function.__wrapped__, *args, **kwargs)
            return jax.tree.map(
                lambda x: np.zeros(x.shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else x, shapes
            )

        return seen

    def judged(*_):
        raise _Enough

    with contextlib.ExitStack() as patches:
        for place, name, function in _compiled_functions():
            patches.enter_context(mock.patch.object(place, name, stand_in(name, function)))
        patches.enter_context(mock.patch.object(_simulate, "judged", judged))
        patches.enter_context(contextlib.suppress(_Enough))
        patches.enter_context(laid_out_for("gpu"))
        cj.simulate(market, strategy, native="off", progress=False, **options)
    return found


def _compiled_functions():
    """Where in the engine which compiled function is named."""
    kind = type(_run.run_rounds)
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith(engine.__name__ + "."):
            for name, value in list(vars(module).items()):
                if type(value) is kind:
                    yield module, name, value


def lowered(
    function: Callable, args: tuple, kwargs: dict, where: jax.sharding.Sharding
) -> jax.stages.Lowered:
    """One of `programs`, ready to be compiled for where it is to run; its text is the program."""
    is_donated = (function.donate_first, function.donate_rest)
    arrays, rest = eqx.partition((args[:1], (args[1:], kwargs)), eqx.is_array)
    arrays = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), arrays)

    def run(first, others):
        first, (others, named) = eqx.combine((first, others), rest)
        return eqx.filter(function.__wrapped__(*first, *others, **named), eqx.is_array)

    donated = tuple(place for place, yes in enumerate(is_donated) if yes)
    jitted = jax.jit(run, in_shardings=where, out_shardings=where, donate_argnums=donated)
    with jax.enable_x64(True), standard_settings(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Some donated buffers were not usable*")
        return jitted.trace(*arrays).lower()


def compiled(program: jax.stages.Lowered) -> jax.stages.Compiled:
    """The machine code."""
    with jax.enable_x64(True), standard_settings(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Some donated buffers were not usable*")
        return program.compile()
