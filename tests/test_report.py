"""The page of a study in headless Chromium: it draws, its controls work, and its numbers are right."""

import base64
import json
import shutil
import tempfile
import time

import numpy as np
import pytest
import study_samples
from study_samples import HOSTILE

from cmapjax.report._data import ReportData
from cmapjax.report._page import render
from cmapjax.report._summary import shown as in_words

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
CHARTS = ("bands", "welfare", "loss", "verdicts", "heat", "network")


@pytest.fixture(scope="module")
def results(hostile_page):
    return hostile_page[0]


@pytest.fixture(scope="module")
def text(hostile_page):
    return hostile_page[1]


@pytest.fixture(scope="module")
def page(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page #1 ü.html"
    path.write_text(text)
    return path.as_uri()


@pytest.fixture(scope="module")
def start():
    """Start a browser with a profile of its own; all are ended with the module."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("Chromium is not installed; run: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    started, profiles = [], []

    def begin(width=1280, height=900):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        profiles.append(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        for flag in (*FLAGS, f"--user-data-dir={profiles[-1].name}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        started.append(webdriver.Chrome(options=options, service=Service(DRIVER)))
        started[-1].set_page_load_timeout(60)
        return started[-1]

    yield begin
    for browser in started:
        browser.quit()
    for profile in profiles:
        profile.cleanup()


@pytest.fixture(scope="module")
def opened(start, page):
    """The browser with the page open, what it logged, what it asked for, and how long it took."""
    browser = start()
    from selenium.webdriver.support.ui import WebDriverWait

    seconds = []
    for _ in range(3):  # the machine may be busy with other tests
        browser.get("about:blank")
        browser.get_log("performance")  # of the browser's own first page
        begun = time.perf_counter()
        browser.get(page)
        WebDriverWait(browser, 60).until(
            lambda b: b.execute_script("return document.documentElement.dataset.ready")
        )
        seconds.append(time.perf_counter() - begun)
        if seconds[-1] < 3:
            break
    asked = [
        message["params"]["request"]["url"]
        for message in (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
        if message["method"] == "Network.requestWillBeSent"
    ]
    return browser, browser.get_log("browser"), asked, min(seconds)


def test_the_page_opens_in_three_seconds_without_errors_or_requests(opened, page):
    browser, logged, asked, seconds = opened
    assert logged == []
    assert seconds < 3
    assert page in asked
    assert [url for url in asked if url != page and not url.startswith(("data:", "blob:"))] == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_every_chart_is_drawn(opened):
    browser = opened[0]
    for chart in CHARTS:
        marks = browser.execute_script(
            "return document.querySelectorAll(`#${arguments[0]}-chart .main-svg :is(path, image)`).length",
            chart,
        )
        assert marks > 3, chart
        assert browser.execute_script("return byId(`${arguments[0]}-note`).textContent", chart), chart


def test_the_filter_covers_no_chart(opened):
    covered = opened[0].execute_script(
        """return all('.chart').filter((chart) => {
          chart.scrollIntoView({ behavior: "instant" });
          const { left, top } = chart.getBoundingClientRect();
          return !chart.contains(document.elementFromPoint(left + 20, top + 20));
        }).map((chart) => chart.id)"""
    )
    assert covered == []


# What a chart shows, as text: traces, axes, marks on it, and the words below.
SIGNATURE = """
const look = (name) => {
  const chart = byId(`${name}-chart`), { xaxis, yaxis, annotations } = chart.layout;
  const words = ["note", "readout"].map((part) => byId(`${name}-${part}`).textContent);
  return JSON.stringify([chart.data, xaxis, yaxis, annotations, words]);
};
"""


@pytest.mark.parametrize("chart", CHARTS)
def test_each_control_changes_its_chart(opened, chart):
    script = (
        SIGNATURE
        + """
    const found = [];
    for (const select of all(`#${arguments[0]} select`)) {
      const before = look(arguments[0]), first = select.value;
      for (const option of [...select.options]) {
        if (option.value === first) continue;
        select.value = option.value;
        select.dispatchEvent(new Event("change", { bubbles: true }));
        found.push([select.id, option.value, look(arguments[0]) !== before]);
      }
      select.value = first;
      select.dispatchEvent(new Event("change", { bubbles: true }));
    }
    return found;"""
    )
    found = opened[0].execute_script(script, chart)
    assert {name for name, *_ in found} >= {
        f"{chart}-{'by' if chart == 'verdicts' else 'market' if chart == 'network' else 'metric'}"
    }
    assert [entry[:2] for entry in found if not entry[2]] == []


def test_the_clock_changes_the_time_axis(opened):
    script = """
    const clock = byId("bands-clock"), ends = {};
    for (const { value } of [...clock.options]) {
      clock.value = value; clock.dispatchEvent(new Event("change", { bubbles: true }));
      const chart = byId("bands-chart");
      const lines = chart.data.filter((trace) => trace.name);
      ends[value] = [chart.layout.xaxis.title.text, ...lines.map((trace) => trace.x.at(-1))];
    }
    clock.value = "rounds"; clock.dispatchEvent(new Event("change", { bubbles: true }));
    return ends;"""
    ends = opened[0].execute_script(script)
    bent = 1 + np.log10(200)
    np.testing.assert_allclose(ends["rounds"][1:], [bent] * 4, rtol=1e-4)
    # Of the made-up plays the last acts half as often; a market has 60 agents on average.
    np.testing.assert_allclose(ends["each"][1:], [bent] * 3 + [1 + np.log10(100)], rtol=1e-4)
    np.testing.assert_allclose(ends["all"][1:4], [1 + np.log10(200 * 60)] * 3, rtol=2e-3)  # a lost chunk
    assert "whole market" in ends["all"][0]


def test_conditions_and_strategies_change_every_chart_of_markets(opened):
    script = (
        SIGNATURE
        + """
    const select = document.querySelector("#conditions select"), box = document.querySelector("#plays input");
    // Tiles change with a condition that is not one of their own two axes.
    const others = DATA.heat.axes.flatMap(({ condition }, k) => (condition === 0 ? [] : [k]));
    [byId("heat-across").value, byId("heat-down").value] = others;
    redraw("heat");
    const names = ["bands", "welfare", "loss", "verdicts", "heat"], before = names.map(look);
    select.value = "1"; select.dispatchEvent(new Event("change", { bubbles: true }));
    const chosen = names.map((name, k) => look(name) !== before[k]);
    select.value = "-1"; select.dispatchEvent(new Event("change", { bubbles: true }));
    box.click();
    const fewer = names.slice(0, 4).map((name, k) => look(name) !== before[k]);
    box.click();
    return [...chosen, ...fewer, ...names.map((name, k) => look(name) === before[k])];"""
    )
    assert opened[0].execute_script(script) == [True] * 14


def test_numbers_shown_equal_those_of_the_files(opened, results):
    browser, frame = opened[0], results.frame()
    plays = frame.groupby(["strategy", "schedule", "damping"], sort=False, observed=True)
    cells = frame[frame["spread"] == 0.5]
    # Key figures: medians over all markets, and shares.
    rows = browser.execute_script(
        "return [...document.querySelectorAll('#figures-table tbody tr')].map((r) => [...r.cells].map((c) => "
        "[c.dataset.value ?? c.textContent, c.firstChild.textContent]))"
    )
    heads = browser.execute_script(
        "return [...document.querySelectorAll('#figures-table thead button')].map((b) => b.textContent)"
    )
    for row, (_, group) in zip(rows, plays, strict=True):
        shown = dict(zip(heads, row, strict=True))
        assert float(shown["misallocated"][0]) == pytest.approx(
            group["misallocated_share"].median(), rel=1e-12
        )
        starved = (group["verdict"] == "starved for now").mean()
        assert float(shown["starved for now, %"][0]) == pytest.approx(starved, rel=1e-12)
        assert float(shown["starved for now, %"][1]) == pytest.approx(100 * starved, rel=0.005)
    # What charts show of some cells is shown in numbers below them.
    read = browser.execute_script(
        """const spread = all('#conditions select')[2];
        const choose = (value) => {
          spread.value = value;
          spread.dispatchEvent(new Event("change", { bubbles: true }));
        };
        choose("1");
        const read = all('#bands-readout li').map((line) => line.textContent);
        choose("-1");
        return read;"""
    )
    medians = cells.groupby("cell")["share_of_equilibrium"].median()
    kinds = cells.groupby("cell")[["strategy", "schedule", "damping"]].first().loc[medians.index]
    wanted = [medians[(kinds == list(key)).all(axis=1)].median() for key, _ in plays]
    assert [line.split(": ")[1].split()[0] for line in read] == [
        in_words("share_of_equilibrium", v) for v in wanted
    ]


def test_tables_sort_by_value_both_ways(opened):
    script = """
    const table = byId("cells-table"), head = [...table.tHead.rows[0].cells];
    const column = head.findIndex((h) => h.textContent.startsWith("Nash"));
    const read = () => [...table.tBodies[0].rows].map((r) => Number(r.cells[column].dataset.value));
    const click = () => {
      head[column].querySelector("button").click();
      return [head[column].ariaSort, read()];
    };
    return [click(), click()];"""
    (up, ascending), (down, descending) = opened[0].execute_script(script)
    assert (up, down) == ("ascending", "descending")
    assert ascending == sorted(ascending)
    assert descending == sorted(ascending, reverse=True)
    assert len(ascending) == 200


def test_hostile_names_stay_text_in_charts_and_tables(opened):
    browser = opened[0]
    counts = browser.execute_script(
        "return ['main b', 'main i', 'main img', '#network figcaption a', 'text b']"
        ".map((s) => document.querySelectorAll(s).length)"
    )
    assert counts == [0] * 5
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('#network-chart text')].map((t) => t.textContent)"
    )
    assert {"<b>bold</b>", HOSTILE[:16]} <= {*drawn}


def test_dark_and_paper_have_colours_of_their_own(opened):
    from selenium.webdriver.support.ui import WebDriverWait

    browser = opened[0]
    ground = "return byId('bands-chart').layout.paper_bgcolor"
    assert browser.execute_script(ground) == "#ffffff"
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    waiting = WebDriverWait(browser, 10)
    waiting.until(lambda b: b.execute_script(ground) == "#14171b")
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script(ground) == "#ffffff"
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(ground) == "#14171b"
    light = {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", light)
    waiting.until(lambda b: b.execute_script(ground) == "#ffffff")
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    assert browser.get_log("browser") == []


def test_a_phone_shows_everything_without_scrolling_sideways(start, page):
    browser, width = start(), 390
    metrics = {"width": width, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = browser.execute_script(
        "return [...document.querySelectorAll('.chart, select, pre, p, h1, dl, .scroll, #filter')]"
        ".filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.id || e.tagName)"
    )
    assert wide == []
    assert browser.get_log("browser") == []


BARE = {
    "name": "bare",
    "markets": 5,
    "rounds": 20,
    "equilibrium": False,
    "record": {"metrics": ["certified_gap", "min_ratio"], "curves": "none"},
    "cells": {"network": "er:n=20,degree=4"},
}
SAMPLED = {
    "name": "sampled",
    "markets": 6,
    "rounds": 50,
    "record": {"metrics": list(study_samples.METRICS)},
    "cells": {"network": "er:n=20,degree=4", "endowment": "lognormal:sigma={spread}"},
    "grid": {
        "strategy": ["cmap", "pr", "equal-split", "selfish", "cmap:hops=2", "cmap:hops=3", "cmap:hops=4"]
    },
    "sample": {"method": "sobol", "number": 16, "spread": [0.1, 2.0]},
}


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (BARE, ["No curves were recorded.", "fewer than two axes", "5 runs"]),
        (SAMPLED, ["values of spread are put into 6 ranges", "672 runs"]),
    ],
    ids=["bare", "sampled"],
)
def test_studies_of_any_shape_have_a_page_that_works(start, tmp_path, study, said):
    data = ReportData.from_results(study_samples.write(tmp_path / "results", study))
    path = tmp_path / "page.html"
    path.write_text(render(data, "results"))
    browser = start()
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    charts = browser.execute_script("return byId('charts').textContent")
    assert [words for words in said if words not in charts] == []
    boxes = browser.execute_script("return all('#plays input').map((box) => box.checked)")
    assert boxes == [number < 6 for number in range(len(data.plays))]  # more would be too many at first
    if study is SAMPLED:
        lines = "byId('bands-chart').data.filter((trace) => trace.name && trace.visible !== false)"
        assert browser.execute_script(f"return {lines}.length") == 6
