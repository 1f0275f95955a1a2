"""A resident passkey signs in without a name: two factors in one act, once; risk has its say."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from webauthn.helpers import base64url_to_bytes

from tests.flow.lab import ORIGIN, PLACE, Lab, make_lab
from tests.flow.people import ANN, account_of, ann, set_columns
from twofa_lab.factors import passkeys
from twofa_lab.factors.passkeys import PasskeyRecord
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow import sessions
from twofa_lab.flow.login import Request
from twofa_lab.flow.step import Step
from twofa_lab.flow.usernameless import (
    TRIES_AN_HOUR,
    PasskeyAsked,
    begin_passkey_login,
    finish_passkey_login,
)
from twofa_lab.risk.policy import Policy
from twofa_lab.store.engine import connect, read
from twofa_lab.store.history import load_history
from twofa_lab.store.migrations import upgrade
from twofa_lab.store.schema import authenticators, challenges, rate_events

HERE = Request("", "", *PLACE)


def key_of(lab: Lab, device: SoftAuthenticator, user_id: int = ANN) -> PasskeyRecord:
    handle = passkeys.user_handle(lab.flow.keyring, user_id)
    rp = lab.flow.relying_party
    ceremony = passkeys.registration(rp, user_handle=handle, user_name="ann")
    answer = device.register(ceremony.options, ORIGIN)
    return passkeys.verify_registration(rp, ceremony.challenge, answer, user_handle=handle)


@pytest.fixture
def phone() -> SoftAuthenticator:
    """A synced passkey, which has no counter to catch a replay."""
    return SoftAuthenticator(synced=True)


def with_key(lab: Lab, device: SoftAuthenticator) -> Lab:
    ann(lab, otp=False, keys=(key_of(lab, device),))
    return lab


def answered(lab: Lab, device: SoftAuthenticator) -> tuple[PasskeyAsked, str]:
    asked = begin_passkey_login(lab.flow)
    return asked, device.authenticate(asked.options, ORIGIN)


def enter(lab: Lab, device: SoftAuthenticator, request: Request = HERE) -> Step:
    asked, response = answered(lab, device)
    return finish_passkey_login(lab.flow, asked.ticket, response, request)


def changed(response: str, **fields: object) -> str:
    plain = json.loads(response)
    plain["response"].update(fields)
    return json.dumps(plain)


def test_a_passkey_alone_gives_an_aal2_session(both: Lab, phone: SoftAuthenticator) -> None:
    lab = with_key(both, phone)
    step = enter(lab, phone)
    assert (step.status, step.session_level) == ("signed_in", 2)
    assert step.session is not None
    state = sessions.check(lab.flow, step.session)
    assert state is not None
    assert (state.user_id, state.aal, state.amr) == (ANN, 2, ("swk", "user", "mfa"))
    with read(lab.flow.engine) as c:
        past = load_history(c, ANN, 0)
    assert (past.completed_logins, set(past.devices)) == (1, {"cookie"})
    assert (step.record.outcome, step.record.factor) == ("verified", "passkey")
    assert step.record.bits, "an unknown device is a signal here too"
    assert enter(lab, phone).record.bits == 0
    names = [name for name, _ in lab.events()]
    assert {"login", "attempt", "outcome", "session"} <= set(names)
    assert lab.audit_holds()


def test_asking_stores_nothing_and_tells_nothing(lab: Lab, phone: SoftAuthenticator) -> None:
    with_key(lab, phone)
    asked = begin_passkey_login(lab.flow)
    with read(lab.flow.engine) as c:
        for table in (challenges, rate_events):
            assert c.execute(select(func.count()).select_from(table)).scalar_one() == 0
    options = json.loads(asked.options)
    assert options["userVerification"] == "required"
    assert not options["allowCredentials"]
    assert len(base64url_to_bytes(options["challenge"])) == 32
    assert asked.ticket not in repr(asked)
    assert asked.ticket.partition(".")[2] not in phone.authenticate(asked.options, ORIGIN)
    assert begin_passkey_login(lab.flow).options != asked.options


def test_a_ticket_is_spent_once(lab: Lab, phone: SoftAuthenticator) -> None:
    with_key(lab, phone)
    asked, response = answered(lab, phone)
    assert finish_passkey_login(lab.flow, asked.ticket, response, HERE).status == "signed_in"
    assert finish_passkey_login(lab.flow, asked.ticket, response, HERE).status == "refused"
    again = phone.authenticate(asked.options, ORIGIN)
    assert finish_passkey_login(lab.flow, asked.ticket, again, HERE).status == "refused"


def test_one_answer_many_hands_one_session(threads: Lab, phone: SoftAuthenticator) -> None:
    with_key(threads, phone)
    asked, response = answered(threads, phone)
    start = threading.Barrier(20)

    def act(_: int) -> str:
        start.wait()
        return finish_passkey_login(threads.flow, asked.ticket, response, HERE).status

    with ThreadPoolExecutor(20) as pool:
        won = list(pool.map(act, range(20)))
    assert won.count("signed_in") == 1


def test_an_answer_is_worth_nothing_without_its_ticket(lab: Lab, phone: SoftAuthenticator) -> None:
    with_key(lab, phone)
    asked, response = answered(lab, phone)
    issued, _, rest = asked.ticket.partition(".")
    for ticket in (
        begin_passkey_login(lab.flow).ticket,
        f"{int(issued) + 1}.{rest}",
        f"{issued}.{rest[:-1]}",
        issued,
        f"-{asked.ticket}",
        "",
        "1" * 5000,
    ):
        assert finish_passkey_login(lab.flow, ticket, response, HERE).status == "refused"
    assert finish_passkey_login(lab.flow, asked.ticket, response, HERE).status == "signed_in"


@pytest.mark.parametrize(
    ("later", "status"),
    [(300_000, "signed_in"), (300_001, "refused"), (-90_000, "signed_in"), (-90_001, "refused")],
)
def test_a_ticket_lives_five_minutes_whatever_the_clock_does(
    lab: Lab, phone: SoftAuthenticator, later: int, status: str
) -> None:
    with_key(lab, phone)
    asked, response = answered(lab, phone)
    lab.wait(later)
    assert finish_passkey_login(lab.flow, asked.ticket, response, HERE).status == status


def test_without_user_verification_it_is_one_factor_and_refused(lab: Lab) -> None:
    touch = SoftAuthenticator(verifies_user=False)
    lax = replace(lab.flow.relying_party, require_user_verification=False)
    lab = with_key(lab.with_rules(relying_party=lax), touch)
    asked = begin_passkey_login(lab.flow)
    response = touch.authenticate(asked.options.replace('"required"', '"preferred"'), ORIGIN)
    assert finish_passkey_login(lab.flow, asked.ticket, response, HERE).status == "refused"


def test_the_answer_names_its_owner(lab: Lab, phone: SoftAuthenticator) -> None:
    with_key(lab, phone)
    for handle in (None, "", "b3RoZXI"):
        asked, response = answered(lab, phone)
        response = changed(response, userHandle=handle)
        assert finish_passkey_login(lab.flow, asked.ticket, response, HERE).status == "refused"


def test_a_strange_key_another_page_and_a_wrong_signature_are_refused(
    lab: Lab, phone: SoftAuthenticator
) -> None:
    with_key(lab, phone)
    stranger = SoftAuthenticator(synced=True)
    key_of(lab, stranger)
    assert enter(lab, stranger).status == "refused"
    asked = begin_passkey_login(lab.flow)
    phished = phone.authenticate(asked.options, "https://example.net", check_origin=False)
    assert finish_passkey_login(lab.flow, asked.ticket, phished, HERE).status == "refused"
    asked, response = answered(lab, phone)
    forged = changed(response, signature="AAAA")
    assert finish_passkey_login(lab.flow, asked.ticket, forged, HERE).status == "refused"
    public = finish_passkey_login(lab.flow, asked.ticket, "{}", HERE).public()
    assert public == finish_passkey_login(lab.flow, asked.ticket, forged, HERE).public()


def test_a_copied_counting_key_is_found_out(lab: Lab) -> None:
    key = SoftAuthenticator()
    with_key(lab, key)
    copy = key.clone()
    assert enter(lab, key).status == "signed_in"
    assert enter(lab, copy).status == "refused"
    assert "cloned" in lab.events("attempt")[-1][1]


def test_a_score_that_denies_denies_a_passkey_too(lab: Lab, phone: SoftAuthenticator) -> None:
    strict = Policy.risk_based().model_copy(update={"deny_at": 0.45})
    lab = with_key(lab.with_rules(policy=strict), phone)
    step = enter(lab, phone)
    assert (step.status, step.record.outcome) == ("refused", "denied")
    assert step.session is None
    assert lab.notices("login_denied")
    with read(lab.flow.engine) as c:
        assert load_history(c, ANN, 0).completed_logins == 0


@pytest.mark.parametrize("values", [{"status": "locked"}, {"factor_failures": 100}])
def test_a_locked_account_is_locked_for_its_passkey(
    lab: Lab, phone: SoftAuthenticator, values: dict[str, object]
) -> None:
    with_key(lab, phone)
    set_columns(lab, **values)
    step = enter(lab, phone)
    assert (step.status, step.record.outcome) == ("refused", "locked")


def test_a_stranger_who_makes_codes_wait_does_not_keep_the_key_out(
    lab: Lab, phone: SoftAuthenticator
) -> None:
    with_key(lab, phone)
    set_columns(lab, factor_failures=20, factor_wait_until=lab.now + 3_600_000)
    assert enter(lab, phone).status == "signed_in"
    assert account_of(lab).factor_failures == 20, "nor are guesses at codes forgotten for it"


def test_a_removed_key_opens_nothing(lab: Lab, phone: SoftAuthenticator) -> None:
    with_key(lab, phone)
    with lab.flow.engine.begin() as c:
        c.execute(authenticators.update().values(disabled_at=lab.now))
    assert enter(lab, phone).status == "refused"


def test_nonsense_from_one_address_is_limited(lab: Lab, phone: SoftAuthenticator) -> None:
    with_key(lab, phone)
    for _ in range(TRIES_AN_HOUR):
        finish_passkey_login(lab.flow, "1.x", "{}", HERE)
    assert enter(lab, phone).record.outcome == "rate_limited"
    assert enter(lab, phone, replace(HERE, ip="198.51.100.1")).status == "signed_in"
    lab.wait(3_600_000)
    assert enter(lab, phone).status == "signed_in"


@given(ticket=st.text(max_size=80), response=st.text(max_size=200))
def test_no_text_gets_in_or_raises(empty: Lab, ticket: str, response: str) -> None:
    place = replace(HERE, ip="")
    assert finish_passkey_login(empty.flow, ticket, response, place).status == "refused"


@pytest.fixture(scope="module")
def empty() -> Lab:
    engine = connect("sqlite://")
    upgrade(engine)
    return make_lab(engine)
