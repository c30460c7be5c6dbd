r"""The number that a word of output is, however Python prints it; a word that could be two numbers is refused."""

from __future__ import annotations

import re

from thalweg.lab.errors import LabError

NUMBER = r"(?:[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\d|\.\d)|(?i:nan|inf(?:inity)?)(?![A-Za-z_])))"
AROUND = ",;:|()[]{}<>%'\""  # what may stand around a number without a space between
# As Python prints a tensor or array of one number: tensor(0.5, device='cuda:0'), np.float64(0.5), array([[0.5]]).
WRAPPED = re.compile(
    rf"(?:\w+\.)*(?:[tT]ensor|[aA]rray|float\d+|bfloat16|longdouble|u?int\d+)\(\s*(?:\[\s*)*({NUMBER})\s*(?:\]\s*)*"
    r"(?:,\s*\w+=[^()\s]*(?:\(\))?\s*)*\)"
)
THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d*)?(?:[eE][+-]?\d+)?")


def unwrapped(text: str) -> str:
    """A line with the numbers of its tensors and arrays in their place.

    >>> unwrapped("loss tensor(nan, grad_fn=<MeanBackward0>), lr np.float64(0.1), tensor([1., 2.])")
    'loss nan, lr 0.1, tensor([1., 2.])'
    """
    return WRAPPED.sub(lambda match: match[1], text)


def number_of(text: str | None) -> float | None:
    """The number that a word is, without what may stand around it; None for another word. A percentage is read as it
    is written: 93.1 of "93.1%".

    >>> number_of("(0.25),"), number_of("2.4531."), number_of("nan"), number_of("none"), number_of("93.1%")
    (0.25, 2.4531, nan, None, 93.1)

    Raises:
        LabError: for a number with commas, which may be of thousands or of decimals.
    """
    word = unwrapped((text or "").strip()).strip(AROUND).rstrip(".")
    if THOUSANDS.fullmatch(word):
        raise LabError(f"metric: got {word!r}; must have no commas within the number")
    try:
        return float(word)
    except ValueError:
        return None
