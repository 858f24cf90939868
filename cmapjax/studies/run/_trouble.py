"""Why a chunk has no result, as far as the next step depends on it."""

import enum
from typing import NamedTuple

LONGEST_REASON = 300


class RunnerError(RuntimeError):
    """The run cannot go on; the message is one line that says why and what to do. Nothing is lost."""


class Kind(enum.Enum):
    """What to do about it."""

    MEMORY = "too large: halves may do"
    DIED = "its worker is gone: its fault or the chunk's?"
    FAULT = "an error that another attempt may not meet"
    HOPELESS = "an error that every attempt will meet"


class Trouble(NamedTuple):
    """What became of an attempt; `deaths` are the workers that it cost."""

    kind: Kind
    reason: str
    deaths: int = 0


def of_error(error: BaseException) -> Trouble:
    """The trouble of a chunk that raised."""
    name, text = type(error).__name__, " ".join(str(error).split())[:LONGEST_REASON]
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text:
        return Trouble(Kind.MEMORY, f"not enough memory ({text or name})")
    # Bad values raise ValueError wherever they are played; a file that is away may come back.
    kind = Kind.HOPELESS if isinstance(error, (ValueError, TypeError)) else Kind.FAULT
    return Trouble(kind, f"{name}: {text}" if text else name)
