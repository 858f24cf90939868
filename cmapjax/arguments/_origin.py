"""Where a market's agents came from."""

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property

from cmapjax.arguments._checks import listed


class Origin:
    """Where a market's agents came from: their labels, and what was merged or dropped on the way.

    Compared by content, because it is part of what makes two markets the same; the engine drops it
    before compiling (`Market.bare`), so names never cause a recompilation.
    """

    def __init__(
        self,
        labels: Sequence[Hashable] | None = None,
        *,
        merged_links: int = 0,
        dropped_self_loops: Sequence[Hashable] = (),
        dropped_isolated: Sequence[Hashable] = (),
        dropped_zero: Sequence[Hashable] = (),
        notes: Mapping[str, int] | None = None,
    ):
        self.labels = None if labels is None else tuple(labels)
        self.merged_links = merged_links
        self.dropped_self_loops = tuple(dropped_self_loops)
        self.dropped_isolated = tuple(dropped_isolated)
        self.dropped_zero = tuple(dropped_zero)
        self._notes = tuple((what, count) for what, count in (notes or {}).items() if count)

    @property
    def notes(self) -> dict[str, int]:
        """What reading skipped, ignored or changed, and how often: {"comment lines skipped": 4}."""
        return dict(self._notes)

    def told(self) -> list[str]:
        """What was merged, dropped and noted on the way, a line each."""
        lines = []
        if self.merged_links:
            lines.append(f"merged {self.merged_links:,} links that were given more than once")
        if self.dropped_self_loops:
            lines.append(f"dropped self-loops of agent {listed(self.dropped_self_loops)}")
        if self.dropped_zero:
            count = len(self.dropped_zero)
            lines.append(f"dropped {count:,} agents without surplus: {listed(self.dropped_zero)}")
        if self.dropped_isolated:
            count = len(self.dropped_isolated)
            lines.append(f"dropped {count:,} agents without a neighbour: {listed(self.dropped_isolated)}")
        if self._notes:
            lines.append("; ".join(f"{what}: {count:,}" for what, count in self._notes))
        return lines

    def noting(self, notes: Mapping[str, int]) -> "Origin":
        """The same origin with these notes."""
        return self.replaced(notes=notes)

    def replaced(self, **changes) -> "Origin":
        """The same origin with some of its parts (the arguments it was made from) changed."""
        parts = ("labels", "merged_links", "dropped_self_loops", "dropped_isolated", "dropped_zero", "notes")
        return Origin(**({name: getattr(self, name) for name in parts} | changes))

    @cached_property
    def position(self) -> dict[Hashable, int]:
        return {label: i for i, label in enumerate(self.labels or ())}

    @cached_property
    def _content(self) -> tuple:
        return (
            self.labels,
            self.merged_links,
            self.dropped_self_loops,
            self.dropped_isolated,
            self.dropped_zero,
            self._notes,
        )

    def __eq__(self, other) -> bool:
        return isinstance(other, Origin) and (self is other or self._content == other._content)

    @cached_property
    def _hash(self) -> int:
        return hash(self._content)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Origin({'numbered' if self.labels is None else 'labelled'} agents)"
