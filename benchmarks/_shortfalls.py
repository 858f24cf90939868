"""What falls short of its aim, as one table of the results of all races."""

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks._race import duration


class Aim(NamedTuple):
    """One aim of a race, and what was measured."""

    race: str
    job: str
    rival: str
    aim: str
    measured: str
    is_met: bool


def aims(races: dict[str, dict]) -> Iterator[Aim]:
    """The aims of all races, by name: those against rivals, and those that a race lists itself."""
    for name, race in races.items():
        title = title_of(name)
        for job in race.get("jobs", []):
            yield from _of_job(title, job)
        for aim in race.get("aims", []):
            yield Aim(title, **aim)


def _of_job(title: str, job: dict) -> Iterator[Aim]:
    what = f"{job['job']}, {job['size']}"
    if "target_seconds" in job:
        target, seconds = job["target_seconds"], job["ours"]["seconds"]["median"]
        yield Aim(title, what, "none", f"≤ {duration(target['accept'])}", duration(seconds), target["is_met"])
    for rival in job["rivals"]:
        if "target" in rival:
            target, ratio = rival["target"], rival["ratio"]["median"]
            measured = "lost in the noise" if ratio is None else f"{ratio:.3g} of its time"
            aim = f"≤ {target['accept']:.3g} of its time"
            yield Aim(title, what, rival["name"], aim, measured, target["is_met"])


def title_of(race: str) -> str:
    """A race's heading on the page."""
    words = race.replace("_", " ").replace("-", " ").capitalize()
    return words.replace("Cmap", "CMAP").replace("Gpu", "GPU")


def shortfalls(races: dict[str, dict]) -> str:
    """The section of the page: how many aims are met, and the table of those that are not."""
    all_aims = list(aims(races))
    missed = [aim for aim in all_aims if not aim.is_met]
    lines = ["## What falls short", "", f"{len(all_aims) - len(missed)} of {len(all_aims)} aims are met."]
    if missed:
        lines[-1] += " [Why](performance.md#what-falls-short-and-why) the others are not."
        lines += ["", "| race | job | rival | aim | measured |", "|---|---|---|---|---|"]
        lines += [f"| {' | '.join(aim[:-1])} |" for aim in missed]
    return "\n".join(lines)
