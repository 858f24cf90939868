"""Markets solved on paper: equilibria by bottleneck decomposition, and dynamics in closed form."""

import math
from fractions import Fraction

import networkx as nx
import numpy as np
import pytest
import reference

import cmapjax as cj

ONE_THIRD, HALF, TWO_THIRDS = Fraction(1, 3), Fraction(1, 2), Fraction(2, 3)

# name: links, contributions, utilities, weighted Nash welfare
ANSWERS = {
    "edge": ([(0, 1)], [3, 1], [1, 3], 0.577350269190),
    "path of 3": ([(0, 1), (1, 2)], [1] * 3, [HALF, 2, HALF], 0.793700525984),
    "path of 4": ([(0, 1), (1, 2), (2, 3)], [1] * 4, [1] * 4, 1),
    "path of 4, unequal": (
        [(0, 1), (1, 2), (2, 3)],
        [1, 2, 3, 4],
        [Fraction(3, 2), Fraction(4, 3), Fraction(9, 2), Fraction(8, 3)],
        0.922107911482,
    ),
    "path of 5": (
        [(0, 1), (1, 2), (2, 3), (3, 4)],
        [1] * 5,
        [TWO_THIRDS, Fraction(3, 2), TWO_THIRDS, Fraction(3, 2), TWO_THIRDS],
        0.922107911482,
    ),
    "path of 5, unequal": (
        [(0, 1), (1, 2), (2, 3), (3, 4)],
        [4, 1, 2, 1, 1],
        [1, 4, TWO_THIRDS, 3, ONE_THIRD],
        0.493499129263,
    ),
    "star of 5": ([(0, i) for i in range(1, 5)], [1] * 5, [4] + [Fraction(1, 4)] * 4, 0.435275281648),
    "clique of 4": (
        [(i, j) for i in range(4) for j in range(i + 1, 4)],
        [5, 1, 1, 1],
        [3] + [Fraction(5, 3)] * 3,
        0.880111736793,
    ),
    "clique of 4, nobody too large": (
        [(i, j) for i in range(4) for j in range(i + 1, 4)],
        [3, 2, 1, 1],
        [3, 2, 1, 1],
        1,
    ),
    "cycle of 4": (
        [(0, 1), (1, 2), (2, 3), (3, 0)],
        [1, 2, 3, 1],
        [Fraction(3, 4), Fraction(8, 3), Fraction(9, 4), Fraction(4, 3)],
        0.959735609789,
    ),
    "triangle behind a fork": (
        [(0, 2), (1, 2), (2, 3), (3, 4), (4, 5), (3, 5)],
        [1] * 6,
        [HALF, HALF, 2, 1, 1, 1],
        0.890898718140,
    ),
    "cube (regular)": (list(nx.hypercube_graph(3).edges), [1] * 8, [1] * 8, 1),
    "Petersen (regular)": (list(nx.petersen_graph().edges), [1] * 10, [1] * 10, 1),
}


def _karate():
    ratio = dict.fromkeys(range(34), 1)
    ratio |= dict.fromkeys([14, 15, 18, 20, 22], Fraction(2, 5)) | dict.fromkeys([32, 33], Fraction(5, 2))
    ratio |= dict.fromkeys([7, 9, 11, 12, 13, 17, 19, 21], HALF) | dict.fromkeys([0, 1, 2, 3], 2)
    return list(nx.karate_club_graph().edges), [1] * 34, [ratio[i] for i in range(34)], 0.850104573559


def _davis():
    graph = nx.davis_southern_women_graph()
    women = set(graph.graph["top"])
    return (
        list(graph.edges),
        [1] * 32,
        [Fraction(7, 9) if agent in women else Fraction(9, 7) for agent in graph],
        0.969073999111,
    )


