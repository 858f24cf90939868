"""Pages of the reference: one per public module, with every public name, written before each build.

A name that several modules offer is described once, where it is shortest to type; the others point there.
"""

import ast
import importlib
import inspect
import sys
import textwrap
from pathlib import Path

import typer
from docutils import nodes
from sphinx.ext.napoleon.docstring import GoogleDocstring

import cmapjax
from cmapjax.cli._app import app

FOLDER = "api"
# What the flat names of `cmapjax` are about, by the module they come from, in the order of the page.
GROUPS = {
    "Markets": ("market._market", "market._packing", "market._devices"),
    "Runs": ("engine._simulate", "engine._run", "engine._explain"),
    "Strategies": ("strategies", "market._columns"),
    "Schedules": ("schedules",),
    "Equilibrium": ("equilibrium", "market._certificate", "sensitivity"),
    "Studies": ("studies",),
    "Settings": ("runtime",),
}
OTHERS = "Others"
RETURNED = "What is returned and never made by hand"
# Classes without a public name that public functions return.
WITHOUT_NAME = (
    "cmapjax.equilibrium._equilibrium.Groups",
    "cmapjax.equilibrium._equilibrium.Fractions",
    "cmapjax.engine._explained.Explanation",
    "cmapjax.engine._explained.Neighbour",
    "cmapjax.engine._explained.Own",
)

# What an error of ours may be caught as.
ERRORS = (AssertionError, ValueError)


def public_names(module) -> list[str]:
    """Those of `__all__`, which every public module has."""
    return sorted(module.__all__, key=lambda name: (name.upper(), name))


def modules() -> list:
    """The public modules, the flat one first."""
    return [cmapjax, *(importlib.import_module(f"cmapjax.{name}") for name in cmapjax._MODULES)]


def homes() -> dict[str, str]:
    """For every public name of every module, the name under which it is described."""
    described, found = {}, {}
    for module in modules():
        for name in public_names(module):
            thing = getattr(module, name)
            if inspect.ismodule(thing):
                continue
            full = f"{module.__name__}.{name}"
            is_known = callable(thing) and id(thing) in described
            found[full] = described[id(thing)] if is_known else full
            described.setdefault(id(thing), full)
    return found


