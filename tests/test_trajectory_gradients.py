"""Derivatives through a run, against central differences; their memory; no NaN at zeros."""

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest

import cmapjax as cj
from cmapjax.market._columns import largest, smallest, total
from cmapjax.runtime._derivatives import scan_in_chunks
from cmapjax.strategies._level import fill_up

# Named by what is differentiated along with endowments, values and the start: a damping or a step size.
STRATEGIES = {
    "cmap": lambda x: cj.Damped(cj.CMAP(), x),
    "cmap, locally damped": lambda x: cj.Damped(cj.Damped(cj.CMAP(), cj.LocalDamping()), x),
    "cmap of nobody, damped by degree": lambda x: cj.Damped(
        cj.Damped(cj.CMAP(0), cj.MaxDegreeDamping()), cj.FixedDamping(x)
    ),
    "proportional response": lambda x: cj.Damped(cj.ProportionalResponse(), x),
    "equal split": lambda x: cj.Damped(cj.EqualSplit(), x),
    "selfish": lambda x: cj.Damped(cj.SelfishBestReply(), x),
    "dynamic sharing": lambda x: cj.Damped(cj.DynamicSharing(), x),
    "entropic": lambda x: cj.EntropicCMAP(step=2 * x),
    "gradient, jaxopt": lambda x: cj.GradientCMAP(method=cj.JaxoptGradient(2, cj.FixedStep(x / 20))),
    "gradient, jaxopt, line search": lambda x: cj.Damped(
        cj.GradientCMAP(method=cj.JaxoptGradient(2, cj.LineSearch())), x
    ),
    "gradient, optax": lambda x: cj.GradientCMAP(method=cj.OptaxGradient(2, cj.DiminishingStep(x / 20))),
    "gradient, optax, line search, two hops": lambda x: cj.Damped(
        cj.GradientCMAP(2, cj.OptaxGradient(2, cj.LineSearch())), x
    ),
}
SCHEDULES = {
    "simultaneous": cj.Simultaneous(),
    "sequential": cj.Sequential(),
    "coloured": cj.Coloured(),
    "random order": cj.RandomOrder(),
    "participation": cj.RandomParticipation(0.6),
    "turns": cj.Turns(np.array([0, 1, 0, 1, 2])),
    "one agent": cj.OneAgentPerRound(),
}
# Every strategy together or, where that differs, in turns; every schedule for CMAP. (All other pairs pass
# too; they take minutes to compile.)
PAIRS = [(s, "simultaneous") for s in STRATEGIES if s != "gradient, optax"]
PAIRS += [(s, "sequential") for s in ("proportional response", "selfish", "gradient, optax")]
PAIRS += [("cmap", t) for t in SCHEDULES if t != "simultaneous"]
PAIRS += [("equal split", "participation"), ("cmap of nobody, damped by degree", "sequential")]
# Always tried; they stand for the others, which are slow. Every strategy is among them, and turns, which one
# code plays in whatever order.
ALWAYS = {
    ("cmap, locally damped", "simultaneous"),
    ("cmap of nobody, damped by degree", "sequential"),
    ("proportional response", "simultaneous"),
    ("equal split", "participation"),
    ("selfish", "sequential"),
    ("dynamic sharing", "simultaneous"),
    ("entropic", "simultaneous"),
    ("gradient, jaxopt, line search", "simultaneous"),
    ("gradient, optax", "sequential"),
}
ROUNDS = 4
KEY = jax.random.key(2)
STEP = 1e-6


def tiny_market():
    """A house with a roof: five agents, irregular, with weights that keep clear of ties."""
    rng = np.random.default_rng(11)
    links = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 4], [1, 4]])
    return cj.Market.from_links(links, endowment=rng.uniform(0.5, 2, 5), value=rng.uniform(0.5, 2, 5))


MARKET = tiny_market()


def given():
    """Where derivatives are taken: endowment, value, hyperparameter, and how rows are split at the start."""
    rng = np.random.default_rng(3)
    return {
        "endowment": np.asarray(MARKET.endowment),
        "value": np.asarray(MARKET.value),
        "hyperparameter": np.array(0.63),
        "start": np.where(MARKET.links.is_entry, rng.uniform(0.2, 1, MARKET.links.num_slots), 0),
    }


def direction():
    """Some way off in all four."""
    rng = np.random.default_rng(8)
    return jax.tree.map(lambda x: rng.uniform(0.5, 1, x.shape) * (x > 0), given())


@jax.jit
def start_of(x):
    """The first flow: everybody's contribution, split as given."""
    changed = MARKET.with_contributions(endowment=x["endowment"], value=x["value"])
    split = x["start"] / changed.links.spread(changed.links.total(x["start"]))
    return split * changed.links.spread(changed.stored(changed.contribution))


@jax.jit
def weigh(utility):
    return jnp.sum(jnp.arange(1.0, 6) * utility**2)


