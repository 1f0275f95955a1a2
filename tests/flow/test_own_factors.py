"""Looking at one's factors, renaming, preferring and removing them; codes for the drawer."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.flow.lab import PHONE, SECOND, Lab
from twofa_lab.errors import InputError
from twofa_lab.flow.answer import answer
from twofa_lab.flow.binding import StepUpNeededError
from twofa_lab.flow.enrolment import add_phone, begin_totp
from twofa_lab.flow.own_factors import list_factors, prefer, remove, rename
from twofa_lab.flow.recovery_kit import new_recovery_codes, new_saved_code
from twofa_lab.flow.service import Flow
from twofa_lab.flow.sessions import check
from twofa_lab.store.devices import trusted_devices_of
from twofa_lab.store.engine import read


@pytest.fixture
def two(lab: Lab) -> tuple[str, int, int]:
    """An AAL2 session of an account with an app and a phone; their ids."""
    session = lab.sign_up()
    app_id, app, _ = lab.enrol_app(session)
    raised = lab.step_up(session, app)
    return raised, app_id, add_phone(lab.flow, raised).authenticator_id


def test_factors_are_listed_as_their_owner_sees_them(lab: Lab, two: tuple[str, int, int]) -> None:
    session, app, phone = two
    mine = list_factors(lab.flow, session)
    assert [(one.id, one.kind, one.restricted) for one in mine.factors] == [
        (app, "totp", False),
        (phone, "otp", True),
    ]
    assert (mine.recovery_codes_left, mine.codes_low, mine.has_saved_code) == (10, False, False)
    assert PHONE not in repr(mine)
    plain = lab.login().session  # a known device: AAL1 may look
    assert plain is not None
    assert list_factors(lab.flow, plain) == mine


def test_few_recovery_codes_left_are_warned_of(lab: Lab) -> None:
    session = lab.sign_up()
    assert not list_factors(lab.flow, session).codes_low  # nothing they could stand in for
    _, _, codes = lab.enrol_app(session)
    for left, code in zip((9, 8, 7, 6, 5, 4, 3), codes, strict=False):
        step = lab.strange_login()
        done = answer(lab.flow, step.ticket, code)
        assert done.session is not None
        mine = list_factors(lab.flow, done.session)
        assert (mine.recovery_codes_left, mine.codes_low) == (left, left <= 3)
    fresh = new_recovery_codes(lab.flow, done.session)
    mine = list_factors(lab.flow, done.session)
    assert (mine.recovery_codes_left, mine.codes_low) == (10, False)
    step = lab.strange_login()
    assert answer(lab.flow, step.ticket, codes[-1]).status == "asked"  # revoked
    assert answer(lab.flow, step.ticket, fresh[0]).status == "signed_in"


def test_a_saved_code_is_another_thing(lab: Lab, two: tuple[str, int, int]) -> None:
    session, _, _ = two
    first, second = new_saved_code(lab.flow, session), new_saved_code(lab.flow, session)
    assert len(first) == len(second) == 29
    mine = list_factors(lab.flow, session)
    assert (mine.has_saved_code, mine.recovery_codes_left) == (True, 10)
    step = lab.strange_login()
    again = answer(lab.flow, step.ticket, second)  # no way to sign in
    assert again.ask is not None
    assert (again.status, again.ask.left) == ("asked", 5)
    assert len(lab.notices("saved_code")) == 2
    assert second not in repr(lab.events())


def test_a_name_is_changed_audited_and_told(lab: Lab, two: tuple[str, int, int]) -> None:
    session, app, _ = two
    rename(lab.flow, session, app, "  old   phone ")
    assert list_factors(lab.flow, session).factors[0].label == "old phone"
    assert [json.loads(detail) for _, detail in lab.events("factor_renamed")] == [
        {"id": app, "kind": "totp"}
    ]
    assert len(lab.notices("factor_renamed")) == 1
    for text in ("", "x" * 65, "a\x00b"):
        with pytest.raises(InputError, match="label"):
            rename(lab.flow, session, app, text)


def test_the_preferred_factor_is_asked_for_first(lab: Lab, two: tuple[str, int, int]) -> None:
    session, app, phone = two
    for chosen, kind in ((phone, "otp"), (app, "totp")):
        prefer(lab.flow, session, chosen)
        liked = [one.id for one in list_factors(lab.flow, session).factors if one.preferred]
        assert liked == [chosen]
        step = lab.strange_login()
        assert step.ask is not None
        assert step.ask.factor == kind
    assert len(lab.notices("factor_preferred")) == 2
    new = begin_totp(lab.flow, session)
    with pytest.raises(InputError, match="not in use"):
        prefer(lab.flow, session, new.authenticator_id)


def test_a_removed_factor_answers_no_more_and_the_last_one_stays(
    lab: Lab, two: tuple[str, int, int]
) -> None:
    session, app, phone = two
    remove(lab.flow, session, phone)
    assert [one.id for one in list_factors(lab.flow, session).factors] == [app]
    step = lab.strange_login()
    assert step.ask is not None
    assert (step.ask.factor, step.ask.others) == ("totp", ())
    with pytest.raises(InputError, match="add another one first"):
        remove(lab.flow, session, app)
    with pytest.raises(InputError, match="no such factor"):
        remove(lab.flow, session, phone)
    assert len(lab.notices("factor_removed")) == 1
    # a key that was never confirmed is no factor, and may go
    new = begin_totp(lab.flow, session)
    remove(lab.flow, session, new.authenticator_id)
    assert len(lab.notices("factor_removed")) == 1
    assert lab.audit_holds()


def test_factors_of_others_are_not_to_be_touched(lab: Lab, two: tuple[str, int, int]) -> None:
    _, app, _ = two
    bob = lab.sign_up("bob", "+447400123457")
    for change in (
        lambda: rename(lab.flow, bob, app, "mine"),
        lambda: prefer(lab.flow, bob, app),
        lambda: remove(lab.flow, bob, app),
    ):
        with pytest.raises(InputError, match="no such factor"):
            change()


def test_a_password_alone_changes_nothing(lab: Lab, two: tuple[str, int, int]) -> None:
    _, app, phone = two
    lab.wait(SECOND)
    session = lab.login().session
    assert session is not None
    for change in (
        lambda: rename(lab.flow, session, app, "mine"),
        lambda: prefer(lab.flow, session, app),
        lambda: remove(lab.flow, session, phone),
        lambda: new_recovery_codes(lab.flow, session),
        lambda: new_saved_code(lab.flow, session),
    ):
        with pytest.raises(StepUpNeededError):
            change()


@pytest.mark.parametrize("make", [new_recovery_codes, new_saved_code])
def test_new_codes_void_trust(lab: Lab, make: Callable[[Flow, str], object]) -> None:
    _, _, codes = lab.enrol_app(lab.sign_up())
    step = lab.strange_login()
    done = answer(lab.flow, step.ticket, codes[0], trust_device=True)
    assert done.session is not None
    state = check(lab.flow, done.session)
    assert state is not None
    with read(lab.flow.engine) as c:
        assert len(trusted_devices_of(c, state.user_id, lab.now)) == 1
    make(lab.flow, done.session)
    with read(lab.flow.engine) as c:
        assert trusted_devices_of(c, state.user_id, lab.now) == []
