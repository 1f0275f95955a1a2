"""The second step: what counts, what is refused, what a right answer is worth, and how often."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flow.entering import (
    APP,
    SEED,
    WRONG,
    Equipped,
    asked,
    challenge_of,
    prefer,
    under,
)
from tests.flow.lab import HOUR, MINUTE, PHONE, SECOND, Lab
from tests.flow.people import ANN, account_of, ann, another, set_columns
from twofa_lab.errors import InputError
from twofa_lab.factors import recovery_codes
from twofa_lab.factors.typed import digits_of
from twofa_lab.flow.answer import another_factor, answer, leave
from twofa_lab.flow.codes_due import resend
from twofa_lab.flow.step import Step, Ticket
from twofa_lab.store.authenticators import authenticators_of
from twofa_lab.store.engine import read

STEP = 30 * SECOND


@pytest.fixture
def app_only(lab: Lab) -> Lab:
    """Ann with an authenticator app, asked at every login."""
    ann(lab, totp=SEED, otp=False)
    return under(lab)


def left(step: Step) -> int:
    return asked(step)[1].left


# -- counting --------------------------------------------------------------------------------------


def test_five_attempts_a_challenge(both: Lab) -> None:
    """The right code after five wrong ones is too late; after four it is not."""
    lab = both
    ann(lab)
    ticket, page = asked(lab.strange_login())
    code = lab.code(PHONE)
    assert page.left == 5
    steps = [answer(lab.flow, ticket, another(code)) for _ in range(5)]
    assert [left(step) for step in steps[:4]] == [4, 3, 2, 1]
    assert (steps[4].status, steps[4].record.outcome) == ("refused", "failed")
    assert answer(lab.flow, ticket, code).status == "refused"
    ticket, _ = asked(lab.strange_login())
    code = lab.code(PHONE)
    for _ in range(4):
        answer(lab.flow, ticket, another(code))
    assert answer(lab.flow, ticket, code).status == "signed_in"


def test_neither_a_resend_nor_a_new_session_gives_attempts_back(lab: Lab) -> None:
    """NIST SP 800-63B-4 3.1.3.2: a new code does not reset the failures."""
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    answer(lab.flow, ticket, WRONG)
    lab.wait(90 * SECOND)
    assert left(resend(lab.flow, ticket)) == 4
    assert left(answer(lab.flow, ticket, WRONG)) == 3
    assert account_of(lab).factor_failures == 2
    other, _ = asked(lab.strange_login())
    assert left(answer(lab.flow, other, WRONG)) == 4
    assert account_of(lab).factor_failures == 3
    assert left(resend(lab.flow, ticket)) == 3, "and the other session's are its own"


def test_a_resend_keeps_code_and_expiry(lab: Lab) -> None:
    ann(lab)
    lab.reachable(PHONE, {"sms": 20})
    lab.carrier.script(lab.reachable(PHONE), {"sms": 20}, resend_ds=20)
    ticket, _ = asked(lab.strange_login())
    before, code = challenge_of(lab, ticket), lab.code(PHONE)
    lab.wait(90 * SECOND)
    resend(lab.flow, ticket)
    after = challenge_of(lab, ticket)
    assert lab.code(PHONE) == code
    assert (after.expires, after.expected) == (before.expires, before.expected)


def test_codes_wait_before_anything_is_locked(app_only: Lab) -> None:
    """ASVS 6.1.1, 6.3.1: ten failures over two challenges, then 30 s, doubling to an hour; a lock
    only at a hundred, and that for good (NIST SP 800-63B-4 3.2.2)."""
    lab = app_only
    waits, wrong = [], 0
    while (step := lab.login()).status != "refused":
        if step.status == "wait":
            waits.append((step.retry_ms or 0) - lab.now)
            lab.time[0] = step.retry_ms or 0
            continue
        ticket, _ = asked(step)
        while step.status == "asked":
            step = answer(lab.flow, ticket, WRONG)
            wrong += 1
    assert wrong == account_of(lab).factor_failures == 100
    assert waits[:8] == [STEP << n for n in range(7)] + [HOUR]
    assert set(waits[8:]) == {HOUR}
    assert len(waits) == 90, "one code each, once codes wait"
    assert step.record.outcome == "locked"
    lab.wait(1_000 * HOUR)
    assert lab.login().record.outcome == "locked", "time opens no lock"
    assert len(lab.notices("locked")) >= 1


def test_an_open_challenge_takes_no_answer_while_codes_wait(app_only: Lab) -> None:
    lab = app_only
    parked, _ = asked(lab.login())
    for _ in range(2):
        ticket, _ = asked(lab.login())
        for _ in range(5):
            answer(lab.flow, ticket, WRONG)
    step = answer(lab.flow, parked, lab.shown(APP))
    assert (step.status, step.record.outcome) == ("refused", "failed")
    assert account_of(lab).factor_failures == 10, "what is refused is not counted"


def test_a_locked_account_takes_no_answer(app_only: Lab) -> None:
    lab = app_only
    ticket, _ = asked(lab.login())
    set_columns(lab, status="locked")
    step = answer(lab.flow, ticket, lab.shown(APP))
    assert (step.status, step.record.outcome) == ("refused", "locked")


def test_a_stopped_authenticator_takes_no_answer(app_only: Lab) -> None:
    """NIST SP 800-63B-4 3.2.2: at 100 consecutive failures of its own it is disabled."""
    lab = app_only
    with lab.flow.engine.begin() as c:
        c.exec_driver_sql("update authenticators set consecutive_failures = 99")
    ticket, _ = asked(lab.login())
    answer(lab.flow, ticket, WRONG)
    with read(lab.flow.engine) as c:
        (app,) = [one for one in authenticators_of(c, ANN) if one.kind == "totp"]
    assert (app.usable, app.disabled_at) == (False, lab.now)
    assert answer(lab.flow, ticket, lab.shown(APP)).status == "refused"
    assert lab.login().record.outcome == "abandoned", "nothing is left to ask for"


def test_only_a_verified_factor_forgives(app_only: Lab) -> None:
    lab = app_only
    ticket, _ = asked(lab.login())
    for _ in range(3):
        answer(lab.flow, ticket, WRONG)
    leave(lab.flow, ticket)
    assert account_of(lab).factor_failures == 3
    ticket, _ = asked(lab.login())
    assert answer(lab.flow, ticket, lab.shown(APP)).status == "signed_in"
    assert account_of(lab).factor_failures == 0


@given(st.text(max_size=20))
def test_what_can_be_no_answer_is_handed_back_uncounted(fresh: Any, typed: str) -> None:
    """Six digits or a recovery code count; any other text costs nothing and ends nothing."""
    lab: Lab = fresh()
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    counts = digits_of(typed, 6) is not None or recovery_codes.parse(typed) is not None
    answer(lab.flow, ticket, typed)
    assert challenge_of(lab, ticket).attempts == int(counts)
    assert account_of(lab).factor_failures == int(counts)


@pytest.mark.parametrize("typed", ["", " ", "12345", "1234567", "12345a", "{}", "x" * 100_000])
def test_malformed_text_leaves_the_challenge_as_it_was(app_only: Lab, typed: str) -> None:
    lab = app_only
    ticket, _ = asked(lab.login())
    assert left(answer(lab.flow, ticket, typed)) == 5
    assert lab.events("attempt") == []
    assert answer(lab.flow, ticket, lab.shown(APP)).status == "signed_in"


# -- whose, when, once -----------------------------------------------------------------------------


def test_a_challenge_is_answered_by_the_request_that_opened_it_only(both: Lab) -> None:
    """ASVS 6.6.2: the challenge's id and the right code are not enough."""
    lab = both
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    code = lab.code(PHONE)
    for forged in (ticket._replace(secret=lab.flow.token()), Ticket("never", ticket.secret)):
        assert answer(lab.flow, forged, code).status == "refused"
        assert leave(lab.flow, forged).status == "refused"
        assert another_factor(lab.flow, forged).status == "refused"
        assert resend(lab.flow, forged).status == "refused"
    assert challenge_of(lab, ticket).attempts == 0
    assert answer(lab.flow, ticket, code).status == "signed_in"


