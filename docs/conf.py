"""How the documentation is built: `scripts/docs`, or `python -m sphinx -W -n docs docs/_build/html`.

Nothing is fetched, neither while building nor by a reader's browser: theme, styles and scripts come from
packages, fonts are the system's own, formulas are Unicode with indices. Pages with code are run from the
start.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

import cmapjax  # noqa: E402 - after the path

project = "cmapjax"
author = copyright = "The cmapjax developers"
release = version = cmapjax.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "api_pages",
    "formulas",
]
exclude_patterns = ["_build", "_extensions", "jupyter_execute", "*.py"]
# Of the Python files only those that are pages.
exclude_patterns += [
    f"claims/{name}.py" for name in ("at_once", "claims", "committed", "reproduce", "tiny", "two_receivers")
]
exclude_patterns += [f"tutorials/{name}.py" for name in ("rural3", "village")]
nitpicky = True
highlight_language = "none"
suppress_warnings = ["config.cache"]

html_theme = "furo"
html_title = "cmapjax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
# Prompts and outputs are not part of a command.
copybutton_exclude = ".linenos, .gp, .go"

# -- pages --------------------------------------------------------------------------------------
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]

# -- pages with code ----------------------------------------------------------------------------
nb_custom_formats = {".py": "claim_pages.read"}
nb_render_markdown_format = "gfm"  # tables
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds a cell may take, on a busy machine
nb_execution_show_tb = True
nb_merge_streams = True
# Kernels, and commands that they start, find this environment, and leave nothing behind.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
# The pages of claims share modules that stand beside them, and a tutorial has its village there.
BESIDE = [str(HERE / "claims"), str(HERE / "tutorials"), os.environ.get("PYTHONPATH", "")]
os.environ["PYTHONPATH"] = os.pathsep.join(BESIDE).rstrip(os.pathsep)
os.environ.setdefault("CMAPJAX_COMPILATION_CACHE", "off")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The examples compile more than they run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # else a warning among the outputs

# -- reference ----------------------------------------------------------------------------------
default_role = "py:obj"  # docstrings say `Market.links` and mean the object, where there is one
add_module_names = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_inherit_docstrings = False  # a text stands once, on the method that is implemented
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]
napoleon_use_rtype = False
