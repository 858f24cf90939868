"""Pages that are Python scripts: `# %%` begins a cell of code, `# %% [markdown]` one of comments."""

import re

import nbformat.v4 as v4


def read(text: str):
    """The notebook of a script."""
    cells = []
    for part in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        if head.strip() == "[markdown]":
            cells.append(v4.new_markdown_cell(re.sub(r"^# ?", "", body, flags=re.MULTILINE).strip()))
        else:
            cells.append(v4.new_code_cell(body.strip()))
    kernel = {"name": "python3", "display_name": "Python 3"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
