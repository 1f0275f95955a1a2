"""Attempts: never more than five a challenge, whatever is tried; waits and hard stops."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from twofa_lab.store import limits
from twofa_lab.store.accounts import Account, account, add_account, erase_account, set_status
from twofa_lab.store.authenticators import add_authenticator, authenticators_of
from twofa_lab.store.challenges import (
    Challenge,
    add_challenge,
    challenge,
    close_challenge,
    consume_challenge,
    replace_code,
)
from twofa_lab.store.engine import write
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.schema import MAX_CONSECUTIVE_FAILURES

HASH = "not a password's"

S = b"session"


def no_wait(_failures: int) -> int:
    return 0


def opened(
    c: Connection,
    user: int,
    now: int,
    name: str = "c1",
    device: int | None = None,
    most: int = 5,
) -> Challenge:
    add_challenge(
        c,
        challenge_id=name,
        user_id=user,
        authenticator_id=device,
        session_binding=S,
        purpose="login",
        factor="otp",
        expected=b"hash",
        created=now,
        expires=now + 600_000,
        max_attempts=most,
    )
    found = challenge(c, name, S)
    assert found is not None
    return found


def owner(c: Connection, user: int) -> Account:
    found = account(c, user)
    assert found is not None
    return found


@pytest.fixture
def device(engine: Engine, keyring: Keyring, user: int, now: int) -> int:
    with write(engine) as c:
        return add_authenticator(
            c,
            keyring,
            user_id=user,
            kind="otp",
            label="phone",
            created=now,
            confirmed_at=now,
            secret=b"+15005550006",
        )


def test_five_attempts_and_no_more(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        one = opened(c, user, now)
        for left in (4, 3, 2, 1, 0):
            assert limits.count_attempt(c, one, now, no_wait) == ("", left)
            assert limits.record_failure(c, one, now) == (left, False)
            assert replace_code(c, "c1", S, b"resent", now) == (left > 0), "a resend"
        assert limits.count_attempt(c, one, now, no_wait) == ("spent", 0)
        assert not consume_challenge(c, "c1", S, now), "spent is closed"
        assert owner(c, user).factor_failures == 5


def test_an_attempt_counts_though_its_outcome_was_never_recorded(
    engine: Engine, user: int, now: int
) -> None:
    """As after a crash between the two: the challenge is still open, and spent."""
    with write(engine) as c:
        one = opened(c, user, now)
        got = [limits.count_attempt(c, one, now, no_wait).refused for _ in range(7)]
        assert got == ["", "", "", "", "", "spent", "spent"]
        assert owner(c, user).factor_failures == 5


def test_every_refusal_and_none_is_counted(engine: Engine, user: int, now: int) -> None:
    def attempt(c: Connection, one: Challenge, at: int = now) -> str:
        return limits.count_attempt(c, one, at, no_wait).refused

    with write(engine) as c:
        one = opened(c, user, now)
        assert attempt(c, one, now + 600_000) == "expired"
        assert attempt(c, one, now - 90_001) == "closed"
        stranger = replace(one, session_binding=b"other")
        assert attempt(c, stranger) == "closed"
        close_challenge(c, "c1", S)
        assert attempt(c, one) == "closed"
        two = opened(c, user, now, "c2")
        assert limits.count_attempt(c, two, now, no_wait).allowed
        assert consume_challenge(c, "c2", S, now)
        limits.record_success(c, two, now)
        assert attempt(c, two) == "closed"
        assert owner(c, user).factor_failures == 0
        three = opened(c, user, now, "c3")
        for status in ("closed", "locked"):
            set_status(c, user, status, was=owner(c, user).status)
            assert attempt(c, three) == "locked"


def test_waits_hold_across_sessions_and_end_with_success(
    engine: Engine, user: int, now: int
) -> None:
    def wait(failures: int) -> int:
        return 30_000 if failures >= 3 else 0

    with write(engine) as c:
        for name in ("c1", "c2", "c3"):
            assert limits.count_attempt(c, opened(c, user, now, name), now, wait).allowed
        four = opened(c, user, now, "c4")
        assert limits.count_attempt(c, four, now + 29_999, wait).refused == "throttled"
        assert limits.count_attempt(c, four, now + 30_000, wait).allowed
        assert owner(c, user).factor_wait_until == now + 60_000
        assert consume_challenge(c, "c4", S, now + 30_000)
        limits.record_success(c, four, now + 30_000)
        assert (owner(c, user).factor_failures, owner(c, user).factor_wait_until) == (0, 0)


def test_the_account_locks_at_the_limit(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        for number in range(3):
            one = opened(c, user, now, f"c{number}")
            assert limits.count_attempt(c, one, now, no_wait, lock_after=3).allowed
        last = opened(c, user, now, "c9")
        assert limits.count_attempt(c, last, now, no_wait, lock_after=3).refused == "locked"
        assert owner(c, user).factor_failures == 3


def test_an_authenticator_stops_at_100_consecutive_failures(
    engine: Engine, user: int, device: int, now: int
) -> None:
    """NIST SP 800-63B-4, 3.2.2; the account's own limit is set aside to see it."""
    tried, stopped = 0, 0
    with write(engine) as c:
        for number in range(30):
            one = opened(c, user, now, f"c{number}", device)
            for _ in range(5):
                outcome = limits.count_attempt(c, one, now, no_wait, lock_after=10_000)
                if not outcome.allowed:
                    assert outcome.refused == "disabled"
                    continue
                tried += 1
                stopped += limits.record_failure(c, one, now).disabled
        (found,) = authenticators_of(c, user)
        assert (tried, stopped) == (MAX_CONSECUTIVE_FAILURES, 1) == (100, 1)
        assert (found.consecutive_failures, found.disabled_at, found.usable) == (100, now, False)
        assert owner(c, user).factor_failures == 100, "refused answers are counted nowhere"


