"""m givers of the same two receivers, K_{m,2}, who answer what they believe: forecasts, memory and late news.

Every giver has one unit and gives the first receiver 1/2 + d of it. Its row is what a strategy of the package answers
when it believes that the receivers have so much in all. A rule gets the rows of all rounds so far, each an array
[m, 2], and says the next. `RULES` pairs each with the coefficients a_0, a_1, … of d(t+1) = Σ a_k d(t−k).
"""

import jax
import numpy as np

import cmapjax as cj

CMAP = cj.CMAP()
FIRST = 2.0**-18  # small enough that answers have two sides, and large beside rounding


@jax.jit
def _respond(strategy, view):
    return jax.vmap(strategy.respond, in_axes=-1, out_axes=-1)(view)


def answers(strategy, last, believed) -> np.ndarray:
    """Every giver's next row, from its last one and what it believes each receiver to have."""
    last, believed = np.asarray(last).T, np.broadcast_to(believed, np.shape(last)).T
    one = np.ones_like(last)
    view = cj.View(
        sent=last,
        repeated=last,
        received=one / last.shape[1],
        contribution=one,
        utility=believed,
        degree=one * last.shape[1],
        budget=one[0],
        is_neighbour=one > 0,
        max_degree=one[0] * last.shape[1],
    )
    with jax.enable_x64(True):
        return np.asarray(_respond(strategy, view)).T


def others(rows) -> np.ndarray:
    """What all other givers give to each receiver, for each giver."""
    return rows.sum(axis=0) - rows


def rows(givers: int, deviation=FIRST) -> np.ndarray:
    deviation = np.broadcast_to(deviation, givers)
    return np.stack([0.5 + deviation, 0.5 - deviation], axis=1)


def play(rule, past, rounds: int) -> np.ndarray:
    """The mean deviation d after each round, those of the given past first."""
    past = list(past)
    for _ in range(rounds):
        past.append(rule(past))
    return np.array([(y[:, 0] - y[:, 1]).mean() / 2 for y in past])


def best_reply(forecast):
    """CMAP's answer to a forecast of what the others give."""
    return lambda past: answers(CMAP, past[-1], past[-1] + forecast(past))


def extrapolated(k):
    return best_reply(lambda past: others(past[-1]) + k * (others(past[-1]) - others(past[-2])))


def damped(theta, mu=0.0):
    """A step of θ, and the last change again, times μ (a heavy ball)."""
    answer = best_reply(lambda past: others(past[-1]))

    def rule(past):
        last, before = past[-1], past[-2] if mu else past[-1]
        return last + theta * (answer(past) - last) + mu * (last - before)

    return rule


def one_ahead(deep):
    """The first `deep` givers answer what the others would do by CMAP, the others what they did."""
    answer = best_reply(lambda past: others(past[-1]))

    def rule(past):
        guess = answer(past)
        thinks = np.arange(len(guess))[:, None] < deep
        return np.where(thinks, answers(CMAP, past[-1], past[-1] + others(guess)), guess)

    return rule


def mean_so_far(past):
    """Fictitious play."""
    return best_reply(lambda past: np.mean([others(y) for y in past], axis=0))(past)


def smoothed(weight):
    """A forecast that moves a part of the way to what the others did, beginning with what they did first."""

    def forecast(past):
        guess = others(past[0])
        for y in past[1:]:
            guess = guess + weight * (others(y) - guess)
        return guess

    return best_reply(forecast)


def entropic(step, *, late=0, optimistic=False, mu=0.0):
    """Entropic CMAP with news of an earlier round, a guess of the next gradient, or a heavy ball of logarithms."""
    strategy = cj.EntropicCMAP(step)

    def rule(past):
        last, utility = past[-1], past[-1 - late].sum(axis=0)
        if optimistic:  # 2g − g_before, of logarithms
            utility = utility**2 / past[-2].sum(axis=0)
        if mu:
            last = last * (last / past[-2]) ** mu
        return answers(strategy, last, utility)

    return rule


RULES = {
    "last value (CMAP)": lambda m: (damped(1.0), [1 - m]),
    "step 0.3": lambda m: (damped(0.3), [1 - 0.3 * m]),
    "extrapolation, k = 1": lambda m: (extrapolated(1.0), [-2 * (m - 1), m - 1]),
    "mean of two rounds": lambda m: (extrapolated(-0.5), [-(m - 1) / 2, -(m - 1) / 2]),
    "level 2": lambda m: (one_ahead(m), [(m - 1) ** 2]),
    "step 0.3, heavy ball 0.8": lambda m: (damped(0.3, 0.8), [1 - 0.3 * m + 0.8, -0.8]),
    "entropic, η = 1.5": lambda m: (entropic(1.5), [-0.5]),
    "entropic, η = 0.5, optimistic": lambda m: (entropic(0.5, optimistic=True), [0.0, 0.5]),
    "entropic, η = 1.5, heavy ball 0.5": lambda m: (entropic(1.5, mu=0.5), [0.0, -0.5]),
    "entropic, η = 0.6, news late by 2": lambda m: (entropic(0.6, late=2), [1.0, 0.0, -0.6]),
}


def departure(name: str, givers: int, rounds: int = 3) -> float:
    """How far played deviations are from the recurrence's at most, in parts of the first."""
    rule, coefficients = RULES[name](givers)
    begin = FIRST * np.linspace(0.5, 1, len(coefficients))
    found = play(rule, [rows(givers, d) for d in begin], rounds)
    due = list(begin)
    for _ in range(rounds):
        due.append(np.dot(coefficients, due[: -len(coefficients) - 1 : -1]))
    return float(abs(found - due).max() / FIRST)


def radius(coefficients) -> float:
    """The largest modulus of the roots of z^n = Σ a_k z^(n−1−k): below 1, deviations die out."""
    return float(abs(np.roots([1, *(-np.asarray(coefficients, float))])).max())


def most_late(delay: int) -> float:
    """2 sin(π / (4d + 2)), below which entropic steps are stable with news late by d rounds."""
    return 2 * np.sin(np.pi / (4 * delay + 2))
