"""Accounts: encrypted fields, unique names, status moves, erasure."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, Engine, func, select, text

from twofa_lab.errors import InputError, WorkError
from twofa_lab.store import accounts as acc
from twofa_lab.store.authenticators import add_authenticator
from twofa_lab.store.challenges import add_challenge, add_message
from twofa_lab.store.engine import read, write
from twofa_lab.store.history import record_failed_password, record_login
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.schema import metadata

HASH = "not a password's"


def add(engine: Engine, keyring: Keyring, user_id: int, name: str, **more: Any) -> None:
    with write(engine) as c:
        acc.add_account(
            c,
            keyring,
            user_id=user_id,
            name=name,
            password_hash=HASH,
            created=1,
            home_zone="UTC",
            **more,
        )


def test_an_account_reads_back(engine: Engine, keyring: Keyring) -> None:
    largest = 2**63 - 1
    add(engine, keyring, largest, "ada", phone="+15005550006", email="ada@example.org")
    with read(engine) as c:
        found = acc.account_by_name(c, "ada")
        assert found is not None
        assert found == acc.account(c, largest)
        assert (found.user_id, found.status, found.whatsapp) == (largest, "pending", False)
        assert acc.phone_of(keyring, found) == "+15005550006"
        assert acc.email_of(keyring, found) == "ada@example.org"
        assert acc.account_by_name(c, "eve") is None
        assert acc.account(c, 3) is None


def test_contact_details_lie_encrypted_and_unseen(engine: Engine, keyring: Keyring) -> None:
    add(engine, keyring, 1, "ada", phone="+15005550006", email="ada@example.org")
    with read(engine) as c:
        raw = repr(c.execute(text("select * from accounts")).all())
        shown = repr(acc.account(c, 1))
    for secret in ("5005550006", "example.org"):
        assert secret not in raw
        assert secret not in shown
    assert "password_hash" not in shown


def test_two_accounts_ciphertexts_cannot_be_swapped(engine: Engine, keyring: Keyring) -> None:
    add(engine, keyring, 1, "ada", phone="+15005550006", email="ada@example.org")
    add(engine, keyring, 2, "eve", phone="+15005550007")
    with write(engine) as c:
        c.execute(
            text(
                "update accounts set phone = (select phone from accounts where user_id = 1)"
                " where user_id = 2"
            )
        )
        c.execute(text("update accounts set phone = email where user_id = 1"))
        for user_id in (1, 2):
            found = acc.account(c, user_id)
            assert found is not None
            with pytest.raises(WorkError, match=rf"accounts\.phone of account {user_id}"):
                acc.phone_of(keyring, found)


def test_a_name_is_taken_once(engine: Engine, keyring: Keyring) -> None:
    add(engine, keyring, 1, "ada")
    with pytest.raises(InputError, match="name is taken"):
        add(engine, keyring, 2, "ada")
    with pytest.raises(InputError, match="status is unknown"):
        add(engine, keyring, 2, "eve", status="nonsense")


def test_changes(engine: Engine, keyring: Keyring, user: int, now: int) -> None:
    with write(engine) as c:
        assert acc.set_phone(c, keyring, user, "+447700900000", line_type="mobile", whatsapp=True)
        assert acc.set_email(c, keyring, user, None)
        assert acc.set_status(c, user, "recovery", was="active")
        assert not acc.set_status(c, user, "active", was="pending")
        assert acc.record_prompt(c, user, now, declined=True)
        assert acc.record_prompt(c, user, now + 1, declined=False)
        assert not acc.set_email(c, keyring, 99, "x@example.org")
        found = acc.account(c, user)
    assert found is not None
    assert acc.phone_of(keyring, found) == "+447700900000"
    assert (found.line_type, found.whatsapp, found.status) == ("mobile", True, "recovery")
    assert (found.prompted_at, found.prompts_declined) == (now + 1, 1)


def test_a_new_password_ends_the_waits_of_wrong_ones(engine: Engine, user: int, now: int) -> None:
    spoil = (
        "update accounts set factor_failures = 9, factor_wait_until = 9, stranger_failures = 9,"
        " stranger_wait_until = 9, own_device_failures = 9, own_device_wait_until = 9"
    )

    def new_password(c: Connection) -> bool:
        return acc.set_password(c, user, "new", now)

    def unlocked(c: Connection) -> bool:
        return acc.reset_failures(c, user)

    for mend, codes in ((new_password, 9), (unlocked, 0)):
        with write(engine) as c:
            c.execute(text(spoil))
            assert mend(c)
            found = acc.account(c, user)
        assert found is not None
        # a new password must not buy new guesses at a code: only support starts that count again
        assert found.factor_failures == found.factor_wait_until == codes
        assert found.stranger_failures == found.stranger_wait_until == 0
        assert found.own_device_failures == found.own_device_wait_until == 0
        assert (found.password_hash, found.password_changed_at) == ("new", now)


def test_erasing_leaves_no_row(engine: Engine, keyring: Keyring, user: int, now: int) -> None:
    with write(engine) as c:
        device = add_authenticator(
            c, keyring, user_id=user, kind="totp", label="app", created=now, secret=b"s"
        )
        add_challenge(
            c,
            challenge_id="c1",
            user_id=user,
            authenticator_id=device,
            session_binding=b"s",
            purpose="login",
            factor="totp",
            created=now,
            expires=now + 1,
            max_attempts=5,
        )
        add_message(
            c,
            challenge_id="c1",
            channel="sms",
            provider="p",
            idempotency_key="k",
            created=now,
            masked_number="+1******06",
        )
        record_login(c, user, now, device="1", country="GB", region="", hour=3)
        record_failed_password(c, user, now, forget=0)
        assert acc.erase_account(c, user)
        assert not acc.erase_account(c, user)
        for table in metadata.sorted_tables:
            assert c.execute(select(func.count()).select_from(table)).scalar_one() == 0
