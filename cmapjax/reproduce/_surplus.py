"""Surplus that arrives at random and perishes: do running averages reach the equilibrium, and how fast?"""

import numpy as np

from cmapjax.reproduce._numbers import median, share
from cmapjax.reproduce._part import FAILS, HOLDS, IN_PART, Check, Finding, Setting
from cmapjax.reproduce._surplus_errors import Errors, by_and_by, rates
from cmapjax.reproduce._surplus_pictures import curves, slopes_by_family
from cmapjax.reproduce._surplus_played import POLICY, RULES, SLOW, Size, play

# A median slope within so much of the one expected is that slope; within twice as much, nearly.
NEAR = 0.1
# Errors that keep more than this over the last tenfold of rounds fall less than as t^-1/4 (1/√t: 0.32).
STANDS = 0.56
QUICK = Size(agents=20, degree=5, each=4, rounds=1200, every=6, at_a_time=1200)
FULL = Size(agents=64, degree=8, each=5, rounds=10_000, every=20, at_a_time=1000)


def measure(setting: Setting) -> Finding:
    """Averages under several strategies and processes of endowments, on seven families of networks."""
    return finding(play(setting, setting.pick(QUICK, FULL), RULES | setting.pick({}, SLOW)))


def finding(errors: Errors) -> Finding:
    """What the runs come to."""
    table = rates(errors)
    others = [rule for rule in errors.worst if rule != POLICY]
    return Finding(
        [
            _constant(errors),
            _random(errors, table),
            _noise(errors),
            _others_when_constant(errors, others),
            *(_others_at_random(errors, rule) for rule in others),
        ],
        tables={"rates": table, "errors": by_and_by(errors)},
        pictures={"errors": curves(errors), "slopes": slopes_by_family(table, errors)},
        remarks=_remarks(errors),
    )


def _constant(errors: Errors) -> Check:
    slopes, constant = errors.slopes(POLICY, "constant"), errors.constants(POLICY, "constant", 1.0)
    return Check(
        "Under dynamic sharing with constant endowments, errors of the running averages fall as 1/t.",
        "Slope -1 of log worst relative error on log t. With 64 agents 0.06 to 0.19 after 100 rounds, "
        "0.005 to "
        "0.009 after 1,000, 0.0003 to 0.0035 after 10,000.",
        f"Slope {median(slopes, '.3f')}; error × t {median(constant, '.3g')}; {_course(errors, 'constant')}.",
        _near(np.median(slopes), -1.0),
    )


def _course(errors: Errors, process: str) -> str:
    """The worst relative error after 100, 1,000, … rounds: the middle four fifths of the markets."""
    times = [t for t in (100, 1000, 10_000) if t <= errors.last]
    at = (np.quantile(errors.at(POLICY, process, t), [0.1, 0.9]) for t in times)
    return "worst relative error " + ", ".join(
        f"{low:.2g} to {high:.2g} after {t:,}" for t, (low, high) in zip(times, at, strict=True)
    )


def _near(found: float, expected: float) -> str:
    distance = abs(found - expected)
    return HOLDS if distance <= NEAR else IN_PART if distance <= 2 * NEAR else FAILS


def _random(errors: Errors, table) -> Check:
    """The rate with random endowments, process by process and family by family."""
    ours = table[(table["strategy"] == POLICY) & table["process"].isin(errors.random)]
    near = abs(ours["slope"] + 0.5) <= NEAR
    slopes = {p: np.median(errors.slopes(POLICY, p)) for p in errors.random}
    of = ours.groupby("family")["slope"].median()
    step, noise = (
        np.concatenate(x) for x in zip(*(errors.two_terms(POLICY, p) for p in errors.random), strict=True)
    )
    with np.errstate(divide="ignore"):
        crossing = np.where(noise > 0, (step / noise) ** 2, np.inf)
    return Check(
        "Under dynamic sharing with endowments drawn anew, errors of the running averages fall as 1/√t.",
        "Slope -0.5. With 64 agents and exponential endowments 0.18 to 0.28 after 100 rounds, 0.02 to 0.06 "
        "after 1,000, 0.002 to 0.026 after 10,000, which is between 1/√t and 1/t.",
        f"Median slopes: {_each(slopes)}; by family "
        + ", ".join(f"{name} {of[name]:.2f}" for name in errors.families)
        + f" (rounds {errors.since:,} to {errors.last:,}, {errors.num_markets} markets for each process). "
        "Fitted "
        f"as a/t + b/√t, the policy's own step and the noise are equal after "
        f"{median(crossing, '.0f', 'runs')} "
        f"rounds. Exponential: {_course(errors, 'exponential')}.",
        HOLDS if near.all() else IN_PART if near.any() else FAILS,
    )


