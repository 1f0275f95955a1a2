"""Key rotation: complete, resumable, and it loses no concurrent write."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, event, text

from twofa_lab.errors import WorkError
from twofa_lab.store import accounts as acc
from twofa_lab.store.authenticators import add_authenticator, authenticators_of, secret_of
from twofa_lab.store.engine import read, write
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.rotation import keys_in_use, rotate

HASH = "not a password's"

USERS = 25


@pytest.fixture
def filled(engine: Engine, keyring: Keyring) -> Engine:
    with write(engine) as c:
        for i in range(USERS):
            acc.add_account(
                c,
                keyring,
                user_id=i,
                name=f"u{i}",
                password_hash=HASH,
                created=0,
                home_zone="UTC",
                phone=f"+1500555{i:04}",
                email=f"u{i}@example.org" if i % 2 else None,
            )
            add_authenticator(
                c, keyring, user_id=i, kind="totp", label="", created=0, secret=b"s%d" % i
            )
    return engine


VALUES = USERS + USERS // 2 + USERS


def readable(engine: Engine, keyring: Keyring) -> bool:
    with read(engine) as c:
        for i in range(USERS):
            who = acc.account(c, i)
            assert who is not None
            (device,) = authenticators_of(c, i)
            if (
                acc.phone_of(keyring, who) != f"+1500555{i:04}"
                or acc.email_of(keyring, who) != (f"u{i}@example.org" if i % 2 else None)
                or secret_of(keyring, device) != b"s%d" % i
            ):
                return False
    return True


def test_every_value_moves_and_the_old_key_can_go(filled: Engine, keyring: Keyring) -> None:
    newer = keyring.with_new_key("k2")
    assert keys_in_use(filled, newer) == {"k1": VALUES}
    assert rotate(filled, newer, batch=10) == VALUES
    assert keys_in_use(filled, newer) == {"k2": VALUES}
    assert rotate(filled, newer) == 0
    assert readable(filled, newer.without("k1"))


@pytest.mark.parametrize("stop_at", [1, 2, 4, 6])
def test_an_interrupted_rotation_resumes(filled: Engine, keyring: Keyring, stop_at: int) -> None:
    newer = keyring.with_new_key("k2")
    commits = 0

    def crash(_connection: object) -> None:
        nonlocal commits
        commits += 1
        if commits == stop_at:
            raise KeyboardInterrupt

    event.listen(filled, "commit", crash)
    with pytest.raises(KeyboardInterrupt):
        rotate(filled, newer, batch=10)
    event.remove(filled, "commit", crash)
    done = keys_in_use(filled, newer).get("k2", 0)
    assert done == {1: 0, 2: 10, 4: 22, 6: 37}[stop_at]
    assert readable(filled, newer), "both keys decrypt half way"
    assert rotate(filled, newer, batch=10) == VALUES - done
    assert keys_in_use(filled, newer) == {"k2": VALUES}


def test_a_value_that_changes_meanwhile_keeps_the_change(filled: Engine, keyring: Keyring) -> None:
    """Between the read and the write of a batch another session changes one number."""
    newer = keyring.with_new_key("k2")

    meddled = False

    def meddle(_c: object, cursor: object, statement: str, *_rest: object) -> None:
        nonlocal meddled
        if statement.startswith("UPDATE accounts SET phone") and not meddled:
            meddled = True
            new = keyring.encrypt(b"+19990000000", 0, "accounts.phone")
            mark = "?" if filled.dialect.name == "sqlite" else "%s"
            cursor.execute(  # type: ignore[attr-defined]
                f"update accounts set phone = {mark} where user_id = 0",  # noqa: S608
                (new,),
            )

    event.listen(filled, "before_cursor_execute", meddle)
    assert rotate(filled, newer) == VALUES - 1
    assert rotate(filled, newer) == 1
    with read(filled) as c:
        who = acc.account(c, 0)
    assert who is not None
    assert acc.phone_of(newer, who) == "+19990000000"


def test_a_value_that_does_not_decrypt_stops_it(filled: Engine, keyring: Keyring) -> None:
    with write(filled) as c:
        c.execute(
            text(
                "update accounts set phone = (select phone from accounts where user_id = 1)"
                " where user_id = 13"
            )
        )
    newer = keyring.with_new_key("k2")
    with pytest.raises(WorkError, match=r"accounts\.phone of account 13"):
        rotate(filled, newer, batch=10)
    with pytest.raises(WorkError, match="needs key 'k1'"):
        rotate(filled, newer.without("k1"))
    assert keys_in_use(filled, newer.without("k1"))["?"] > 0
