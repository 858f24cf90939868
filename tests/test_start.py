"""What is loaded before the first answer: no more than it needs."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import environment

# Loading one of these takes 20 to 500 ms.
HEAVY = (
    "cvxpy",
    "distributed",
    "jaxopt",
    "matplotlib",
    "networkx",
    "optax",
    "pandas",
    "pyarrow",
    "pydantic",
    "rich",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.sparse",
    "scipy.spatial",
    "typer",
    "xarray",
)
READ = "import cmapjax as cj\nmarket = cj.Market.from_links([[0, 1], [1, 2], [2, 3], [0, 2]])\n"


def loaded(code: str, *names: str) -> list[str]:
    """Which of these modules a program has loaded at its end."""
    code = f"{code}\nimport sys\nprint(*[name for name in {names} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].split()


def test_importing_loads_neither_jax_nor_anything_heavy():
    assert loaded("import cmapjax", "jax", "jaxlib", "numpy", "equinox", *HEAVY) == []


def test_solving_loads_what_it_needs_and_starts_no_device():
    code = READ + (
        "assert cj.solve(market).is_solved\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge._backends, xla_bridge._backends\n"
    )
    engine = "cmapjax.engine._round", "cmapjax.strategies", "cmapjax.graphs"
    assert loaded(code, *HEAVY, *engine) == []


def test_a_network_known_by_name_brings_networkx_alone():
    code = 'import cmapjax as cj\ncj.solve(cj.graphs.read_market("karate"))'
    assert loaded(code, *HEAVY) == ["networkx"]


def test_simulating_everybody_at_once_loads_nothing_heavy():
    code = READ + "cj.simulate(market, cj.EqualSplit(), rounds=1)"
    assert loaded(code, *HEAVY) == []


def test_the_command_line_answers_without_jax():
    code = "import sys\nfrom cmapjax.cli import main\nsys.argv[1:] = ['simulate', '--help']\n"
    code += "try:\n    main()\nexcept SystemExit:\n    sys.stdout = sys.__stdout__"
    heavy = [name for name in HEAVY if name not in ("pydantic", "rich", "typer")]  # Typer brings these
    assert loaded(code, "typer", "jax", "numpy", *heavy) == ["typer"]


@pytest.mark.parametrize("name", ["graphs", "equilibrium"])
def test_type_checkers_see_the_names_that_are_loaded_late(name):
    module = importlib.import_module(f"cmapjax.{name}")
    tree = ast.parse(Path(module.__file__).read_text())
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in guarded.body for alias in node.names}
    homes = {public: f"{module.__name__}.{home}" for public, home in module._HOME_OF.items()}
    assert seen == homes
    assert sorted(module.__all__) == sorted(homes) == sorted(dir(module))
    everything = {}
    exec(f"from cmapjax.{name} import *", everything)
    assert set(homes) <= set(everything)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing
