"""The results of races as one Markdown page."""

from benchmarks._race import duration, met, quantity, ratio_words
from benchmarks._shortfalls import shortfalls, title_of

INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks` from the JSON files in the folder `benchmarks` beside this page; every
number can be found there, with all samples. A time is the median of samples taken in turns with the rivals in
one process, without compiling; a ratio is our time in parts of the rival's (below 1: cmapjax is faster), the
median over turns with its quartiles. *Accept* is the ratio aimed at. Results were compared before anything
was timed."""


def page(races: dict[str, dict]) -> str:
    """All races, by name."""
    parts = [INTRODUCTION]
    for name, race in races.items():
        parts.append(_section(name, race))
    parts.append(shortfalls(races))
    return "\n\n".join(parts) + "\n"


def _section(name: str, race: dict) -> str:
    parts = [f"## {title_of(name)}", race.get("claim", "")]
    if "machine" in race:
        parts.append(_about(race["machine"]))
    if race.get("jobs"):
        parts.append(_table(race["jobs"]))
        parts += _remarks(race["jobs"])
    parts += [_plain_table(table) for table in race.get("tables", [])]
    parts += [f"![{text}]({path})" for path, text in race.get("figures", {}).items()]
    parts += race.get("notes", [])
    return "\n\n".join(part for part in parts if part)


def _about(machine: dict) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items() if v is not None)
    load = "" if machine["load_average"] is None else f"; load before the race {machine['load_average'][0]:g}"
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; device {machine['device']}"
        f"{load}; {machine['date'][:10]}, commit {machine['commit'] or 'unknown'}; Python "
        f"{machine['python']}, {versions}."
    )


def _table(jobs: list[dict]) -> str:
    rows = ["| job | size | ours | rival | its time | ours / rival | accept | |", "|---" * 8 + "|"]
    for job in jobs:
        ours = duration(job["ours"]["seconds"]["median"])
        if "rate" in job:
            ours += f" ({quantity(job['rate']['per_second'])} {job['rate']['noun']}/s)"
        cells = [job["job"], job["size"], ours]
        if "target_seconds" in job:
            target = job["target_seconds"]
            rows.append(_row(cells, "–", "–", "–", f"≤ {duration(target['accept'])}", met(target)))
        for rival in job["rivals"]:
            if "missing" in rival:
                continue
            theirs = duration(rival["seconds"]["median"])
            if rival.get("agrees") is False:
                theirs += " (wrong result)"
            accept = f"≤ {rival['target']['accept']:.2g}" if "target" in rival else ""
            verdict = met(rival["target"]) if "target" in rival else ""
            rows.append(_row(cells, rival["name"], theirs, ratio_words(rival["ratio"]), accept, verdict))
        if not job["rivals"] and "target_seconds" not in job:
            rows.append(_row(cells, "–", "–", "–", "", ""))
    return "\n".join(rows)


def _plain_table(table: dict) -> str:
    """A table that a race has made itself: a head and rows of texts."""
    lines = [table["head"], ["---"] * len(table["head"]), *table["rows"]]
    return "\n".join(_row([str(cell) for cell in line]) for line in lines)


def _row(cells: list[str], *more: str) -> str:
    return "| " + " | ".join([*cells, *more]) + " |"


def _remarks(jobs: list[dict]) -> list[str]:
    """Who was missing, who disagreed and by how much, and what was compared."""
    missing, wrong, compared, facts = {}, [], {}, []
    for job in jobs:
        compared.setdefault(job["compared"], []).extend(
            (r["error"], r["name"]) for r in job["rivals"] if r.get("agrees")
        )
        for rival in job["rivals"]:
            if "missing" in rival:
                missing[rival["name"]] = rival["missing"]
            elif rival.get("agrees") is False:
                error = "not a number" if rival["error"] is None else f"{rival['error']:.1g}"
                wrong.append(f"{rival['name']} at {job['job']}, {job['size']} (by {error})")
        known = job["ours"].get("facts")
        if known:
            words = ", ".join(
                f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in known.items()
            )
            facts.append(f"{job['job']}, {job['size']}: {words}")
    out = []
    for words, errors in compared.items():
        if errors:
            error, name = max(errors)
            out.append(f"Compared: {words}; the rivals differ from cmapjax by at most {error:.1g} ({name}).")
    if wrong:
        out.append("Results that differ from ours by more than that: " + "; ".join(wrong) + ".")
    if missing:
        out.append("Skipped: " + "; ".join(f"{name} ({why})" for name, why in missing.items()) + ".")
    if facts:
        out.append("Ours: " + "; ".join(facts) + ".")
    return out
