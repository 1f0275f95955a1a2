"""What guessing, knocking and bombing meet: waits, lock-outs and cut-offs of single accounts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.replay.oracle import DAY_MS, MINUTE_MS, SECOND_MS
from tests.replay.shards import OTP, PASSKEY, PUSH, START, TOTP, Row, replayed
from tests.replay.test_loop import GIVES_UP, SIGN_UP, UNIVERSAL, WRONG, at, outcomes
from twofa_lab.risk.policy import Limits, Policy
from twofa_lab.tables import DECISIONS, FACTORS, OUTCOME_NAMES

# Throttling and lock-out.

STOPS = Policy(
    name="stops",
    challenge_at=None,
    limits=Limits(throttle_after=3, first_wait_seconds=30, longest_wait_seconds=100),
)


def after_failures(count: int, seconds: float, policy: Policy = STOPS, **columns: Any) -> str:
    """What a login so long after the last of so many wrong passwords comes to, all by one
    stranger, each typed as soon as it is let in.
    """
    logins, time = [SIGN_UP], START + DAY_MS
    for n in range(count):
        logins.append({"time": time, "device_id": 7, **WRONG})
        time += 200 * SECOND_MS if n < count - 1 else round(seconds * SECOND_MS)
    return outcomes(policy, [*logins, {"time": time, "device_id": 7, **columns}])[-1]


@pytest.mark.parametrize(
    ("failures", "wait"), [(1, 0), (2, 0), (3, 30), (4, 60), (5, 100), (6, 100), (40, 100)]
)
def test_waits_double_up_to_the_longest(failures: int, wait: int) -> None:
    assert after_failures(failures, wait) == "allowed"
    if wait:
        assert after_failures(failures, wait - 0.001) == "rate_limited"
        assert after_failures(failures, wait - 0.001, password_ok=False) == "rate_limited"


def test_an_attempt_during_the_wait_is_neither_read_nor_counted() -> None:
    failures = [at(1, minutes=n / 60, device_id=7, **WRONG) for n in range(3)]
    knocking = [at(1, minutes=(3 + n) / 60, device_id=7, **WRONG) for n in range(20)]
    rows = replayed(STOPS, [SIGN_UP, *failures, *knocking, at(1, minutes=1, device_id=7)])
    assert {OUTCOME_NAMES[row["outcome"]] for row in rows[4:-1]} == {"rate_limited"}
    assert OUTCOME_NAMES[rows[-1]["outcome"]] == "allowed"
    assert rows[-1]["failures"] == 3


def test_a_strangers_guesses_do_not_keep_the_owner_out() -> None:
    guesses = [at(1, minutes=n / 60, device_id=7, **WRONG) for n in range(9)]
    owner, stranger = at(1, minutes=0.2), at(1, minutes=0.2, device_id=7)
    assert outcomes(STOPS, [SIGN_UP, *guesses, owner])[-1] == "allowed"
    assert outcomes(STOPS, [SIGN_UP, *guesses, stranger])[-1] == "rate_limited"


def test_the_owners_failures_do_not_throttle_strangers_but_the_owner() -> None:
    slips = [at(1, minutes=n / 60, **WRONG) for n in range(3)]
    assert outcomes(STOPS, [SIGN_UP, *slips, at(1, minutes=0.1)])[-1] == "rate_limited"
    stranger = at(1, minutes=0.1, device_id=7)
    assert outcomes(STOPS, [SIGN_UP, *slips, stranger])[-1] == "allowed"


def test_a_device_not_seen_for_30_days_counts_as_a_stranger() -> None:
    slips = [at(31, minutes=n / 60, **WRONG) for n in range(3)]
    stranger = at(31, minutes=0.1, device_id=7)
    assert outcomes(STOPS, [SIGN_UP, *slips, stranger])[-1] == "rate_limited"


def test_a_completed_login_ends_the_count_and_an_unfinished_one_does_not() -> None:
    policy = STOPS.model_copy(update={"challenge_at": 0.0})
    two = [at(1, minutes=n / 60, **WRONG) for n in range(2)]
    third = [at(1, minutes=2, **WRONG), at(1, minutes=2.1)]
    assert outcomes(policy, [SIGN_UP, *two, at(1, minutes=1), *third])[-1] == "verified"
    unfinished = at(1, minutes=1, **GIVES_UP)
    assert outcomes(policy, [SIGN_UP, *two, unfinished, *third])[-1] == "rate_limited"


def test_a_reset_ends_the_wait() -> None:
    failures = [at(1, minutes=n / 60, **WRONG) for n in range(3)]
    soon = at(1, minutes=0.1)
    assert outcomes(STOPS, [SIGN_UP, *failures, soon | {"password_reset": True}])[-1] == "allowed"


LOCKS = Policy(name="locks", challenge_at=0.0, max_attempts=3, limits=Limits(lock_after=5))
MISTYPES: Row = {"po_wrong_codes": 200}


def test_wrong_codes_in_a_row_lock_the_account() -> None:
    rows = replayed(LOCKS, [SIGN_UP, at(1, **MISTYPES), at(2, **MISTYPES), at(3), at(4, **WRONG)])
    assert [OUTCOME_NAMES[row["outcome"]] for row in rows[1:]] == [
        *("failed", "failed", "locked", "locked"),
    ]
    assert [row["attempts"] for row in rows[1:3]] == [3, 2]  # never more than the limit together
    assert rows[3]["decision"] == 255


def test_the_right_code_in_between_starts_the_count_anew() -> None:
    logins = [SIGN_UP, at(1, **MISTYPES), at(2), at(3, **MISTYPES), at(4)]
    assert outcomes(LOCKS, logins)[1:] == ["failed", "verified", "failed", "verified"]


def test_wrong_codes_before_the_right_one_are_forgiven() -> None:
    one_short = at(1, po_wrong_codes=2)
    assert outcomes(LOCKS, [SIGN_UP, *[one_short] * 9]) == ["allowed", *["verified"] * 9]


def test_a_new_password_buys_no_new_guesses_at_the_second_factor() -> None:
    reset = {"password_reset": True}
    locked = [SIGN_UP, at(1, **MISTYPES), at(2, **MISTYPES), at(3, **reset), at(4)]
    assert outcomes(LOCKS, locked)[3:] == ["locked", "locked"]
    halfway = replayed(LOCKS, [SIGN_UP, at(1, **MISTYPES), at(2, **reset, **MISTYPES), at(3)])
    assert [row["attempts"] for row in halfway[1:]] == [3, 2, 0]
    assert OUTCOME_NAMES[halfway[-1]["outcome"]] == "locked"


def test_a_login_that_was_merely_allowed_forgives_no_wrong_codes() -> None:
    """Else the owner's daily logins would forgive a stranger's guesses."""
    guess = {"device_id": 7, **MISTYPES}
    policy = LOCKS.model_copy(update={"challenge_at": 0.45})
    days = [day for n in range(1, 4) for day in (at(n, **guess), at(n, minutes=1))]
    assert outcomes(policy, [SIGN_UP, *days])[1:] == [
        *("failed", "allowed", "failed", "locked", "locked", "locked"),
    ]


def test_giving_up_without_a_code_locks_nobody_out() -> None:
    logins = [SIGN_UP, *[at(n, **GIVES_UP) for n in range(1, 200)], at(200)]
    assert outcomes(LOCKS, logins)[-1] == "verified"


def test_a_hundred_wrong_codes_is_the_built_in_limit() -> None:
    tries = [at(n, **MISTYPES) for n in range(1, 95)]
    rows = replayed(UNIVERSAL, [SIGN_UP, *tries])[1:]
    assert [row["attempts"] for row in rows] == [5, 5, *[1] * 90, 0, 0]  # ten, then one at a time
    assert [OUTCOME_NAMES[row["outcome"]] for row in rows] == ["failed"] * 92 + ["locked"] * 2


# Before the lock-out, codes wait. Two wrong ones take 22 s, from 2 s on; then each takes 12 s.

WAITS = Policy(
    name="waits",
    challenge_at=0.0,
    limits=Limits(throttle_after=2, first_wait_seconds=30, longest_wait_seconds=100, lock_after=50),
)


def after_wrong_codes(ms: int, policy: Policy = WAITS, **columns: Any) -> Row:
    """A login so many ms after one with two wrong codes."""
    return replayed(policy, [at(1, **MISTYPES), at(1, minutes=ms / MINUTE_MS, **columns)])[1]


def test_after_wrong_codes_the_next_challenge_waits() -> None:
    assert OUTCOME_NAMES[after_wrong_codes(22_000 + 30_000)["outcome"]] == "verified"
    soon = after_wrong_codes(22_000 + 30_000 - 1)
    assert (OUTCOME_NAMES[soon["outcome"]], DECISIONS[soon["decision"]]) == (
        *("rate_limited", "challenge"),
    )
    told = ("factor", "channel", "messages", "attempts", "seconds_ds", "message_microusd")
    assert not any(soon[name] for name in told)


def test_who_is_not_asked_does_not_wait() -> None:
    asks_strangers = WAITS.model_copy(update={"challenge_at": 0.45})
    guess = at(1, device_id=7, **MISTYPES)
    owner, stranger = at(1, minutes=0.1), at(1, minutes=0.2, device_id=7)
    assert outcomes(asks_strangers, [SIGN_UP, guess, owner, stranger])[1:] == [
        *("failed", "allowed", "rate_limited"),
    ]


def test_then_each_challenge_takes_one_code_and_waits_double_the_time() -> None:
    moments, time = [], 0
    for wait in (30, 60, 100, 100):
        moments.append(time)
        time += (12 if moments[1:] else 22) * SECOND_MS + wait * SECOND_MS
    logins = [at(1, minutes=ms / MINUTE_MS, **MISTYPES) for ms in moments]
    just_before = [at(1, minutes=(ms - 1) / MINUTE_MS) for ms in moments[1:]]
    rows = replayed(WAITS, sorted([*logins, *just_before], key=lambda row: row["time"]))
    assert [OUTCOME_NAMES[row["outcome"]] for row in rows] == [
        *("failed", *("rate_limited", "failed") * 3),
    ]
    assert [row["attempts"] for row in rows] == [2, 0, 1, 0, 1, 0, 1]


def test_the_wait_counts_from_the_last_entry_past_factors_tried_before() -> None:
    """The passkey was tried first, for six seconds."""
    person = {"factors": PASSKEY | OTP}
    tries = at(1, po_passkey_works=False, **MISTYPES)
    for ms, outcome in ((58_000 - 1, "rate_limited"), (58_000, "verified")):
        assert outcomes(WAITS, [tries, at(1, minutes=ms / MINUTE_MS)], person)[1] == outcome


def test_a_reset_does_not_shorten_the_wait_for_codes() -> None:
    reset = after_wrong_codes(30_000, password_reset=True)
    assert OUTCOME_NAMES[reset["outcome"]] == "rate_limited"


# What an app shows, it shows for 30 s, and it is accepted once.


def test_two_logins_in_one_step_of_the_app_take_two_codes() -> None:
    rows = replayed(UNIVERSAL, [at(), at(minutes=1 / 60), at(minutes=2)], {"factors": TOTP})
    assert [row["seconds_ds"] for row in rows] == [100, 290, 100]


def test_a_login_begun_before_another_ended_waits_for_the_code_after_its() -> None:
    slow = at(po_entry_ds=3000)
    rows = replayed(UNIVERSAL, [slow, at(minutes=1)], {"factors": TOTP})
    assert [row["seconds_ds"] for row in rows] == [3000, 3300 - 600]


# Push requests, three in ten minutes and ten without a success.

BOMB: Row = {**GIVES_UP, "device_id": 7}


def test_push_bombing_is_cut_off_at_three_in_ten_minutes() -> None:
    bombs = [at(1, minutes=n, **BOMB) for n in range(12)]
    told = replayed(UNIVERSAL.model_copy(update={"allow_weaker_factor": False}),
                    [SIGN_UP, *bombs], {"factors": PUSH})[1:]  # fmt: skip
    assert [OUTCOME_NAMES[row["outcome"]] for row in told] == [
        *["abandoned"] * 3, *["rate_limited"] * 7, *["abandoned"] * 2,
    ]  # fmt: skip
    assert {FACTORS[row["factor"]] for row in told} == {"push"}


@pytest.mark.parametrize(("answered", "outcome"), [(False, "rate_limited"), (True, "abandoned")])
def test_ten_requests_without_a_verified_factor_end_them(answered: bool, outcome: str) -> None:
    policy = UNIVERSAL.model_copy(update={"allow_weaker_factor": False})
    bombs = [at(n, **({} if answered and n == 5 else BOMB)) for n in range(1, 11)]
    assert outcomes(policy, [SIGN_UP, *bombs, at(20, **BOMB)], {"factors": PUSH})[-1] == outcome
