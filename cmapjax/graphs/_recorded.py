"""Tables of recorded amounts: cells as numbers, and gaps filled by rule, if any."""

import collections
import dataclasses
import datetime
import re
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cmapjax.arguments._checks import first_out_of_order, listed, short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import check_path, in_file, naming, on_line
from cmapjax.graphs._table import check_header, table_in, unescape_cell
from cmapjax.market._market import Market

if TYPE_CHECKING:
    import pandas as pd

# What may become of cells without a number, of numbers below 0, and of agents without a column.
RULES = {
    "gaps": ("refuse", "zero", "previous", "linear"),
    "negative": ("refuse", "zero"),
    "absent": ("refuse", "zero"),
}
_BLANK = ("", "nan", "na", "n/a", "null", "none", "-")
# What a column of times is called: one of these words, perhaps among others ("Time (UTC)", "Unnamed: 0").
_TIME_WORD = re.compile(
    "time(s|stamps?)?|date(time)?|datum|zeit(stempel)?|index|hour(s|ofyear)?|minutes?|seconds?|days?|weeks?|"
    "months?|years?|(time)?steps?|period|interval|snapshot|rounds?|utc|t|unnamed"
)
_CLOCK = r"\d{1,2}[:.]\d{2}([:.]\d{2}([.,]\d+)?)?"
_DATE = re.compile(rf"\d{{1,4}}[-./]\d{{1,2}}[-./]\d{{1,4}}([ T]+{_CLOCK}.*)?|{_CLOCK}|\d{{8}}T\d{{4,6}}Z?")


def check_rules(rules: Mapping[str, str], options: FileOptions) -> None:
    """Raise ValueError unless these are rules, named as where they were given."""
    for name, rule in rules.items():
        if rule not in RULES[name]:
            raise ValueError(f"{options.called(name)} is {short(rule)}; give {', '.join(RULES[name])}.")


class Recorded(NamedTuple):
    """Amounts as read from a file, a row per round and a column per agent, called by its label as text."""

    path: Path
    frame: "pd.DataFrame"

    def mean(self, labels: Sequence[Hashable]) -> np.ndarray:
        return np.array([self.frame[str(label)].to_numpy().mean() for label in labels])

    def of(self, labels: Sequence[Hashable]) -> "pd.DataFrame":
        """The columns of these agents, called by their labels."""
        import pandas as pd

        return self.frame[[str(label) for label in labels]].set_axis(
            pd.Index(list(labels), tupleize_cols=False), axis=1
        )


