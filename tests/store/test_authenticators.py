"""Authenticators: single use of steps and codes, counters that only move forward."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from twofa_lab.errors import InputError, WorkError
from twofa_lab.store import authenticators as auth
from twofa_lab.store.engine import write
from twofa_lab.store.keyring import Keyring

HASH = "not a password's"


@pytest.fixture
def device(engine: Engine, keyring: Keyring, user: int, now: int) -> int:
    with write(engine) as c:
        return auth.add_authenticator(
            c, keyring, user_id=user, kind="totp", label="app", created=now, secret=b"seed"
        )


def test_life_of_an_authenticator(
    engine: Engine, keyring: Keyring, user: int, device: int, now: int
) -> None:
    with write(engine) as c:
        (found,) = auth.authenticators_of(c, user)
        assert (found.id, found.kind, found.usable) == (device, "totp", False)
        assert (found.aaguid, found.transports) == (None, None)
        assert auth.secret_of(keyring, found) == b"seed"
        assert auth.confirm_authenticator(c, device, now)
        assert not auth.confirm_authenticator(c, device, now)
        assert auth.rename_authenticator(c, device, "my phone")
        assert auth.set_preference(c, device, 3)
        (found,) = auth.authenticators_of(c, user)
        assert (found.label, found.preference, found.usable) == ("my phone", 3, True)
        assert auth.disable_authenticator(c, device, now + 5)
        assert not auth.disable_authenticator(c, device, now + 6)
        (found,) = auth.authenticators_of(c, user)
        assert (found.disabled_at, found.usable) == (now + 5, False)
        for refused in (
            auth.confirm_authenticator(c, device, now),
            auth.rename_authenticator(c, device, "x"),
            auth.set_preference(c, device, 1),
            auth.burn_totp_step(c, device, 10),
            auth.bump_sign_count(c, device, 1, backed_up=False),
        ):
            assert not refused


def test_secrets_are_unseen(engine: Engine, keyring: Keyring, user: int, now: int) -> None:
    with write(engine) as c:
        auth.add_authenticator(
            c,
            keyring,
            user_id=user,
            kind="passkey",
            label="key",
            created=now,
            public_key=b"public-key",
            credential_id=b"credential",
            aaguid="fbfc3007-154e-4ecc-8c0b-6e020557d7bd",
            transports="hybrid internal",
        )
        (found,) = auth.authenticators_of(c, user)
        assert found.aaguid == "fbfc3007-154e-4ecc-8c0b-6e020557d7bd"
        assert found.transports == "hybrid internal"
        assert auth.authenticator_by_credential(c, b"credential") == found
        assert auth.authenticator_by_credential(c, b"other") is None
        assert "credential" not in repr(found).replace("credential_id", "")
        with pytest.raises(WorkError, match="has no secret"):
            auth.secret_of(keyring, found)
        with pytest.raises(InputError, match="registered already"):
            auth.add_authenticator(
                c,
                keyring,
                user_id=user,
                kind="passkey",
                label="again",
                created=now,
                credential_id=b"credential",
            )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=20))
def test_steps_are_accepted_once_and_only_forward(
    sqlite_engine: Engine, keyring: Keyring, now: int, steps: list[int]
) -> None:
    from twofa_lab.store.accounts import add_account, erase_account

    with write(sqlite_engine) as c:
        add_account(
            c, keyring, user_id=1, name="a", password_hash=HASH, created=now, home_zone="UTC"
        )
        device = auth.add_authenticator(
            c, keyring, user_id=1, kind="totp", label="", created=now, secret=b"s"
        )
        highest = -1
        for step in steps:
            assert auth.burn_totp_step(c, device, step) == (step > highest)
            highest = max(highest, step)
        erase_account(c, 1)


def test_the_same_totp_code_at_0_31_and_61_seconds_succeeds_once(
    engine: Engine, device: int
) -> None:
    """±1 step accepts one code for 90 s; the burnt step makes it one use."""
    with write(engine) as c:
        step = 57_000_000
        assert [auth.burn_totp_step(c, device, step) for _second in (0, 31, 61)] == [
            True,
            False,
            False,
        ]
        assert not auth.burn_totp_step(c, device, step - 1), "a clock that stepped back"
        assert auth.burn_totp_step(c, device, step + 1)


def test_a_sign_count_only_grows(engine: Engine, user: int, device: int) -> None:
    def bump(count: int, backed_up: bool = False) -> bool:
        with write(engine) as c:
            return auth.bump_sign_count(c, device, count, backed_up=backed_up)

    assert bump(0), "an authenticator without a counter"
    assert bump(0)
    assert bump(5, backed_up=True)
    assert not bump(5), "a replay"
    assert not bump(4), "a clone"
    assert not bump(0), "a counter that vanished"
    assert bump(2**32 - 1)
    with write(engine) as c:
        (found,) = auth.authenticators_of(c, user)
    assert (found.sign_count, found.backup_state) == (2**32 - 1, False)


def test_recovery_codes(engine: Engine, user: int, now: int) -> None:
    old = [("aa", b"1"), ("bb", b"2"), ("bb", b"3")]
    with write(engine) as c:
        auth.replace_recovery_codes(c, user, "lookup", "set1", old, now)
        auth.replace_recovery_codes(c, user, "saved", "saved1", [("zz", b"9")], now)
        (first,) = auth.recovery_codes_with_prefix(c, user, "aa")
        assert first.code_hash == b"1"
        assert "b'1'" not in repr(first)
        assert [x.code_hash for x in auth.recovery_codes_with_prefix(c, user, "bb")] == [b"2", b"3"]
        assert auth.recovery_codes_left(c, user) == 3
        assert not auth.use_recovery_code(c, user + 1, first.id, now), "somebody else's"
        assert auth.use_recovery_code(c, user, first.id, now)
        assert not auth.use_recovery_code(c, user, first.id, now)
        assert auth.recovery_codes_left(c, user) == 2
        assert auth.recovery_codes_with_prefix(c, user, "aa") == []
        (second, _) = auth.recovery_codes_with_prefix(c, user, "bb")
        auth.replace_recovery_codes(c, user, "lookup", "set2", [("cc", b"4")], now)
        assert not auth.use_recovery_code(c, user, second.id, now), "revoked by the new set"
        assert auth.recovery_codes_left(c, user) == 1
        assert auth.recovery_codes_left(c, user, "saved") == 1
        auth.replace_recovery_codes(c, user, "lookup", "none", [], now)
        assert auth.recovery_codes_left(c, user) == 0
