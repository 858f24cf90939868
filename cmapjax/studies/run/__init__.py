"""Running a study: a loop over futures plays what the results folder lacks, and writes what comes back.

A chunk's values depend on the study and on its plan of chunks alone, and a finished chunk is a file that is
never changed. So the folder is the truth: a run plays whatever it lacks, in any order, on any worker, and
may be ended at any moment. The process that runs alone writes; workers send their tables back. That works
whether or not disks are shared, and a worker that was given up for dead and comes back has nothing to spoil.
"""

from cmapjax.studies.run._pool import RunnerError
from cmapjax.studies.run._progress import State, Status, status
from cmapjax.studies.run._run import Options, Summary, reopened, run
from cmapjax.studies.run._stop import cancel

__all__ = [
    "Options",
    "RunnerError",
    "State",
    "Status",
    "Summary",
    "cancel",
    "reopened",
    "run",
    "status",
]
