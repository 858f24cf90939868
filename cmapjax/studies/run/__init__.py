"""Running a study: a loop over futures plays what the results folder lacks, and writes what comes back.

A chunk's values depend on the study and on its plan of chunks alone, and a finished chunk is a file that is
never changed. So the folder is the truth: a run plays whatever it lacks, in any order, on any worker, and
may be ended at any moment. The process that runs alone writes; workers send their tables back. That works
whether or not disks are shared, and a worker that was given up for dead and comes back has nothing to spoil.
"""

from cmapjax.studies.run._folder import reopened
from cmapjax.studies.run._options import Options
from cmapjax.studies.run._progress import State
from cmapjax.studies.run._run import Summary, run
from cmapjax.studies.run._status import Status, status
from cmapjax.studies.run._stop import cancel
from cmapjax.studies.run._trouble import RunnerError

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
