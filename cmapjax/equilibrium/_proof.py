"""The laws that prove the equilibrium of a market of any kind, tested in fractions."""

import math
from fractions import Fraction

from cmapjax.equilibrium._levels import UNLIMITED, Levels, Terms


def verify_levels(terms: Terms, found: Levels) -> None:
    """Check every law of the equilibrium from the flow and the levels alone.

    Nothing flows backwards, over a capacity or over a supply. Every receiver gets what flows to it, and no
    more than its demand. Its level L is its ratio u / b; the ratio of a satisfied one may be less, and of one
    that gets nothing more. A giver serves nobody of a higher level than a link that is not full leads to; and
    one that keeps something has only satisfied receivers left to serve.

    Raises:
        ArithmeticError: a law is broken, which would be a fault of this package.
    """
    proof = _Proof(terms, found)
    broken = [law for law, holds in proof.laws().items() if not holds]
    if broken:
        raise ArithmeticError(f"equilibrium: not the case that {broken}; please report this market.")


class _Proof:
    def __init__(self, terms: Terms, found: Levels):
        self.terms, self.size = terms, len(terms.supply)
        denominator = [1 if g < 0 else int(found.denominator[g]) for g in found.group.tolist()]
        self.got = [Fraction(int(z), d) for z, d in zip(found.got, denominator, strict=True)]
        self.arcs = [
            (i, j, Fraction(int(y), denominator[j]), math.inf if k == UNLIMITED else int(k))
            for i, j, y, k in zip(
                terms.giver.tolist(), terms.receiver.tolist(), found.parts, terms.capacity, strict=True
            )
        ]
        self.counts = [b > 0 and room != 0 for b, room in zip(terms.priority, terms.room, strict=True)]
        self.level = [self._level(j, found) for j in range(self.size)]

    def _level(self, j: int, found: Levels) -> Fraction | float:
        group = int(found.group[j])
        if group >= 0:
            top = found.numerator[group]
            return math.inf if top == UNLIMITED else Fraction(int(top), int(found.denominator[group]))
        return self.ratio(j) if self.counts[j] else math.inf

    def ratio(self, j: int) -> Fraction:
        """u / b, in the units of the terms."""
        return (self.got[j] + int(self.terms.own_use[j])) / int(self.terms.priority[j])

    def laws(self) -> dict[str, bool]:
        """Each law in words, and whether it holds."""
        sent, arrived = [Fraction(0)] * self.size, [Fraction(0)] * self.size
        dearest, open_level = [-math.inf] * self.size, [math.inf] * self.size
        for i, j, y, k in self.arcs:
            sent[i] += y
            arrived[j] += y
            if y > 0:
                dearest[i] = max(dearest[i], self.level[j])
            if y < k and self.terms.supply[i] > 0 and self.counts[j]:
                open_level[i] = min(open_level[i], self.level[j])
        agents = range(self.size)
        supply, room = self.terms.supply, self.terms.room
        return {
            "flows are within capacities": all(0 <= y <= k for _, _, y, k in self.arcs),
            "nobody gives more than it has": all(sent[i] <= int(supply[i]) for i in agents),
            "what arrives is received": arrived == self.got,
            "nobody gets more than it wants": all(
                room[j] == UNLIMITED or self.got[j] <= int(room[j]) for j in agents
            ),
            "levels are ratios": all(self._is_level(j) for j in agents if self.counts[j]),
            "givers serve the poorest": all(dearest[i] <= open_level[i] for i in agents),
            "who keeps has nobody left to serve": all(
                sent[i] == int(supply[i]) or open_level[i] == math.inf for i in agents
            ),
        }

    def _is_level(self, j: int) -> bool:
        level, is_satisfied = self.level[j], self.got[j] == int(self.terms.room[j])
        if level == math.inf:
            return is_satisfied
        ratio = self.ratio(j)
        return level == ratio or (is_satisfied and level > ratio) or (self.got[j] == 0 and level < ratio)
