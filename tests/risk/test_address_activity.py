"""An address's activity across accounts, against a plain count over all attempts."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from twofa_lab.risk.address_activity import WINDOW_MS, AddressActivity, address_activity

HALF = WINDOW_MS // 2
Attempt = tuple[int, int, int, bool]  # address, account, time, right password
ATTEMPTS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 1, 2, 2**64 - 1]),
        st.sampled_from([-5, 1, 2, 3]),
        st.sampled_from([0, 1, HALF, WINDOW_MS - 1, WINDOW_MS, WINDOW_MS + 1, 3 * HALF, 9 * HALF]),
        st.booleans(),
    ),
    max_size=40,
)


def activity(attempts: list[Attempt]) -> AddressActivity:
    ip, user, time, ok = ([a[k] for a in attempts] for k in range(4))
    return address_activity(
        np.array(ip, np.uint64), np.array(user, np.int64), np.array(time, np.int64),
        np.array(ok, np.bool_),
    )  # fmt: skip


@settings(max_examples=50)
@given(ATTEMPTS)
def test_it_counts_what_the_window_holds(attempts: list[Attempt]) -> None:
    found = activity(attempts)
    for at, (ip, _, time, _) in enumerate(attempts):
        inside = [a for a in attempts if ip and a[0] == ip and time - WINDOW_MS < a[2] <= time]
        assert found.ip_accounts[at] == len({a[1] for a in inside})
        assert found.ip_failures[at] == sum(not a[3] for a in inside if a[2] < time)


@settings(max_examples=50)
@given(ATTEMPTS, st.randoms(use_true_random=False))
def test_the_order_of_rows_plays_no_part(attempts: list[Attempt], chance: object) -> None:
    order = list(range(len(attempts)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    found, turned = activity(attempts), activity([attempts[k] for k in order])
    for name in AddressActivity._fields:
        assert getattr(turned, name).tolist() == getattr(found, name)[order].tolist()


def test_a_spray_is_seen_and_a_person_is_not() -> None:
    spray = [(7, account, account * 1_000, False) for account in range(500)]
    found = activity([*spray, (8, 1, 250_000, True)])
    assert found.ip_accounts[:500].tolist() == list(range(1, 501))
    assert found.ip_failures[499] == 499
    assert (found.ip_accounts[500], found.ip_failures[500]) == (1, 0)
