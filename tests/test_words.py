"""Words follow from the classes: one grammar, names and fields by introspection, and back again."""

import math
from typing import ClassVar

import equinox as eqx
import numpy as np
import pytest

import cmapjax as cj
from cmapjax import endowments, equilibrium, graphs, schedules, strategies
from cmapjax.words import _classes, _grammar
from cmapjax.words._objects import Builder
from cmapjax.words._plans import make, plan
from cmapjax.words._texts import words_of

KINDS = {
    strategies.Strategy: strategies,
    strategies.Damping: strategies,
    strategies.GradientMethod: strategies,
    strategies.StepRule: strategies,
    schedules.Schedule: schedules,
    graphs.Family: graphs,
    graphs.Distribution: graphs,
    graphs.PriorityRule: graphs,
    graphs.IsolatedAgents: graphs,
    endowments.Endowments: endowments,
    cj.Method: equilibrium,
}
# Words and the objects they mean: one or more of every kind, every kind of value, every short name.
MEANT = [
    ("cmap", cj.CMAP()),
    ("CMAP:hops=2", cj.CMAP(community_hops=2)),
    ("cmap:inf", cj.CMAP(community_hops=math.inf)),
    ("pr", cj.ProportionalResponse()),
    ("ProportionalResponse", cj.ProportionalResponse()),
    ("dynamic-sharing", cj.DynamicSharing()),
    ("equal_split", cj.EqualSplit()),
    ("entropic", cj.EntropicCMAP()),
    ("entropic:1.5", cj.EntropicCMAP(1.5)),
    ("entropic-cmap:step=1.5,fairness=2", cj.EntropicCMAP(1.5, fairness=2.0)),
    ("bid", cj.BidResponse()),
    ("cmap:fairness=2,respects_demand=true", cj.CMAP(fairness=2, respects_demand=True)),
    ("selfish", cj.SelfishBestReply()),
    ("cmap-gradient:iterations=20", cj.GradientCMAP(method=cj.JaxoptGradient(iterations=20))),
    ("gradient-cmap:method=optax", cj.GradientCMAP(method=cj.OptaxGradient())),
    (
        "gradient-cmap:hops=2,method=optax,iterations=5,step=line-search",
        cj.GradientCMAP(2, cj.OptaxGradient(5, cj.LineSearch())),
    ),
    ("gradient-cmap:step=0.2", cj.GradientCMAP(method=cj.JaxoptGradient(step=cj.FixedStep(0.2)))),
    (
        "gradient-cmap:method=(optax:iterations=3,step=diminishing:0.3)",
        cj.GradientCMAP(method=cj.OptaxGradient(3, cj.DiminishingStep(0.3))),
    ),
    ("damped:cmap,damping=0.25", cj.Damped(cj.CMAP(), 0.25)),
    ("damped:(cmap:hops=2),damping=local", cj.Damped(cj.CMAP(2), cj.LocalDamping())),
    ("per-agent:(damped:cmap,damping=0.5+0.25)", cj.PerAgent(cj.Damped(cj.CMAP(), np.array([0.5, 0.25])))),
    ("local", cj.LocalDamping()),
    ("1/max-degree", cj.MaxDegreeDamping()),
    ("max-degree", cj.MaxDegreeDamping()),
    ("fixed:0.5", cj.FixedDamping(0.5)),
    ("colored", cj.Coloured()),
    ("one-agent", cj.OneAgentPerRound()),
    ("sequential:order=2+0+1", cj.Sequential(np.array([2, 0, 1]))),
    ("turns:0+1+0", cj.Turns(np.array([0, 1, 0]))),
    ("participation:0.5", cj.RandomParticipation(0.5)),
    ("participation:0.5,schedule=coloured", cj.RandomParticipation(0.5, cj.Coloured())),
    ("er:n=50,degree=6", graphs.ErdosRenyi(50, mean_degree=6)),
    ("erdos-renyi:50,p=0.1", graphs.ErdosRenyi(50, probability=0.1)),
    ("ba:n=100,m=2", graphs.BarabasiAlbert(100, 2)),
    ("ws:n=100,k=4,rewiring=0.1", graphs.WattsStrogatz(100, 4, 0.1)),
    ("geometric:n=100,degree=8", graphs.RandomGeometric(100, mean_degree=8)),
    ("regular:n=100,degree=4", graphs.RandomRegular(100, 4)),
    ("tree:n=9", graphs.RandomTree(9)),
    ("torus:rows=8,columns=9", graphs.TorusGrid(8, 9)),
    ("bipartite:left=20,right=30,degree=4", graphs.Bipartite(20, 30, mean_degree=4)),
    (
        "blocks:sizes=20+30,within=0.3,between=0.05",
        graphs.StochasticBlockModel([20, 30], within=0.3, between=0.05),
    ),
    ("complete:5", graphs.Complete(5)),
    ("star:n=5", graphs.Star(5)),
    ("ring:n=5", graphs.Ring(5)),
    ("unit", graphs.Unit()),
    ("uniform:0.5,1.5", graphs.Uniform(0.5, 1.5)),
    ("lognormal:sigma=1", graphs.LogNormal(1)),
    ("log-normal:sigma=1e-1,mean=2.5", graphs.LogNormal(0.1, 2.5)),
    ("pareto:alpha=2", graphs.Pareto(2)),
    ("exponential", graphs.Exponential()),
    ("gamma:shape=2", graphs.Gamma(2)),
    ("reject", graphs.Reject()),
    ("drop", graphs.Drop()),
    ("redraw:attempts=7", graphs.Redraw(7)),
    ("constant", endowments.Constant()),
    ("exponential", endowments.Exponential()),
    ("gamma:cv=0.5", endowments.Gamma(0.5)),
    ("lognormal:cv=2", endowments.LogNormal(2)),
    ("on-off:p=0.25", endowments.OnOff(0.25)),
    ("decomposition", cj.Decomposition()),
    ("constant:2.5", graphs.Constant(2.5)),
    ("mix:0.5", graphs.Mix(0.5)),
    ("coverage", graphs.Coverage()),
    ("projected-gradient:projection=jaxopt", cj.ProjectedGradient(projection="jaxopt")),
    ("convex:accuracy=1e-9", cj.ConvexProgram(accuracy=1e-9)),
]


