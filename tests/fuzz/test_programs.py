"""A short run of the fuzzer over every case; `make fuzz` is the long one."""

import pytest

from fuzz.cases import CASES
from fuzz.program import Program, draw, find, play, shrink
from fuzz.test_planted_faults import blind, gone
from fuzz.verdict import Difference

PROGRAMS, OPERATIONS = 4, 15


@pytest.mark.parametrize("case", CASES)
def test_no_program_tells_the_sides_apart(case):
    programs = [draw(seed, OPERATIONS, [case]) for seed in range(PROGRAMS)]
    for program in programs:
        try:
            play(program)
        except Difference:
            small = shrink(program)
            print(small.text())
            play(small)
            raise


def test_a_program_is_its_text():
    program = draw(3, 20)
    text = program.text()
    assert eval(text[text.index("    Program(") : text.rindex(")")].strip(), {"Program": Program}) == program


def test_a_difference_is_cut_down_to_what_shows_it(monkeypatch):
    """Plans that miss where a parameter is: one operation that moves it is left, and the steps around it."""

    blind(monkeypatch, at=gone, order=gone, sizes=gone)
    program = next(each for each in (draw(seed, 20, ["SGD momentum"]) for seed in range(50)) if find([each]))
    small = shrink(program)
    assert len(small.operations) == 1 and len(small.groups) == 1
    with pytest.raises(Difference, match="after step"):
        play(small)