def objective(pair):
    """A smooth function of the last utilities, of the four."""
    strategy, schedule = STRATEGIES[pair[0]], SCHEDULES[pair[1]]

    def value(x):
        changed = MARKET.with_contributions(endowment=x["endowment"], value=x["value"])
        run = cj.simulate(
            changed,
            strategy(x["hyperparameter"]),
            schedule=schedule,
            start=start_of(x),
            rounds=ROUNDS,
            record={},
            key=KEY,
        )
        return weigh(run.final.utility)

    return value


def central_differences(function, point, along):
    """(f(x + h d) − f(x − h d)) / 2h, by ordinary runs without any transformation."""

    def moved(by):
        return function(jax.tree.map(lambda x, dx: x + by * dx, point, along))

    return (moved(STEP) - moved(-STEP)) / (2 * STEP)


@pytest.mark.parametrize(
    "pair",
    [pytest.param(p, id=" / ".join(p), marks=[] if p in ALWAYS else [pytest.mark.slow]) for p in PAIRS],
)
def test_both_modes_agree_with_central_differences(pair):
    function = objective(pair)

    @jax.jit
    def slopes(point, along):
        _, forward = jax.jvp(function, (point,), (along,))
        reverse = jax.tree.map(lambda d, g: (d * g).sum(), along, jax.grad(function)(point))
        return forward, sum(jax.tree.leaves(reverse))

    with jax.enable_x64(True):
        point, along = given(), direction()
        forward, reverse = slopes(point, along)
        expected = central_differences(function, point, along)
    # Differences of numbers near 10 over 2e-6 carry about 1e-9 of rounding.
    np.testing.assert_allclose(forward, expected, rtol=1e-6, atol=2e-8)
    np.testing.assert_allclose(reverse, forward, rtol=1e-10, atol=1e-12)


# -- pieces ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 5, 9])
def test_a_scan_in_chunks_is_the_scan_whatever_its_length(length):
    def step(carry, _):
        x, number = carry
        return (jnp.sin(x) + x / 3, number + 1), None

    def chunks(x):
        return scan_in_chunks(step, (x, 0), length)

    def plain(x):
        return jax.lax.scan(step, (x, 0), length=length)[0]

    with jax.enable_x64(True):
        (one, number, slope), (other, _, other_slope) = jax.jit(
            lambda x: [(*f(x), jax.grad(lambda y, f=f: f(y)[0])(x)) for f in (chunks, plain)]
        )(0.7)
    assert float(one) == float(other)
    assert int(number) == length
    np.testing.assert_allclose(slope, other_slope, rtol=1e-14)


def test_totals_and_extrema_have_simple_derivatives():
    @jax.jit
    def derivatives(row):
        slopes = [jax.grad(function)(row) for function in (total, smallest, largest)]
        rows = jnp.stack([row, row[::-1]])
        return *slopes, jax.hessian(lambda x: total(x) ** 2)(row), jax.vmap(jax.grad(largest))(rows)[1]

    with jax.enable_x64(True):
        of_total, of_smallest, of_largest, second, mapped = derivatives(np.array([2.0, 1, 3, 1, 1, 3]))
        # The transpose of the chain of slices would be as long as the row is wide.
        lengths = [len(jax.make_jaxpr(jax.grad(lambda x: total(x) ** 2))(jnp.ones(w)).eqns) for w in (64, 65)]
        assert lengths[0] == lengths[1]
        assert "pad" not in str(jax.make_jaxpr(jax.grad(total))(jnp.ones(2000)))
    np.testing.assert_array_equal(of_total, np.ones(6))
    np.testing.assert_allclose(of_smallest, np.array([0, 1, 0, 1, 1, 0]) / 3, rtol=1e-15)
    np.testing.assert_array_equal(of_largest, [0, 0, 0.5, 0, 0, 0.5])
    np.testing.assert_array_equal(second, np.full((6, 6), 2))
    np.testing.assert_array_equal(mapped, [0.5, 0, 0, 0.5, 0, 0])


def test_filling_up_has_first_and_second_derivatives_of_its_receivers():
    """On receivers R the row is L w − c with L = (b + Σ_R c) / Σ_R w."""
    x = np.array([3.0, 1.0, 2.0, 0.5, 1.0, 0.0, 0.3, 0.1, 0.4, 90.0, 0.0])  # budget, weights, bases
    chosen = np.array([1.0, 1.0, 1.0, 0.0, 0.0])  # the fourth is above the level, the fifth absent

    def plain(x):
        level = (x[0] + jnp.sum(chosen * x[6:])) / jnp.sum(chosen * x[1:6])
        return chosen * (level * x[1:6] - x[6:])

    def filled(x):
        return fill_up(x[0], x[1:6], x[6:])

    def with_derivatives(f):
        return jax.jit(lambda x: (f(x), jax.jacfwd(f)(x), jax.jacrev(f)(x), jax.hessian(f)(x)))

    with jax.enable_x64(True):
        found, expected = (with_derivatives(function)(x) for function in (filled, plain))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-14)
    for derivative, other in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(derivative, other, rtol=1e-12, atol=1e-13)


# -- whole runs ------------------------------------------------------------------------------------------


