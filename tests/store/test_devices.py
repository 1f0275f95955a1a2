"""Trusted devices rotate and die of theft; sessions carry their assurance level."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, Engine

from twofa_lab.store import devices as dev
from twofa_lab.store.engine import read, write
from twofa_lab.store.history import load_history, record_login

DAY = 86_400_000


def trust(c: Connection, user: int, now: int, device: str = "7", series: str = "s1") -> None:
    record_login(c, user, now, device=device, country="GB", region="GB-LND", hour=9)
    dev.trust_device(
        c,
        user_id=user,
        device=device,
        series=series,
        token_hash=b"t0",
        now=now,
        expires=now + 30 * DAY,
    )


def rotate(
    c: Connection, presented: bytes, following: bytes, now: int, device: str = "7"
) -> dev.Rotation:
    return dev.rotate_token(
        c, series="s1", device=device, presented=presented, following=following, now=now
    )


def trusted_at(c: Connection, user: int, device: str = "7") -> int:
    return load_history(c, user, 0).devices[device].trusted_at


def test_a_token_works_once_and_its_return_kills_the_series(
    engine: Engine, user: int, now: int
) -> None:
    with write(engine) as c:
        trust(c, user, now)
        assert trusted_at(c, user) == now
        assert rotate(c, b"t0", b"t1", now + 1) is dev.Rotation.ROTATED
        assert rotate(c, b"t1", b"t2", now + 2) is dev.Rotation.ROTATED
        (found,) = dev.trusted_devices_of(c, user, now + 2)
        assert (found.device, found.rotated_at) == ("7", now + 2)
        assert "s1" not in repr(found)
        assert rotate(c, b"t0", b"t3", now + 3) is dev.Rotation.STOLEN
        assert rotate(c, b"t2", b"t4", now + 4) is dev.Rotation.UNKNOWN, "the newest died too"
        assert dev.trusted_devices_of(c, user, now + 4) == []
        assert trusted_at(c, user) == 0


def test_a_token_on_another_device_kills_the_series(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        trust(c, user, now)
        assert rotate(c, b"t0", b"t1", now, device="8") is dev.Rotation.STOLEN


def test_trust_expires_without_alarm(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        trust(c, user, now)
        assert rotate(c, b"t0", b"t1", now + 30 * DAY) is dev.Rotation.UNKNOWN
        assert dev.trusted_devices_of(c, user, now + 30 * DAY) == []
        assert rotate(c, b"t0", b"t1", now + 30 * DAY - 1) is dev.Rotation.ROTATED


def test_trust_is_revoked_one_by_one_or_all(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        trust(c, user, now, "7", "s1")
        trust(c, user, now, "8", "s2")
        trust(c, user, now, "9", "s3")
        assert dev.revoke_device(c, user, "8", now) == 1
        assert dev.revoke_device(c, user, "8", now) == 0
        assert [trusted_at(c, user, d) for d in "789"] == [now, 0, now]
        assert dev.void_trust(c, user, now) == 2
        assert [trusted_at(c, user, d) for d in "789"] == [0, 0, 0]
        assert dev.trusted_devices_of(c, user, now) == []


def test_sessions(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        dev.add_session(c, id_hash=b"a", user_id=user, aal=1, amr="pwd", now=now, device="7")
        dev.add_session(c, id_hash=b"b", user_id=user, aal=2, amr="pwd otp mfa", now=now)
        assert dev.touch_session(c, b"a", now + 5)
        assert dev.raise_session(c, b"a", 2, "pwd otp mfa", now + 9, b"a2")
        assert dev.session(c, b"a") is None, "the former token is worth nothing"
        found = dev.session(c, b"a2")
        assert found is not None
        assert (found.aal, found.amr, found.created) == (2, "pwd otp mfa", now + 9)
        assert dev.end_session(c, b"a2", now + 10)
        assert not dev.end_session(c, b"a2", now + 11)
        assert not dev.touch_session(c, b"a2", now + 11)
        assert not dev.raise_session(c, b"a2", 2, "x", now + 11, b"a3")
        assert dev.end_sessions(c, user, now + 12) == 1
        assert dev.touch_session(c, b"none", now) is False
    with read(engine) as c:
        ended = dev.session(c, b"b")
        assert ended is not None
        assert ended.ended == now + 12
        assert dev.session(c, b"none") is None


def test_all_sessions_end_but_one(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        for name in (b"a", b"b", b"c"):
            dev.add_session(c, id_hash=name, user_id=user, aal=1, amr="pwd", now=now)
        assert dev.end_sessions(c, user, now, but=b"b") == 2
        assert dev.touch_session(c, b"b", now)
        assert not dev.touch_session(c, b"a", now)


def test_a_level_beyond_3_is_refused(engine: Engine, user: int, now: int) -> None:
    from twofa_lab.errors import WorkError

    with pytest.raises(WorkError, match="refused the row"), write(engine) as c:
        dev.add_session(c, id_hash=b"a", user_id=user, aal=4, amr="", now=now)
