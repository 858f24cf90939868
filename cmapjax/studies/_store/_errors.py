"""What can be wrong with a results folder: one kind of error per remedy, each message one line."""

MAX_SHOWN = 80


class StoreError(ValueError):
    """A results folder that cannot be used as asked."""


class FileError(StoreError):
    """What is wrong with one file (`what`, in words), and what helps."""

    remedy = ""

    def __init__(self, path, what: str, remedy: str | None = None):
        remedy = self.remedy if remedy is None else remedy
        super().__init__(f"{shown(path)}: {what}{remedy and '; '}{remedy}.")
        self.path, self.what, self.remedy = path, what, remedy

    def __reduce__(self):
        return type(self), (self.path, self.what, self.remedy)  # it may come from another process


class Damaged(FileError):
    """A file of the folder is missing, altered, cut short or of another study."""

    remedy = "`cmapjax study verify DIR --repair` puts aside what is damaged, and resume plays it again"


class Busy(StoreError):
    """Another process is running a study in this folder."""


class Newer(FileError):
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
