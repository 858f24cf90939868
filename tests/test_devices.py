"""Several devices, in one process and in two, give the results of one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import cmapjax as cj

PLAY = """
import numpy as np
graphs = cj.graphs
giant = graphs.RandomMarket(
    graphs.BarabasiAlbert(120, 2), endowment=graphs.Uniform(0.1, 1.0)
).draw(jax.random.key(0))
ensemble = graphs.RandomMarket(
    graphs.ErdosRenyi(20, mean_degree=4), endowment=graphs.Uniform(0.1, 1.0), isolated=graphs.Redraw()
).draw(jax.random.key(1), 15)
record = {"gap": lambda market, state: cj.certified_gap_of_flow(market, state.flow)}
cases = [
    (giant, cj.Damped(cj.CMAP(), cj.LocalDamping()), cj.Simultaneous()),
    (ensemble, cj.CMAP(), cj.Coloured()),
]
for market, strategy, schedule in cases[:num_cases]:
    one, many = (
        cj.simulate(m, strategy, schedule=schedule, rounds=6, every=3, record=record)
        for m in (market, cj.on_devices(market))
    )
    np.testing.assert_allclose(many.final.flow, one.final.flow, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(many.final.utility, one.final.utility, rtol=1e-12)
    np.testing.assert_allclose(many.records["gap"], one.records["gap"], rtol=1e-9, atol=1e-12)
    assert many.verdicts == one.verdicts
print(jax.process_count(), "processes,", len(jax.devices()), "devices agree")
"""


def _start(code, devices):
    environment = {
        **os.environ,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(cj.__file__).parents[1]),
    }
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process):
    try:
        out, err = process.communicate(timeout=280)
    finally:
        process.kill()
    assert process.returncode == 0, err[-3000:]
    return out


def test_eight_devices_of_one_process_agree_with_one_device():
    out = _finish(_start("import jax, cmapjax as cj\nnum_cases = 2\n" + PLAY, 8))
    assert "1 processes, 8 devices agree" in out


@pytest.mark.slow
def test_two_processes_agree_with_one_device():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    code = """
import jax
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize("127.0.0.1:{port}", num_processes=2, process_id={number})
import cmapjax as cj
num_cases = 1
"""
    processes = [_start(code.format(port=port, number=number) + PLAY, 2) for number in range(2)]
    for process in processes:
        assert "2 processes, 4 devices agree" in _finish(process)


def test_devices_of_no_or_different_platforms_are_refused():
    market = cj.Market.from_links([[0, 1]])
    with pytest.raises(ValueError, match="one or more devices"):
        cj.on_devices(market, [])
    assert cj.on_devices(market, jax.devices()[:1]).num_agents == 2
