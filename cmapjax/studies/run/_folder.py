"""The results folder of a run: begun anew, or opened to go on with what it holds."""

from pathlib import Path

from cmapjax.studies._chunks import chunks
from cmapjax.studies.results import Results, ResultsError


def opened(study, folder: Path, chunk_size: int | None) -> Results | None:
    """The results that the folder holds of this study; None where none are begun.

    Raises:
        ValueError: the folder holds another study, or is damaged; another size of chunks than it was begun
            with is asked for.
    """
    if not (folder / "study.json").exists():
        return None
    results = Results(folder)
    results.check_same(mixed=True, study=study.document())
    if chunk_size is not None and (begun := results.plan) != chunks(study, chunk_size):
        most = max(chunk.count for chunk in begun)
        raise ResultsError(
            f"--chunk-size is {chunk_size}, but {folder} was begun with chunks of up to {most} markets; how "
            "a study is cut decides the last digits of values: leave out --chunk-size, or name a new folder."
        )
    return results


def begin(study, folder: Path, plan: list, device: str, text: str | None = None) -> Results:
    """A folder for the results of this study, played by this plan of chunks.

    Raises:
        ValueError: the folder holds another study, or anything else.
        OSError: it cannot be written to.
    """
    grounds = study.grounds()
    return Results.begin(
        folder,
        study.document(),
        plan=[chunk.name for chunk in plan],
        text=text,
        read_from=study.folder,
        device=device,
        precision=study.precision,
        cells=len(study.cells()),
        cells_of_grounds=[len(ground.cells) for ground in grounds],
        rows=sum(ground.markets * len(ground.cells) for ground in grounds),
    )


def reopened(folder):
    """The study of a results folder.

    Raises:
        ValueError: no results folder, or a damaged one; a file that the study reads has changed.
    """
    from cmapjax import studies

    about = Results(folder).about
    return studies.Study(**about["study"], folder=about.get("read_from", "."))
