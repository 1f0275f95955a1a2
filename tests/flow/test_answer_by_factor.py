"""Answers by an app, a key and a recovery code: right, off, cloned, used, somebody else's."""

from __future__ import annotations

import json

import pytest

from tests.flow.entering import (
    APP,
    SEED,
    Equipped,
    argon2_calls,
    asked,
    give_recovery_codes,
    key_of,
    prefer,
    under,
)
from tests.flow.lab import ORIGIN, SECOND, Lab
from tests.flow.people import ANN, account_of, ann
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow.answer import answer, leave
from twofa_lab.flow.own_factors import list_factors
from twofa_lab.flow.step import Step
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


# -- the app ---------------------------------------------------------------------------------------


def test_an_app_code_at_0_31_and_61_seconds_lets_in_once(both: Lab) -> None:
    """ASVS 6.5.1: the window of one step to either side is no second use."""
    lab = under(both)
    ann(lab, totp=SEED)
    lab.time[0] -= lab.now % STEP
    code, start, won = lab.shown(APP), lab.now, []
    for after in (0, 31 * SECOND, 61 * SECOND):
        lab.time[0] = start + after
        ticket, page = asked(lab.login())
        assert page.factor == "totp"
        won.append(answer(lab.flow, ticket, code).status)
        leave(lab.flow, ticket)
    assert won == ["signed_in", "asked", "asked"]


