from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.catalog.factors import MAX_CLOCK_STEP_MS
from twofa_lab.factors.ports import is_alive


@given(st.integers(0, 2**42), st.integers(-(2**31), 2**31), st.integers(1, 600))
def test_is_alive_is_a_window_around_the_issue(issued: int, age: int, life: int) -> None:
    inside = -MAX_CLOCK_STEP_MS <= age <= life * 1000
    assert is_alive(issued, issued + age, life) == inside
