"""The one place that knows the flow solver, Google OR-tools."""

import contextlib
import ctypes
import functools
import importlib.util
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int


@functools.cache
def import_ortools():
    """OR-tools' maximum flow, loaded when it is first needed: simulating needs no flow solver.

    OR-tools and highspy (which CVXPY brings) ship different versions of the HiGHS library under one name, and
    the system's loader gives whichever comes second the library of the first, in which functions are
    missing. So highspy, if it is installed, is loaded first, and then OR-tools' own copy is put where only
    OR-tools still looks.
    """
    with contextlib.suppress(ImportError):
        import highspy  # noqa: F401
    try:
        from ortools.graph.python import max_flow
    except ImportError:
        spec = importlib.util.find_spec("ortools")
        if spec is None or spec.origin is None:
            raise
        copies = [*(Path(spec.origin).parent / ".libs").glob("libhighs*")]
        if not copies:
            raise
        for copy in copies:
            ctypes.CDLL(str(copy), mode=ctypes.RTLD_GLOBAL)
        from ortools.graph.python import max_flow
    return max_flow


def maximum_flow(
    tail: Int[np.ndarray, "arcs"],
    head: Int[np.ndarray, "arcs"],
    send: Int[np.ndarray, "givers"],
    take: Int[np.ndarray, "receivers"],
    ahead: Int[np.ndarray, "arcs"],
    back: Int[np.ndarray, "arcs"] | None = None,
) -> tuple[Int[np.ndarray, "arcs"], Bool[np.ndarray, "nodes"]]:
    """The maximum flow from givers to receivers, less what flows back, and who is above its minimum cut.

    Args:
        tail, head: the giver and the receiver of each arc.
        send, take: capacities of givers and receivers.
        ahead, back: capacities of arcs, and of arcs against them.
    """
    max_flow = import_ortools()
    num_givers, num_receivers = len(send), len(take)
    source, sink = num_givers + num_receivers, num_givers + num_receivers + 1
    givers, receivers = np.arange(num_givers), num_givers + np.arange(num_receivers)
    head = num_givers + head
    solver = max_flow.SimpleMaxFlow()
    solver.add_arcs_with_capacity(np.full(num_givers, source), givers, send)
    arcs = solver.add_arcs_with_capacity(tail, head, ahead)
    solver.add_arcs_with_capacity(receivers, np.full(num_receivers, sink), take)
    back_arcs = None if back is None else solver.add_arcs_with_capacity(head, tail, back)
    status = solver.solve(source, sink)
    if status != solver.OPTIMAL:
        raise ArithmeticError(f"maximum flow: the solver ended with {status}.")
    flow = np.asarray(solver.flows(arcs), np.int64)
    if back is not None:
        flow = flow - np.asarray(solver.flows(back_arcs), np.int64)
    above = np.zeros(sink + 1, bool)
    above[solver.get_source_side_min_cut()] = True
    return flow, above[:source]
