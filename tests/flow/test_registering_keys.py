"""Registering passkeys and hardware keys: looked at once, by the account that began."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flow.lab import MINUTE, ORIGIN, Lab
from twofa_lab.errors import InputError
from twofa_lab.factors.passkey_refusals import CeremonyError
from twofa_lab.factors.passkeys import Kind
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow.answer import answer
from twofa_lab.flow.enrolment import (
    begin_passkey,
    finish_passkey,
)


@pytest.mark.parametrize(
    ("kind", "synced", "codes"), [("passkey", True, 0), ("hardware_key", False, 10)]
)
def test_a_key_is_registered_and_signs_in(both: Lab, kind: Kind, synced: bool, codes: int) -> None:
    session = both.sign_up()
    device = SoftAuthenticator(synced=synced)
    new = begin_passkey(both.flow, session, kind)
    response = device.register(new.options, ORIGIN)
    added = finish_passkey(both.flow, session, new.ticket, response)
    assert len(added.recovery_codes) == codes
    (one,) = both.stored()
    assert (one.kind, one.backup_eligible, one.user_verified) == (kind, synced, True)
    assert one.transports == ("hybrid internal" if synced else "usb")
    assert one.aaguid == "00000000-0000-0000-0000-000000000000"
    assert one.label.endswith("(synced)" if synced else "(device-bound)")
    step = both.strange_login()
    assert step.ask is not None
    assert step.ask.factor == kind
    done = answer(both.flow, step.ticket, device.authenticate(step.ask.options, ORIGIN))
    assert (done.status, done.session_level) == ("signed_in", 2)


def test_a_registration_is_looked_at_once_whatever_comes(lab: Lab) -> None:
    session = lab.sign_up()
    device = SoftAuthenticator(synced=True)
    new = begin_passkey(lab.flow, session)
    good = device.register(new.options, ORIGIN)
    with pytest.raises(CeremonyError):
        finish_passkey(lab.flow, session, new.ticket, "{}")
    with pytest.raises(InputError, match="is over"):
        finish_passkey(lab.flow, session, new.ticket, good)
    assert lab.kinds() == []


def test_one_registration_by_many_hands_binds_once(threads: Lab) -> None:
    session = threads.sign_up()
    new = begin_passkey(threads.flow, session)
    response = SoftAuthenticator(synced=True).register(new.options, ORIGIN)

    def finish(_: int) -> bool:
        try:
            finish_passkey(threads.flow, session, new.ticket, response)
        except InputError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(finish, range(16))) == 1
    assert len(threads.stored()) == 1


def test_a_registration_belongs_to_the_account_that_began(lab: Lab) -> None:
    ann = lab.sign_up("ann")
    bob = lab.sign_up("bob", "+447400123457")
    new = begin_passkey(lab.flow, ann)
    response = SoftAuthenticator(synced=True).register(new.options, ORIGIN)
    with pytest.raises(InputError, match="another account"):
        finish_passkey(lab.flow, bob, new.ticket, response)
    stranger = new.ticket._replace(secret="guessed")  # noqa: S106
    new = begin_passkey(lab.flow, ann)
    with pytest.raises(InputError, match="is over"):
        finish_passkey(lab.flow, ann, stranger, response)


def test_a_phished_or_late_registration_binds_nothing(lab: Lab) -> None:
    session = lab.sign_up()
    device = SoftAuthenticator(synced=True)
    new = begin_passkey(lab.flow, session)
    foreign = device.register(new.options, "https://examp1e.com", check_origin=False)
    with pytest.raises(CeremonyError):
        finish_passkey(lab.flow, session, new.ticket, foreign)
    new = begin_passkey(lab.flow, session)
    late = device.register(new.options, ORIGIN)
    lab.wait(5 * MINUTE + 1)
    with pytest.raises(InputError, match="is over"):
        finish_passkey(lab.flow, session, new.ticket, late)
    assert lab.stored() == []


def test_a_synced_key_is_no_hardware_key(lab: Lab) -> None:
    session = lab.sign_up()
    new = begin_passkey(lab.flow, session, "hardware_key")
    response = SoftAuthenticator(synced=True).register(new.options, ORIGIN)
    with pytest.raises(CeremonyError):
        finish_passkey(lab.flow, session, new.ticket, response)


@given(st.text(max_size=300))
def test_any_answer_to_a_registration_is_refused(fresh_key: tuple[Lab, str], text: str) -> None:
    lab, session = fresh_key
    new = begin_passkey(lab.flow, session)
    with pytest.raises(CeremonyError):
        finish_passkey(lab.flow, session, new.ticket, text)
    assert lab.stored() == []


@pytest.fixture(scope="module")
def fresh_key(fresh: object) -> tuple[Lab, str]:
    assert callable(fresh)
    lab = fresh()
    assert isinstance(lab, Lab)
    return lab, lab.sign_up()