def kind_of(thing):
    return next(kind for kind in KINDS if isinstance(thing, kind))


def are_equal(one, other):
    if isinstance(one, eqx.Module):
        return bool(eqx.tree_equal(one, other, typematch=True))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(("text", "thing"), MEANT, ids=[text for text, _ in MEANT])
def test_words_mean_this_object_and_an_object_is_told_by_words_that_mean_it(text, thing):
    kind = kind_of(thing)
    assert are_equal(Builder().build(kind, text), thing)
    assert are_equal(Builder().build(kind, words_of(thing)), thing)


def test_an_object_s_words_say_what_is_not_by_default():
    assert words_of(cj.CMAP()) == "cmap"
    assert words_of(cj.Damped(cj.CMAP(2), cj.LocalDamping())) == "damped:cmap:community_hops=2,damping=local"
    assert words_of(graphs.ErdosRenyi(50, mean_degree=6)) == "erdos-renyi:50,mean_degree=6.0"
    gradient = cj.GradientCMAP(method=cj.OptaxGradient(3, cj.LineSearch()))
    assert words_of(gradient) == "gradient-cmap:method=(optax:iterations=3,step=line-search)"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_public_class_has_a_name_of_its_own_and_fields_that_can_be_shown(kind):
    home = KINDS[kind]
    public = {
        thing
        for name in home.__all__
        if isinstance(thing := getattr(home, name), type) and issubclass(thing, kind) and thing is not kind
    }
    named = _classes.members(kind)
    assert {cls for cls in public if not getattr(cls, "__abstractmethods__", None)} == set(named.values())
    keys = [
        _classes.key(each) for name, cls in named.items() for each in (name, *vars(cls).get("known_as", ()))
    ]
    assert len(keys) == len(set(keys))
    for name, cls in named.items():
        assert _classes.find(kind, name) is _classes.find(kind, cls.__name__) is cls


def test_every_name_is_among_the_words_tried_here():
    tried = {type(thing) for _, thing in MEANT}
    every = {cls for kind in KINDS for cls in _classes.members(kind).values()}
    within = {cj.JaxoptGradient, cj.OptaxGradient, cj.FixedStep, cj.DiminishingStep, cj.LineSearch}
    # Without fields, or read from files.
    plain = {cj.Simultaneous, cj.RandomOrder, endowments.Trace, endowments.Balance}
    assert every - within - plain == tried


