"""A pass of a CPU kernel over chunks of tensors, as text: on one thread, and on several, each with its share."""

from __future__ import annotations

from dataclasses import dataclass

# A chunk: the tensor, its first element there, how many, and the row of numbers that it takes.
TEXT = '''
@njit(**{options})
def {name}(__first, __last, {given}):
    """{what}"""
{setup}    for __c in range(__first, __last):
        __t = __chunks[__c, 0]
        __from = __chunks[__c, 1]
        __n = __chunks[__c, 2]
        __r = __chunks[__c, 3]
{before}
{loop}{after}


@njit(parallel=True, **{options})
def {threads}(__bounds, {given}):
    """One share of the chunks for each thread."""
    for __share in prange(len(__bounds) - 1):
        {name}(__bounds[__share], __bounds[__share + 1], {given})
'''


@dataclass(frozen=True)
class Pass:
    """What differs between passes: names, arguments, and the lines around a chunk's loop."""

    name: str
    threads: str
    what: str
    more: tuple[str, ...]  # arguments, after chunks and table
    options: str = "OPTIONS"

    def text(self, before: str, loop: str, after: str = "", setup: str = "") -> str:
        """The two functions.

        Args:
            before: lines of a chunk, before its loop.
            loop: over its elements.
            after: lines after that.
            setup: lines before the first chunk, each with its end.
        """
        return TEXT.format(
            **{name: getattr(self, name) for name in ("name", "threads", "what", "options")},
            given=", ".join(("__chunks", "__table", *self.more)),
            setup=setup, before=before, loop=loop, after="\n" + after if after else "",
        )  # fmt: skip
