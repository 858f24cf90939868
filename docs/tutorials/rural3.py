"""SimBench's grid rural3 as files that cmapjax reads, and the figures of docs/energy-simbench.md.

`python rural3.py files FOLDER`, where simbench is installed, writes links.csv, production.csv and need.csv:
the buses with loads of grid 1-LV-rural3 in scenario 2, means of the hours of its year in kWh. A bus without a
load is taken out, and all that are joined to it become neighbours.

`python rural3.py figures FOLDER`, where cmapjax is installed, prints the figures.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

CODE = "1-LV-rural3--2-no-sw"
SUNNY, SAMPLES = 5, 60  # hours of more than so many kWh of surplus, of which every so manieth part is taken


def write_files(folder: Path) -> None:
    import networkx as nx
    import simbench

    net = simbench.get_simbench_net(CODE)
    profiles = simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)
    homes = sorted(net.load.bus.unique())
    graph = nx.Graph(list(zip(net.line.from_bus, net.line.to_bus, strict=True)))
    graph.add_edges_from(zip(net.trafo.hv_bus, net.trafo.lv_bus, strict=True))
    for bus in [bus for bus in graph if bus not in set(homes)]:
        around = list(graph[bus])
        graph.remove_node(bus)
        graph.add_edges_from((a, b) for number, a in enumerate(around) for b in around[:number])
    folder.mkdir(parents=True, exist_ok=True)
    links = pd.DataFrame([(f"bus{a}", f"bus{b}") for a, b in graph.edges], columns=["source", "target"])
    links.to_csv(folder / "links.csv", index=False)
    times = pd.date_range("2016-01-01", periods=8784, freq="h").strftime("%Y-%m-%d %H:%M")
    for name, kind in (("production", "sgen"), ("need", "load")):
        megawatts = profiles[kind, "p_mw"].T.groupby(net[kind].bus).sum().T
        kilowatts = 1000 * megawatts.reindex(columns=homes, fill_value=0).to_numpy()
        hourly = kilowatts.reshape(len(times), 4, -1).mean(axis=1)
        table = pd.DataFrame(hourly, index=pd.Index(times, name="time"))
        table.set_axis([f"bus{bus}" for bus in homes], axis=1).to_csv(folder / f"{name}.csv")


def print_figures(folder: Path) -> None:
    import cmapjax as cj

    market = cj.graphs.read_market(folder / "links.csv")
    year = cj.endowments.Balance(
        *cj.graphs.read_balance(market, folder / "production.csv", folder / "need.csv")
    )
    surplus, deficit = year.surplus, year.need - year.own_use
    sunny = np.flatnonzero(surplus.sum(axis=1) > SUNNY)
    sunny = sunny[:: max(1, len(sunny) // SAMPLES)]
    some = cj.endowments.Balance(year.production[sunny], year.need[sunny])
    print(market, f"{np.count_nonzero(year.production.sum(axis=0))} with panels")
    # Without needs everybody wants without limit, and has to bring something.
    plain = cj.solve(cj.copies(market, endowment=np.maximum(surplus[sunny], 1e-6)))
    used = np.minimum(plain.utility.reshape(len(sunny), -1), deficit[sunny]).sum()
    rows = {"surplus": (surplus[sunny].sum(), surplus.sum()), "used without needs": (used, np.nan)}
    for reach in (1, 2, 3):
        near = cj.graphs.within(market, reach)
        rows[f"shared, reach {reach}"] = [cj.share(near, hours).total()["shared"] for hours in (some, year)]
    pools = np.minimum(surplus.sum(axis=1), deficit.sum(axis=1))
    rows["one pool"] = pools[sunny].sum(), pools.sum()
    table = pd.DataFrame(rows, index=[f"kWh in {len(sunny)} sunny hours", f"kWh in all {len(surplus):,}"]).T
    print(table.round().to_string())


if __name__ == "__main__":
    {"files": write_files, "figures": print_figures}[sys.argv[1]](Path(sys.argv[2]))
