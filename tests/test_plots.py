"""Pictures: what they show, their words, and what they refuse."""

import subprocess
import sys

import networkx as nx
import numpy as np
import pytest

import cmapjax as cj
from cmapjax import plots
from cmapjax.engine._run import Run


@pytest.fixture(scope="module")
def ensemble():
    """Three markets, the runs of two strategies on them, and the equilibrium."""
    rng = np.random.default_rng(8)
    graph = nx.karate_club_graph()
    weights = [rng.uniform(0.5, 2, len(graph)) for _ in range(3)]
    market = cj.pack([cj.graphs.from_networkx(graph, endowment=w) for w in weights])
    equilibrium = cj.solve(market)
    record = cj.metrics.standard(equilibrium.utility)
    runs = {
        "proportional": cj.simulate(market, cj.ProportionalResponse(), rounds=6, record=record),
        "all at once": cj.simulate(market, cj.CMAP(), rounds=6, record=record),
    }
    return market, runs, equilibrium


def test_a_curve_is_the_median_of_what_was_recorded(ensemble):
    market, runs, _ = ensemble
    panel = plots.convergence(market, runs, metric="misallocated_share").axes[0]
    line = panel.lines[0]
    np.testing.assert_array_equal(line.get_xdata(), np.arange(7))
    recorded = runs["proportional"].records["misallocated_share"]
    np.testing.assert_allclose(line.get_ydata(), np.maximum(np.median(recorded, axis=1), 1e-12))
    assert len(panel.lines) == 2
    assert len(panel.collections) == 2  # a band per ensemble
    assert panel.get_xlabel() == "rounds"
    assert "share of all" in panel.get_ylabel()


def test_what_simulate_records_by_itself_can_be_drawn_as_the_share_that_is_certified(ensemble):
    market, runs, _ = ensemble
    own = {"by itself": cj.simulate(market, cj.ProportionalResponse(), rounds=6)}
    for some in (own, runs | own):  # one run that does not know the equilibrium decides for all
        panel = plots.convergence(market, some).axes[0]
        assert panel.get_ylabel() == "Nash welfare, % of the equilibrium's (certified)"
        gap = own["by itself"].records["certified_gap"]
        np.testing.assert_allclose(
            panel.lines[len(some) - 1].get_ydata(), 100 * np.exp(-np.median(gap, axis=1))
        )
    panel = plots.convergence(market, runs).axes[0]
    assert panel.get_ylabel() == "Nash welfare, % of the equilibrium's"
    share = runs["proportional"].records["share_of_equilibrium"]
    np.testing.assert_allclose(panel.lines[0].get_ydata(), 100 * np.median(share, axis=1))
    with pytest.raises(ValueError, match="'certified_gap' was not recorded by run 'nothing'"):
        plots.convergence(market, {"nothing": cj.simulate(market, cj.EqualSplit(), rounds=1, record={})})


KARATE = cj.graphs.from_networkx(nx.karate_club_graph())
SEVEN = np.arange(7)


def made_up(index, updates=None):
    """A run of seven records that nobody played: a Gini index per market, the same at every record."""
    updates = np.zeros((7, len(index))) if updates is None else updates
    verdict = np.full(len(index), cj.metrics.VERDICTS.index("converged"))
    return Run(SEVEN, updates, {"gini": np.tile(index, (7, 1))}, None, verdict, np.zeros(len(index)))


def test_a_band_leaves_out_a_tenth_of_the_markets_on_either_side():
    run = made_up(np.linspace(0, 1, 21))
    edges = (
        plots.convergence(KARATE, {"x": run}, metric="gini").axes[0].collections[0].get_paths()[0].vertices
    )
    # Of 21 in order the third is the 10 % market, the nineteenth the 90 % market.
    assert (edges[:, 1].min(), edges[:, 1].max()) == pytest.approx((0.1, 0.9))


def test_an_index_that_is_no_number_counts_as_the_most_unequal():
    index = np.linspace(0, 1, 21)
    index[:4] = np.nan
    panel = plots.convergence(KARATE, {"x": made_up(index)}, metric="gini").axes[0]
    edges = panel.collections[0].get_paths()[0].vertices
    assert edges[:, 1].min() == pytest.approx(0.3)  # the third of those known
    assert edges[:, 1].max() > 0.7  # the 90 % market, at the edge beyond all else that is drawn
    assert panel.lines[0].get_ydata() == pytest.approx(0.7)  # the eleventh, of those known


def test_the_second_clock_counts_updates_per_agent():
    three = cj.pack([KARATE] * 3)
    fast, slow = (made_up(np.zeros(3), np.outer(SEVEN, each)) for each in ([34] * 3, [1, 17, 34]))
    runs = {"fast": fast, "slow": slow}
    lines = plots.convergence(three, runs, metric="gini", clock="agent updates").axes[0].lines
    np.testing.assert_allclose(lines[0].get_xdata(), SEVEN)  # everybody, every round
    # Of 34 agents one, half or all act in a round.
    np.testing.assert_allclose(lines[1].get_xdata(), SEVEN * (1 / 34 + 1 / 2 + 1) / 3)


def test_starved_markets_are_counted_in_the_legend(ensemble):
    market, runs, _ = ensemble
    figure = plots.comparison(market, runs)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    starved = runs["all at once"].verdicts.count("starved for now")
    assert starved > 0
    assert words == ["proportional", f"all at once ({starved} of 3 starved for now)"]
    assert [panel.get_xlabel() for panel in figure.axes] == ["rounds", "agent updates per agent"] * 2


