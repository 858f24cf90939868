"""All races, their results as files, and a page about them: `python -m benchmarks --help`.

A race is a module of this folder with a function `results(quick: bool) -> dict`; the dictionary is written
as JSON under the module's name. `draw(results, folder) -> {file: what it shows}`, if there, makes figures.
"""

import argparse
import gc
import importlib
import json
import pkgutil
import sys
import time
from pathlib import Path

import jax

from benchmarks._page import page

HERE = Path(__file__).parent


def main() -> int:
    """Run, write, print; exit 1 if a rival or a device gave another result than cmapjax."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="all at small sizes, in minutes")
    parser.add_argument(
        "--device", choices=("cpu", "gpu"), default="cpu", help="gpu: cmapjax alone, against the CPU"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="names of races; with --device gpu: whole_runs, gpu"
    )
    parser.add_argument("--page", action="store_true", help="only write the page, from the JSON files there")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder: benchmarks.md, benchmarks/*.json, figures/ (default: docs, or with "
        "--quick benchmark-output)",
    )
    options = parser.parse_args()
    out = options.out or (Path("benchmark-output") if options.quick else HERE.parent / "docs")
    if options.page:
        write_page(out)
        return 0
    if options.device == "gpu":
        return _on_gpu(options, out)
    jax.config.update("jax_platforms", "cpu")
    known = races()
    unknown = set(options.only or ()) - set(known)
    if unknown:
        parser.error(f"no such race: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in options.only or known:
        module, began = known[name], time.perf_counter()
        print(f"== {name}", flush=True)
        found = module.results(options.quick)
        print(f"== {name}: {time.perf_counter() - began:.0f} s", flush=True)
        write(name, found, out, getattr(module, "draw", None))
        jax.clear_caches()
        gc.collect()
    print((out / "benchmarks.md").read_text())
    return 0


def races() -> dict:
    """The modules that are races, by name."""
    names = sorted(m.name for m in pkgutil.iter_modules([str(HERE)]) if not m.name.startswith("_"))
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "results")}


def write(name: str, found: dict, out: Path, draw=None) -> None:
    """One race's results, its figures, and the page of all results in the folder."""
    files = out / "benchmarks"
    files.mkdir(parents=True, exist_ok=True)
    if draw is not None:
        found = found | {"figures": {f"figures/{k}": v for k, v in draw(found, out / "figures").items()}}
    text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)
    (files / f"{name}.json").write_text(text + "\n")
    write_page(out)


def write_page(out: Path) -> None:
    """The page of all results in the folder."""
    files = out / "benchmarks"
    all_found = {file.stem: json.loads(file.read_text()) for file in sorted(files.glob("*.json"))}
    (out / "benchmarks.md").write_text(page(all_found))


def _on_gpu(options, out: Path) -> int:
    from benchmarks import _devices, whole_runs

    try:
        device = jax.devices("gpu")[0]
    except RuntimeError as error:
        print(f"no GPU: {error}", file=sys.stderr)
        return 2
    agrees, wanted = True, options.only or ["whole_runs", "gpu"]
    if "whole_runs" in wanted:
        write("whole_runs_gpu", whole_runs.results(options.quick, device), out)
    if "gpu" in wanted:
        found = _devices.results(options.quick, device)
        write("gpu", found, out)
        agrees = found["agrees"]
    print((out / "benchmarks.md").read_text())
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