@pytest.mark.parametrize(
    ("off", "status"), [(-2, "asked"), (-1, "signed_in"), (0, "signed_in"), (1, "signed_in"),
                        (2, "asked")],
)  # fmt: skip
def test_an_app_may_be_one_step_off(app_only: Lab, off: int, status: str) -> None:
    lab = app_only
    ticket, _ = asked(lab.login())
    code = APP.at((lab.now + off * STEP) // 1000)
    assert answer(lab.flow, ticket, code).status == status


def test_a_later_step_burns_the_earlier_ones(app_only: Lab) -> None:
    lab = app_only
    early, late = lab.shown(APP), APP.at((lab.now + STEP) // 1000)
    ticket, _ = asked(lab.login())
    assert answer(lab.flow, ticket, late).status == "signed_in"
    ticket, _ = asked(lab.login())
    assert answer(lab.flow, ticket, early).status == "asked"


# -- keys ------------------------------------------------------------------------------------------


def with_key(lab: Lab, device: SoftAuthenticator) -> Lab:
    ann(lab, otp=False, keys=(key_of(lab, device),))
    return under(lab)


def enter(lab: Lab, device: SoftAuthenticator) -> Step:
    ticket, page = asked(lab.login())
    return answer(lab.flow, ticket, device.authenticate(page.options, ORIGIN))


def test_a_cloned_device_bound_key_is_refused(both: Lab) -> None:
    """The counter goes back: one of the two is a copy."""
    device = SoftAuthenticator()
    lab = with_key(both, device)
    twin = device.clone()
    assert enter(lab, device).status == "signed_in"
    assert enter(lab, device).status == "signed_in"
    assert enter(lab, twin).status == "asked"
    assert account_of(lab).factor_failures == 1
    assert enter(lab, device).status == "signed_in"


def test_a_synced_key_has_no_counter_to_go_back(lab: Lab) -> None:
    """NIST SP 800-63B-4 B: synced keys are acceptable, and told from device-bound ones."""
    device = SoftAuthenticator(synced=True)
    lab = with_key(lab, device)
    assert enter(lab, device).status == "signed_in"
    assert enter(lab, device.clone()).status == "signed_in"
    with read(lab.flow.engine) as c:
        (key,) = authenticators_of(c, ANN)
    assert (key.backup_eligible, key.backup_state, key.sign_count) == (True, True, 0)


def test_a_key_answers_its_own_challenge_once(lab: Lab) -> None:
    device = SoftAuthenticator(synced=True)
    lab = with_key(lab, device)
    first, page = asked(lab.login())
    response = device.authenticate(page.options, ORIGIN)
    second, _ = asked(lab.login())
    assert answer(lab.flow, second, response).status == "asked"
    assert answer(lab.flow, first, response).status == "signed_in"
    assert answer(lab.flow, first, response).status == "refused"


def test_a_key_of_somebody_else_is_no_answer(lab: Lab) -> None:
    mine, theirs = SoftAuthenticator(), SoftAuthenticator()
    ann(lab, otp=False, keys=(key_of(lab, mine),))
    other = key_of(lab, theirs, user_id=6)
    ann(lab, user_id=6, name="bob", phone="+447400123457", keys=(other,), otp=False)
    lab = under(lab)
    ticket, page = asked(lab.login())
    _, bobs = asked(lab.login("bob"))
    stolen = theirs.authenticate(page.options.replace(_id(page.options), _id(bobs.options)), ORIGIN)
    assert answer(lab.flow, ticket, stolen).status == "asked"
    assert account_of(lab).factor_failures == 1


def _id(options: str) -> str:
    found: str = json.loads(options)["allowCredentials"][0]["id"]
    return found


def test_a_page_of_another_host_gets_no_answer_that_counts(lab: Lab) -> None:
    """Phishing-resistant: NIST SP 800-63B-4 2.2.2, 3.2.5."""
    device = SoftAuthenticator()
    lab = with_key(lab, device)
    ticket, page = asked(lab.login())
    relayed = device.authenticate(page.options, "https://examp1e.com", check_origin=False)
    assert answer(lab.flow, ticket, relayed).status == "asked"


@pytest.mark.parametrize("typed", ["{", "{}", '{"id": 1}', "[]", '{"id":"AA","rawId":"AA"}'])
def test_what_is_no_webauthn_answer_lets_nobody_in(lab: Lab, typed: str) -> None:
    lab = with_key(lab, SoftAuthenticator())
    ticket, _ = asked(lab.login())
    assert answer(lab.flow, ticket, typed).status == "asked"


# -- recovery codes --------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", ["otp", "totp", "push", "passkey", "hardware_key"])
def test_a_recovery_code_stands_in_for_any_factor_once(lab: Lab, factor: str) -> None:
    Equipped.of(lab)
    codes = give_recovery_codes(lab)
    prefer(lab, factor)
    ticket, page = asked(under(lab).login())
    assert page.factor == factor
    step = answer(under(lab).flow, ticket, codes[0].lower().replace("-", " "))
    assert (step.status, step.record.factor, step.session_level) == (
        "signed_in",
        "recovery_code",
        2,
    )
    ticket, _ = asked(under(lab).login())
    assert answer(under(lab).flow, ticket, codes[0]).status == "asked", "spent"
    assert answer(under(lab).flow, ticket, codes[1]).status == "signed_in"


def test_one_hash_whatever_recovery_code_is_typed(
    app_only: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right, wrong behind a known prefix, unknown prefix, spent, or no codes at all."""
    lab = app_only
    codes = give_recovery_codes(lab)
    wrong = codes[0][:4] + "-0000-0000-0000"
    prefixes = {code[:4] for code in codes}
    unknown = next(p for p in ("0000", "1111", "2222") if p not in prefixes)
    ticket, _ = asked(lab.login())
    other, _ = asked(lab.login())
    tries = [(ticket, wrong), (ticket, unknown + codes[0][4:]), (ticket, codes[0])]
    counted = []
    for which, typed in [*tries, (other, codes[0])]:
        with argon2_calls(monkeypatch) as calls:
            answer(lab.flow, which, typed)
        counted.append(len(calls))
    assert counted == [1, 1, 1, 1]
    ann(lab, user_id=6, name="bob", phone="+447400123457", totp=SEED, otp=False)
    ticket, _ = asked(lab.login("bob"))
    with argon2_calls(monkeypatch) as calls:
        step = answer(lab.flow, ticket, codes[1])
    assert (step.status, calls) == ("asked", ["hash"])


def test_guessed_recovery_codes_count_as_any_wrong_answer(app_only: Lab) -> None:
    """NIST SP 800-63B-4 3.1.2: look-up secrets are throttled."""
    lab = app_only
    codes = give_recovery_codes(lab)
    ticket, _ = asked(lab.login())
    steps = [answer(lab.flow, ticket, "0" * 16) for _ in range(5)]
    assert [step.status for step in steps] == ["asked"] * 4 + ["refused"]
    assert answer(lab.flow, ticket, codes[0]).status == "refused"
    assert account_of(lab).factor_failures == 5


def test_few_recovery_codes_left_are_told(app_only: Lab) -> None:
    lab = app_only
    codes, low = give_recovery_codes(lab), []
    for code in codes[:7]:
        ticket, _ = asked(lab.login())
        step = answer(lab.flow, ticket, code)
        assert step.session is not None
        mine = list_factors(lab.flow, step.session)
        low.append((mine.recovery_codes_left, mine.codes_low))
    assert low == [(9 - n, n == 6) for n in range(7)]