@dataclasses.dataclass(frozen=True)
class Amounts:
    """How the cells of one table are read. What a rule changes is counted in a warning.

    A rule that is None is not offered, and what it is for is refused.
    """

    path: Path
    field: str
    """What the numbers are."""
    options: FileOptions
    gaps: str | None = None
    negative: str | None = None
    absent: str | None = None

    def read(self, label: str, cell: str) -> float:
        """The number in a cell; NaN if it is a gap to be filled."""
        try:
            amount = float(cell) if "_" not in cell else np.nan
        except ValueError:
            amount = np.nan
        if 0 <= amount < np.inf:
            return amount
        remedy = ""
        if cell.strip().casefold() in _BLANK and self.gaps is not None:
            if self.gaps != "refuse":
                return np.nan
            remedy = f", or fill gaps by {fill_gaps(self.options)}"
        if -np.inf < amount < 0 and self.negative is not None:
            if self.negative == "zero":
                return amount
            remedy = f", or take numbers below 0 for 0 by {self.options.say('negative', 'zero')}"
        agent = f"{self.field} of agent {short(label)}"
        raise ValueError(f"{agent} is {short(cell)}; give a finite number ≥ 0{remedy}.")

    def recorded(
        self,
        table: list[list[float]],
        agents: Sequence[str],
        absent: Sequence[str],
        index: "pd.Index | None",
        where: Callable[[int], str],
    ) -> Recorded:
        """A table [rounds, agents] of what `read` gave, by rule without gaps and numbers below 0.

        `absent` agents have 0, and `where` says the place of a row.
        """
        import pandas as pd

        frame = pd.DataFrame(np.array(table).reshape(-1, len(agents)), index, list(agents))
        below, gap = frame < 0, frame.isna().to_numpy()
        if below.any(axis=None):
            least = frame.min(axis=None)
            self._tell(f"{below.sum(axis=None):,} cell(s) below 0 taken for 0 (the least is {least:g})")
            frame = frame.mask(below, 0.0)
        if gap.any():
            frame = self._filled(frame)
            if frame.isna().any(axis=None):
                row, agent = np.argwhere(frame.isna().to_numpy())[0].tolist()
                sides = "before it" if self.gaps == "previous" else "on both sides"
                raise ValueError(
                    f"{self.field} of agent {short(agents[agent])} has no number in {where(row)}, and none "
                    f"{sides} by which the rule {self.gaps} could fill it; complete the table, or fill gaps "
                    "by another rule."
                )
            self._tell(f"{gap.sum():,} cell(s) without a number filled (rule: {self.gaps})")
        if absent:
            message = f"{self.field} of {listed(absent)} taken for 0 (no column)."
            warnings.warn(in_file(self.path, message), stacklevel=5)
            frame[list(absent)] = 0.0
        return Recorded(self.path, frame)

    def _filled(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        if self.gaps == "zero":
            return frame.fillna(0.0)
        if self.gaps == "previous":
            return frame.ffill()
        return frame.reset_index(drop=True).interpolate(limit_area="inside").set_axis(frame.index)

    def _tell(self, what: str) -> None:
        warnings.warn(in_file(self.path, f"{self.field}: {what}."), stacklevel=6)


def fill_gaps(options: FileOptions) -> str:
    """The option that fills gaps, and its other rules."""
    return f"{options.say('gaps', 'zero')} ({', '.join(RULES['gaps'][1:])})"


def read_recorded(
    path,
    market: Market,
    options: FileOptions,
    field: str = "endowment",
    rules: Mapping[str, str] = MappingProxyType({}),
) -> Recorded:
    """A table with a column per agent and a row per round, perhaps behind columns of times."""
    path = check_path(path)
    amounts = Amounts(path, field, options, **rules)
    with naming(path):
        rows = table_in(path, options)
        line, header = next(rows)
        header, rows = [unescape_cell(cell) for cell in header], list(rows)
        labels, known = [str(label) for label in market.labels], known_agents(market)
        first = _num_times(header, known, rows)
        agents = header[first:]
        absent = [label for label in labels if label not in agents]
        with on_line(line):
            if unknown := set(agents) - known:
                raise ValueError(
                    f"column(s) {listed(sorted(unknown))} name no agent of the market; correct or remove "
                    "them (times may stand in the first column)."
                )
            if absent and amounts.absent == "refuse":
                remedy = options.say("absent", "zero")
                raise ValueError(
                    f"no column {listed(absent)}; add one, or take 0 for agents without a column by {remedy}."
                )
            check_header(agents, [] if amounts.absent == "zero" else labels, used=agents)
        if not rows:
            raise ValueError(f"no rounds; give a row of {field}s for each.")
        table = []
        for k, row in rows:
            with on_line(k):
                table.append([amounts.read(*pair) for pair in zip(agents, row[first:], strict=True)])
        index = None
        if first:
            name = " ".join(header[:first]).strip() or "time"
            index = index_of_times(
                path, [" ".join(row[:first]) for _, row in rows], [k for k, _ in rows], name
            )
        return amounts.recorded(table, agents, absent, index, lambda row: f"line {rows[row][0]}")


def known_agents(market: Market) -> set[str]:
    """What columns may be called: the agents of the market, and those that were dropped from it."""
    origin = market.origin
    return {str(label) for label in (*market.labels, *origin.dropped_zero, *origin.dropped_isolated)}


def _num_times(header: list[str], agents: set[str], rows: list) -> int:
    """How many of the first columns are times; the agents' columns follow."""
    for number, name in enumerate(header):
        words = re.findall(r"[^\W\d_]+", name.casefold())
        is_called_so = not name.strip() or any(map(_TIME_WORD.fullmatch, words))
        if name in agents or not (
            is_called_so or all(_DATE.fullmatch(row[number].strip()) for _, row in rows)
        ):
            return number
    return 0


def index_of_times(path: Path, times: list[str], lines: list[int], name: str) -> "pd.Index":
    """Times of rounds, on these lines; a warning says if they do not ascend."""
    import pandas as pd

    message, line = _out_of_order(times)
    if message is not None:
        message += "; rounds are played in the order of the rows."
        warnings.warn(in_file(path, message, None if line is None else lines[line]), stacklevel=4)
    return pd.Index(times, name=name)


def _out_of_order(times: list[str]) -> tuple[str | None, int | None]:
    """What is wrong with the order of times, and in which row."""
    for parse in (datetime.datetime.fromisoformat, float):  # other dates could be read in two ways
        try:
            place = first_out_of_order([parse(time) for time in times])
        except ValueError:
            continue
        if place is None:
            return None, None
        return f"the time {short(times[place])} does not come after {short(times[place - 1])}", place
    twice = [time for time, count in collections.Counter(times).items() if count > 1]
    return (f"the times {listed(twice)} occur more than once", None) if twice else (None, None)
