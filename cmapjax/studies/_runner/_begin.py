"""The results folder of a run: begun anew, or opened to go on with what it holds."""

import json
import subprocess
import sys
from pathlib import Path

SEEDS = (
    "market p of ground g is drawn from fold_in(fold_in(key(seed), g), p), "
    "whatever chunks, workers and restarts there were"
)


def begin(
    study,
    folder,
    *,
    chunk_size: int | None = None,
    study_text: str | None = None,
    device: str | None = None,
    mixed: bool = False,
):
    """The results of a study in a folder: new, or opened if the folder holds this very study.

    `device` is the kind of device that will play, as `device_for` tells. With `mixed`, other versions and
    another device than the study was begun with are allowed.

    Raises:
        ValueError: the folder holds another study, or anything else, or was begun with other versions.
        OSError: it cannot be written to.
    """
    from cmapjax import studies
    from cmapjax.studies.results import Results

    found = (
        []
        if chunk_size is None and (Path(folder) / "study.json").exists()
        else [chunk.name for chunk in studies.chunks(study, chunk_size)]
    )
    return Results.begin(
        folder,
        study.document(),
        mixed=mixed,
        seeds=SEEDS,
        precision=study.precision,
        **({} if device is None else {"device": device}),
        folder_of_files=study.folder,
        cells=len(study.cells()),
        rows=sum(ground.markets * len(ground.cells) for ground in study.grounds()),
        text=study_text,
        **({"plan": found} if found else {}),
    )


def reopen(folder, *, device: str | None = None, mixed: bool = False):
    """The study and the results of a folder, to go on with.

    Raises:
        ValueError: no results folder, damaged, of a later format, its study file changed, or begun with other
            versions or on another device.
    """
    from cmapjax import studies
    from cmapjax.studies.results import Results

    results = Results(folder)
    results.check_same(mixed, **({} if device is None else {"device": device}))
    about = results.about
    return studies.Study(**about["study"], folder=about.get("folder_of_files", ".")), results


def device_for(workers: int | None, cluster: str | None) -> str | None:
    """The kind of device that will play the chunks; None if no worker of the cluster is there to ask."""
    if cluster is not None:
        from cmapjax.studies._runner._workers import device_of

        return device_of(cluster)
    if workers is None:
        from cmapjax.studies._runner._worker import device

        return device()
    # Asked of a process of its own: this one shall not occupy a device that its workers need.
    code = (
        "import json, sys\nfrom cmapjax.studies._runner._worker import device\n"
        "json.dump(device(), sys.stdout)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"JAX does not start: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)