def test_an_infinite_loss_is_drawn_at_a_marked_edge_without_a_warning(ensemble, recwarn):
    market, runs, _ = ensemble
    panel = plots.convergence(market, runs, metric="log_welfare_loss").axes[0]
    recorded = runs["all at once"].records["log_welfare_loss"]
    infinite = np.isinf(np.quantile(recorded, 0.5, axis=1, method="inverted_cdf"))
    drawn = panel.lines[1].get_ydata()
    assert infinite.any()
    assert np.isfinite(drawn).all()
    assert drawn[infinite].min() > max(line.get_ydata()[~infinite].max() for line in panel.lines[:2])
    assert "infinite" in panel.texts[0].get_text()
    assert [w for w in recwarn if issubclass(w.category, RuntimeWarning)] == []


def test_a_metric_that_was_not_recorded_is_refused_naming_those_that_were(ensemble):
    market, runs, _ = ensemble
    with pytest.raises(ValueError, match=r"'wealth' was not recorded by run 'proportional'.*min_ratio"):
        plots.convergence(market, runs, metric="wealth")
    with pytest.raises(ValueError, match="clock is 'hours'; give one of rounds, agent updates"):
        plots.convergence(market, runs, clock="hours")


def test_a_histogram_says_how_many_have_nothing(ensemble):
    market, runs, equilibrium = ensemble
    ratios = {name: cj.metrics.ratio(market, run.final.utility) for name, run in runs.items()}
    figure = plots.ratio_histogram(ratios, equilibrium=equilibrium.ratio)
    nothing = int((ratios["all at once"] < 1e-9).sum())
    assert figure.axes[1].get_title(loc="left") == f"all at once: {nothing} of 102 agents have nothing"
    assert figure.axes[1].get_xlabel() == "ratio: value received per value contributed"
    heights = [patch.get_height() for patch in figure.axes[0].patches[:40]]
    assert sum(heights) == pytest.approx(100)  # per cent, nobody left out


def test_names_stand_in_the_legend_as_given(ensemble):
    market, runs, _ = ensemble
    run = runs["proportional"]
    figure = plots.convergence(market, {"_mine": run, "a $x and $y": run})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [" _mine", r"a \$x and \$y"]
    assert "median" in figure.legends[0].get_title().get_text()


def test_nothing_to_draw_is_refused_and_nothing_received_is_not(ensemble):
    market, _, _ = ensemble
    for draw in (lambda: plots.convergence(market, {}), lambda: plots.comparison(market, {})):
        with pytest.raises(ValueError, match="runs: nothing to draw"):
            draw()
    with pytest.raises(ValueError, match="ratios: nothing to draw"):
        plots.ratio_histogram({})
    figure = plots.ratio_histogram({"x": np.zeros(5), "y": np.array([1, np.nan, 1e-6])})
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles[0] == "x: 5 of 5 agents have nothing"
    assert titles[1] == "y: 1 of 3 agents less than 0.0001, 1 of 3 agents are not finite"


def test_a_network_shows_every_agent_and_link_and_refuses_a_crowd():
    market = cj.graphs.from_networkx(nx.karate_club_graph())
    figure = plots.network(market, market.equal_flow(), title="karate")
    panel = figure.axes[0]
    links, agents = panel.collections
    assert len(links.get_segments()) == market.num_links
    assert len(agents.get_offsets()) == market.num_agents
    assert {text.get_text() for text in panel.texts} >= {str(label) for label in market.labels}
    assert figure.axes[1].get_ylabel() == "ratio: value received per value contributed"
    starving = market.flow_from_arcs(np.where(market.arcs()[1] == 5, 0, 1.0))
    marked = plots.network(market, starving).axes[0]
    assert len(marked.collections[2].get_offsets()) == 1
    assert any("cross: 1 agent" in text.get_text() for text in marked.texts)
    assert len(marked.texts) == 1 + market.num_agents
    crowd = cj.graphs.from_networkx(nx.cycle_graph(301))
    with pytest.raises(ValueError, match="301 agents; a drawing shows at most 300"):
        plots.network(crowd, crowd.equal_flow())


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_figures_are_saved_as_their_ending_says(tmp_path, ensemble, ending, magic):
    market, runs, _ = ensemble
    path = tmp_path / f"figure.{ending}"
    plots.save(plots.convergence(market, runs), path)
    assert path.read_bytes().startswith(magic)
    with pytest.raises(ValueError, match=r"end it in \.png, \.pdf or \.svg"):
        plots.save(plots.convergence(market, runs), tmp_path / "figure.bmp")


def test_importing_plots_loads_no_matplotlib():
    code = "import sys, cmapjax.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_derivatives_are_drawn_on_agents_and_on_links_and_say_what_is_left_out():
    from cmapjax import sensitivity

    market = cj.graphs.from_networkx(nx.karate_club_graph())
    slope = sensitivity.gradient(market, cj.metrics.log_nash_welfare)
    panel = plots.derivatives(market, slope, label="per unit").axes[0]
    np.testing.assert_allclose(panel.collections[1].get_array(), slope)
    new = sensitivity.new_links(market)
    panel = plots.derivatives(market, new, label="change").axes[0]
    assert [len(lines.get_segments()) for lines in panel.collections[:3]] == [market.num_links, 20, 20]
    assert "dashed: new" in panel.texts[-1].get_text()
    gone = sensitivity.removed_links(market)
    panel = plots.derivatives(market, gone, label="change").axes[0]
    assert len(panel.collections[1].get_segments()) == np.count_nonzero(gone.change)
    assert "black: −∞" in panel.texts[-1].get_text()
    crowd = cj.graphs.from_networkx(nx.star_graph(400))
    text = plots.derivatives(crowd, np.arange(401.0), label="x").axes[0].texts[-1].get_text()
    assert "of 401 agents, around those that matter most" in text
