"""Data flows one way: modules import only from those before them, and nothing forbidden."""

import ast
import re
from pathlib import Path

import networkx
import pytest

import cmapjax

PACKAGE = Path(cmapjax.__file__).parent
# From the ground up. A module may import from an earlier layer; of its own layer, only what stands in
# the same folder, and there too nothing goes round in a circle.
LAYERS = [
    ["arguments"],
    ["runtime"],
    ["market"],
    ["endowments", "graphs", "schedules", "strategies"],
    ["metrics"],
    ["equilibrium"],
    ["engine"],
    ["fairness"],
    ["sensitivity", "testing"],
    ["words"],
    ["studies"],
    ["plots"],
    ["report"],
    ["reproduce"],
    ["cli"],
    ["__main__"],
]
# Layers that the picture in CONTRIBUTING.md leaves out.
NOT_DRAWN = ("reproduce", "__main__")
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


def test_no_modules_import_each_other_in_a_circle():
    module_of = {".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for file in FILES}
    imports = networkx.DiGraph()
    for name, file in module_of.items():
        imports.add_edges_from(
            (name, other) for other in _modules(file) if other in module_of and other != name
        )
    circles = [sorted(c) for c in networkx.strongly_connected_components(imports) if len(c) > 1]
    assert not circles


def _modules(file: Path):
    """Full names of the modules that a file imports from; `from package import module` names the module."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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
    if _name(file) in ("cli", "__main__"):
        return
    calls = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call)]
    assert not [n.lineno for n in calls if getattr(n.func, "id", "") == "print"]


def test_every_public_name_exists_and_has_a_text():
    for name in cmapjax.__all__:
        assert getattr(cmapjax, name).__doc__, name
    assert set(dir(cmapjax)) == set(cmapjax.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = cmapjax.nothing


def test_the_picture_in_contributing_shows_the_layers_in_order():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text()
    picture = text.partition("```text\n")[2].partition("```")[0]
    drawn = [set(re.findall(r"(?:^|  )(\w+)(?=  )", part, re.MULTILINE)) for part in picture.split("↓")]
    shown = [{name for name in names if name not in NOT_DRAWN} for names in LAYERS]
    assert drawn == [names for names in shown if names]