def _les_miserables():
    """Five bottlenecks: 7 agents at Myriel, 5 at Valjean, 2 at Fauchelevent, 3 at Cosette and Javert."""
    graph = nx.les_miserables_graph()
    agents = list(graph)
    links = nx.to_numpy_array(graph, weight=None)
    ratio = dict.fromkeys(agents, Fraction(1))
    left = set(agents)
    for size, hubs in ((7, ["Myriel"]), (5, ["Valjean"]), (2, ["Fauchelevent"]), (3, ["Cosette", "Javert"])):
        alpha = Fraction(len(hubs), size)
        # The bottleneck: all whose neighbours are, of those left, these hubs alone.
        bottleneck = {a for a in left - set(hubs) if set(graph[a]) & left <= set(hubs)}
        assert len(bottleneck) == size, (hubs, bottleneck)
        ratio |= dict.fromkeys(bottleneck, alpha) | dict.fromkeys(hubs, 1 / alpha)
        left -= bottleneck | set(hubs)
    assert links.shape == (77, 77)
    return list(graph.edges), [1] * 77, [ratio[a] for a in agents], 0.779186993739


ANSWERS |= {"karate club": _karate(), "Davis women": _davis(), "Les Misérables": _les_miserables()}


def _market(links, w):
    agents = sorted({a for link in links for a in link}, key=_order(links))
    number = {agent: i for i, agent in enumerate(agents)}
    return cj.Market.from_links(np.array([[number[a], number[b]] for a, b in links]), endowment=w)


def _order(links):
    """Integers in their order, other names in that of their network."""
    if all(isinstance(a, int) for link in links for a in link):
        return lambda a: a
    for graph in (nx.hypercube_graph(3), nx.davis_southern_women_graph(), nx.les_miserables_graph()):
        if {a for link in links for a in link} == set(graph):
            return list(graph).index
    raise AssertionError("a network without an order of agents")


@pytest.fixture(scope="module")
def oracles():
    """All of them side by side: one compilation solves them all."""
    return cj.pack([_market(links, w) for links, w, _, _ in ANSWERS.values()])


@pytest.fixture(scope="module")
def solved(oracles):
    return cj.solve(oracles)


@pytest.fixture(scope="module")
def swept(oracles):
    """Sequential CMAP, 1,000 sweeps."""
    return cj.simulate(oracles, cj.CMAP(), rounds=1000, schedule=cj.Sequential(), record={})


def _of(oracles, name):
    number = list(ANSWERS).index(name)
    return number, np.flatnonzero(np.asarray(oracles.market_of) == number)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_solver_finds_the_answer_on_paper(oracles, solved, name):
    number, agents = _of(oracles, name)
    _, w, utility, welfare = ANSWERS[name]
    expected = np.array([float(u) for u in utility])
    assert solved.result[number] == 0
    np.testing.assert_allclose(solved.utility[agents], expected, rtol=1e-8)
    np.testing.assert_allclose(solved.ratio[agents], expected / w, rtol=1e-8)
    np.testing.assert_allclose(solved.price[agents], expected / w, rtol=1e-8)
    assert math.exp(solved.log_nash_welfare[number]) == pytest.approx(welfare, abs=1e-11)  # its digits
    assert solved.gap[number] <= 1e-10


@pytest.mark.parametrize("name", ANSWERS)
def test_sequential_cmap_arrives_there(oracles, swept, name):
    number, agents = _of(oracles, name)
    expected = np.array([float(u) for u in ANSWERS[name][2]])
    np.testing.assert_allclose(swept.final.utility[agents], expected, rtol=1e-6)
    assert swept.verdicts[number] == "converged"


@pytest.mark.parametrize("name", [n for n in ANSWERS if len(ANSWERS[n][1]) <= 8])
def test_the_brute_force_decomposition_gives_the_answer_exactly(name):
    links, w, utility, welfare = ANSWERS[name]
    market = _market(links, w)
    assert reference.equilibrium(w, reference.dense(market)[1]) == utility
    pairs = reference.bottleneck_decomposition(w, reference.dense(market)[1])
    log_welfare = sum(
        float(sum(w[i] for i in b) - sum(w[i] for i in c)) * math.log(alpha) for b, c, alpha in pairs
    ) / sum(w)
    assert math.exp(log_welfare) == pytest.approx(welfare, abs=1e-11)


def test_at_the_equilibrium_exchange_is_reciprocal(oracles, solved):
    """r_p r_j ≥ 1 on every link, and = 1 where value flows; no link joins two agents with r < 1."""
    giver, receiver = oracles.arcs()
    product = solved.ratio[giver] * solved.ratio[receiver]
    assert (product >= 1 - 1e-8).all()
    used = oracles.arc_values(solved.flow) > 1e-6
    np.testing.assert_allclose(product[used], 1, rtol=1e-8)


