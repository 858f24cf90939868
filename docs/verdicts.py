"""The page of verdicts, from a reproduction: `python docs/verdicts.py DIR`.

DIR is what `cmapjax reproduce --out DIR [--quick]` wrote. Writes docs/verdicts.md, and in docs/figures/
reproduction/ the figures that the page shows and the checks as a table.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from cmapjax.reproduce import PARTS

DOCS = Path(__file__).parent
FIGURES = DOCS / "figures" / "reproduction"
# One picture of a part, where one says more than the numbers.
SHOWN = {
    "share-at-once": "participation",
    "smallest-markets": "smallest",
    "proportional-response": "who-wins",
    "welfare": "over-time",
    "surplus": "errors",
    "topology": "inequality",
}
HEAD = """# What came out

The checks of a reproduction, part by part ([what the words mean](reproduction.md)). Written by
`python docs/verdicts.py DIR` from what {command} had measured, {seconds:.0f} seconds in all
([all columns](figures/reproduction/verdicts.csv)).
"""


def main(folder: Path) -> None:
    FIGURES.mkdir(parents=True, exist_ok=True)
    sections = [section(folder, part) for part in PARTS]
    findings = [finding_of(folder, part) for part in PARTS]
    is_quick = findings[0]["stamp"]["mode"] == "quick"
    command = f"`cmapjax reproduce --out DIR{' --quick' * is_quick}`"
    head = HEAD.format(command=command, seconds=sum(finding["seconds"] for finding in findings))
    (DOCS / "verdicts.md").write_text("\n".join([head, *sections]))
    shutil.copy(folder / "verdicts.csv", FIGURES)


def section(folder: Path, part) -> str:
    """A part's claim, its checks, and perhaps a picture."""
    finding = finding_of(folder, part)
    lines = [f"## {part.title}", "", f"*{part.claim}*", ""]
    lines += ["| | expected | found | |", "|---|---|---|---|"]
    keys = ("statement", "expected", "found", "verdict")
    lines += ["| " + " | ".join(cell(check[key]) for key in keys) + " |" for check in finding["checks"]]
    lines += ["", *(f"- {cell(remark)}" for remark in finding["remarks"])]
    if part.name in SHOWN:
        picture = SHOWN[part.name]
        shutil.copy(folder / part.name / "pictures" / f"{picture}.png", FIGURES / f"{part.name}.png")
        caption = finding["pictures"][picture]
        lines += ["", f"![{part.title}](figures/reproduction/{part.name}.png)", "", caption]
    lines += ["", f"`{part.name}`: {about(finding)}.", ""]
    return "\n".join(lines)


def finding_of(folder: Path, part) -> dict:
    return json.loads((folder / part.name / "finding.json").read_text())


def about(finding: dict) -> str:
    """When, where and how long."""
    commit = (finding.get("commit") or "unknown")[:12]
    return (
        f"{finding['seconds']:.0f} s on {finding['machine']}, {finding['date']}, commit {commit}, "
        f"{finding['stamp']['mode']}, seed {finding['stamp']['seed']}"
    )


def cell(text: str) -> str:
    """Text that ends no column and begins no markup, its per cents with their numbers."""
    text = re.sub(r"(?<=\d) %", "\u00a0%", text)
    for character in "|*_<[`":
        text = text.replace(character, f"\\{character}")
    return text


if __name__ == "__main__":
    main(Path(sys.argv[1]))
