"""Cells of tables that hold amounts, and by what rule gaps are filled, if any."""

import dataclasses
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np

from cmapjax.arguments._checks import listed, short
from cmapjax.graphs._file_options import FileOptions
from cmapjax.graphs._files import complaint

# What may become of cells without a number, of numbers below 0, and of agents without a column.
RULES = {
    "gaps": ("refuse", "zero", "previous", "linear"),
    "negative": ("refuse", "zero"),
    "absent": ("refuse", "zero"),
}
_BLANK = ("", "nan", "na", "n/a", "null", "none", "-")


def check_rules(rules: Mapping[str, str], options: FileOptions) -> None:
    """Raise ValueError unless these are rules, named as where they were given."""
    for name, rule in rules.items():
        if rule not in RULES[name]:
            raise ValueError(f"{options.called(name)} is {short(rule)}; give {', '.join(RULES[name])}.")


@dataclasses.dataclass(frozen=True)
class Amounts:
    """How the cells of one table are read. What a rule changes is counted in a warning."""

    field: str
    """What the numbers are."""
    gaps: str | None = None
    """Of cells without a number: refuse them, take 0, the number before, or what lies on the straight line
    between the numbers before and after. None if there is no choice, and none is offered."""
    negative: str | None = None
    """Of numbers below 0: refuse them, or take 0."""
    absent: str | None = None
    """Of agents without a column: refuse the table, or take 0."""

    def read(self, path: Path, line: int, label: str, cell: str, options: FileOptions) -> float:
        """The number in a cell; NaN if it is a gap to be filled.

        Raises:
            ValueError: no finite number ≥ 0, and no rule for it.
        """
        text = cell.strip()
        try:
            amount = float(cell) if "_" not in cell else np.nan
        except ValueError:
            amount = np.nan
        if 0 <= amount < np.inf:
            return amount
        remedy, is_gap = "", text.casefold() in _BLANK
        if is_gap and self.gaps is not None:
            if self.gaps != "refuse":
                return np.nan
            remedy = f", or fill gaps by {options.say('gaps', 'zero')} ({', '.join(RULES['gaps'][1:])})"
        if -np.inf < amount < 0 and self.negative is not None:
            if self.negative == "zero":
                return amount
            remedy = f", or take numbers below 0 for 0 by {options.say('negative', 'zero')}"
        raise complaint(
            path,
            f"{self.field} of agent {short(label)} is {short(cell)}; give a finite number ≥ 0{remedy}.",
            line,
        )

    def filled(self, path: Path, table: np.ndarray, agents: Collection[str], where: Callable) -> np.ndarray:
        """The table [rounds, agents] without gaps and numbers below 0.

        Args:
            path: the file.
            table: what `read` gave.
            agents: of the columns.
            where: in words, the place of a row.

        Raises:
            ValueError: a gap before the first number, or after the last one, that its rule needs.
        """
        below = table < 0
        if np.any(below):
            self._tell(path, below, f"below 0 taken for 0 (the least is {table[below].min():g})")
            table = np.where(below, 0, table)
        gap = np.isnan(table)
        if not np.any(gap):
            return table
        table = np.stack([self._column(column) for column in table.T], axis=1)
        open_ends = np.argwhere(np.isnan(table))
        if len(open_ends):
            row, agent = open_ends[0].tolist()
            raise complaint(
                path,
                f"{self.field} of agent {short(list(agents)[agent])} has no number in {where(row)}, and none "
                f"{'before it' if self.gaps == 'previous' else 'on both sides'} by which the rule "
                f"{self.gaps} could fill it; complete the table, or fill gaps by another rule.",
            )
        self._tell(path, gap, f"without a number filled (rule: {self.gaps})")
        return table

    def _column(self, column: np.ndarray) -> np.ndarray:
        gap = np.isnan(column)
        if self.gaps == "zero" or not np.any(gap):
            return np.where(gap, 0, column)
        rounds, known = np.arange(len(column)), np.flatnonzero(~gap)
        if self.gaps == "linear":
            return np.interp(rounds, known, column[known], np.nan, np.nan) if len(known) else column
        before = np.searchsorted(known, rounds, side="right") - 1
        return np.where(before >= 0, column[known[before]] if len(known) else np.nan, np.nan)

    def completed(
        self, path: Path, columns: Mapping[str, np.ndarray], absent: Collection[str], length: int
    ) -> dict[str, np.ndarray]:
        """The columns by agent, and zeros for those that are absent."""
        if absent:
            names = listed(absent)
            warnings.warn(
                str(complaint(path, f"{self.field} of {names} taken for 0 (no column).")), stacklevel=5
            )
        return {**columns, **{label: np.zeros(length) for label in absent}}

    def _tell(self, path: Path, cells: np.ndarray, what: str) -> None:
        message = f"{self.field}: {np.count_nonzero(cells):,} cell(s) {what}."
        warnings.warn(str(complaint(path, message)), stacklevel=6)
