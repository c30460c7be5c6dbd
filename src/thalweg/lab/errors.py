"""What the user can mend is a LabError: one clear line, and no traceback on the command line."""


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return (str(error).strip().splitlines() or [""])[0]


class LabError(ValueError):
    """Something asked for that cannot be done: names the argument, its value and what is allowed."""


class TaskError(LabError):
    """What is wrong with a task."""


class StudyError(LabError):
    """A study's folder that cannot be gone on with, and what to do about it."""
