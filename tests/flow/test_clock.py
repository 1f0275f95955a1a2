"""The server's clock steps back, jumps ahead, or differs between two servers by up to 90 seconds.

What was issued more than 90 seconds "in the future" is refused, so that a clock set back lengthens
no life; what a clock that was ahead brought about stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.flow.entering import APP, PUSH_SECRET, SEED, WRONG, approve, asked, key_of
from tests.flow.lab import DAY, HOUR, MINUTE, ORIGIN, PHONE, SECOND, Lab, sign_up_of
from tests.flow.people import ANN, account_of, ann, give_saved_code, mailed, set_columns
from tests.flow.test_trust import TRUSTING
from twofa_lab.errors import InputError
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow import sessions, support
from twofa_lab.flow.addresses import begin_email, verify_email
from twofa_lab.flow.answer import answer
from twofa_lab.flow.enrolment import begin_passkey, begin_totp, confirm_totp, finish_passkey
from twofa_lab.flow.login import Request
from twofa_lab.flow.recovery import begin_recovery, finish_recovery, prove
from twofa_lab.flow.sessions import Proof, open_session
from twofa_lab.flow.sign_up import begin_sign_up, verify_phone
from twofa_lab.flow.step_up import answer_step_up, begin_step_up
from twofa_lab.flow.usernameless import begin_passkey_login, finish_passkey_login
from twofa_lab.store.engine import write

Use = Callable[[], bool]
"""Uses what was issued; whether it held."""

STEP = 30 * SECOND


def session_of(lab: Lab, proof: Proof = Proof(2, ("pwd", "otp", "mfa"))) -> str:  # noqa: B008
    with write(lab.flow.engine) as c:
        return open_session(lab.flow, c, ANN, proof, "cookie", lab.now)


def holds(act: Callable[[], object]) -> bool:
    try:
        return act() is not None
    except InputError:
        return False


def app_at_login(lab: Lab) -> Use:
    ann(lab, totp=SEED)
    ticket, _ = asked(lab.login())
    return lambda: answer(lab.flow, ticket, lab.shown(APP)).status == "signed_in"


def step_up(lab: Lab) -> Use:
    ann(lab, totp=SEED)
    ticket, _ = asked(begin_step_up(lab.flow, session_of(lab)))
    return lambda: answer_step_up(lab.flow, ticket, lab.shown(APP)).status == "signed_in"


def step_up_without_password(lab: Lab) -> Use:
    ann(lab, totp=SEED)
    session = session_of(lab, Proof(1, ("pwd",)))
    return lambda: begin_step_up(lab.flow, session).status == "asked"


def sign_up(lab: Lab) -> Use:
    ticket, _ = asked(begin_sign_up(lab.flow, sign_up_of()))
    code = lab.code(PHONE, 0) if lab.exchange.inbox(lab.reachable(PHONE)) else None
    lab.wait(5 * SECOND)
    code = code or lab.code(PHONE, 0)
    lab.wait(-5 * SECOND)
    return lambda: verify_phone(lab.flow, ticket, code).status == "signed_in"


def address(lab: Lab) -> Use:
    ann(lab, email=None)
    ticket, _ = asked(begin_email(lab.flow, session_of(lab), "ann@example.com"))
    return lambda: verify_email(lab.flow, ticket, mailed(lab, "code")).status == "done"


def new_app(lab: Lab) -> Use:
    ann(lab, otp=False)
    session = session_of(lab)
    new = begin_totp(lab.flow, session)
    with write(lab.flow.engine) as c:
        c.exec_driver_sql("update sessions set created = created - 600000")
    app = lambda: new.enrolment.secret  # noqa: E731
    return lambda: holds(
        lambda: confirm_totp(lab.flow, session, new.authenticator_id, _shown(lab, app().base32))
    )


def _shown(lab: Lab, secret: str) -> str:
    import pyotp

    return lab.shown(pyotp.TOTP(secret))


def new_key(lab: Lab) -> Use:
    ann(lab, otp=False)
    session = session_of(lab)
    new = begin_passkey(lab.flow, session)
    response = SoftAuthenticator(synced=True).register(new.options, ORIGIN)
    with write(lab.flow.engine) as c:
        c.exec_driver_sql("update sessions set created = created - 600000")
    return lambda: holds(lambda: finish_passkey(lab.flow, session, new.ticket, response))


def change_of_factors(lab: Lab) -> Use:
    """An account without a factor: its AAL1 session may enrol one within a day."""
    ann(lab, otp=False)
    session = session_of(lab, Proof(1, ("pwd",)))
    return lambda: holds(lambda: begin_totp(lab.flow, session))


def raised_level(lab: Lab) -> Use:
    ann(lab)
    session = session_of(lab)

    def use() -> bool:
        state = sessions.check(lab.flow, session)
        return state is not None and state.aal == 2

    return use


def trusted_device(lab: Lab) -> Use:
    ann(lab, totp=SEED)
    ticket, _ = asked(lab.login())
    token = answer(lab.flow, ticket, lab.shown(APP), trust_device=True).device_token
    assert token is not None
    return lambda: lab.login(device_token=token).status == "signed_in"


def passkey_alone(lab: Lab) -> Use:
    device = SoftAuthenticator(synced=True)
    ann(lab, otp=False, keys=(key_of(lab, device),))
    begun = begin_passkey_login(lab.flow)
    response = device.authenticate(begun.options, ORIGIN)
    here = Request("", "")
    return lambda: (
        finish_passkey_login(lab.flow, begun.ticket, response, here).status == "signed_in"
    )


def recovery(lab: Lab) -> Use:
    ann(lab, created=lab.now - DAY)
    set_columns(lab, password_changed_at=0)
    saved = give_saved_code(lab)
    request = begin_recovery(lab.flow, "ann")
    for kind, typed in (("email", mailed(lab, "recovery_code")), ("saved", saved)):
        request = prove(lab.flow, request, kind, typed).request or ""  # type: ignore[arg-type]
    return lambda: holds(lambda: finish_recovery(lab.flow, request, "a better horse").session)


def _requested(lab: Lab, action: str) -> int:
    given = {"reason": "locked_out", "evidence": "document_by_video", "case": "C-1"}
    return support.request(lab.flow, "agent.one", ANN, action, **given)  # type: ignore[arg-type]


def support_request(lab: Lab) -> Use:
    ann(lab)
    number = _requested(lab, "unlock")
    return lambda: support.approve(lab.flow, "agent.two", number)


def support_approval(lab: Lab) -> Use:
    ann(lab)
    number = _requested(lab, "recover")
    assert support.approve(lab.flow, "agent.two", number)
    return lambda: holds(lambda: support.perform(lab.flow, "agent.one", number))


def support_proof(lab: Lab) -> Use:
    ann(lab)
    number = _requested(lab, "recover")
    assert support.approve(lab.flow, "agent.two", number)
    support.perform(lab.flow, "agent.one", number)
    set_columns(lab, password_changed_at=0)

    def use() -> bool:
        begun = begin_recovery(lab.flow, "ann")
        request = prove(lab.flow, begun, "email", mailed(lab, "recovery_code")).request
        return finish_recovery(lab.flow, request or "", "a better horse").session is not None

    return use


LIVES = [
    app_at_login, step_up, step_up_without_password, sign_up, address, new_app, new_key,
    change_of_factors, raised_level, trusted_device, passkey_alone, recovery, support_request,
    support_approval, support_proof,
]  # fmt: skip


@pytest.mark.parametrize("back", [90 * SECOND, 91 * SECOND, DAY])
@pytest.mark.parametrize("issue", LIVES, ids=lambda issue: issue.__name__)
def test_no_life_is_longer_after_the_clock_stepped_back(
    lab: Lab, issue: Callable[[Lab], Use], back: int
) -> None:
    lab = lab.with_rules(policy=TRUSTING)
    use = issue(lab)
    lab.wait(-back)
    assert use() == (back <= 90 * SECOND)


@pytest.mark.parametrize("issue", LIVES, ids=lambda issue: issue.__name__)
def test_a_clock_that_jumps_ahead_ends_lives_and_opens_nothing(
    lab: Lab, issue: Callable[[Lab], Use]
) -> None:
    lab = lab.with_rules(policy=TRUSTING)
    use = issue(lab)
    lab.wait(31 * DAY)
    assert not use()


def test_a_jump_ahead_and_back_gives_no_guess_and_no_second_use(lab: Lab) -> None:
    """Waits end early while the clock is ahead, which no server can know; nothing that was counted
    or spent comes back."""
    ann(lab, totp=SEED, otp=False)
    lab = lab.with_rules(policy=TRUSTING)
    for _ in range(2):
        ticket, _ = asked(lab.login())
        for _ in range(5):
            answer(lab.flow, ticket, WRONG)
    assert lab.login().status == "wait"
    lab.wait(DAY)
    ticket, _ = asked(lab.login())
    answer(lab.flow, ticket, WRONG)
    assert account_of(lab).factor_failures == 11
    lab.wait(-DAY)
    assert lab.login().status == "wait", "the wait is that of the clock that was ahead"
    lab.wait(DAY + HOUR)
    ticket, _ = asked(lab.login())
    code = lab.shown(APP)
    assert answer(lab.flow, ticket, code).status == "signed_in"
    for back in (STEP, MINUTE, DAY):
        lab.wait(-back)
        ticket, _ = asked(lab.login())
        assert answer(lab.flow, ticket, code).status == "asked"
        assert answer(lab.flow, ticket, lab.shown(APP)).status == "asked"
        lab.wait(back)


@pytest.mark.parametrize("apart", [90 * SECOND, -90 * SECOND])
def test_servers_ninety_seconds_apart_serve_one_login(both: Lab, apart: int) -> None:
    """One opens the challenge, the other takes the answer; what is counted or spent at one is so at
    the other."""
    here = both.with_rules(policy=TRUSTING)
    there = replace(
        here, flow=replace(here.flow, clock=lambda: here.now + apart), time=[here.now + apart]
    )
    ann(here, totp=SEED, push=PUSH_SECRET)
    ticket, page = asked(here.login())
    assert page.factor == "push"
    assert approve(here, ticket, page.number) == "approved"
    in_time = apart < 0  # a push request lives a minute, which the other clock says is over
    assert (answer(there.flow, ticket, "").status == "signed_in") == in_time
    ann(here, user_id=6, name="bob", phone="+447400123457", totp=SEED, otp=False)
    ticket, _ = asked(here.login("bob"))
    for server in (here, there):
        assert answer(server.flow, ticket, WRONG).status == "asked"
    assert account_of(here, 6).factor_failures == 2
    code = APP.at(here.now // 1000)
    assert answer(here.flow, ticket, code).status == "signed_in"
    for server in (there, here):
        ticket, _ = asked(server.login("bob"))
        assert answer(server.flow, ticket, code).status == "asked", "once, whichever is asked"
    state = sessions.check(there.flow, session_of(here))
    assert state is not None
    assert state.aal == 2


@pytest.mark.parametrize(("late", "status"), [(0, "signed_in"), (1, "asked")])
def test_without_a_window_an_app_code_lives_thirty_seconds(
    lab: Lab, late: int, status: str
) -> None:
    """ASVS 6.5.5 to the letter, at the price of phones that are off."""
    ann(lab, totp=SEED, otp=False)
    lab = lab.with_rules(policy=TRUSTING, rules=replace(lab.flow.rules, totp_window=0))
    lab.time[0] -= lab.now % STEP
    ticket, _ = asked(lab.login())
    code = lab.shown(APP)
    lab.wait(STEP - 1 + late)
    assert answer(lab.flow, ticket, code).status == status
