"""A session proves a second factor: raised once, under a new token, the login history untouched."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pyotp
import pytest

from tests.flow.lab import DAY, HOUR, PASSWORD, PHONE, SECOND, Lab
from tests.flow.people import ANN, account_of, ann, set_columns
from twofa_lab.factors.totp import TotpSecret
from twofa_lab.flow import sessions
from twofa_lab.flow.answer import another_factor, answer
from twofa_lab.flow.codes_due import advance
from twofa_lab.flow.sessions import Proof, check, open_session
from twofa_lab.flow.step import Ticket
from twofa_lab.flow.step_up import answer_step_up, begin_step_up, confirm_password
from twofa_lab.risk.policy import Policy
from twofa_lab.store.engine import read, write
from twofa_lab.store.history import load_history

SEED = TotpSecret(b"12345678901234567890")
APP = pyotp.TOTP(SEED.base32)
WRONG = "a wrong horse"
PASSWORD_ONLY = Proof(1, ("pwd",))


@pytest.fixture
def seeded(both: Lab) -> Lab:
    """Ann has a phone and an authenticator app."""
    ann(both, totp=SEED)
    return both


def session_of(lab: Lab, proof: Proof = PASSWORD_ONLY) -> str:
    with write(lab.flow.engine) as c:
        return open_session(lab.flow, c, ANN, proof, "cookie", lab.now)


def asked(lab: Lab, session: str, **more: str) -> Ticket:
    step = begin_step_up(lab.flow, session, ip="192.0.2.1", **more)
    assert step.status == "asked"
    assert step.ticket is not None
    return step.ticket


def test_the_right_answer_raises_the_session_under_a_new_token(seeded: Lab) -> None:
    lab, session = seeded, session_of(seeded)
    with read(lab.flow.engine) as c:
        before = load_history(c, ANN, 0)
    lab.wait(HOUR)
    step = answer_step_up(lab.flow, asked(lab, session), lab.shown(APP))
    assert (step.status, step.session_level) == ("signed_in", 2)
    assert step.session is not None
    assert check(lab.flow, session) is None, "the former token is worth nothing (ASVS 7.2.4)"
    state = check(lab.flow, step.session)
    assert state is not None
    assert (state.aal, state.amr, state.created) == (2, ("pwd", "otp", "mfa"), lab.now)
    with read(lab.flow.engine) as c:
        assert load_history(c, ANN, 0) == before
    assert '"purpose":"step_up"' in lab.events("challenge")[0][1]
    assert '"what":"raised"' in lab.events("session")[-1][1]
    assert lab.audit_holds()


def test_a_wrong_answer_counts_as_one_at_login(seeded: Lab) -> None:
    lab = seeded
    ticket = asked(lab, session_of(lab))
    step = answer_step_up(lab.flow, ticket, "000000")
    assert step.status == "asked"
    assert step.ask is not None
    assert (step.ask.left, account_of(lab).factor_failures) == (4, 1)
    for _ in range(4):
        step = answer_step_up(lab.flow, ticket, "000000")
    assert step.status == "refused"
    assert answer_step_up(lab.flow, ticket, lab.shown(APP)).status == "refused"


def test_a_ticket_is_good_for_its_purpose_only(seeded: Lab) -> None:
    lab, session = seeded, session_of(seeded)
    assert answer(lab.flow, asked(lab, session), lab.shown(APP)).status == "refused"
    login = lab.login(device="new")
    assert login.ticket is not None
    assert answer_step_up(lab.flow, login.ticket, lab.shown(APP)).status == "refused"
    assert check(lab.flow, session) is not None


def test_another_factor_and_its_fallback_stay_a_step_up(seeded: Lab) -> None:
    lab, session = seeded, session_of(seeded)
    other = another_factor(lab.flow, asked(lab, session), "otp", "192.0.2.1")
    assert other.ticket is not None
    assert other.ask is not None
    assert other.ask.factor == "otp"
    lab.wait(30 * SECOND)
    assert advance(lab.flow, other.ticket).status == "asked"
    step = answer_step_up(lab.flow, other.ticket, lab.code(PHONE))
    assert step.session is not None
    state = check(lab.flow, step.session)
    assert state is not None
    assert state.amr == ("pwd", "otp", "sms", "mca", "mfa")


def test_a_session_that_ended_is_neither_asked_nor_raised(seeded: Lab) -> None:
    lab, session = seeded, session_of(seeded)
    parked = asked(lab, session)
    assert sessions.log_out(lab.flow, session)
    step = answer_step_up(lab.flow, parked, lab.shown(APP))
    assert (step.status, step.session) == ("refused", None)
    assert begin_step_up(lab.flow, session).status == "refused"
    assert begin_step_up(lab.flow, "never was one").status == "refused"


def test_without_a_factor_there_is_nothing_to_ask(lab: Lab) -> None:
    ann(lab, otp=False)
    set_columns(lab, phone=None)
    step = begin_step_up(lab.flow, session_of(lab))
    assert step.status == "refused"
    assert "Enrol" in step.public()["text"]


def test_a_waiting_or_locked_account_is_not_asked(seeded: Lab) -> None:
    lab, session = seeded, session_of(seeded)
    set_columns(lab, factor_wait_until=lab.now + 1)
    assert begin_step_up(lab.flow, session).retry_ms == lab.now + 1
    set_columns(lab, factor_failures=100)
    assert begin_step_up(lab.flow, session).status == "refused"
    set_columns(lab, factor_failures=0, factor_wait_until=0, status="locked")
    assert begin_step_up(lab.flow, session).status == "refused"


def test_past_the_window_the_password_is_proved_again(seeded: Lab) -> None:
    """NIST SP 800-63B-4 2.2.3: one factor renews a session within its window, not past it."""
    lab, session = seeded, session_of(seeded)
    lab.wait(DAY)
    asked(lab, session)
    lab.wait(1)
    assert begin_step_up(lab.flow, session).status == "refused"
    assert begin_step_up(lab.flow, session, password=WRONG).status == "refused"
    ticket = asked(lab, session, password=PASSWORD)
    assert answer_step_up(lab.flow, ticket, lab.shown(APP)).session_level == 2


def test_a_stolen_session_waits_after_wrong_passwords(seeded: Lab) -> None:
    lab = seeded
    for _ in range(10):
        assert not confirm_password(lab.flow, ANN, WRONG).right
    assert confirm_password(lab.flow, ANN, PASSWORD) == (False, lab.now + 30 * SECOND)
    session = session_of(lab)
    lab.wait(DAY + 1)
    for _ in range(20):
        step = begin_step_up(lab.flow, session, password=WRONG)
    assert step.status == "wait"
    assert not confirm_password(lab.flow, 999, PASSWORD).right


def test_a_passkey_session_gains_no_password_it_never_saw(seeded: Lab) -> None:
    lab = seeded
    session = session_of(lab, Proof(2, ("swk", "user", "mfa")))
    step = answer_step_up(lab.flow, asked(lab, session), lab.shown(APP))
    assert step.session is not None
    state = check(lab.flow, step.session)
    assert state is not None
    assert state.amr == ("swk", "user", "mfa", "otp")


def test_two_answers_at_once_raise_once(threads: Lab) -> None:
    ann(threads, totp=SEED)
    lab = threads.with_rules(policy=Policy.risk_based().model_copy(update={"max_attempts": 5}))
    session = session_of(lab)
    tickets, start = [asked(lab, session) for _ in range(2)], threading.Barrier(4)
    code = lab.shown(APP)

    def act(number: int) -> str:
        start.wait()
        return answer_step_up(lab.flow, tickets[number % 2], code).status

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(act, range(4)))
    assert won.count("signed_in") == 1
