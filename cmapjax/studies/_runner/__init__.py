"""Running a study: which chunks are missing, who plays them, and what happens when somebody dies.

A chunk's values depend on the study and on the chunk's place alone, and a finished chunk is a file that is
never touched again. So the *store is the truth*: a run plays whatever the store lacks, in any order, on any
worker, and may be ended at any moment. The coordinator alone writes; workers send their tables back. That
works whether or not disks are shared, leaves one lease to guard, and a worker that was given up for dead
and comes back has nothing it could spoil.
"""

from cmapjax.studies._runner._begin import begin, device_for, reopen
from cmapjax.studies._runner._cancel import cancel
from cmapjax.studies._runner._outcome import RunnerError
from cmapjax.studies._runner._progress import State
from cmapjax.studies._runner._run import Summary, check_options, run
from cmapjax.studies._runner._status import status

__all__ = [
    "RunnerError",
    "State",
    "Summary",
    "begin",
    "cancel",
    "check_options",
    "device_for",
    "reopen",
    "run",
    "status",
]