def test_a_code_is_good_for_its_own_challenge_only(lab: Lab) -> None:
    ann(lab)
    first, _ = asked(lab.strange_login())
    code = lab.code(PHONE)
    second, _ = asked(lab.strange_login())
    assert lab.code(PHONE) != code
    assert answer(lab.flow, second, code).status == "asked"
    assert answer(lab.flow, first, code).status == "signed_in"


def test_a_code_is_accepted_once(both: Lab) -> None:
    """ASVS 6.5.1."""
    lab = both
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    code = lab.code(PHONE)
    done = answer(lab.flow, ticket, code)
    assert done.status == "signed_in"
    again = answer(lab.flow, ticket, code)
    assert (again.status, again.session, again.record.outcome) == ("refused", None, None)
    assert account_of(lab).factor_failures == 0


@pytest.mark.parametrize("text", ["", "x", ".", "a.", ".b", "a." + "b" * 200])
def test_what_is_no_ticket(text: str) -> None:
    with pytest.raises(InputError, match="no ticket"):
        Ticket.read(text)


def test_a_ticket_as_the_page_carries_it(lab: Lab) -> None:
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    assert Ticket.read(ticket.text) == ticket
    assert ticket.secret not in repr(ticket)


@pytest.mark.parametrize(("late", "status"), [(0, "signed_in"), (1, "refused")])
def test_a_code_lives_ten_minutes_to_the_millisecond(both: Lab, late: int, status: str) -> None:
    """NIST SP 800-63B-4 3.1.3.2, ASVS 6.5.5."""
    lab = both
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    shown, code = lab.now, lab.code(PHONE)
    lab.time[0] = shown + 10 * MINUTE + late
    assert answer(lab.flow, ticket, code).status == status


@pytest.mark.parametrize(("back", "let_in"), [(90 * SECOND, True), (91 * SECOND, False)])
@pytest.mark.parametrize("factor", ["otp", "push", "passkey", "hardware_key"])
def test_a_clock_that_steps_back_lengthens_no_life(
    lab: Lab, factor: str, back: int, let_in: bool
) -> None:
    """90 s are forgiven, for two servers differ; past that what is of the future is void."""
    mine = Equipped.of(lab)
    prefer(lab, factor)
    ticket, page = asked(under(lab).login())
    assert page.factor == factor
    opened = lab.now
    typed = mine.typed(ticket, page) if factor != "push" else ""
    lab.time[0] = opened - back
    if factor == "push":
        typed = mine.typed(ticket, page)
    step = answer(under(lab).flow, ticket, typed)
    assert (step.status == "signed_in") == let_in


def test_a_clock_that_steps_back_reopens_no_app_code(app_only: Lab) -> None:
    lab = app_only
    ticket, _ = asked(lab.login())
    code, at = lab.shown(APP), lab.now
    assert answer(lab.flow, ticket, code).status == "signed_in"
    for back in (0, STEP, 2 * STEP, 10 * STEP):
        lab.time[0] = at - back
        ticket, _ = asked(lab.login())
        for typed in {code, lab.shown(APP)}:
            assert answer(lab.flow, ticket, typed).status == "asked"
        leave(lab.flow, ticket)
    lab.time[0] = at + STEP
    ticket, _ = asked(lab.login())
    assert answer(lab.flow, ticket, lab.shown(APP)).status == "signed_in"
