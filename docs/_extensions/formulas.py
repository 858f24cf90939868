"""Formulas in plain Unicode, set: y_ij, Σ_{p ∈ N_j} and r_j^(w_j/W) with true subscripts and superscripts.

The sources stay as they are typed, so that they read well on a terminal, in docstrings and in a repository's
viewer. Names of code (`max_degree`) are in backticks, or longer than an index, and are left alone.
"""

import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

KINDS = ("braces", "round", "bare")
INDEX = r"(?:\{(?P<braces_AT>[^}]*)\}|\((?P<round_AT>[^()]*)\)|(?P<bare_AT>BARE))"
BELOW = INDEX.replace("AT", "below").replace("BARE", r"[A-Za-z0-9]{1,2}(?![A-Za-z0-9_])")
ABOVE = INDEX.replace("AT", "above").replace("BARE", r"[A-Za-z0-9]+")
# What carries an index: a letter, perhaps marked (u*, u′), min or max; a power also a number or a bracket.
BASE = r"(?<![A-Za-z_])(?:(?:arg)?(?:min|max)(?=_)|[^\W\d_]['’′*⁺]?(?=[_^]))|[\d)](?=\^)"
FORMULA = re.compile(rf"(?P<base>{BASE})(?:_{BELOW})?(?:\^{ABOVE})?")


class SetFormulas(SphinxPostTransform):
    default_priority = 700
    formats = ("html",)

    def run(self, **kwargs) -> None:
        for block in list(self.document.findall(nodes.literal_block)):
            if block.get("language") == "none" and isinstance(block.parent, nodes.section):
                block.replace_self(nodes.paragraph("", "", *parts(block.astext()), classes=["formula"]))
        for text in list(self.document.findall(nodes.Text)):
            if FORMULA.search(text) and not _is_code(text):
                text.parent.replace(text, parts(text))


def parts(text: str) -> list[nodes.Node]:
    """The text, with indices as nodes of their own."""
    found, end = [], 0
    for match in FORMULA.finditer(text):
        below, above = (
            next((match[f"{kind}_{where}"] for kind in KINDS if match[f"{kind}_{where}"] is not None), None)
            for where in ("below", "above")
        )
        if below is None and above is None:
            continue
        found.append(nodes.Text(text[end : match.end("base")]))
        if below is not None:
            found.append(nodes.subscript("", "", *parts(below)))
        if above is not None:
            found.append(nodes.superscript("", "", *parts(above)))
        end = match.end()
    return [*found, nodes.Text(text[end:])]


def _is_code(node) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, (nodes.literal, nodes.literal_block, nodes.raw)):
            return True
        if node.tagname.startswith("desc_") and node.tagname != "desc_content":
            return True
    return False


def setup(app):
    app.add_post_transform(SetFormulas)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
