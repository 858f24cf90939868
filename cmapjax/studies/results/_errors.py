"""What can be wrong with a results folder; each message is one line that ends in a remedy."""

MAX_SHOWN = 80


class ResultsError(ValueError):
    """A results folder that cannot be used as asked."""


class Damaged(ResultsError):
    """A file of the folder is missing, altered, cut short or of another study.

    Args:
        path: the file.
        what: what is wrong with it, in words.
        remedy: what to do about it.
    """

    REMEDY = "`cmapjax study verify DIR --repair` puts it aside, and resume plays its chunk again"

    def __init__(self, path, what: str, remedy: str = REMEDY):
        super().__init__(f"{shown(path)} {what}; {remedy}.")
        self.path, self.what, self.remedy = path, what, remedy

    def __reduce__(self):
        return type(self), (self.path, self.what, self.remedy)  # it may come from another process


class Busy(ResultsError):
    """Another process is running the study of this folder."""


def shown(path) -> str:
    """A path as one line of a terminal may show it: control characters spelt out, the end kept."""
    text = str(path)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= MAX_SHOWN else "…" + text[1 - MAX_SHOWN :]


def reason(error: BaseException) -> str:
    """The words of another library's error, cut to one short line."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"