def test_a_clique_is_even_unless_one_agent_outweighs_the_rest():
    for w in ([1.0, 2, 3, 4, 5], [30.0, 1, 2, 3, 4]):
        market = _market([(i, j) for i in range(5) for j in range(i + 1, 5)], w)
        ratio = np.ones(5)
        if max(w) > sum(w) / 2:
            alpha = (sum(w) - max(w)) / max(w)
            ratio = np.where(np.array(w) == max(w), alpha, 1 / alpha)
        np.testing.assert_allclose(cj.solve(market).ratio, ratio, rtol=1e-8)


# -- the karate club, round by round ----------------------------------------------------------------

PR_ON_KARATE = {
    0: 0.620135,
    1: 0.814719,
    2: 0.894064,
    3: 0.930741,
    5: 0.965357,
    10: 0.989397,
    20: 0.997760,
    50: 0.999786,
    100: 0.999956,
}
CMAP_ON_KARATE = {1: 0.975284, 2: 0.998611, 3: 0.999793, 5: 0.999995}


def test_the_karate_club_goes_as_published_figures_say():
    """Nash welfare over the equilibrium's: per round (proportional response), per sweep (CMAP)."""
    market = _market(*_karate()[:2])
    best = [float(u) for u in _karate()[2]]
    record = {"share": lambda m, state: cj.metrics.share_of_equilibrium(m, state.utility, np.array(best))}
    run = cj.simulate(market, cj.ProportionalResponse(), rounds=100, record=record)
    for round, share in PR_ON_KARATE.items():
        assert run.records["share"][round, 0] == pytest.approx(share, abs=6e-7), round
    run = cj.simulate(market, cj.CMAP(), rounds=5, schedule=cj.Sequential(), record=record)
    for sweep, share in CMAP_ON_KARATE.items():
        assert run.records["share"][sweep, 0] == pytest.approx(share, abs=6e-7), sweep


def test_the_certificate_of_the_karate_club_at_the_equal_split():
    market = _market(*_karate()[:2])
    u = market.received(market.equal_flow())
    true = math.log(0.850104573559) - cj.metrics.log_nash_welfare(market, u)[0]
    assert true == pytest.approx(0.4778, abs=6e-5)
    certified = cj.certified_gap(market, u)[0]
    assert certified == pytest.approx(0.7597, abs=6e-5)
    assert true <= certified


def test_proportional_response_on_karate_closes_its_gap_slowly():
    """The certified gap falls like 1/t², because a link is degenerate there: figures of a paper run."""
    market = _market(*_karate()[:2])
    record = {"gap": lambda m, state: cj.certified_gap_of_flow(m, state.flow)}
    run = cj.simulate(market, cj.ProportionalResponse(), rounds=1000, record=record, every=100)
    gaps = {int(t): gap for t, gap in zip(run.rounds, run.records["gap"][:, 0], strict=True)}
    for t, gap in {300: 9.6e-6, 1000: 8.5e-7}.items():
        assert gaps[t] == pytest.approx(gap, rel=0.25), t


# -- simultaneous CMAP in closed form ------------------------------------------------------------------


def _two_receivers(m):
    """K_{m,2}: m equal givers of 1, two receivers large enough never to be left out."""
    links = [(i, m + j) for i in range(m) for j in range(2)]
    return _market(links, [1.0] * m + [1.0, 1.0])


@pytest.mark.parametrize("theta", [1.0, 0.5, 0.2])
def test_many_givers_to_two_receivers_overshoot_by_their_number(theta):
    """The receivers' imbalance is multiplied by 1 − θ m each round (undamped: −(m − 1))."""
    numbers, small = (2, 3, 5), 1e-3
    starts = []
    for m in numbers:
        giver, receiver = _two_receivers(m).arcs()
        leaning = np.where(receiver == m, 0.5 + small / m, 0.5 - small / m)
        starts.append(np.where(giver < m, leaning, 1 / m))
    market = cj.pack([_two_receivers(m) for m in numbers])
    start = market.flow_from_arcs(np.concatenate(starts))
    strategy = cj.CMAP() if theta == 1 else cj.Damped(cj.CMAP(), theta)
    run = cj.simulate(market, strategy, rounds=1, start=start, record={})
    for number, m in enumerate(numbers):
        one, other = run.final.utility[market.market_of == number][-2:]
        assert one - other == pytest.approx((1 - theta * m) * 2 * small, abs=1e-12)


