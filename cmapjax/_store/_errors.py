"""What can be wrong with a results folder: one kind of error per remedy, each message one line."""

MAX_SHOWN = 80


class StoreError(ValueError):
    """A results folder that cannot be used as asked."""


class Damaged(StoreError):
    """A file of the folder is missing, altered, cut short or of another study."""


class Busy(StoreError):
    """Another process is running a study in this folder."""


class Newer(StoreError):
    """The folder was written by a later version of cmapjax, in a format that this one does not know."""


def shown(path) -> str:
    """A path as one line of a terminal may show it: control characters spelt out, the end kept."""
    text = str(path)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= MAX_SHOWN else "…" + text[1 - MAX_SHOWN :]


def reason(error: BaseException) -> str:
    """The words of another library's error, cut to one short line."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"
