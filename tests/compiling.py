"""Whether Triton can still compile in this process: up to 3.2 its interpreter leaves its own functions in
`triton.language` for good, so that what is compiled after it fails."""

import pytest

try:
    from triton import language
except ImportError:
    language = None
LOAD = getattr(language, "load", None)


def needs_compiler() -> None:
    """Skip the test where the interpreter has run before it; alone it passes."""
    if getattr(language, "load", None) is not LOAD:
        pytest.skip("this Triton's interpreter ran in this process before, and nothing compiles after it")
