"""A study's values on other machines: other numbers of cores."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.optimised

PROGRAM = """
import os, sys
if sys.argv[1]:
    os.sched_setaffinity(0, {int(sys.argv[1])})
from cmapjax import studies
study = studies.Study(
    name="machines", seed=3, markets=8, rounds=30, precision="float32", equilibrium=False,
    record={"metrics": ["log_nash_welfare", "min_ratio"], "curves": "none", "every": 30},
    cells={"network": "er:n=20,degree=5", "endowment": "lognormal:sigma=1", "isolated": "redraw"},
)
summary = studies.play_chunk(study, studies.chunks(study)[0]).summary.to_pandas()
print(summary[["log_nash_welfare", "min_ratio"]].to_numpy().tobytes().hex())
"""


def values(core: str = "") -> str:
    """A small study's values, to the last bit, played in a process of its own."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, core], env=environment, capture_output=True, text=True, check=True
    )
    assert len(bytes.fromhex(done.stdout.strip())) == 8 * 2 * 8
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes are not bound to cores here")
def test_values_are_the_same_bits_on_one_core():
    assert values(core=str(min(os.sched_getaffinity(0)))) == values()
