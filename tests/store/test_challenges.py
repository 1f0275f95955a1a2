"""Challenges are consumed once, by the request they were made for; messages are sent once."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, Engine

from twofa_lab.catalog.factors import MAX_CLOCK_STEP_MS
from twofa_lab.store import challenges as ch
from twofa_lab.store.engine import write

LIFE = 600_000


def opened(c: Connection, user: int, now: int, challenge_id: str = "c1") -> None:
    ch.add_challenge(
        c,
        challenge_id=challenge_id,
        user_id=user,
        session_binding=b"session",
        purpose="login",
        factor="otp",
        expected=b"hash",
        created=now,
        expires=now + LIFE,
        max_attempts=5,
        context='{"device":"7"}',
    )


def test_a_challenge_is_consumed_once(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        opened(c, user, now)
        found = ch.challenge(c, "c1", b"session")
        assert found is not None
        assert (found.state, found.attempts, found.context) == ("open", 0, '{"device":"7"}')
        assert "hash" not in repr(found)
        assert ch.challenge(c, "c1", b"another session") is None
        assert not ch.consume_challenge(c, "c1", b"another session", now)
        assert ch.consume_challenge(c, "c1", b"session", now + 1)
        assert not ch.consume_challenge(c, "c1", b"session", now + 1)
        found = ch.challenge(c, "c1", b"session")
        assert found is not None
        assert (found.state, found.consumed_at) == ("consumed", now + 1)
        assert not ch.replace_code(c, "c1", b"session", b"new", now + 2)
        assert not ch.close_challenge(c, "c1", b"session")


@pytest.mark.parametrize(
    ("after", "accepted"),
    [
        (0, True),
        (LIFE - 1, True),
        (LIFE, False),
        (LIFE + 90_000, False),
        (-MAX_CLOCK_STEP_MS, True),
        (-MAX_CLOCK_STEP_MS - 1, False),
    ],
)
def test_expiry_and_clocks_that_step(
    engine: Engine, user: int, now: int, after: int, accepted: bool
) -> None:
    with write(engine) as c:
        opened(c, user, now)
        assert ch.consume_challenge(c, "c1", b"session", now + after) == accepted


def test_a_resend_changes_the_code_only(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        opened(c, user, now)
        before = ch.challenge(c, "c1", b"session")
        assert ch.replace_code(c, "c1", b"session", b"new", now + 5)
        after = ch.challenge(c, "c1", b"session")
        assert before is not None
        assert after is not None
        assert after.expected == b"new"
        assert (after.attempts, after.expires) == (before.attempts, before.expires)
        assert not ch.replace_code(c, "c1", b"session", b"late", now + LIFE)


@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_a_closed_challenge_is_not_consumed(
    engine: Engine, user: int, now: int, state: str
) -> None:
    with write(engine) as c:
        opened(c, user, now)
        assert ch.close_challenge(c, "c1", b"session", state)
        assert not ch.consume_challenge(c, "c1", b"session", now)


def message(c: Connection, key: str, challenge_id: str = "c1", channel: str = "sms") -> ch.Added:
    return ch.add_message(
        c,
        challenge_id=challenge_id,
        channel=channel,
        provider="simulated",
        idempotency_key=key,
        created=1,
        masked_number="+1 *** *** 06",
    )


def test_a_key_maps_to_one_message(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        opened(c, user, now)
        opened(c, user, now, "c2")
        first, again, other = message(c, "k1"), message(c, "k1", "c2"), message(c, "k2")
        assert (first.new, again.new, other.new) == (True, False, True)
        assert first.id == again.id != other.id
        assert [m.id for m in ch.messages_of(c, "c1")] == [first.id, other.id]
        assert ch.messages_of(c, "c2") == []


def test_the_life_of_a_message(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        opened(c, user, now)
        one = message(c, "k1", channel="whatsapp").id
        two = message(c, "k2", channel="sms").id
        assert ch.mark_sent(c, one, "SM1", 8_300, now + 1)
        assert not ch.mark_sent(c, one, "SM2", 8_300, now + 2), "charged once"
        assert ch.mark_delivered(c, one, now + 3)
        assert not ch.mark_delivered(c, one, now + 4), "a webhook that comes twice"
        assert ch.cancel_pending_messages(c, "c1") == 1
        assert not ch.mark_sent(c, two, "SM3", 8_300, now + 5), "cancelled before it went"
        found, cancelled = ch.messages_of(c, "c1")
        assert (found.state, found.provider_id, found.sent_at) == ("delivered", "SM1", now + 1)
        assert (found.delivered_at, found.price_microusd) == (now + 3, 8_300)
        assert cancelled.state == "cancelled"
        assert ch.message_by_provider_id(c, "simulated", "SM1") == found
        assert ch.message_by_provider_id(c, "twilio", "SM1") is None


def test_a_message_nobody_can_tell_of_may_still_turn_up(
    engine: Engine, user: int, now: int
) -> None:
    with write(engine) as c:
        opened(c, user, now)
        lost, failed = message(c, "k1").id, message(c, "k2").id
        assert ch.mark_failed(c, lost, "unknown")
        assert ch.mark_failed(c, failed)
        assert not ch.mark_failed(c, failed)
        assert ch.mark_sent(c, lost, "SM1", 8_300, now)
        assert not ch.mark_sent(c, failed, "SM2", 8_300, now)


def test_every_open_challenge_of_an_account_ends_at_once(
    engine: Engine, user: int, now: int
) -> None:
    with write(engine) as c:
        for name in ("c1", "c2", "c3"):
            opened(c, user, now, name)
        assert ch.consume_challenge(c, "c1", b"session", now)
        assert ch.close_challenges_of(c, user + 1) == 0
        assert ch.close_challenges_of(c, user) == 2
        assert not ch.consume_challenge(c, "c2", b"session", now)
