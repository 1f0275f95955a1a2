"""An e-mail address is the account's once its code was typed, and serves for notices only."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from tests.flow.lab import MINUTE, PHONE, Lab, Letter
from twofa_lab.errors import InputError
from twofa_lab.flow.addresses import begin_email, verify_email
from twofa_lab.flow.answer import answer
from twofa_lab.flow.binding import StepUpNeededError
from twofa_lab.flow.own_factors import list_factors
from twofa_lab.flow.step import Step
from twofa_lab.store import accounts
from twofa_lab.store.engine import read


def email_of(lab: Lab) -> str | None:
    with read(lab.flow.engine) as c:
        account = accounts.account_by_name(c, "ann")
    assert account is not None
    return accounts.email_of(lab.flow.keyring, account)


def mailed(letters: Sequence[Letter]) -> str:
    found = re.search(r"\b\d{6}\b", letters[-1].text)
    assert found is not None
    return found[0]


def validated(lab: Lab, session: str, address: str) -> Step:
    step = begin_email(lab.flow, session, address)
    assert step.ticket is not None
    return verify_email(lab.flow, step.ticket, mailed(lab.outbox.letters))


def test_an_address_is_kept_once_its_code_came_back(both: Lab) -> None:
    session = both.sign_up()
    step = begin_email(both.flow, session, "Ann@Example.com")
    assert step.ask is not None
    assert (step.status, step.ask.masked) == ("asked", "A•••@example.com")
    assert both.outbox.letters[-1][:3] == ("email", "Ann@example.com", "code")
    code = mailed(both.outbox.letters)
    wrong = verify_email(both.flow, step.ticket, f"{(int(code) + 1) % 10**6:06d}")
    assert wrong.ask is not None
    assert (wrong.ask.left, email_of(both)) == (4, None)
    assert verify_email(both.flow, step.ticket, code).status == "done"
    assert email_of(both) == "Ann@example.com"
    assert verify_email(both.flow, step.ticket, code).status == "refused"
    assert {letter.to for letter in both.notices("email_changed")} == {PHONE, "Ann@example.com"}
    assert "Ann@example.com" not in repr(both.events())
    assert code not in repr(both.events())


def test_the_old_address_hears_of_the_new_one(lab: Lab) -> None:
    session = lab.sign_up()
    validated(lab, session, "old@example.com")
    validated(lab, session, "new@example.com")
    told = [letter.to for letter in lab.notices("email_changed")]
    assert told == ["old@example.com", PHONE, "old@example.com", "new@example.com", PHONE]


def test_an_address_is_no_second_factor(lab: Lab) -> None:
    session = lab.sign_up()
    validated(lab, session, "ann@example.com")
    assert list_factors(lab.flow, session).factors == ()
    _, _, codes = lab.enrol_app(session)
    step = lab.strange_login()
    assert step.ask is not None
    assert step.ask.others == ()
    # nor does a recovery code validate an address, or a code by e-mail open a login
    raised = answer(lab.flow, step.ticket, codes[0]).session
    assert raised is not None
    asked = begin_email(lab.flow, raised, "new@example.com")
    again = verify_email(lab.flow, asked.ticket, codes[1])
    assert again.ask is not None
    assert again.ask.left == 5
    assert answer(lab.flow, asked.ticket, mailed(lab.outbox.letters)).status == "refused"


def test_a_code_is_dead_after_ten_minutes(lab: Lab) -> None:
    step = begin_email(lab.flow, lab.sign_up(), "ann@example.com")
    lab.wait(10 * MINUTE + 1)
    assert verify_email(lab.flow, step.ticket, mailed(lab.outbox.letters)).status == "refused"
    assert email_of(lab) is None


def test_an_address_is_not_flooded(lab: Lab) -> None:
    session = lab.sign_up()
    for _ in range(3):
        begin_email(lab.flow, session, "ann@example.com")
    with pytest.raises(InputError, match="wait ten minutes"):
        begin_email(lab.flow, session, "ANN@example.com")
    with pytest.raises(InputError, match="wait ten minutes"):  # nor are many
        begin_email(lab.flow, session, "other@example.com")
    lab.wait(10 * MINUTE)
    assert begin_email(lab.flow, session, "ann@example.com").status == "asked"


def test_a_password_alone_changes_no_address(lab: Lab) -> None:
    lab.enrol_app(lab.sign_up())
    known = lab.login().session
    assert known is not None
    with pytest.raises(StepUpNeededError):
        begin_email(lab.flow, known, "eve@example.com")
