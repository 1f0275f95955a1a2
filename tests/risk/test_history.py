"""The workspace: many devices, account after account, nothing mixed up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.risk.past import DAY, NOON, Past
from twofa_lab.risk.history import (
    COMPLETED,
    FIRST_SEEN,
    LAST_COMPLETED,
    find_device,
    new_history,
)

FAMILIES = {
    "in a row": range(1, 2_001),
    "one low byte": range(1, 2_000 << 8, 1 << 8),
    "high halves only": range(1 << 32, 500 << 32, 1 << 32),
    "at the table's end": range((1 << 20) - 1, 600 << 20, 1 << 20),
    "halves alike": [(n << 32) | n for n in range(1, 500)],
    "negative as int64": [-n for n in range(1, 2_000)],
    "at random": np.random.default_rng(1).integers(-(2**63), 2**63, 2_000).tolist(),
}
"""Device ids; some of these families fall on one slot, and must still be told apart."""


@pytest.mark.parametrize("family", FAMILIES)
def test_every_device_is_found_and_no_other(family: str) -> None:
    ids = list(dict.fromkeys(FAMILIES[family]))
    known, strangers = ids[::2], ids[1::2]
    past = Past(most_rows=len(known))
    for n, device in enumerate(known):
        past.completed(NOON + n, device)
    for device in known:
        assert find_device(past.history, np.int64(device))[1]
    for device in strangers:
        assert not find_device(past.history, np.int64(device))[1]
    slots = {find_device(past.history, np.int64(device))[0] for device in known}
    assert len(slots) == len(known)


def test_the_device_table_has_room_for_every_row_and_a_free_slot() -> None:
    for rows in (0, 1, 2, 3, 7, 8, 1_000, 1_023, 1_024):
        capacity = len(new_history(rows, 1, 1).devices)
        assert capacity >= 2 * rows + 2
        assert capacity & (capacity - 1) == 0


def test_an_account_starts_with_nothing_of_the_one_before() -> None:
    past = Past(most_rows=50)
    past.completed(device=1, country=1, region=2, times=20).failed(*[NOON] * 40)
    past.next_account(50)
    assert past.signals(device=1, country=1, region=2) == {"new_device"}
    assert past.failures(NOON) == 0
    past.completed(device=2, country=0, region=0)
    assert past.signals(device=2, country=1, region=2) == {"new_country"}
    assert past.signals(device=1, country=0, region=2) == {"new_device", "new_region"}


def test_counts_and_times_of_completed_logins() -> None:
    past = Past()
    assert past.history.numbers[COMPLETED] == 0
    assert past.history.numbers[LAST_COMPLETED] < -(2**61)
    past.completed(NOON).completed(NOON + DAY)
    numbers = past.history.numbers
    assert [numbers[COMPLETED], numbers[FIRST_SEEN], numbers[LAST_COMPLETED]] == [
        *(2, NOON, NOON + DAY),
    ]


LIFE = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([-1, 0, 1])), max_size=12)


@given(st.lists(st.tuples(LIFE, st.integers(12, 200)), max_size=8))
@settings(max_examples=60)
def test_small_accounts_after_large_ones_and_the_other_way_round(
    lives: list[tuple[list[tuple[int, int]], int]],
) -> None:
    """A shared workspace tells of each account what a fresh one would."""
    shared = Past(most_rows=200)
    for logins, most_rows in lives:
        shared.next_account(most_rows)
        fresh = Past(most_rows=12)
        for device, country in logins:
            assert shared.signals(device=device, country=country) == fresh.signals(
                device=device, country=country
            )
            shared.completed(device=device, country=country)
            fresh.completed(device=device, country=country)
