"""Approvals take two people; notices are kept; tidying takes only what is over."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, Engine, func, select, text

from twofa_lab.errors import InputError, WorkError
from twofa_lab.store import support
from twofa_lab.store.challenges import add_challenge
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.devices import add_session, end_session, trust_device
from twofa_lab.store.engine import write
from twofa_lab.store.history import record_failed_password
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.schema import challenges, sessions


def asked(c: Connection, user: int, now: int) -> int:
    return support.request_approval(
        c,
        user_id=user,
        action="enable_factor",
        reason="lost phone, checked by call-back",
        requested_by="kim",
        now=now,
        expires=now + 3_600_000,
    )


def used(c: Connection, number: int, user: int, now: int, action: str = "enable_factor") -> bool:
    return support.use_approval(c, number, user_id=user, action=action, now=now)


def test_two_people_once(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        one = asked(c, user, now)
        assert not used(c, one, user, now), "not approved yet"
        assert not support.approve(c, one, "kim", now), "nobody approves their own request"
        assert support.approve(c, one, "lee", now + 1)
        assert not support.approve(c, one, "max", now + 2)
        assert not used(c, one, user + 1, now + 3)
        assert not used(c, one, user, now + 3, "erase_account")
        assert used(c, one, user, now + 3)
        assert not used(c, one, user, now + 4)
        found = support.approval(c, one)
        assert found is not None
        assert (found.approved_by, found.approved_at, found.used_at) == ("lee", now + 1, now + 3)
        assert support.approval(c, one + 1) is None


def test_approvals_expire(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        one, two = asked(c, user, now), asked(c, user, now)
        assert not support.approve(c, one, "lee", now + 3_600_000)
        assert support.approve(c, two, "lee", now)
        assert not used(c, two, user, now + 3_600_000)


def test_the_database_itself_refuses_one_person(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        asked(c, user, now)
    with pytest.raises(WorkError, match="refused the row"), write(engine) as c:
        c.execute(text("update approvals set approved_by = 'kim', approved_at = 1"))


def test_approvals_name_their_people(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        with pytest.raises(InputError, match="who asks"):
            support.request_approval(
                c, user_id=user, action="x", reason="", requested_by="kim", now=1, expires=2
            )
        with pytest.raises(InputError, match="who gives"):
            support.approve(c, asked(c, user, now), "", now)


def test_notices(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        support.add_notice(
            c, user_id=user, at=now, kind="factor_added", channel="email", masked_address="a***@e"
        )
        (found,) = support.notices_of(c, user)
    assert (found.kind, found.masked_address) == ("factor_added", "a***@e")


def test_tidying_takes_what_is_over(engine: Engine, user: int, now: int, keyring: Keyring) -> None:
    with write(engine) as c:
        for name, expires in (("old", now - 1), ("new", now)):
            add_challenge(
                c,
                challenge_id=name,
                user_id=user,
                session_binding=b"",
                purpose="login",
                factor="otp",
                created=0,
                expires=expires,
                max_attempts=5,
            )
            add_session(c, id_hash=name.encode(), user_id=user, aal=1, amr="pwd", now=0)
            end_session(c, name.encode(), expires)
            trust_device(
                c,
                user_id=user,
                device="7",
                series=name,
                token_hash=b"",
                now=0,
                expires=expires,
            )
            record_failed_password(c, user, expires, forget=0)
            SqlCounter(c, keyring).add("k", expires)
        add_session(c, id_hash=b"running", user_id=user, aal=1, amr="pwd", now=0)
        assert support.tidy(c, now) == 5
        assert support.tidy(c, now) == 0
        assert c.execute(select(challenges.c.id)).scalars().all() == ["new"]
        assert c.execute(select(func.count()).select_from(sessions)).scalar_one() == 2
