"""`pytest --costs N`: what test files and tests cost, in seconds of processor time and programs compiled.

Processor time is of the test's process and of the processes that it started and waited for. It hardly depends
on what else the machine is doing, as durations do.
"""

import os
from collections import defaultdict

import jax
import pytest

_COMPILED = "/jax/core/compile/backend_compile_duration"
_BEFORE_THAT = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
)


class Costs:
    """Takes the costs of a step (set-up, call, tear-down) with its report, and adds them up by file."""

    def __init__(self):
        self.programs, self.compiling = 0, 0.0
        self.of_tests = defaultdict(lambda: [0, 0.0, 0.0, 0])
        self.of_files = defaultdict(lambda: [0, 0.0, 0.0, 0])
        jax.monitoring.register_event_duration_secs_listener(self._note)
        self.last = self._now()

    def _note(self, event: str, seconds: float, **_) -> None:
        self.programs += event == _COMPILED
        if event == _COMPILED or event in _BEFORE_THAT:
            self.compiling += seconds

    def _now(self) -> tuple[float, float, int]:
        return sum(os.times()[:4]), self.compiling, self.programs

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        now = self._now()
        # Reports of workers arrive with what their attributes hold.
        report.costs = [after - before for after, before in zip(now, self.last, strict=True)]
        self.last = now
        return report

    def pytest_runtest_logreport(self, report):
        if not hasattr(report, "costs"):  # of a worker that died
            return
        for costs in (self.of_tests[report.nodeid], self.of_files[report.nodeid.partition("::")[0]]):
            costs[0] += report.when == "call"
            costs[1:] = [a + b for a, b in zip(costs[1:], report.costs, strict=True)]

    def pytest_terminal_summary(self, terminalreporter, config):
        most = config.getoption("costs")
        for what, table in (("files", self.of_files), ("tests", self.of_tests)):
            terminalreporter.section(f"costs of {what}")
            terminalreporter.write_line("  CPU s  compiling s  programs  tests")
            costs = sorted(table.items(), key=lambda line: -line[1][1])
            total = [sum(costs[k] for costs in table.values()) for k in range(4)]
            for name, (count, cpu, compiling, programs) in [("all", total), *costs[: most or None]]:
                terminalreporter.write_line(f"{cpu:7.1f} {compiling:12.1f} {programs:9d} {count:6d}  {name}")
