"""What the user can mend is a LabError: one clear line, and no traceback on the command line."""

from __future__ import annotations

from collections.abc import Mapping

from thalweg.lab.passwords import without_passwords


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return (str(error).strip().splitlines() or [""])[0]


class LabError(ValueError):
    """Something asked for that cannot be done: names the argument, its value and what is allowed.

    The value may be an address with a password: that is left out.

    Args:
        said: the message.
        then: what the next command is for ("to go on"), and the options that it has where this one's differ: a command
            line then prints it whole.
        advice: the same in words, for Python; a command line says it by the command alone.
    """

    def __init__(
        self, *said: object, then: tuple[str, Mapping[str, str]] | None = None, advice: str | None = None
    ) -> None:
        super().__init__(*(without_passwords(part) if isinstance(part, str) else part for part in said))
        self.then, self.advice = then, advice

    @property
    def said(self) -> str:
        """The message without the advice."""
        return super().__str__()

    def __str__(self) -> str:
        return f"{self.said}. {self.advice}" if self.advice else self.said


class TaskError(LabError):
    """What is wrong with a task."""


class StudyError(LabError):
    """A study's folder that cannot be gone on with, and what to do about it."""


class MissingExtra(ModuleNotFoundError):
    """A package of an extra that is not installed: says who needs it, and which command brings it.

    Args:
        who: what needs it, as it is called.
        package: what is missing.
        extra: the extra that brings it.
    """

    def __init__(self, who: str, package: str, extra: str) -> None:
        super().__init__(f"{who} needs {package}: pip install 'thalweg[{extra}]'", name=package)