def test_a_four_cycle_given_all_to_one_side_swings_for_ever():
    """Givers 0 and 1, receivers 2 and 3: u = (2, 0), (0, 2), (2, 0), …"""
    market = _two_receivers(2)
    giver, receiver = market.arcs()
    start = market.flow_from_arcs(np.where(giver < 2, receiver == 2, 0.5))
    for rounds, expected in ((1, [0, 2]), (2, [2, 0]), (7, [0, 2])):
        run = cj.simulate(market, cj.CMAP(), rounds=rounds, start=start, record={})
        np.testing.assert_allclose(run.final.utility[2:], expected, atol=1e-12)
    assert run.verdicts == ["starved for now"]


# -- proportional response in closed form --------------------------------------------------------------


def test_the_middle_link_of_a_path_of_4_fades_like_one_over_t():
    """y_23(t) = 1/(t + 2), r = 1 ∓ 1/(t + 2)."""
    market = _market([(0, 1), (1, 2), (2, 3)], [1] * 4)
    for t in (0, 1, 2, 10, 100):
        run = cj.simulate(market, cj.ProportionalResponse(), rounds=t, record={})
        _, _, y = reference.dense(market, run.final.flow)
        assert y[1, 2] == pytest.approx(1 / (t + 2), abs=1e-13)
        small = 1 / (t + 2)
        np.testing.assert_allclose(
            run.final.utility, [1 - small, 1 + small, 1 + small, 1 - small], atol=1e-13
        )


def test_a_triangle_swaps_its_rows_for_ever():
    """y_{i,i+1} = p becomes 1 − p, and back; utilities are 1 throughout. Damping ends it."""
    market = _market([(0, 1), (1, 2), (0, 2)], [1] * 3)
    giver, receiver = market.arcs()
    p = 0.8
    y = np.where(receiver == (giver + 1) % 3, p, 1 - p)
    start = market.flow_from_arcs(y)
    for rounds, expected in ((1, 1 - y), (2, y), (51, 1 - y)):
        run = cj.simulate(market, cj.ProportionalResponse(), rounds=rounds, start=start, record={})
        np.testing.assert_allclose(market.arc_values(run.final.flow), expected, atol=1e-12)
        np.testing.assert_allclose(run.final.utility, 1, rtol=1e-12)
    assert run.verdicts == ["converged"]  # utilities are at rest, though the allocation is not
    lazy = cj.Damped(cj.ProportionalResponse(), 0.5)
    run = cj.simulate(market, lazy, rounds=2, start=start, record={})
    np.testing.assert_allclose(market.arc_values(run.final.flow), 0.5, atol=1e-12)


def test_an_unused_link_decays_by_the_product_of_its_ratios():
    """K4 with w = (5, 1, 1, 1): y_12 shrinks by 1/(r_1 r_2) = 9/25 every two rounds."""
    market = _market([(i, j) for i in range(4) for j in range(i + 1, 4)], [5, 1, 1, 1])
    runs = [cj.simulate(market, cj.ProportionalResponse(), rounds=t, record={}) for t in (40, 42)]
    before, after = (reference.dense(market, run.final.flow)[2][1, 2] for run in runs)
    assert before > 0
    assert after / before == pytest.approx(9 / 25, abs=1e-6)


def test_two_exchange_rounds_are_one_fisher_step(small_market):
    """y_pj(t+2) = w_p (y_pj / r_j) / Σ_k (y_pk / r_k)."""
    w, _, y = reference.dense(small_market, small_market.equal_flow())
    r = y.sum(axis=0) / w
    expected = y / r
    expected *= (w / expected.sum(axis=1))[:, None]
    run = cj.simulate(small_market, cj.ProportionalResponse(), rounds=2, record={})
    np.testing.assert_allclose(reference.dense(small_market, run.final.flow)[2], expected, atol=1e-14)
