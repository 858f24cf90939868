"""Proportional response in Mesa, as users write it: python with_mesa.py LINKS ROUNDS."""

import csv
import sys

import mesa


class Sharer(mesa.Agent):
    """Somebody who gives back in proportion to what everybody gave."""

    def __init__(self, model):
        super().__init__(model)
        self.received, self.incoming = {}, {}

    def give(self):
        utility = sum(self.received.values())
        for neighbour, amount in self.received.items():
            neighbour.incoming[self] = amount / utility

    def take(self):
        self.received, self.incoming = self.incoming, {}


class Market(mesa.Model):
    """Sharers on a network, who begin with equal parts."""

    def __init__(self, links):
        super().__init__()
        sharers = [Sharer(self) for _ in range(1 + max(map(max, links)))]
        neighbours = {sharer: [] for sharer in sharers}
        for one, other in links:
            neighbours[sharers[one]].append(sharers[other])
            neighbours[sharers[other]].append(sharers[one])
        for sharer, others in neighbours.items():
            for other in others:
                other.received[sharer] = 1 / len(others)

    def step(self):
        self.agents.do("give")
        self.agents.do("take")


with open(sys.argv[1]) as file:
    market = Market([tuple(map(int, row)) for row in list(csv.reader(file))[1:]])
for _ in range(int(sys.argv[2])):
    market.step()
for agent, sharer in enumerate(list(market.agents)[:10]):
    print(f"{agent:8} {sum(sharer.received.values()):12.9f}")
