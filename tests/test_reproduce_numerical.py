"""The part on numerical CMAP, on tiny sizes: what is played side by side is what is played alone."""

import dataclasses

import numpy as np
import pytest

import cmapjax as cj
from cmapjax.reproduce import Setting, _numerical
from cmapjax.reproduce._grid import CONTRIBUTIONS, drawn, families
from cmapjax.reproduce._numerical_played import Candidate, Shares, Size, play

# Details of measured claims, which take long to compile: run before a change to them.
pytestmark = pytest.mark.slow

STEPS, BUDGETS = (0.03, 0.3), (1, 4)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Seven markets of nine agents or so, twelve rounds."""
    setting = Setting(tmp_path_factory.mktemp("numerical"), quick=True, seed=1)
    return play(setting, Size(9, 4, 1, 12, STEPS, BUDGETS, ("in turn", "all at once"), (2,)))


def one_family(seed=1):
    (family, *_) = families(9, 4).values()
    return drawn(family, CONTRIBUTIONS["uniform"], seed, 100, 1)


RULES = {"fixed": cj.FixedStep, "diminishing": cj.DiminishingStep}
ALONE = [
    Candidate("in turn", 1.0, "fixed", 0.3, 4),
    Candidate("all at once", 0.5, "diminishing", 0.3, 4),
    Candidate("all at once", 1.0, "fixed", 0.03, 1),
    Candidate("in turn", 0.5, "line search", np.nan, 2),
    Candidate("all at once", 0.5, "exact", np.nan, np.inf),
]


@pytest.mark.parametrize("candidate", ALONE, ids=str)
def test_a_candidate_beside_others_ends_where_it_ends_alone(tiny, candidate):
    market = one_family()
    if candidate.rule == "exact":
        strategy = cj.CMAP()
    else:
        rule = cj.LineSearch() if candidate.rule == "line search" else RULES[candidate.rule](candidate.step)
        strategy = cj.GradientCMAP(method=cj.OptaxGradient(int(candidate.budget), rule))
    schedule = cj.Coloured() if candidate.schedule == "in turn" else cj.Simultaneous()
    run = cj.simulate(market, cj.Damped(strategy, candidate.damping), rounds=12, schedule=schedule, record={})
    share = cj.metrics.share_of_equilibrium(market, run.final.utility, cj.solve(market).utility)
    fields = {k: v for k, v in candidate._asdict().items() if v == v}
    (number,) = tiny.where(**fields)
    assert tiny.share[number, -1, 0] == pytest.approx(share[0], rel=1e-8)


def test_every_candidate_is_played_and_none_exceeds_the_equilibrium(tiny):
    assert len(tiny.candidates) == 2 * (2 * 2 * len(STEPS) * len(BUDGETS) + 2 + 2)
    assert tiny.share.shape == (len(tiny.candidates), 13, 7)
    assert (tiny.share <= 1 + 1e-12).all()
    assert len({tuple(map(str, c)) for c in tiny.candidates}) == len(tiny.candidates)


def made_up(*curves):
    """Candidates in turn whose share runs through these values, on three markets alike."""
    share = np.repeat(np.array(curves)[:, :, None], 3, axis=2)
    settings = [Candidate("in turn", 1.0, "fixed", 0.1 * (k + 1), 5) for k in range(len(curves))]
    rounds = np.arange(share.shape[1]) * 30
    return Shares(rounds, settings, share, np.zeros((len(curves), 3)), np.zeros(3, int), ("one",), 9)


def test_what_keeps_a_run_from_the_equilibrium_is_told_from_its_course():
    shares = made_up([0.5, 0.9, 0.98], [0.5, 0.98, 0.98], [0.5, 0.99995, 0.99999], [0.5, 0.7, 0.7])
    table = _numerical.candidates(shares)
    assert list(table["kind"]) == ["unfinished", "steps too long", "reached", "steps too long"]
    assert list(_numerical._near(table).index) == [0, 1]
    assert list(_numerical._near(table, "share_after_30_rounds").index) == [1]
    together = dataclasses.replace(
        shares, candidates=[c._replace(schedule="all at once") for c in shares.candidates]
    )
    assert list(_numerical.candidates(together)["kind"])[1] == "too many at once"


def test_one_cause_would_be_an_identification_and_two_are_not():
    def verdict(*curves):
        shares = made_up(*curves)
        return _numerical._identified(shares, _numerical.candidates(shares)).verdict

    assert verdict([0.5, 0.9, 0.98], [0.5, 0.7, 0.7]) == "holds"
    assert verdict([0.5, 0.98, 0.98], [0.5, 0.9, 0.98]) == "left open"
    assert verdict([0.5, 0.6, 0.6]) == "does not hold"


def test_every_check_has_a_number_and_pictures_can_be_drawn(tiny, tmp_path):
    finding = _numerical.finding(tiny)
    assert len(finding.checks) == 8
    assert "not known" in finding.remarks[0]
    for name, picture in finding.pictures.items():
        cj.plots.save(picture.figure, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
