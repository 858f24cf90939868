"""What a program compiled for a GPU launches, read from XLA's optimised text (HLO)."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

SIZES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "f32": 4}
SIZES |= {"s64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16}
# These move no data and start nothing.
FREE = {"parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "partition-id"}
HOST = {"send", "recv", "infeed", "outfeed"}
SCOPE = "/round/"


class Instruction(NamedTuple):
    """One line of a computation."""

    name: str
    kind: str
    shape: str
    operands: tuple[str, ...]
    text: str

    @property
    def calls(self) -> dict[str, str]:
        """The computations it calls, by what they are to it."""
        found = re.findall(r"(calls|to_apply|body|condition)=%?([\w.\-]+)", self.text)
        branches = re.search(r"branch_computations=\{([^}]*)\}", self.text)
        for place, name in enumerate(re.findall(r"[\w.\-]+", branches.group(1)) if branches else []):
            found.append((f"branch {place}", name))
        for part, name in re.findall(r"(true|false)_computation=%?([\w.\-]+)", self.text):
            found.append((f"branch {part}", name))
        return dict(found)

    @property
    def passes(self) -> int | None:
        """How often a loop is passed through, where that is known when it is compiled."""
        known = re.search(r"known_trip_count\W+n\W+(\d+)", self.text)
        return int(known.group(1)) if known else None

    @property
    def is_of_round(self) -> bool:
        """Whether it is part of a round of the engine, directly."""
        scope = re.search(r'op_name="([^"]*)"', self.text)
        return scope is not None and SCOPE in scope.group(1)


Program = dict[str, list[Instruction]]


def parsed(text: str) -> tuple[Program, str]:
    """The computations of a module by name, and the name of the one it starts with."""
    program, entry, name = {}, "", None
    for line in text.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.\-]+) .*\{$", line)
        if head and not line.startswith("HloModule"):
            name = head.group(2)
            program[name] = []
            entry = name if head.group(1) else entry
        elif name and (
            found := re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([a-z\-]+)\((.*)", line)
        ):
            operands = tuple(re.findall(r"%([\w.\-]+)", found.group(4).split("), ")[0]))
            program[name].append(Instruction(*found.group(1, 3, 2), operands, line))
    return program, entry


def num_bytes(shape: str) -> int:
    """How much memory an array, or a tuple of arrays, of this shape takes."""
    arrays = re.findall(r"([a-z]+\d*)\[([\d,]*)\]", shape)
    return sum(SIZES.get(kind, 4) * math.prod(int(n) for n in dims.split(",") if n) for kind, dims in arrays)


def round_of(text: str) -> dict | None:
    """What a round launches; see `_counted`. None if the program plays no rounds in a loop."""
    program, entry = parsed(text)
    for loop in _loops(program, entry):
        if any(x.is_of_round and x.kind not in FREE for x in program[loop.calls["body"]]):
            test = _counted(program, loop.calls["condition"])
            found = _counted(program, loop.calls["body"])
            # The loop's own test: kernels, and a number that the CPU reads unless the count is known.
            found["kernels"] += test["kernels"]
            found["bytes"] += test["bytes"]
            found["reads_by_cpu"] += loop.passes is None
            return found
    return None


def in_all(text: str) -> dict:
    """The same of the whole program, every loop passed once."""
    return _counted(*parsed(text))


def _loops(program: Program, name: str) -> Iterator[Instruction]:
    """The loops of a computation, outer ones first."""
    for instruction in program[name]:
        if instruction.kind == "while":
            yield instruction
        for part, called in instruction.calls.items():
            if part in ("body", "calls") or part.startswith("branch"):
                yield from _loops(program, called)


def _counted(program: Program, name: str) -> dict:
    """Launches of one pass through a computation.

    Loops inside count as often as is known, or once, and are listed; of branches, the dearest counts.
    `bytes` are what kernels read and write, each operand once.
    """
    shapes = {x.name: x.shape for x in program[name]}
    found = dict.fromkeys(("kernels", "copies", "scatters", "sorts", "conditionals", "reads_by_cpu"), 0)
    found |= {"float64": 0, "bytes": 0, "loops": []}
    for x in program[name]:
        if x.kind in FREE or x.kind.endswith("-done"):
            continue
        inner = [_counted(program, c) for part, c in x.calls.items() if part not in ("to_apply", "condition")]
        if x.kind == "while":
            passes = x.passes or 1
            test = _counted(program, x.calls["condition"])
            found["loops"].append({"kernels": inner[0]["kernels"] + test["kernels"], "passes": x.passes})
            found["reads_by_cpu"] += 0 if x.passes else 1
            _add(found, test, passes)
            _add(found, inner[0], passes)
        elif x.kind == "conditional":
            found["conditionals"] += 1
            found["reads_by_cpu"] += 1
            _add(found, max(inner, key=lambda branch: branch["kernels"]), 1)
        elif x.kind == "call":
            _add(found, inner[0], 1)
        else:
            inside = {y.kind for c in x.calls.values() for y in program[c]} | {x.kind}
            found["kernels"] += 1
            found["copies"] += x.kind in ("copy", "copy-start")
            found["scatters"] += "scatter" in inside
            target = re.search(r'custom_call_target="([^"]*)"', x.text)
            found["sorts"] += "sort" in inside or (target is not None and "sort" in target.group(1).lower())
            found["reads_by_cpu"] += x.kind in HOST
            found["float64"] += bool(re.search(r"f64\[\d", x.shape))
            found["bytes"] += num_bytes(x.shape) + sum(num_bytes(shapes.get(o, "")) for o in set(x.operands))
    return found


def _add(found: dict, more: dict, times: int) -> None:
    for key, value in more.items():
        found[key] += value if key == "loops" else times * value