@pytest.mark.optimised
def test_memory_of_reverse_mode_grows_as_the_root_of_rounds():
    # All of one degree: one block of links, which compiles quickest.
    graph = nx.random_regular_graph(8, 200, seed=1)
    market = cj.graphs.from_networkx(graph, endowment=np.random.default_rng(1).lognormal(size=200))

    def temporary(rounds):
        def last(endowment):
            changed = market.with_contributions(endowment=endowment)
            run = cj.simulate(changed, cj.Damped(cj.CMAP(), 0.5), rounds=rounds, record={})
            return jnp.sum(run.final.utility**2)

        compiled = jax.jit(jax.grad(last)).lower(jnp.asarray(market.endowment)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    with jax.enable_x64(True):
        few, most = (temporary(rounds) for rounds in (64, 1024))
    # Carries kept: 2√rounds = 16 and 64, four times as many for 16 times as many rounds; and a flow for every
    # round would alone be four times the whole.
    assert most < 6 * few
    assert most < 1024 * market.links.num_slots * 8 / 4


def test_mapped_gradients_are_those_one_at_a_time():
    with jax.enable_x64(True):
        slope = jax.grad(objective(("cmap, locally damped", "simultaneous")))
        points = [given() | {"hyperparameter": np.array(theta)} for theta in (0.2, 0.5)]
        together = jax.jit(jax.vmap(slope))(jax.tree.map(lambda *x: np.stack(x), *points))
        single = jax.jit(slope)
        for k, point in enumerate(points):
            for name, alone in single(point).items():
                np.testing.assert_allclose(together[name][k], alone, rtol=1e-10, atol=1e-12)


STARVING = cj.Market.from_links(
    np.array([[p, r] for p in range(3) for r in (3, 4)]), endowment=[1, 2, 3, 4, 5]
)


ALWAYS, AT_TIMES = cj.endowments.Constant(), cj.endowments.OnOff(0.5)


@pytest.mark.parametrize(
    ("strategy", "process"),
    [
        (cj.CMAP(), ALWAYS),
        (cj.CMAP(), AT_TIMES),
        (cj.ProportionalResponse(), AT_TIMES),
        (cj.SelfishBestReply(), ALWAYS),
        (cj.GradientCMAP(method=cj.OptaxGradient(2)), AT_TIMES),
    ],
    ids=lambda x: type(x).__name__,
)
def test_gradients_are_finite_where_agents_give_or_receive_nothing(strategy, process):
    """Givers 0, 1, 2 give all to agent 3, who gives nothing back; every record is taken and none is used."""
    amounts = {(p, 3): 1.0 + p for p in range(3)} | {(3, 0): 4.0, (4, 1): 5.0}
    flow = STARVING.flow_from_arcs([amounts.get(arc, 0.0) for arc in zip(*STARVING.arcs(), strict=True)])

    def last(endowment, flow):
        run = cj.simulate(
            STARVING.with_contributions(endowment=endowment),
            strategy,
            endowments=process,
            start=flow,
            rounds=2,
            key=KEY,
        )
        return jnp.sum(run.final.utility**2)

    with jax.enable_x64(True):
        slopes = jax.jit(jax.grad(last, argnums=(0, 1)))(jnp.asarray(STARVING.endowment), jnp.asarray(flow))
    assert all(np.isfinite(slope).all() for slope in slopes)
    assert np.any(np.asarray(slopes[0]) != 0)


@pytest.mark.parametrize("transformation", [jax.grad, jax.jacfwd, lambda f: jax.grad(jax.jit(f))])
def test_outside_x64_mode_the_error_says_what_to_write(transformation):
    def last(theta):
        return cj.simulate(MARKET, cj.Damped(cj.CMAP(), theta), rounds=2, record={}).final.utility[0]

    with pytest.raises(ValueError, match=r"write `with jax.enable_x64\(True\)"):
        transformation(last)(0.5)


def test_a_float32_run_has_the_same_gradient_in_fewer_digits():
    def last(theta, precision):
        strategy = cj.Damped(cj.GradientCMAP(method=cj.OptaxGradient(2)), theta)
        return cj.simulate(MARKET, strategy, rounds=3, record={}, precision=precision).final.utility[0]

    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(last), static_argnums=1)
        single, double = (slope(0.5, precision) for precision in ("float32", "float64"))
    # Six roundings to 6e-8 in sums of a few terms, amplified by differences of utilities of order one.
    np.testing.assert_allclose(single, double, rtol=1e-4)


def test_a_recorded_number_and_a_continued_run_can_be_differentiated():
    first = cj.simulate(MARKET, cj.CMAP(), rounds=2, record={}).final

    def welfare(share):
        state = cj.State(
            first.round, first.flow * share, first.history, first.total_utility, first.agent_updates
        )
        record = ["log_nash_welfare"]
        run = cj.simulate(MARKET, cj.Damped(cj.CMAP(), 0.5), rounds=3, start=state, every=2, record=record)
        return run.records["log_nash_welfare"][1, 0]

    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(welfare))(0.9)
        central = (welfare(0.9 + STEP) - welfare(0.9 - STEP)) / (2 * STEP)
    np.testing.assert_allclose(slope, central, rtol=1e-6, atol=1e-9)
