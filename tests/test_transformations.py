"""Public functions inside JAX's transformations, in each of its modes, and plain calls after that.

Every function works there, or says what to do; and nothing that was traced is found by a later plain call.
"""

import contextlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cmapjax as cj
from cmapjax import fairness, metrics, sensitivity
from cmapjax.engine._run import State

LINKS = [[0, 1], [1, 2], [2, 3]]
ENDOWMENT = [1.0, 2.0, 3.0, 4.5]


def path():
    """A path of four, made anew: JAX remembers arrays by the object."""
    return cj.Market.from_links(LINKS, endowment=ENDOWMENT, value=[1.0, 1.5, 1.0, 0.5])


# Each of a function with one number for every agent, which it is given as endowments or as utilities.
TRANSFORMATIONS = {
    "jit": lambda f, x: jax.jit(f)(x),
    "vmap": lambda f, x: jax.vmap(f)(jnp.stack([x, 2 * x])),
    "jit of vmap": lambda f, x: jax.jit(jax.vmap(f))(jnp.stack([x, 2 * x])),
    "grad": lambda f, x: jax.grad(lambda y: jnp.sum(f(y)))(x),
    "jacfwd": lambda f, x: jax.jacfwd(f)(x),
    "jit of jacrev": lambda f, x: jax.jit(jax.jacrev(f))(x),
    "scan": lambda f, x: jax.lax.scan(lambda c, y: (c, f(y)), 0, jnp.stack([x, 2 * x])),
    "checkpoint": lambda f, x: jax.grad(lambda y: jnp.sum(jax.checkpoint(f)(y)))(x),
}


@contextlib.contextmanager
def setting():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


MODES = {
    "32-bit": contextlib.nullcontext,
    "x64 by setting": setting,
    "x64 around": lambda: jax.enable_x64(True),
}

NEEDS_X64 = "need JAX's x64 mode"
PLAIN = "works on plain numbers"


def with_endowment(market, x):
    return market.with_contributions(endowment=x)


def last_utility(market):
    return cj.simulate(market, cj.EqualSplit(), rounds=1, record={}).final.utility


def _flow(market, x):
    """Everybody's endowment in equal parts, made of the vector."""
    return with_endowment(market, x).equal_flow()


def _history(x):
    return jnp.stack([x, 1.5 * x, x]) if isinstance(x, jax.Array) else np.stack([x, 1.5 * x, x])


# What follows the precision of its input, in 32-bit mode too.
ANYWHERE = {
    "equilibrium_utility": lambda m, x: cj.equilibrium_utility(with_endowment(m, x)),
    "with_contributions": lambda m, x: with_endowment(m, x).contribution,
    "total": lambda m, x: m.total(x),
    "smallest": lambda m, x: m.smallest(x),
    "largest": lambda m, x: m.largest(x),
    "stored": lambda m, x: m.stored(x),
    "unstored": lambda m, x: m.unstored(x),
    "mirror": lambda m, x: m.mirror(_flow(m, x)),
    "gave": lambda m, x: m.gave(_flow(m, x)),
    "received": lambda m, x: m.received(_flow(m, x)),
    "arc_values": lambda m, x: m.arc_values(_flow(m, x)),
    "sensitivity.min_ratio": sensitivity.min_ratio,
    "sensitivity.utility_of": lambda m, x: sensitivity.utility_of(2)(m, x),
}
OTHER_ARGUMENTS = {
    "share_of_equilibrium": (np.full(4, 2.75),),
    "misallocated_share": (np.full(4, 2.75),),
    "log_welfare_loss": (np.full(4, 2.75),),
    "worst_relative_error": (np.full(4, 2.75),),
}
OF_FLOWS = ("certified_gap_of_flow", "spending_error", "flow_distance")
NEED_X64 = ("certified_gap_of_flow", "verdict")


def _state(market, x):
    flow = _flow(market, x)
    return State(np.int64(2), flow, _history(x), 2 * x, np.full(market.num_markets, 8), market.mirror(flow))


def _metric(name):
    function, others = getattr(metrics, name), OTHER_ARGUMENTS.get(name, ())
    if name == "flow_distance":
        return lambda m, x: function(m, _flow(m, x), np.asarray(path().equal_flow()))
    if name in OF_FLOWS:
        return lambda m, x: function(m, _flow(m, x))
    if name == "oscillation":
        return lambda m, x: function(m, _history(x)) + 0 * m.total(x)
    if name in ("verdict", "average_certified_gap"):
        return lambda m, x: function(m, _state(m, x)) + 0 * m.total(x)
    if name == "received":
        return lambda m, x: function(m, _state(m, x)) + 0 * x
    return lambda m, x: function(m, x, *others)


