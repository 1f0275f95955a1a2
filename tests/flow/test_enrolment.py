"""Adding factors: who may, confirmed before it counts, once, told and audited."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyotp
import pytest
from sqlalchemy import update

from tests.flow.lab import DAY, HOUR, MINUTE, ORIGIN, PHONE, SECOND, Lab
from twofa_lab.errors import InputError
from twofa_lab.factors.passkeys import Kind
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow import binding
from twofa_lab.flow.answer import answer
from twofa_lab.flow.binding import StepUpNeededError
from twofa_lab.flow.enrolment import (
    add_phone,
    add_push,
    begin_passkey,
    begin_totp,
    confirm_totp,
    finish_passkey,
)
from twofa_lab.flow.own_factors import list_factors
from twofa_lab.flow.push_answers import proof_of_app, push_answer
from twofa_lab.flow.service import Flow
from twofa_lab.flow.sessions import SessionState, check, log_out
from twofa_lab.store import accounts, devices
from twofa_lab.store.engine import read, write
from twofa_lab.store.schema import authenticators as authenticators_table


def add_key(
    lab: Lab, session: str, kind: Kind = "passkey", *, synced: bool = True
) -> SoftAuthenticator:
    device = SoftAuthenticator(synced=synced)
    new = begin_passkey(lab.flow, session, kind)
    finish_passkey(lab.flow, session, new.ticket, device.register(new.options, ORIGIN), "mine")
    return device


def test_a_phone_becomes_a_factor_with_the_warning_nist_asks_for(both: Lab) -> None:
    session = both.sign_up()
    added = add_phone(both.flow, session)
    assert "takes over your number" in added.warning
    assert added.recovery_codes == ()
    step = both.strange_login()
    assert step.ask is not None
    assert step.ask.factor == "otp"
    done = answer(both.flow, step.ticket, both.code(PHONE))
    assert (done.status, done.session_level) == ("signed_in", 2)
    assert {letter.channel for letter in both.notices("factor_added")} == {"sms"}
    assert both.audit_holds()


def test_an_app_counts_once_a_code_was_typed_back_and_brings_recovery_codes(both: Lab) -> None:
    session = both.sign_up()
    new = begin_totp(both.flow, session)
    assert both.kinds() == []
    assert new.enrolment.uri.startswith("otpauth://totp/Example:ann?")
    app = pyotp.TOTP(new.enrolment.secret.base32)
    code = both.shown(app)
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    assert confirm_totp(both.flow, session, new.authenticator_id, wrong) is None
    assert both.kinds() == []
    added = confirm_totp(both.flow, session, new.authenticator_id, code)
    assert added is not None
    assert len(added.recovery_codes) == 10
    assert both.kinds() == ["totp"]
    assert len(both.notices("factor_added")) == 1
    assert len(both.notices("recovery_codes")) == 1
    seen = repr((new, added)) + repr(both.events())
    for secret in (new.enrolment.secret.base32, code, *added.recovery_codes):
        assert secret not in seen


def test_the_code_that_confirmed_an_app_signs_nobody_in(lab: Lab) -> None:
    _, app, codes = lab.enrol_app(lab.sign_up())
    code, results = lab.shown(app), []
    for wait in (0, 31 * SECOND, 30 * SECOND):  # the same code at 0, 31 and 61 s
        lab.wait(wait)
        step = lab.strange_login()
        results.append(answer(lab.flow, step.ticket, code).status)
    assert results == ["asked"] * 3
    step = lab.strange_login()
    assert answer(lab.flow, step.ticket, codes[0]).status == "signed_in"
    step = lab.strange_login()
    assert answer(lab.flow, step.ticket, codes[0]).status == "asked"


def test_one_confirmation_by_many_hands_happens_once(threads: Lab) -> None:
    session = threads.sign_up()
    new = begin_totp(threads.flow, session)
    code = threads.shown(pyotp.TOTP(new.enrolment.secret.base32))

    def confirm(_: int) -> bool:
        try:
            return confirm_totp(threads.flow, session, new.authenticator_id, code) is not None
        except InputError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(confirm, range(16))) == 1
    assert len(threads.events("factor_confirmed")) == 1
    assert len(threads.events("recovery_codes")) == 1


def test_five_wrong_codes_or_ten_minutes_end_an_enrolment(lab: Lab) -> None:
    session = lab.sign_up()
    new = begin_totp(lab.flow, session)
    app = pyotp.TOTP(new.enrolment.secret.base32)
    for _ in range(5):
        assert confirm_totp(lab.flow, session, new.authenticator_id, "12345x") is None
    with pytest.raises(InputError, match="too many wrong codes"):
        confirm_totp(lab.flow, session, new.authenticator_id, lab.shown(app))
    new = begin_totp(lab.flow, session)
    app = pyotp.TOTP(new.enrolment.secret.base32)
    lab.wait(10 * MINUTE + 1)
    with pytest.raises(InputError, match="begin again"):
        confirm_totp(lab.flow, session, new.authenticator_id, lab.shown(app))
    assert lab.kinds() == []


def test_an_app_is_confirmed_once(lab: Lab) -> None:
    session = lab.sign_up()
    one, app, _ = lab.enrol_app(session)
    raised = lab.step_up(session, app)
    lab.wait(30 * SECOND)
    with pytest.raises(InputError, match="no app to confirm"):
        confirm_totp(lab.flow, raised, one, lab.shown(app))


def test_beginning_again_voids_the_key_begun_before(lab: Lab) -> None:
    session = lab.sign_up()
    first = begin_totp(lab.flow, session)
    begin_totp(lab.flow, session)
    code = lab.shown(pyotp.TOTP(first.enrolment.secret.base32))
    with pytest.raises(InputError, match="no such factor"):
        confirm_totp(lab.flow, session, first.authenticator_id, code)


def test_an_app_for_approvals_is_enrolled_and_asked(lab: Lab) -> None:
    new = add_push(lab.flow, lab.sign_up())
    assert len(new.secret) == 32
    assert repr(new.secret) not in repr(new)
    step = lab.strange_login()
    assert step.ask is not None
    token, request = lab.outbox.pushes[-1]
    assert token == new.secret
    proof = proof_of_app(new.secret, request, step.ask.number, approved=True)
    assert push_answer(lab.flow, request, step.ask.number, proof, approved=True) == "approved"
    assert answer(lab.flow, step.ticket, "").status == "signed_in"


def changes(lab: Lab, session: str) -> None:
    """Every way to add a factor refuses this session."""
    for change in (add_phone, begin_totp, begin_passkey, add_push):
        with pytest.raises(StepUpNeededError):
            change(lab.flow, session)


def test_a_second_factor_has_to_be_shown_before_the_next_is_added(lab: Lab) -> None:
    session = lab.sign_up()
    _, app, _ = lab.enrol_app(session)
    changes(lab, session)
    raised = lab.step_up(session, app)
    add_phone(lab.flow, raised)
    assert lab.kinds() == ["totp", "otp"]
    # a login that was let in by a known device is AAL1 and adds nothing
    known = lab.login()
    assert known.session is not None
    changes(lab, known.session)


def test_what_was_proved_too_long_ago_adds_nothing(lab: Lab) -> None:
    session = lab.sign_up()
    lab.wait(DAY)
    begin_totp(lab.flow, session)  # AAL1, a day old to the millisecond
    lab.wait(1)
    changes(lab, session)
    lab.login()
    fresh = lab.login().session
    assert fresh is not None
    _, app, _ = lab.enrol_app(fresh)
    raised = lab.step_up(fresh, app)
    lab.wait(HOUR + 1)
    with pytest.raises(StepUpNeededError) as refused:
        add_phone(lab.flow, raised)
    assert refused.value.aal == 2


def test_no_session_no_change(lab: Lab) -> None:
    session = lab.sign_up()
    log_out(lab.flow, session)
    changes(lab, session)
    changes(lab, "made up")
    with pytest.raises(StepUpNeededError) as refused:
        list_factors(lab.flow, session)
    assert refused.value.aal == 0


def test_a_session_that_ends_meanwhile_changes_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = lab.sign_up()

    def and_log_out(flow: Flow, token: str) -> SessionState | None:
        state = check(flow, token)
        log_out(flow, token)
        return state

    monkeypatch.setattr(binding, "check", and_log_out)
    with pytest.raises(StepUpNeededError):
        add_phone(lab.flow, session)
    assert lab.stored() == []


def test_a_factor_guessed_at_until_it_stops_still_asks_for_aal2(lab: Lab) -> None:
    session = lab.sign_up()
    one, _, _ = lab.enrol_app(session)
    table = authenticators_table
    with write(lab.flow.engine) as c:
        stop = update(table).where(table.c.id == one)
        c.execute(stop.values(consecutive_failures=100, disabled_at=lab.now))
    assert lab.kinds() == []
    changes(lab, session)
    (shown,) = list_factors(lab.flow, session).factors
    assert not shown.usable


def test_a_locked_account_changes_nothing(lab: Lab) -> None:
    session = lab.sign_up()
    state = check(lab.flow, session)
    assert state is not None
    with write(lab.flow.engine) as c:
        accounts.set_status(c, state.user_id, "locked", was="active")
    with pytest.raises(InputError, match="locked"):
        add_phone(lab.flow, session)


def test_the_first_factor_ends_a_recovery(lab: Lab) -> None:
    session = lab.sign_up()
    state = check(lab.flow, session)
    assert state is not None
    with write(lab.flow.engine) as c:
        accounts.set_status(c, state.user_id, "recovery", was="active")
    new = begin_totp(lab.flow, session)
    assert check(lab.flow, session) == replace(state, enrol_only=True)
    app = pyotp.TOTP(new.enrolment.secret.base32)
    assert confirm_totp(lab.flow, session, new.authenticator_id, lab.shown(app)) is not None
    assert check(lab.flow, session) == state


def test_a_change_of_factors_voids_trust(lab: Lab) -> None:
    session = lab.sign_up()
    add_phone(lab.flow, session)
    step = lab.strange_login()
    done = answer(lab.flow, step.ticket, lab.code(PHONE), trust_device=True)
    assert done.session is not None
    assert done.device_token is not None
    state = check(lab.flow, done.session)
    assert state is not None
    with read(lab.flow.engine) as c:
        assert len(devices.trusted_devices_of(c, state.user_id, lab.now)) == 1
    add_key(lab, done.session)
    with read(lab.flow.engine) as c:
        assert devices.trusted_devices_of(c, state.user_id, lab.now) == []
    whys = [json.loads(detail) for _, detail in lab.events("device_revoked")]
    assert whys == [{"why": "change of factors"}]


def test_a_phone_is_enrolled_once(lab: Lab) -> None:
    session = lab.sign_up()
    add_phone(lab.flow, session)
    step = lab.strange_login()
    raised = answer(lab.flow, step.ticket, lab.code(PHONE)).session
    assert raised is not None
    with pytest.raises(InputError, match="already"):
        add_phone(lab.flow, raised)


def test_recovery_codes_are_kept_where_there_are_some(lab: Lab) -> None:
    session = lab.sign_up()
    _, app, codes = lab.enrol_app(session)
    assert len(codes) == 10
    raised = lab.step_up(session, app)
    lab.wait(30 * SECOND)
    _, _, more = lab.enrol_app(raised)
    assert more == ()
