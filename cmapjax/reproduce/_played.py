"""Studies played on behalf of parts, kept in a folder and gone on with."""

import shutil
from pathlib import Path


def played(setting, study):
    """The results of a study in `setting.folder`, played as far as they are not there yet.

    Raises:
        ValueError: the folder holds another study of that name.
        RuntimeError: a chunk failed.
    """
    from cmapjax import open_study
    from cmapjax.studies.run import run

    folder = Path(setting.folder) / study.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    if setting.again and study.name not in setting.anew:
        shutil.rmtree(folder, ignore_errors=True)
    setting.anew.add(study.name)
    setting.tell(f"study {study.name}: {len(study.cells())} cells")
    summary = run(study, folder)
    if summary.stopped is not None:
        raise KeyboardInterrupt(f"study {study.name}: {summary.stopped}")
    if summary.failed:
        chunk, reason = next(iter(summary.failed.items()))
        raise RuntimeError(f"study {study.name}: chunk {chunk} failed ({reason}).")
    return open_study(folder)
