"""What a run has to know of what is stored already."""

from cmapjax import studies
from cmapjax.studies._store._catalogue import load_of
from cmapjax.studies._store._names import SUMMARY, Range, as_range, cut


class Rest:
    """What is left to do of a study, as the store says: it may stop drawing markets of a ground."""

    def __init__(self, study, store, chunks):
        self._study, self._store, self._chunks = study, store, chunks

    def missing(self, given_up=()) -> list:
        """Chunks, or the parts of them, that are neither stored nor among the names of those given up."""
        ranges = [as_range(name) for name in given_up]
        left = []
        for chunk in self._store.missing(self._chunks):
            left += [type(chunk)(*part) for part in cut(ranges, Range(*chunk))]
        return left

    def due(self, given_up=()) -> list:
        """Of that, what can be played now."""
        missing = self.missing(given_up)
        if self._study.stop.interval is not None:
            # Whether more markets are needed cannot be told from a part of those before.
            grounds = {as_range(name).ground for name in given_up}
            missing = [chunk for chunk in missing if chunk.ground not in grounds]
        return studies.due(self._study, missing, self._values)

    def _values(self, ground: int, count: int) -> list[list]:
        """The metric that decides whether more markets are drawn: of every cell its values, by market."""
        import pyarrow as pa

        metric = self._study.stop.interval.metric
        digest, entries = self._store.manifest["digest"], self._store.finished()
        tables = [
            load_of(
                self._store.folder,
                SUMMARY,
                name,
                digest,
                file=entry.summary,
                columns=["cell", "market", metric],
            ).table
            for name, entry in entries.items()
            if as_range(name).ground == ground and as_range(name).first < count
        ]
        table = pa.concat_tables(tables).sort_by([("cell", "ascending"), ("market", "ascending")])
        values: dict[int, list] = {cell: [] for cell in self._study.grounds()[ground].cells}
        for cell, market, value in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if market < count:
                values[cell].append(float("nan") if value is None else value)
        return list(values.values())
