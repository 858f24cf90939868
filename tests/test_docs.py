"""The site: it builds without a warning and without a network, and everything in it leads somewhere."""

import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from doc_blocks import PAGES, ROOT, is_notebook

import cmapjax

# Beside the docs, what they include or link to.
BESIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE")
SPHINX = (sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n")
LEAST_PICTURES = {
    "start": 2,
    "strategies": 5,
    "sensitivity": 1,
    "tutorials/bandwidth": 3,
    "tutorials/energy": 2,
    "tutorials/food-bank": 2,
    "tutorials/mesh": 3,
    "which-rule": 2,
    "tutorials/ensemble": 2,
    "tutorials/design": 1,
}


class Page(HTMLParser):
    """What a page links to, loads, and can be linked to."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.loaded, self.anchors, self.images = [], [], set(), 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if given.get("id"):
            self.anchors.add(given["id"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") not in ("canonical",):
            self.loaded.append(given["href"])
        self.images += tag == "img"


def build(folder: Path, *options: str) -> Path:
    """The site, from a copy of the sources."""
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("_build", "api"))
    for name in BESIDE:
        shutil.copy(ROOT / name, folder)
    site = folder / "site"
    done = subprocess.run(
        [*SPHINX, *options, str(folder / "docs"), str(site)],
        cwd=folder,
        env=os.environ
        # No proxies, no way out: what is fetched while building fails.
        | {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return site


# Without what pages with code come to, which `test_doc_blocks` executes and the slow test below shows.
AS_WRITTEN = ("-D", "nb_execution_mode=off", "-D", "suppress_warnings=config.cache,myst-nb.lexer")


def test_the_site_builds_without_a_warning_and_everything_in_it_leads_somewhere(tmp_path):
    site = build(tmp_path, *AS_WRITTEN)
    pages = check_pages(site)
    check_reference(pages)
    check_formulas((site / "model.html").read_text())


@pytest.mark.slow
@pytest.mark.timeout(1800)  # on a busy machine
def test_every_page_with_code_is_executed_and_shows_what_comes_out(tmp_path):
    site = build(tmp_path)
    pages = check_pages(site)
    for name, least in LEAST_PICTURES.items():
        assert pages[site / f"{name}.html"].images >= least, name
    claims = [page for page in (ROOT / "docs" / "claims").glob("*.py") if "page.finish()" in page.read_text()]
    for source in [*PAGES, *claims]:
        if source in claims or is_notebook(source):
            text = (site / source.relative_to(ROOT / "docs").with_suffix(".html")).read_text()
            assert "cell_output" in text, f"{source}: nothing came out"
            assert "Traceback (most recent" not in text
            assert "UserWarning" not in text, f"{source}: a warning among the outputs"
            stray = re.search(r">(Text\(|&lt;matplotlib|\[&lt;matplotlib)[^<]*", text)
            assert not stray, f"{source}: {stray[0]} among the outputs; end the cell with a semicolon"


def check_pages(site: Path) -> dict[Path, Page]:
    """All links lead somewhere, and nothing is loaded from elsewhere."""
    pages = {file: Page(file.read_text()) for file in sorted(site.rglob("*.html"))}
    assert len(pages) > 30
    for file, page in pages.items():
        check_links(site, file, pages)
        for address in page.loaded:
            assert not re.match(r"(https?:)?//", address), f"{file.name} loads {address} from elsewhere"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?https?:", sheet.read_text()), (
            f"{sheet.name} loads from elsewhere"
        )
    return pages


def test_public_modules_define_no_other_public_names():
    for module in modules():
        for name, thing in vars(module).items():
            is_own = getattr(thing, "__module__", None) == module.__name__
            if is_own and (inspect.isfunction(thing) or inspect.isclass(thing)) and not name.startswith("_"):
                assert name in module.__all__, f"{module.__name__}.{name}: public, or _{name}?"


def modules() -> list:
    return [importlib.import_module(f"cmapjax.{name}") for name in cmapjax._MODULES]


def check_links(site: Path, file: Path, pages: dict[Path, Page]) -> None:
    for target in pages[file].links:
        if re.match(r"[a-z]+:", target):
            continue
        where, _, anchor = unquote(target).partition("#")
        there = (file.parent / where).resolve() if where else file
        assert there.exists(), f"{file.relative_to(site)}: {target}"
        if anchor and there.suffix == ".html" and anchor != "top":
            assert anchor in pages[there].anchors, f"{file.relative_to(site)}: {target}"


def check_formulas(text: str) -> None:
    """Indices of the model stand below the line, and none is left as it was typed."""
    article = re.search(r"<article.*</article>", text, re.DOTALL)[0]
    assert "y<sub>ij</sub>" in article
    shown = re.sub(r"<[^>]+>", "", re.sub(r"<code.*?</code>", "", article, flags=re.DOTALL))
    typed = re.findall(r"\b\w_\w{1,2}\b|_\{", shown)
    assert not typed, typed


def check_reference(pages: dict[Path, Page]) -> None:
    """Every public name of every public module has its entry, in one place."""
    sys.path.insert(0, str(ROOT / "docs" / "_extensions"))
    try:
        import api_pages
    finally:
        sys.path.pop(0)
    described = set().union(*(page.anchors for file, page in pages.items() if file.parent.name == "api"))
    missing = {home for home in api_pages.homes().values() if home not in described}
    assert not missing
    names = {module.__name__ for module in api_pages.modules()}
    flat = {anchor for anchor in described if anchor.rpartition(".")[0] in names} - names
    assert flat == set(api_pages.homes().values())
    assert {"cmapjax.simulate", "cmapjax.CMAP", "cmapjax.graphs.ErdosRenyi"} <= described
