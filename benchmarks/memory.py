"""Claim: a run takes so few bytes per arc that a market of 10⁸ arcs fits one GPU many times over.

Command: python -m benchmarks --only memory
Typical outcome: the table in docs/benchmarks.md, which that command writes.

What XLA itself says the compiled run takes (arguments, results and the most it holds besides), divided by
the number of arcs: exact, and the same on an idle and on a busy machine. On a CPU; other backends lay
out temporary arrays differently.
"""

from unittest import mock

import cmapjax as cj
from benchmarks._networks import erdos_renyi
from benchmarks._race import machine
from cmapjax.engine import _driver

STRATEGIES = {
    "proportional response": cj.ProportionalResponse(),
    "proportional response damped by 0.5": cj.Damped(cj.ProportionalResponse(), 0.5),
    "CMAP": cj.CMAP(),
    "CMAP, local damping": cj.Damped(cj.CMAP(), cj.LocalDamping()),
    "CMAP by projected gradient": cj.GradientCMAP(),
}
# Bytes per arc at which the least that such a run must hold is exceeded by half: what points at neighbours
# and the flow once (proportional response, damped), with bases and weights besides (CMAP).
ACCEPT = {
    "proportional response": 1.5 * 4,
    "proportional response damped by 0.5": 1.5 * 12,
    "CMAP": 1.5 * 20,
    "CMAP, local damping": 1.5 * 20,
}
LARGE = 10**8  # arcs
GPU = 141e9  # bytes of an H200


def results(quick: bool) -> dict:
    market = erdos_renyi(1_000 if quick else 100_000)
    arcs = 2 * market.num_links
    found = {name: bytes_of(market, strategy) for name, strategy in STRATEGIES.items()}
    rows, aims = [], []
    for name, parts in found.items():
        whole = sum(parts.values()) / arcs
        accept = f"≤ {ACCEPT[name]:.0f}" if name in ACCEPT else ""
        if name in ACCEPT:
            aim = {
                "aim": f"{accept} bytes per arc",
                "measured": f"{whole:.1f}",
                "is_met": whole <= ACCEPT[name],
            }
            aims.append({"job": name, "rival": "the least a run could hold, and half"} | aim)
        of_gpu = f"{whole * LARGE / 1e9:.1f} GB", f"{whole * LARGE / GPU:.0%}"
        rows.append(
            [name, *(f"{part / arcs:.1f}" for part in parts.values()), f"{whole:.1f}", accept, *of_gpu]
        )
    return {
        "claim": "Memory of a compiled run in bytes per arc (float32, nothing recorded), and what a market "
        "of 10⁸ arcs would take of a GPU with 141 GB: worked out, not measured.",
        "machine": machine(),
        "bytes": found,
        "arcs": arcs,
        "padding": market.padding,
        "aims": aims,
        "tables": [
            {
                "head": [
                    f"{market.num_agents:,} agents, {arcs:,} arcs",
                    "arguments",
                    "results",
                    "besides, at most",
                    "in all",
                    "accept",
                    "10⁸ arcs",
                    "of 141 GB",
                ],
                "rows": rows,
            }
        ],
        "notes": [
            "Of XLA's rounds. Arguments are the start, the neighbours and the agents' numbers; results the "
            "final flow as both ends hold it and the last utilities, as far as they do not lie where the "
            "start lay. The figures to accept count a flow once, in place."
        ],
    }


def bytes_of(market: cj.Market, strategy: cj.Strategy) -> dict[str, int]:
    """Arguments, results and temporary arrays of the compiled run, which may write over its start."""
    compiled = []
    play = _driver._play_on

    def compile_first(*arguments, **options):
        compiled.append(play.lower(*arguments, **options).compile().compiled.memory_analysis())
        return play(*arguments, **options)

    with mock.patch.object(_driver, "_play_on", compile_first):
        cj.simulate(market, strategy, rounds=20, record={}, precision="float32", native="off")
    (sizes,) = compiled
    return {
        "arguments": sizes.argument_size_in_bytes,
        "results": sizes.output_size_in_bytes - sizes.alias_size_in_bytes,
        "besides": sizes.temp_size_in_bytes,
    }
