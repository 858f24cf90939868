"""What became of a chunk that was played somewhere."""

import enum
from dataclasses import dataclass
from typing import Any

LONGEST_REASON = 300


class RunnerError(RuntimeError):
    """The run cannot go on; the message is one line that says why and what to do. Nothing is lost."""


class Trouble(enum.Enum):
    """Why there is no result, as far as the next step depends on it."""

    MEMORY = "memory"  # too large: halves may do
    DIED = "died"  # the worker is gone: its fault or the chunk's?
    FAULT = "fault"  # an error that another attempt may not meet
    HOPELESS = "hopeless"  # an error that every attempt will meet


@dataclass(frozen=True)
class Outcome:
    """A chunk with its result, or with the trouble that it met and the reason in words.

    `deaths` is the number of workers that died of it, in this attempt.
    """

    chunk: Any
    result: Any = None
    trouble: Trouble | None = None
    reason: str = ""
    deaths: int = 0


def of_error(chunk, error: BaseException) -> Outcome:
    """The outcome of a chunk that raised."""
    kind, reason = type(error).__name__, " ".join(str(error).split())[:LONGEST_REASON]
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in reason or "Out of memory" in reason:
        return Outcome(chunk, trouble=Trouble.MEMORY, reason=f"not enough memory ({reason or kind})")
    # Bad values raise ValueError wherever they are played; a file that is away may come back.
    trouble = Trouble.HOPELESS if isinstance(error, (ValueError, TypeError)) else Trouble.FAULT
    return Outcome(chunk, trouble=trouble, reason=f"{kind}: {reason}" if reason else kind)