def test_a_class_that_is_added_can_be_named_at_once(monkeypatch):
    class GiveToTheFirst(cj.Strategy):
        known_as = ("first",)
        symbols: ClassVar = {"s": "share"}
        share: float = 0.5
        inner: cj.Strategy = eqx.field(default_factory=lambda: cj.GradientCMAP(2))

        def respond(self, view):
            return cj.repeat(view)

    monkeypatch.setattr(strategies, "GiveToTheFirst", GiveToTheFirst, raising=False)
    monkeypatch.setattr(strategies, "__all__", [*strategies.__all__, "GiveToTheFirst"])
    for cached in (_classes.members, _classes.by_key):
        cached.cache_clear()
    try:
        made = Builder().build(cj.Strategy, "give-to-the-first:s=0.25,inner=pr")
        assert are_equal(made, GiveToTheFirst(0.25, cj.ProportionalResponse()))
        made = Builder().build(cj.Strategy, "first:method=optax")  # of the object within, the rest as it was
        assert are_equal(made, GiveToTheFirst(inner=cj.GradientCMAP(2, cj.OptaxGradient())))
        shown = r"give-to-the-first \| first \(share\|s=0.5, inner=gradient-cmap:community_hops=2\)"
        with pytest.raises(ValueError, match=shown):
            Builder().build(cj.Strategy, "last")
        study = cj.Study(name="s", cells={"network": "ring:n=5"}, grid={"strategy": ["first", "cmap"]})
        assert study.cells()[0].label == "give-to-the-first simultaneous"
    finally:
        for cached in (_classes.members, _classes.by_key):
            cached.cache_clear()


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (
            cj.Strategy,
            "cmpa",
            ["'cmpa' is not known", "did you mean cmap (community_hops|hops=1, ", "damped ("],
        ),
        (cj.Strategy, "", ["has no name"]),
        (cj.Strategy, "cmap:hop=2", ["'hop'", "did you mean hops?", "community_hops|hops=1"]),
        (cj.Strategy, "cmap:hops=1,hops=2", ["hops is given twice"]),
        (cj.Strategy, "cmap:1,hops=2", ["community_hops is given twice"]),
        (cj.Strategy, "cmap:1,2,true,4", ["no further value '4'"]),
        (cj.Strategy, "cmap:hops=two", ["community_hops is 'two'", "not a number"]),
        (cj.Strategy, "cmap:hops=1.5", ["community_hops is 1.5"]),
        (cj.Strategy, "pr:hops=2", ["'hops'", "it takes none"]),
        (cj.Strategy, "damped", ["damped needs strategy", "write damped:strategy=…"]),
        (cj.Strategy, "damped:local", ["strategy 'local' is not known"]),
        (cj.Strategy, "damped:3", ["strategy is 3", "CMAP()"]),
        (cj.Strategy, "damped:cmap,damping=2", ["theta is 2.0"]),
        (cj.Strategy, "damped:(cmap", ["parentheses do not match"]),
        (cj.Strategy, "gradient-cmap:method=jaxop", ["gradient method 'jaxop'", "did you mean jaxopt"]),
        (cj.Strategy, "sequential", ["strategy 'sequential' is not known"]),
        (cj.Strategy, "Strategy", ["strategy 'Strategy' is not known"]),
        (cj.Strategy, "PostedStrategy", ["is not known"]),
        (cj.Strategy, "repeat", ["is not known"]),
        (cj.Strategy, "__import__('os').system('true')", ["is not known"]),
        (graphs.Family, "ring:n=2", ["num_agents is 2"]),
        (graphs.Family, "er:n=9", ["mean_degree is None and probability is None"]),
    ],
)
def test_what_words_cannot_mean_is_refused_with_name_value_and_remedy(kind, text, expected):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are compared below
        Builder().build(kind, text)
    assert [word for word in expected if word not in str(error.value)] == [], str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("-7", -7), (".5", 0.5), ("1e+3+2e-1", (1e3, 0.2)), ("inf", math.inf), ("none", None), ("True", True)]
    + [(text, text) for text in ("local", "1_000", "0x10", "nan")],
)
def test_values_are_numbers_constants_or_text(text, value):
    found = _grammar.literal(text)
    assert found == value
    assert type(found) is type(value)


def test_a_strategy_may_bring_its_own_turns_and_its_label_says_so():
    line = plan("pr:schedule=participation:0.5,damping=local", "coloured", "none")
    assert line.label == "proportional-response participation:0.5 damping local"
    strategy, schedule = make(line)
    assert are_equal(strategy, cj.Damped(cj.ProportionalResponse(), cj.LocalDamping()))
    assert are_equal(schedule, cj.RandomParticipation(0.5))
    assert plan("cmap:hops=2", "coloured", "None").label == "cmap:hops=2 coloured"
    # The damping of `damped` is its own.
    strategy, _ = make(plan("damped:cmap,damping=0.5,schedule=coloured", "simultaneous", "none"))
    assert are_equal(strategy, cj.Damped(cj.CMAP(), 0.5))


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (cj.CMAP, ["is a class", "CMAP()"]),
        (endowments.Trace(np.ones((2, 3))), ["Trace.values", "words cannot say"]),
        (cj.Damped(cj.CMAP(), np.ones(1)), ["theta", "words cannot say"]),
    ],
)
def test_an_object_that_words_cannot_tell_is_refused_by_name(thing, expected):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the words are compared below
        words_of(thing)
    assert [word for word in expected if word not in str(error.value)] == [], str(error.value)
