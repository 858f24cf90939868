"""Public functions say what they take, return and raise; pages explain public names; arguments stay few."""

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import cmapjax

PACKAGE = Path(cmapjax.__file__).parent
DOCS = Path(__file__).parents[1] / "docs"
MOST_ARGUMENTS = 8
# Functions with more, and why.
WITH_MORE = {
    # What agents see in a turn: the parts that JAX's loop over turns carries and reads.
    "engine/_round.py:_answer_rows": "parts of a turn",
    "engine/_round.py:act_in_turns": "parts of a round",
    # Options that a user gives by name.
    "engine/_simulate.py:simulate": "options of a run, given by name",
    "market/_market.py:from_links": "fields of a market, given by name",
    "graphs/_read.py:read_market": "options of a file, given by name",
    "graphs/_networkx.py:from_networkx": "attributes and options of a graph, given by name",
}
# Modules whose names are for the command line and those who extend studies.
INTERNAL = ("reproduce", "studies", "report")


def _modules() -> list:
    names = [name for name in cmapjax._MODULES if name not in INTERNAL]
    return [cmapjax, *(importlib.import_module(f"cmapjax.{name}") for name in names)]


def _public() -> dict:
    """Every public name that is not a module, once, under the name by which it was first met."""
    found = {}
    for module in _modules():
        for name in module.__all__:
            thing = getattr(module, name)
            home = getattr(thing, "__module__", "").split(".")
            if not inspect.ismodule(thing) and home[:2] not in (["cmapjax", name] for name in INTERNAL):
                found.setdefault(id(thing), (f"{module.__name__}.{name}", thing))
    return dict(found.values())


def _functions():
    """Public functions and the methods that public classes define, with the class if there is one."""
    for name, thing in _public().items():
        if inspect.isclass(thing):
            for attribute, member in vars(thing).items():
                member = inspect.unwrap(getattr(member, "__func__", member))
                if not attribute.startswith("_") and inspect.isfunction(member):
                    yield f"{name}.{attribute}", member, thing
        elif callable(thing):
            yield name, inspect.unwrap(thing), None


def _parameters(function) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def _sections(text: str) -> dict[str, str]:
    """The text below each of Args, Returns and Raises."""
    parts = re.split(r"^(Args|Returns|Raises):\n", text, flags=re.MULTILINE)
    texts = (re.split(r"^\S", part, flags=re.MULTILINE)[0] for part in parts[2::2])
    return dict(zip(parts[1::2], texts, strict=True))


def _complaints(function, text: str) -> list[str]:
    """What a docstring lacks."""
    sections = _sections(text)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    named = re.findall(r"^ +((?:\w+, )*\w+):", sections.get("Args", ""), flags=re.MULTILINE)
    named = {name for names in named for name in names.split(", ")}
    # A market is the market: there is nothing to add.
    lacks = [f"Args: {name}" for name in _parameters(function) if name not in named | {"market"}]
    nodes = list(ast.walk(tree))
    is_abstract = len(tree.body) == 1 and getattr(tree.returns, "value", "") is not None
    returns = any(isinstance(node, ast.Return) and node.value is not None for node in tree.body)
    if (returns or is_abstract) and "Returns" not in sections:
        lacks.append("Returns")
    if any(isinstance(node, ast.Raise) for node in nodes) and "Raises" not in sections:
        lacks.append("Raises")
    return lacks


def test_public_functions_say_what_they_take_return_and_raise():
    lacking = {}
    for name, function, owner in _functions():
        attribute = name.rpartition(".")[2]
        inherits = owner and any(hasattr(base, attribute) for base in owner.__mro__[1:])
        if len(_parameters(function)) < 2 or (inherits and not function.__doc__):
            continue
        if lacks := _complaints(function, inspect.getdoc(function) or ""):
            lacking[name] = lacks
    assert not lacking


def test_a_docstring_without_sections_is_found():
    def bare(market, flow, price):
        """The worth of a flow.

        Args:
            flow: y_ij (value).
        """
        if price < 0:
            raise ValueError("price")
        return flow * price

    assert _complaints(bare, inspect.getdoc(bare)) == ["Args: price", "Returns", "Raises"]


def test_fields_of_public_classes_are_described():
    lacking = []
    for name, thing in _public().items():
        if not inspect.isclass(thing):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0].body
        for field, after in zip(body, [*body[1:], None], strict=True):
            is_field = isinstance(field, ast.AnnAssign) and "ClassVar" not in ast.unparse(field.annotation)
            if not is_field or field.target.id.startswith("_"):
                continue
            has_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if not has_text and not re.search(rf"\b{field.target.id}\b", thing.__doc__ or ""):
                lacking.append(f"{name}.{field.target.id}")
    assert not lacking


def test_no_function_has_many_arguments():
    many = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
                number = sum(argument.arg not in ("self", "cls") for argument in arguments)
                if number > MOST_ARGUMENTS:
                    many[f"{file.relative_to(PACKAGE)}:{node.name}"] = number
    assert not {place: number for place, number in many.items() if place not in WITH_MORE}
    there = {place for place in WITH_MORE if (PACKAGE / place.partition(":")[0]).exists()}
    assert there <= set(many), "an exception that is no longer needed"


@pytest.mark.parametrize("module", _modules(), ids=lambda module: module.__name__)
def test_every_public_name_is_on_a_page(module):
    pages = [DOCS.parent / "README.md", *DOCS.rglob("*.md")]
    words = set(re.findall(r"\w+", "\n".join(page.read_text() for page in pages)))
    assert [name for name in module.__all__ if name not in words] == []
