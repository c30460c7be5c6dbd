"""What a law or an optimizer says by raising: broken, not applicable, refused."""

from __future__ import annotations

# What Python raises for a slip in the code that was called. Any other error that has a message is the author's word.
SLIPS = (LookupError, AttributeError, NameError, ArithmeticError)


class BrokenError(Exception):
    """The law does not hold: what was seen, and what was expected."""

    def __init__(self, seen: str, expected: str) -> None:
        super().__init__(f"seen: {seen}; expected: {expected}")


class NotApplicableError(Exception):
    """The law asks for something that this optimizer does not have."""


class RefusedError(Exception):
    """The optimizer raised an error when it was made or stepped."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        text = " ".join(str(error).split())
        super().__init__(f"{type(error).__name__}: {text[:160] + '...' if len(text) > 160 else text}")

    @property
    def clear(self) -> bool:
        """It says what is wrong: not an assertion without words, a missing key or an index out of range."""
        return not isinstance(self.error, SLIPS) and str(self.error).strip() != ""