def _noise(errors: Errors) -> Check:
    """Whether what is left is what nobody can avoid."""
    over = {p: errors.over_noise(POLICY, p) for p in errors.random}
    typical = {p: float(np.sqrt(np.mean(x**2))) for p, x in over.items()}
    far = max(abs(np.log(x)) for x in typical.values())
    return Check(
        "What is left under dynamic sharing is the noise of what arrives, which no strategy can avoid: it "
        "depends on the coefficient of variation of the endowments, not on their distribution.",
        "Root mean square of relative errors over cv · √(Σ w² / t) / Σ w, taken over the givers of each "
        "agent's "
        "block of the equilibrium: 1, and more by what the policy's own step adds.",
        f"{_each(typical)} (root mean square over {errors.num_markets} markets each and the second half of "
        "the "
        f"rounds; all together {median(np.concatenate(list(over.values())), '.3g', 'runs')}).",
        HOLDS if far <= np.log(1.25) else IN_PART if far <= np.log(2) else FAILS,
    )


def _each(values: dict) -> str:
    return ", ".join(f"{process} {value:.3g}" for process, value in values.items())


def _others_when_constant(errors: Errors, others: list[str]) -> Check:
    """With constant endowments a converging strategy's averages carry along what its first rounds missed."""
    slopes = {rule: errors.slopes(rule, "constant") for rule in others}
    verdicts = {_near(np.median(x), -1.0) for x in slopes.values()}
    return Check(
        "With constant endowments the averages of CMAP (one after another, or locally damped) and of "
        "proportional response approach the equilibrium as 1/t too, since what their first rounds missed is "
        "divided by t.",
        "Slope -1 once the rounds themselves have converged; shallower where they converge slowly.",
        "; ".join(f"{rule}: slope {median(x, '.3f')}" for rule, x in slopes.items()) + ".",
        HOLDS if verdicts == {HOLDS} else FAILS if verdicts == {FAILS} else IN_PART,
    )


def _others_at_random(errors: Errors, rule: str) -> Check:
    """Whether a strategy's averages approach the equilibrium when endowments are random."""
    fall, own = ({p: errors.fall(r, p) for p in errors.random} for r in (rule, POLICY))
    stands, policy_stands = (np.concatenate(list(x.values())) > STANDS for x in (fall, own))
    last, ours = ({p: np.median(errors.at(r, p, errors.last)) for p in errors.random} for r in (rule, POLICY))
    approaching = 1 - stands.mean()
    return Check(
        f"With endowments drawn anew, the running averages of {rule} approach the equilibrium.",
        "Claimed of running averages in general. Not expected of a strategy that answers the last round "
        "alone: "
        "it takes one draw for the mean.",
        f"Not approaching (over the last tenfold of rounds errors keep more than {STANDS:g}, falling less "
        "than as "
        "t^-1/4): "
        f"{share(stands, 'runs')}, against {share(policy_stands, 'runs')} under dynamic sharing. Median "
        "worst "
        f"relative error after {errors.last:,} rounds: {_each(last)}; under dynamic sharing {_each(ours)}.",
        HOLDS if approaching >= 0.95 else FAILS if approaching <= 0.2 else IN_PART,
    )


def _remarks(errors: Errors) -> list[str]:
    return [
        "Worst relative error: max over agents of |ū_j / u*_j - 1|, ū_j being the mean value received per "
        "round "
        "so far and u* the equilibrium of mean contributions. Slopes are least squares on logarithms, at "
        "times "
        f"evenly spaced in log t from round {errors.since:,} on: one per market, and the median over markets "
        f"with its 95 % bootstrap interval. {errors.num_markets} markets of about {errors.size} agents, "
        "contributions uniform on (0.1, 1), from an equal split.",
        "Dynamic sharing is our reading of the policy of Georgiadis, Iosifidis and Tassiulas. The rates "
        "expected are those of gradient scheduling: a step of 1/t, and the noise of a mean. Where the whole "
        "market is one block, as on dense networks, the noise is that of the sum of all that arrives, "
        "which is "
        "small, and the step of 1/t is what is seen for thousands of rounds; on trees blocks have few "
        "givers.",
        "With on-off endowments proportional response dies out: who had nothing to give in a round is given "
        "nothing in the next, gives nothing back in the one after, and so on for good, link by link.",
        "Damped agents remember by their last row alone. Under on-off endowments who had nothing has no row "
        "to go on from and begins with an equal split, so damping does not help there.",
        "What arrives in a round perishes unless it is given then; every strategy here gives all of it. One "
        "after another: by colours, which is exactly a sequential sweep.",
    ]
