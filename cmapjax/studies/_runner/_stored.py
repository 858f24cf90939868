"""What a run has to know of what is stored already."""

from cmapjax import studies
from cmapjax.studies.results._ranges import chunk_of, lacking


class Rest:
    """What is left to do of a study, as the store says: it may stop drawing markets of a ground."""

    def __init__(self, study, store, chunks):
        self._study, self._store, self._chunks = study, store, chunks

    def missing(self, given_up=()) -> list:
        """Chunks, or the parts of them, that are neither stored nor among the names of those given up."""
        return lacking(self._store.lacking(self._chunks), map(chunk_of, given_up))

    def due(self, given_up=()) -> list:
        """Of that, what can be played now."""
        missing = self.missing(given_up)
        if self._study.stop.interval is not None:
            # Whether more markets are needed cannot be told from a part of those before.
            grounds = {chunk_of(name).ground for name in given_up}
            missing = [chunk for chunk in missing if chunk.ground not in grounds]
        return studies.due(self._study, missing, self._values)

    def _values(self, ground: int, count: int) -> list[list]:
        """The metric that decides whether more markets are drawn: of every cell its values, by market."""
        import pyarrow as pa

        metric = self._study.stop.interval.metric
        tables = list(self._store.tables(columns=["cell", "market", metric], ground=ground))
        table = pa.concat_tables(tables).sort_by([("cell", "ascending"), ("market", "ascending")])
        values: dict[int, list] = {cell: [] for cell in self._study.grounds()[ground].cells}
        for cell, market, value in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if market < count:
                values[cell].append(float("nan") if value is None else value)
        return list(values.values())
