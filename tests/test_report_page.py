"""The page of a study as a file: what it holds, escapes, forbids and admits."""

import base64
import gzip
import hashlib
import html.parser
import json
import re

import pytest
from study_samples import HOSTILE


@pytest.fixture(scope="module")
def results(hostile_page):
    return hostile_page[0]


@pytest.fixture(scope="module")
def text(hostile_page):
    return hostile_page[1]


class Parsed(html.parser.HTMLParser):
    """Elements of a page, the text in them, and their attributes."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self._open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(len(self.tags) - 1)

    def handle_data(self, data):
        for place in self._open[-1:]:
            self.texts[place] = self.texts.get(place, "") + data

    def handle_endtag(self, tag):
        while self._open and self.tags[self._open.pop()][0] != tag:
            pass


@pytest.fixture(scope="module")
def parsed(text):
    return Parsed(text)


def unpacked(parsed, name: str) -> str:
    """What is compressed on the page."""
    (place,) = [k for k, (_, attributes) in enumerate(parsed.tags) if attributes.get("id") == name]
    return gzip.decompress(base64.b64decode(parsed.texts[place])).decode()


# -- as a file -------------------------------------------------------------------------------------


def test_the_policy_allows_the_two_scripts_of_the_page_and_no_network(parsed):
    (ours,) = [
        parsed.texts[k]
        for k, (tag, attributes) in enumerate(parsed.tags)
        if tag == "script" and attributes.get("type") != "text/plain"
    ]
    assert ours.count("\n") <= 200
    scripts = [unpacked(parsed, "plotly"), ours]
    (policy,) = [a["content"] for _, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy"]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert rules["default-src"] == ["'none'"]
    assert rules["connect-src"] == ["'none'"]
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in scripts]
    assert rules["script-src"] == [f"'sha256-{digest}'" for digest in hashes]
    assert not [
        source for sources in rules.values() for source in sources if "http" in source or source == "*"
    ]


def test_nothing_on_the_page_refers_to_the_net(parsed, text):
    for tag, attributes in parsed.tags:
        assert tag not in ("img", "iframe", "object", "embed", "base", "video", "audio"), tag
        assert not [name for name in attributes if name.startswith("on")], attributes
        for name in ("src", "href", "action", "srcset"):
            if name in attributes:
                assert attributes[name].startswith(("#", "data:,")), attributes
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_names_are_text_and_nothing_else(parsed, text):
    assert sum(tag == "script" for tag, _ in parsed.tags) == 3  # data, plotly, ours
    assert not {"b", "i", "img"} & {tag for tag, _ in parsed.tags}
    (heading,) = [parsed.texts[k] for k, (tag, _) in enumerate(parsed.tags) if tag == "h1"]
    assert heading == f'{HOSTILE} & "co"'
    assert "worker killed: <b>out of memory</b>" in parsed.texts.values()
    charts = json.loads(unpacked(parsed, "data"))["charts"]
    known = r"<(?!br>|/?extra\b)"
    assert not re.search(known, json.dumps(charts))


def test_the_commands_are_exact_and_safe_to_paste(parsed):
    (commands,) = [parsed.texts[k] for k, (_, a) in enumerate(parsed.tags) if a.get("id") == "command"]
    assert commands.splitlines()[:2] == ["git checkout 12ab", "pip install '.[study]'"]
    assert "cmapjax study run study.toml --out './-two hundred; rm -rf ~'" in commands.splitlines()
    (given,) = [parsed.texts[k] for k, (_, a) in enumerate(parsed.tags) if a.get("id") == "study-file"]
    assert given.startswith(f'name = "x"  # {HOSTILE}')


def test_the_page_stays_small_whatever_the_number_of_markets(text):
    assert len(text) < 6_000_000


def test_failures_stops_and_gaps_are_on_the_page(parsed, text, results):
    words = " ".join(parsed.texts.values())
    assert "3,960 of 4,000 runs" in words
    assert "1 chunk(s) failed, 10 market(s) under every strategy" in words
    assert "g00003-m0000010-n000010" in text
    starved = int((results.frame()["verdict"] == "starved for now").sum())
    assert f"{starved:,} of 3,960 runs were stopped early, in the median after 40 rounds" in words
    assert f"certified_gap: {starved:,}" in words
    assert "Market 3 of ground 1 is not drawn: <i>why</i>" in words
