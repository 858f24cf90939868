"""Data flows one way: modules import only from those before them, and nothing forbidden."""

import ast
from pathlib import Path

import pytest

import cmapjax

PACKAGE = Path(cmapjax.__file__).parent
# From the ground up. A module may import from an earlier layer; of its own layer, only what stands in
# the same folder. The rest of the package may import everything.
LAYERS = [
    ["_checks", "_generator", "_maximum_flow", "_named_networks", "_programs", "_progress", "_rows"],
    ["_compilation_cache", "_labelled", "_origin", "_file_options", "_settings"],
    ["_types", "_precision"],
    ["_columns", "_derivatives", "_decomposition"],
    ["_reductions"],
    ["_market", "_differences"],
    ["_devices", "_packing", "_random", "_turns"],
    ["_certificate", "_community", "endowments", "graphs", "strategies", "_schedule"],
    ["_feasibility", "_verdict"],
    ["metrics", "_canonical"],
    ["_engine", "_records"],
    ["_play"],
    ["_scaling"],
    ["_native"],
    ["_run"],
    ["_judge"],
    ["_small"],
    ["_driver"],
    ["_simulate", "_equilibrium"],
    ["methods", "fairness"],
    ["_solve", "_explain"],
    ["testing", "sensitivity"],
    ["_words"],
    ["studies"],
    ["_store", "plots"],
    ["_runner", "report"],
    ["reproduce"],
    ["_cli"],
    ["__main__"],
]
LAYER = {name: depth for depth, names in enumerate(LAYERS) for name in names}
FILES = sorted(PACKAGE.rglob("*.py"))


def _name(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def _imports(file: Path):
    """Full names of the package's modules that a file imports, when loaded or later."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}: relative imports hide where things come from"
            if node.module == "cmapjax":
                yield from (f"cmapjax.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_modules_import_only_from_layers_below(file):
    name = _name(file)
    if name == "__init__":
        return
    assert name in LAYER, f"{name} has no layer: give it one"
    for module in _imports(file):
        if module.split(".")[0] != "cmapjax" or module.count(".") == 0:
            continue
        other = module.split(".")[1]
        if other in ("__version__",) or other not in LAYER:
            continue
        assert other == name or LAYER[other] < LAYER[name], f"{name} imports {other}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_nothing_runs_code_from_data_or_swallows_every_error(file):
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not {"pickle", "yaml", "shelve", "marshal"} & {n.split(".")[0] for n in names}
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if isinstance(node.func, ast.Name):
                assert called not in ("eval", "exec", "__import__")
            allowed = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            assert allowed.get("allow_pickle") is not True
            assert allowed.get("shell") is not True


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_only_the_command_line_prints(file):
    if _name(file) in ("_cli", "__main__"):
        return
    calls = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call)]
    assert not [n.lineno for n in calls if getattr(n.func, "id", "") == "print"]


def test_every_public_name_exists_and_has_a_text():
    for name in cmapjax.__all__:
        assert getattr(cmapjax, name).__doc__, name
    assert set(dir(cmapjax)) == set(cmapjax.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = cmapjax.nothing
