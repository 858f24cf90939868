"""Compile every kind of run for an H200, on a machine without one: `scripts/gpu-compile --help`.

Results are kept case by case in gpu-compile.json; started again, what is there is not compiled
again: a case of these sources, or a program whose text is known.
"""

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path

import jax

from benchmarks import __main__ as races
from benchmarks._gpu import _launches, _target
from benchmarks._gpu._cases import Case, cases
from benchmarks._gpu._tables import described
from benchmarks._race import machine

NAME = "gpu-compile"
PACKAGE = Path(__file__).parents[2] / "cmapjax"
FOLDERS = ("engine", "market", "schedules", "strategies")


def main(words: list[str] | None = None) -> int:
    """Compile what is missing, write, print; exit 1 if something does not compile, 2 if nothing can be."""
    parser = argparse.ArgumentParser(prog="scripts/gpu-compile", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few small cases, in a minute")
    parser.add_argument("--minutes", type=float, default=25, help="of CPU time at most (default: 25)")
    parser.add_argument("--out", type=Path, help="folder (default: docs, or with --quick benchmark-output)")
    options = parser.parse_args(words)
    if absent := _target.missing():
        print(f"not installed: {', '.join(absent)}; run scripts/gpu-compile.", file=sys.stderr)
        return 2
    out = options.out or (Path("benchmark-output") if options.quick else PACKAGE.parent / "docs")
    wanted, before = cases(options.quick), kept(out)
    # A program whose text is the same compiles to the same kernels, whatever else of the sources has changed.
    known = {x["text"]: x for case in before.values() for x in case["programs"].values() if "text" in x}
    done = {key: case for key, case in before.items() if case["sources"] == sources()}
    for case in wanted:
        if case.key in done:
            continue
        if time.process_time() > 60 * options.minutes:
            break
        done[case.key] = compile_case(case, known)
        print(case.key, *(f"{k}: {_said(x)}" for k, x in done[case.key]["programs"].items()), flush=True)
        save(out, wanted, done, before)
        jax.clear_caches()
    save(out, wanted, done, before)
    return int(any("fault" in x for found in done.values() for x in found["programs"].values()))


def compile_case(case: Case, known: dict[str, dict]) -> dict:
    """What there is to say of each program of a case. `known` has what was said of programs by their text."""
    where, market = _target.placement(), case.market()
    found = {}
    for name, program in _target.programs(market, case.strategy(), **case.options(market)).items():
        try:
            lowered = _target.lowered(*program, where)
        except Exception as error:  # whatever the compiler says is the result
            found[name] = _fault(error)
            continue
        text = hashlib.sha256(lowered.as_text().encode()).hexdigest()[:16]
        if text not in known:
            known[text] = {"text": text} | _compiled(lowered)
        found[name] = known[text]
    return {"sources": sources(), "blocks": [list(shape) for shape in market.links.shapes], "programs": found}


def _compiled(lowered: jax.stages.Lowered) -> dict:
    """What there is to say of one program."""
    began = time.process_time()
    try:
        made = _target.compiled(lowered)
    except Exception as error:
        return _fault(error)
    code, memory = made.as_text(), made.memory_analysis()
    said = {"seconds": round(time.process_time() - began, 2), "in_all": _launches.in_all(code)}
    said["memory"] = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    played = _launches.round_of(code)  # None where it records, or shows the last state
    return said if played is None else said | {"round": played}


def _fault(error: Exception) -> dict:
    return {"fault": f"{type(error).__name__}: {error}"[:300]}


def sources() -> str:
    """A hash of the code that rounds and records are compiled from."""
    digest = hashlib.sha256()
    for file in sorted(x for folder in FOLDERS for x in (PACKAGE / folder).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def kept(out: Path) -> dict:
    """The results that are there, made by the compiler that is installed."""
    file = out / "benchmarks" / f"{NAME}.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    made_by = found.get("machine", {}).get("versions", {})
    return found["cases"] if made_by.get("jaxlib") == machine()["versions"]["jaxlib"] else {}


def save(out: Path, wanted: list[Case], done: dict, before: dict) -> None:
    """Write the table of what is done; cases of other sources stay in the file for the texts they share."""
    races.write(NAME, described(wanted, done) | {"machine": machine(), "cases": before | done}, out)


def _said(program: dict) -> str:
    if "fault" in program:
        return program["fault"]
    part = "round" if "round" in program else "in_all"
    return f"{program[part]['kernels']} kernels in {'a round' if part == 'round' else 'all'}"


if __name__ == "__main__":
    sys.exit(main())
