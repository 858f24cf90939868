"""Executes the pages of claims one after another and ends with a table of their verdicts.

`scripts/reproduce` runs it in an environment of its own. Every page leaves its checks in OUT/PAGE.csv, under
a hash of what they depend on; a second start executes what is not there yet.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
# Modules that pages share.
HELPERS = ("at_once.py", "claims.py", "committed.py", "reproduce.py", "tiny.py", "two_receivers.py")
PAGES = sorted(path.stem for path in HERE.glob("*.py") if path.name not in HELPERS)


def main() -> int:
    given = arguments()
    out = Path(given.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"--out {out} cannot be made ({error.strerror}); name another folder.", file=sys.stderr)
        return BAD_INPUT
    failed = [page for page in given.only if not has_verdicts(page, out, given)]
    tables = [pd.read_csv(out / f"{page}.csv") for page in PAGES if (out / f"{page}.csv").exists()]
    if tables:
        whole = pd.concat(tables, ignore_index=True)
        whole.drop(columns="stamp").to_csv(out / "verdicts.csv", index=False)
        for part, some in whole[whole["page"].isin(given.only)].groupby("part", sort=False):
            words = ", ".join(f"{n} {verdict}" for verdict, n in some["verdict"].value_counts().items())
            print(f"{part:24} {words} ({some['seconds'].iloc[0]:.0f} s)")
        broken = whole[whole["proved"] & (whole["verdict"] != "holds") & whole["page"].isin(given.only)]
        for _, row in broken.iterrows():
            print(f"proved, and yet it {row['verdict']}: {row['statement']} Found: {row['found']}")
        failed += sorted(set(broken["page"]))
    for page in failed:
        print(f"{page} failed: {out / page}.txt says where", file=sys.stderr)
    print(f"checks: {out / 'verdicts.csv'}")
    return FAILED if failed else DONE


def arguments() -> argparse.Namespace:
    """What is asked for; exits with 2 if it cannot be."""
    parser = argparse.ArgumentParser(
        prog="scripts/reproduce", description="Measure the claims about CMAP anew."
    )
    parser.add_argument("--quick", action="store_true", help="smaller samples: minutes")
    parser.add_argument("--only", help="pages, separated by commas: " + ", ".join(PAGES))
    parser.add_argument("--out", default="reproduction", help="folder of the results (default: reproduction)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="execute what is there already, too")
    given = parser.parse_args()
    named = [name.strip().replace("-", "_") for name in (given.only or "").split(",")]
    unknown = [name for name in named if name and name not in PAGES]
    if unknown:
        parser.error(f"--only {', '.join(unknown)}: no such page; there are {', '.join(PAGES)}.")
    if given.seed < 0:
        parser.error(f"--seed is {given.seed}; give a whole number from 0 on.")
    given.only = [name for name in PAGES if name in named] or PAGES
    return given


def stamp(page: str, given: argparse.Namespace) -> str:
    """A hash of what the page's checks depend on."""
    texts = [path.read_text() for name in (f"{page}.py", *HELPERS) if (path := HERE / name).exists()]
    words = [given.quick, given.seed, *(version(name) for name in ("cmapjax", "jax", "jaxlib", "numpy"))]
    return hashlib.sha256("\n".join([*texts, *map(str, words)]).encode()).hexdigest()[:16]


def has_verdicts(page: str, out: Path, given: argparse.Namespace) -> bool:
    """Whether the page has left its checks, now or earlier."""
    kept, mark = out / f"{page}.csv", stamp(page, given)
    if kept.exists() and not given.again and (pd.read_csv(kept)["stamp"] == mark).all():
        print(f"{page}: there already", file=sys.stderr)
        return True
    print(f"{page} …", file=sys.stderr, flush=True)
    fresh, started = out / f"{page}.csv.part", time.perf_counter()
    fresh.unlink(missing_ok=True)
    kept.unlink(missing_ok=True)
    setting = {
        "CMAPJAX_CLAIMS": "quick" if given.quick else "full",
        "CMAPJAX_CLAIMS_SEED": str(given.seed),
        "CMAPJAX_CLAIMS_OUT": str(fresh),
        "MPLBACKEND": "agg",
    }
    with open(out / f"{page}.txt", "w") as log:
        command = [sys.executable, str(HERE / f"{page}.py")]
        subprocess.run(command, stdout=log, stderr=log, env=os.environ | setting)
    if not fresh.exists():
        return False
    table = pd.read_csv(fresh).assign(page=page, seconds=round(time.perf_counter() - started, 1), stamp=mark)
    table.to_csv(fresh, index=False)
    os.replace(fresh, kept)
    return True


def ends() -> None:
    """Ends the process with the exit code."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    ends()
