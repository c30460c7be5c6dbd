"""Where the reports' HTML is: `page.html`, and the pieces of `pieces.html`. Whatever a name holds is escaped there."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined


def text(name: str) -> str:
    """A file of this folder."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def environment() -> Environment:
    """All templates. A name that a template lacks is an error, not a gap in the page."""
    made = Environment(loader=FunctionLoader(text), autoescape=True, undefined=StrictUndefined)
    made.globals.update(text=text, zip=zip)
    return made


def piece(name: str, *given: Any) -> str:
    """One of the pieces, as HTML."""
    return str(getattr(environment().get_template("pieces.html").module, name)(*given))
