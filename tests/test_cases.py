"""Which cases of a long table are run where nobody has said which."""

from cases import LEAST, SHARE, part

NAMES = [f"test_it[{rule}-{engine}]" for rule in range(160) for engine in ("reference", "cpu", "cuda")]


def test_a_short_table_is_run_whole():
    assert part(NAMES[:LEAST]) == set(NAMES[:LEAST])


def test_of_a_long_one_the_same_part_is_run_in_any_order():
    assert len(part(NAMES)) == len(NAMES) // SHARE and part(NAMES) == part(NAMES[::-1])


def test_each_column_is_in_it():
    assert {name.partition("-")[2] for name in part(NAMES)} == {"reference]", "cpu]", "cuda]"}


def test_a_new_case_replaces_one_at_most():
    assert len(part([*NAMES, "test_it[new-cpu]"]) - part(NAMES)) <= 1