def test_the_hundredth_wrong_answer_is_checked_and_the_next_refused(
    engine: Engine, user: int, device: int, now: int
) -> None:
    """The account's and its only authenticator's hard stop come with the same answer."""
    with write(engine) as c:
        stopped = []
        for number in range(20):
            one = opened(c, user, now, f"c{number}", device)
            for _ in range(5):
                assert limits.count_attempt(c, one, now, no_wait).allowed
                stopped.append(limits.record_failure(c, one, now).disabled)
        assert stopped == [False] * 99 + [True]
        last = opened(c, user, now, "c20", device)
        assert limits.count_attempt(c, last, now, no_wait).refused == "locked"
        (found,) = authenticators_of(c, user)
        assert owner(c, user).factor_failures == found.consecutive_failures == 100
        assert (found.disabled_at, found.usable) == (now, False)


def test_the_hundredth_answer_may_be_the_right_one(
    engine: Engine, user: int, device: int, now: int
) -> None:
    with write(engine) as c:
        for number in range(20):
            one = opened(c, user, now, f"c{number}", device)
            for _ in range(5 if number < 19 else 4):
                assert limits.count_attempt(c, one, now, no_wait).allowed
                assert not limits.record_failure(c, one, now).disabled
        assert limits.count_attempt(c, one, now, no_wait).allowed
        assert consume_challenge(c, one.id, S, now)
        limits.record_success(c, one, now)
        (found,) = authenticators_of(c, user)
        assert owner(c, user).factor_failures == found.consecutive_failures == 0
        assert found.usable


def test_success_resets_the_authenticator(engine: Engine, user: int, device: int, now: int) -> None:
    with write(engine) as c:
        one = opened(c, user, now, "c1", device)
        for _ in range(3):
            assert limits.count_attempt(c, one, now, no_wait).allowed
        assert consume_challenge(c, "c1", S, now + 7)
        limits.record_success(c, one, now + 7)
        (found,) = authenticators_of(c, user)
        assert (found.consecutive_failures, found.last_used_at) == (0, now + 7)


def test_password_failures_are_counted_apart(engine: Engine, user: int, now: int) -> None:
    def wait(failures: int) -> int:
        return 1_000 * failures if failures > 1 else 0

    with write(engine) as c:
        stranger = [
            limits.count_password_failure(c, user, now, wait, own_device=False) for _ in range(3)
        ]
        own = limits.count_password_failure(c, user, now, wait, own_device=True)
        assert (stranger, own) == ([1, 2, 3], 1)
        found = owner(c, user)
        assert (found.stranger_wait_until, found.own_device_wait_until) == (now + 3_000, 0)
        limits.reset_password_failures(c, user, own_device=False)
        found = owner(c, user)
        assert (found.stranger_failures, found.own_device_failures) == (0, 1)
        assert limits.count_password_failure(c, 99, now, wait, own_device=False) == 0


actions = st.lists(
    st.sampled_from(["guess", "resend", "new challenge", "right"]), min_size=1, max_size=40
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(actions)
def test_no_sequence_of_acts_buys_more_attempts(
    sqlite_engine: Engine, keyring: Keyring, now: int, acts: list[str]
) -> None:
    """A model in plain Python says what each act may do."""
    with write(sqlite_engine) as c:
        add_account(
            c, keyring, user_id=1, name="a", password_hash=HASH, created=now, home_zone="UTC"
        )
        made, used, failures, over = 0, 0, 0, False
        one = opened(c, 1, now, "c0")
        for act in acts:
            if act == "resend":
                assert replace_code(c, one.id, S, b"new", now) == (not over)
            elif act == "new challenge":
                made, used, over = made + 1, 0, False
                one = opened(c, 1, now, f"c{made}")
            else:
                allowed = limits.count_attempt(c, one, now, no_wait, lock_after=12).allowed
                assert allowed == (not over and used < 5 and failures < 12)
                if allowed:
                    used, failures = used + 1, failures + 1
                    if act == "right":
                        assert consume_challenge(c, one.id, S, now)
                        limits.record_success(c, one, now)
                        failures, over = 0, True
                    else:
                        assert limits.record_failure(c, one, now).left == 5 - used
                        over = used == 5
        assert owner(c, 1).factor_failures == failures
        erase_account(c, 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.integers(1, 12), st.integers(1, 5), st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_a_challenge_allows_what_the_replay_allows(
    sqlite_engine: Engine,
    keyring: Keyring,
    now: int,
    lock_after: int,
    most: int,
    wrong_codes: list[int],
) -> None:
    """min(max_attempts, lock_after - wrong) answers a challenge; locked once wrong reach the limit.

    Each challenge meets a person who types so many wrong codes before the right one.
    """
    with write(sqlite_engine) as c:
        add_account(
            c, keyring, user_id=1, name="a", password_hash=HASH, created=now, home_zone="UTC"
        )
        wrong = 0
        for number, typed in enumerate(wrong_codes):
            one = opened(c, 1, now, f"c{number}", most=most)
            allowed = min(most, lock_after - wrong)
            answers = 0
            while limits.count_attempt(c, one, now, no_wait, lock_after).allowed:
                answers += 1
                if answers > typed:
                    assert consume_challenge(c, one.id, S, now)
                    limits.record_success(c, one, now)
                    break
                limits.record_failure(c, one, now)
            assert answers == min(typed + 1, allowed)
            wrong = wrong + answers if typed >= allowed else 0
            assert owner(c, 1).factor_failures == wrong
        erase_account(c, 1)