def write_pages(app) -> None:
    """The pages, anew; what no longer exists is removed."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    home_of = homes()
    pages = {f"{module.__name__}.rst": _page(module, home_of) for module in modules()}
    pages["command-line.rst"] = _command_line()
    for file in folder.glob("*.rst"):
        if file.name not in pages:
            file.unlink()
    for name, text in pages.items():
        if not (folder / name).exists() or (folder / name).read_text() != text:
            (folder / name).write_text(text)


def _page(module, home_of: dict[str, str]) -> str:
    title = f"{module.__name__}"
    parts = [f"{title}\n{'=' * len(title)}", f".. automodule:: {module.__name__}\n   :no-members:"]
    names = [n for n in public_names(module) if not inspect.ismodule(getattr(module, n))]
    for group, members in _grouped(module, names).items():
        if group:
            parts.append(f"{group}\n{'-' * len(group)}")
        homes_here = [home_of[f"{module.__name__}.{name}"] for name in members]
        own = [f"{module.__name__}.{name}" for name in members]
        listed = "\n".join(
            f"   {name}" if home == full else f"   ~{home}"
            for name, full, home in zip(members, own, homes_here, strict=True)
            if callable(getattr(module, name))
        )
        if listed:
            parts.append(f".. autosummary::\n   :nosignatures:\n\n{listed}")
        parts += [
            _entry(module, name)
            for name, full, home in zip(members, own, homes_here, strict=True)
            if home == full
        ]
    if module is cmapjax:
        parts += [f"{RETURNED}\n{'-' * len(RETURNED)}", *(f".. autoclass:: {name}" for name in WITHOUT_NAME)]
    return "\n\n".join(parts) + "\n"


def _command_line() -> str:
    """What `--help` says, of every command."""
    parts = ["Command line\n============"]
    for path, command in _commands((("cmapjax",), typer.main.get_command(app))):
        title = " ".join(path)
        command.rich_markup_mode = None  # plain text
        text = command.get_help(command.context_class(command, info_name=title, terminal_width=84))
        parts.append(f"{title}\n{'-' * len(title)}\n\n.. code-block:: text\n\n{textwrap.indent(text, '   ')}")
    return "\n\n".join(parts) + "\n"


def _commands(start):
    path, command = start
    yield start
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(((*path, name), below))


def _grouped(module, names: list[str]) -> dict[str, list[str]]:
    if module is not cmapjax:
        return {"": names}
    grouped = {group: [] for group in (*GROUPS, OTHERS)}
    for name in names:
        home = cmapjax._HOME_OF[name].removeprefix("cmapjax.")
        of_home = (group for group, homes in GROUPS.items() if home.startswith(homes))
        grouped[next(of_home, OTHERS)].append(name)
    return {group: members for group, members in grouped.items() if members}


def _entry(module, name: str) -> str:
    thing = getattr(module, name)
    full = f"{module.__name__}.{name}"
    if inspect.isclass(thing):
        return f".. autoclass:: {full}"
    if callable(thing):
        return f".. autofunction:: {full}"
    texts = [_text_of(module, name)]
    if isinstance(thing, dict) and all(isinstance(text, str) for text in thing.values()):
        texts.append("\n".join(f"- ``{key}``: {text}" for key, text in thing.items()))
    elif isinstance(thing, (dict, tuple)) and all(isinstance(key, str) for key in thing):
        texts.append(", ".join(f"``{key}``" for key in thing) + ".")
    text = "\n\n".join(filter(None, texts)).replace("\n", "\n   ")
    return f".. data:: {name}\n   :module: {module.__name__}\n\n   {text}"


def _text_of(module, name: str) -> str:
    """What stands about a constant where it is defined: the string below it, or the comment above."""
    thing = getattr(module, name)
    ours = [m for title, m in sorted(sys.modules.items()) if title.split(".")[0] == "cmapjax"]
    for place in (module, *(m for m in ours if vars(m).get(name) is thing)):
        source = inspect.getsource(place)
        body, lines = ast.parse(source).body, source.splitlines()
        for node, following in zip(body, [*body[1:], None], strict=True):
            if not isinstance(node, (ast.Assign, ast.AnnAssign)) or name not in _assigned(node):
                continue
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                return inspect.cleandoc(following.value.value)
            first = node.lineno - 1
            while first and lines[first - 1].startswith("# "):
                first -= 1
            beside = lines[node.end_lineno - 1][node.end_col_offset :].strip(" #")
            return "\n".join([*(line[2:] for line in lines[first : node.lineno - 1]), beside]).strip()
    return ""


def _assigned(node) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}


def resolve(app, env, node, contnode):
    """Shorter and private names of public things, and names of others, which are not described here."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    for candidate in (f"cmapjax.{target}", f"{node.get('py:module')}.{target}"):
        if candidate in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", candidate, node, contnode)
    # In docstrings `x` is code first of all. Of types, only those with a public name of ours must be known.
    is_public = target.startswith("cmapjax.") and "._" not in target
    return None if is_public and node.get("reftype") != "obj" else contnode


def only_public_bases(app, name, thing, options, bases) -> None:
    """Of bases that a reader cannot look up, the nearest of their own bases that can be."""
    known = {id(getattr(m, n)) for m in modules() for n in public_names(m)}
    bases[:] = [
        next((c for c in getattr(base, "__mro__", ()) if id(c) in known or c in ERRORS), object)
        for base in bases
    ]


def drop_empty_bases(app, doctree) -> None:
    """ "Bases: object" says nothing."""
    for paragraph in list(doctree.findall(nodes.paragraph)):
        if paragraph.astext() == "Bases: object":
            paragraph.parent.remove(paragraph)


def bars_are_bars(app, what, name, thing, options, lines) -> None:
    """In docstrings |x| is an absolute value, not a substitution."""
    lines[:] = [
        line if line.lstrip().startswith((">>>", "...")) else line.replace("|", r"\|") for line in lines
    ]


def setup(app):
    # What stands below a field is a sentence: "Row a: the neighbours" names no type.
    GoogleDocstring._consume_inline_attribute = lambda self: ("", self._dedent(self._consume_to_end()))
    app.connect("autodoc-process-docstring", bars_are_bars)
    app.connect("builder-inited", write_pages)
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-bases", only_public_bases)
    app.connect("doctree-read", drop_empty_bases)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