METRICS = [
    name
    for name in metrics.__all__
    if inspect.isfunction(getattr(metrics, name)) and name not in ("standard", "by_names")
]
ANYWHERE |= {f"metrics.{name}": _metric(name) for name in METRICS if name not in NEED_X64}
ONLY_IN_X64 = {
    "simulate": lambda m, x: last_utility(with_endowment(m, x)),
    **{f"metrics.{name}": _metric(name) for name in NEED_X64},
}


def transformed(function, market, name):
    """What a transformation gives, and the function, which JAX's caches keep as long as it lives."""

    def of_vector(x):
        return function(market, x)

    return TRANSFORMATIONS[name](of_vector, jnp.asarray(ENDOWMENT)), of_vector


def plainly(function, market):
    return np.asarray(function(market, np.asarray(ENDOWMENT)))


def check_plain_calls(market):
    """Plain calls on this market give what they give on one that no transformation has seen."""
    np.testing.assert_array_equal(last_utility(market), last_utility(path()))
    assert last_utility(market).dtype == np.float64
    for name in ("metrics.certified_gap", "equilibrium_utility", "received"):
        np.testing.assert_array_equal(plainly(ANYWHERE[name], market), plainly(ANYWHERE[name], path()))


# All in one program: compiling is what takes time.
@pytest.mark.parametrize("mode", ["32-bit", "x64 around"])
def test_what_follows_its_input_works_in_every_mode_and_plain_calls_after_it_are_right(mode):
    def all_of_them(market, x):
        return {name: function(market, x) for name, function in ANYWHERE.items()}

    market, alive, x64 = path(), [], mode != "32-bit"
    right = {name: plainly(function, path()) for name, function in ANYWHERE.items()}
    with MODES[mode]():
        for transformation in ["jit"] if x64 else ["jit", "jit of vmap", "jit of jacrev"]:
            result, kept = transformed(all_of_them, market, transformation)
            alive.append(kept)
            for name, found in result.items():
                assert np.isfinite(found).all(), (name, transformation)
                if transformation == "jit":
                    np.testing.assert_allclose(found, right[name], rtol=1e-13 if x64 else 1e-5, atol=1e-6)
                    assert x64 or found.dtype in (jnp.float32, jnp.int32), name
    check_plain_calls(market)


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_the_equilibrium_has_derivatives_in_32_bits_too_and_plain_calls_after_them_are_right(transformation):
    market, utility = path(), ANYWHERE["equilibrium_utility"]
    kept = transformed(utility, market, transformation)
    check_plain_calls(market)
    del kept


@pytest.mark.parametrize("name", ONLY_IN_X64)
def test_what_needs_x64_mode_says_so_in_every_transformation_and_plain_calls_after_it_are_right(name):
    market = path()
    for transformation in TRANSFORMATIONS:
        with pytest.raises(ValueError, match=NEEDS_X64):
            transformed(ONLY_IN_X64[name], market, transformation)
    check_plain_calls(market)


@pytest.mark.parametrize("mode", ["x64 by setting", "x64 around"])
def test_runs_are_transformed_in_x64_mode_and_plain_calls_after_that_are_right(mode):
    market, run = path(), ONLY_IN_X64["simulate"]
    with MODES[mode]():
        kept = [transformed(run, market, name) for name in ("jit", "jit of vmap", "jit of jacrev")]
        (one, _), (two, _), (slope, _) = kept
    np.testing.assert_allclose(one, plainly(run, path()), rtol=1e-14)
    np.testing.assert_allclose(two, np.outer([1, 2], one), rtol=1e-14)
    np.testing.assert_allclose(slope @ np.array(ENDOWMENT), one, rtol=1e-13)
    check_plain_calls(market)


def test_plain_calls_inside_a_32_bit_program_are_constants_in_double_precision():
    market, seen = path(), []

    def with_a_constant(x):
        seen.extend(
            [last_utility(market), cj.solve(market).utility, metrics.gini(market, last_utility(market))]
        )
        return x + seen[0]

    assert jax.jit(with_a_constant)(jnp.zeros(4)).dtype == jnp.float32
    assert [x.dtype for x in seen] == [np.float64] * 3
    assert all(isinstance(x, np.ndarray) for x in seen)
    np.testing.assert_array_equal(seen[0], last_utility(path()))
    check_plain_calls(market)


def test_traced_numbers_hidden_in_a_recorder_are_found():
    market = path()

    def final(x):
        record = {"scaled": lambda market, state: x * market.total(state.utility)}
        return cj.simulate(market, cj.EqualSplit(), rounds=1, record=record).records["scaled"].sum()

    with pytest.raises(ValueError, match=NEEDS_X64):
        jax.jit(final)(2.0)
    with jax.enable_x64(True):
        assert jax.jit(final)(2.0) == pytest.approx(4 * market.contribution.sum())
    check_plain_calls(market)


