"""Who plays a study, and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How a study is run.

    Args:
        workers: so many processes of this machine; None for threads of this process.
        cluster: the address or the file of a Dask scheduler whose workers play.
        threads: of this process; None for one per core, as far as memory reaches.
        time_limit: seconds after which the run ends in good order.
        worker_memory: bytes of each of `workers`.
        mixed: go on although versions or the device are not those that the study was begun with.
        chunk_size: markets to play at once, at most, of a study that begins now.

    Raises:
        ValueError: options that make no sense, or not together.
    """

    workers: int | None = None
    cluster: str | None = None
    threads: int | None = None
    time_limit: float | None = None
    worker_memory: int | None = None
    mixed: bool = False
    chunk_size: int | None = None

    def __post_init__(self):
        for name in ("workers", "threads", "time_limit", "chunk_size"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"--{name.replace('_', '-')} is {value}; give more than 0.")
        if self.workers is not None and self.cluster is not None:
            raise ValueError(
                f"--workers {self.workers} and --cluster {self.cluster}: give one; a cluster has its workers."
            )
        if self.threads is not None and not self.is_here:
            raise ValueError(f"threads is {self.threads}; leave it out where workers or a cluster play.")
        if self.worker_memory is not None and self.workers is None:
            raise ValueError("--worker-memory limits the workers of this machine; say how many: --workers N.")

    @property
    def is_here(self) -> bool:
        """Whether threads of this process play."""
        return self.workers is None and self.cluster is None