def test_arrays_that_the_callers_own_program_has_read_are_taken_as_they_are():
    market, given = path(), np.asarray(ENDOWMENT)

    def of_the_caller(x):
        return x + market.endowment + market.value + given

    assert jax.jit(of_the_caller)(jnp.zeros(4)).dtype == jnp.float32
    start = market.equal_flow()
    jax.jit(of_flow := lambda x: x + start)(jnp.zeros_like(start, jnp.float32))
    check_plain_calls(market)
    run = cj.simulate(market, cj.EqualSplit(), rounds=1, record={}, start=start)
    np.testing.assert_array_equal(run.final.utility, last_utility(path()))
    with jax.enable_x64(True):
        jax.jit(lambda x: cj.equilibrium_utility(with_endowment(market, x)))(np.array(ENDOWMENT))
    sensitivity.gradient(market, metrics.log_nash_welfare)
    assert jax.jit(lambda x: x * market.endowment)(jnp.ones(4)).dtype == jnp.float32  # as if we had not
    del of_flow


HOST = {
    "solve": lambda m, x: cj.solve(with_endowment(m, x)),
    "solve, by a run": lambda m, x: cj.solve(with_endowment(m, x), method=cj.ProjectedGradient()),
    "certify": lambda m, x: cj.equilibrium.certify(m, x),
    "as_qp": lambda m, x: cj.as_qp(with_endowment(m, x)),
    "problem": lambda m, x: cj.problem(with_endowment(m, x)),
    "solve_in_fractions": lambda m, x: cj.equilibrium.solve_in_fractions(with_endowment(m, x)),
    "explain": lambda m, x: cj.explain(with_endowment(m, x), cj.EqualSplit(), 1, 1),
    "gradient": lambda m, x: sensitivity.gradient(with_endowment(m, x), metrics.log_nash_welfare),
    "jacobian": lambda m, x: sensitivity.jacobian(with_endowment(m, x)),
    "elasticities": lambda m, x: sensitivity.elasticities(with_endowment(m, x)),
    "margins": lambda m, x: sensitivity.margins(with_endowment(m, x)),
    "new_links": lambda m, x: sensitivity.new_links(with_endowment(m, x)),
    "removed_links": lambda m, x: sensitivity.removed_links(with_endowment(m, x)),
    "place_budget": lambda m, x: sensitivity.place_budget(with_endowment(m, x), 1.0),
    "best_damping": lambda m, x: sensitivity.best_damping(m, equilibrium=x),
    "reciprocity_error": lambda m, x: fairness.reciprocity_error(m, _flow(m, x)),
    "lexicographic_error": lambda m, x: fairness.lexicographic_error(m, _flow(m, x)),
    "envy_error": lambda m, x: fairness.envy_error(m, _flow(m, x)),
    "pareto_error": lambda m, x: fairness.pareto_error(m, _flow(m, x)),
    "proportionality_error": fairness.proportionality_error,
    "lexicographic_ratios": lambda m, x: fairness.lexicographic_ratios(with_endowment(m, x)),
    "best_coalition": fairness.best_coalition,
    "arrow_debreu_error": lambda m, x: fairness.arrow_debreu_error(m, x, m.equal_flow()),
    "allocation": lambda m, x: m.allocation(_flow(m, x)),
    "fingerprint": lambda m, x: with_endowment(m, x).fingerprint(),
    "pack": lambda m, x: cj.pack([m, with_endowment(m, x)]),
    "copies of a traced market": lambda m, x: cj.copies(with_endowment(m, x), value=np.ones((2, 4))),
}
MADE_OF_NUMBERS = {
    "from_links": lambda m, x: cj.Market.from_links(LINKS, endowment=x),
    "copies": lambda m, x: cj.copies(m, endowment=x[None]),
    "flow_from_arcs": lambda m, x: m.flow_from_arcs(jnp.concatenate([x, x[:2]])),
    "with_contributions of a list": lambda m, x: with_endowment(m, list(x)),
}


@pytest.mark.parametrize("name", [*HOST, *MADE_OF_NUMBERS])
def test_what_works_on_plain_numbers_says_so_and_what_to_do(name):
    market, function = path(), (HOST | MADE_OF_NUMBERS)[name]
    for mode in ("32-bit", "x64 around"):
        with MODES[mode](), pytest.raises(ValueError, match=PLAIN if name in HOST else "traced by JAX"):
            transformed(function, market, "jit")
    check_plain_calls(market)


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_solve_names_what_can_be_traced_instead(transformation):
    with pytest.raises(ValueError, match="equilibrium_utility"):
        transformed(lambda market, x: cj.solve(with_endowment(market, x)).utility, path(), transformation)
