"""Every factor is lost: two proofs of different kinds, and nothing of what opened the account."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pyotp
import pytest

from tests.flow.lab import DAY, HOUR, MINUTE, PASSWORD, PHONE, SECOND, Lab
from tests.flow.people import (
    ANN,
    MAIL,
    account_of,
    ann,
    another,
    give_saved_code,
    mailed,
    set_columns,
    shape,
)
from twofa_lab.delivery.phone import PhoneNumber, parse
from twofa_lab.errors import InputError
from twofa_lab.factors.totp import TotpSecret
from twofa_lab.flow import sessions
from twofa_lab.flow.addresses import begin_email
from twofa_lab.flow.answer import answer
from twofa_lab.flow.codes_due import advance
from twofa_lab.flow.password_reset import begin_reset, finish_reset, set_new_password
from twofa_lab.flow.recovery import (
    Recovered,
    answer_second_proof,
    ask_second_proof,
    begin_recovery,
    finish_recovery,
    may_change_addresses,
    prove,
)
from twofa_lab.flow.sealed_request import Reply, SealedRequest
from twofa_lab.flow.step_up import begin_step_up
from twofa_lab.store.authenticators import authenticators_of, recovery_codes_left
from twofa_lab.store.devices import trusted_devices_of
from twofa_lab.store.engine import read

NEW = "a better horse"
IP = "192.0.2.1"
SEED = TotpSecret(b"12345678901234567890")
APP = pyotp.TOTP(SEED.base32)


def by_email(lab: Lab, request: str | None = None) -> str:
    """The request after the proof of the mailbox."""
    begun = begin_recovery(lab.flow, "ann", ip=IP) if request is None else request
    return went_on(prove(lab.flow, begun, "email", mailed(lab, "recovery_code")))


def went_on(reply: Reply) -> str:
    assert reply.status == "asked"
    assert reply.request is not None
    return reply.request


def by_phone(lab: Lab, request: str) -> Reply:
    step = ask_second_proof(lab.flow, request, "phone", ip=IP)
    assert step.ticket is not None
    return answer_second_proof(lab.flow, request, step.ticket, lab.code(PHONE))


def recovered(lab: Lab) -> Recovered:
    saved = give_saved_code(lab)
    request = went_on(prove(lab.flow, by_email(lab), "saved", saved))
    done = finish_recovery(lab.flow, request, NEW)
    assert done.reply.status == "done"
    return done


def test_saved_code_and_mailbox_recover_and_leave_nothing_of_before(both: Lab) -> None:
    lab = both
    ann(lab, totp=SEED)
    step = lab.login()
    assert step.ticket is not None
    before = answer(lab.flow, step.ticket, lab.shown(APP), trust_device=True)
    assert before.session is not None
    done = recovered(lab)
    with read(lab.flow.engine) as c:
        assert all(one.disabled_at is not None for one in authenticators_of(c, ANN))
        assert trusted_devices_of(c, ANN, lab.now) == []
        assert recovery_codes_left(c, ANN, "saved") == 1
    assert sessions.check(lab.flow, before.session) is None
    assert done.session is not None
    state = sessions.check(lab.flow, done.session)
    assert state is not None
    assert (state.aal, state.enrol_only) == (1, True)
    told = {(letter.channel, letter.to) for letter in lab.notices("recovered")}
    assert told == {("email", MAIL), ("sms", PHONE)}
    assert all("Not you?" in letter.text for letter in lab.notices("recovered"))
    assert lab.audit_holds()
    assert {"recovery", "recovery_codes", "notice"} <= {name for name, _ in lab.events()}
    for secret in (mailed(lab, "recovery_code"), done.saved_code or "", done.session):
        assert secret not in "".join(detail for _, detail in lab.events())
        assert secret not in repr(done)


def test_the_new_saved_code_works_and_the_old_one_does_not(lab: Lab) -> None:
    ann(lab)
    old = give_saved_code(lab)
    request = went_on(prove(lab.flow, by_email(lab), "saved", old))
    done = finish_recovery(lab.flow, request, NEW)
    lab.wait(SECOND)
    begun = begin_recovery(lab.flow, "ann", ip=IP)
    assert prove(lab.flow, begun, "saved", old).status == "refused"
    assert prove(lab.flow, begun, "saved", (done.saved_code or "").lower()).status == "asked"


def test_mailbox_and_phone_recover(both: Lab) -> None:
    ann(both)
    reply = by_phone(both, by_email(both))
    assert reply.proved == ("email", "phone")
    assert finish_recovery(both.flow, went_on(reply), NEW).reply.status == "done"


def test_mailbox_and_a_bound_app_recover(lab: Lab) -> None:
    ann(lab, totp=SEED)
    request = by_email(lab)
    step = ask_second_proof(lab.flow, request, "totp", ip=IP)
    assert step.ticket is not None
    wrong = answer_second_proof(lab.flow, request, step.ticket, another(lab.shown(APP)))
    assert wrong.status == "refused"
    assert account_of(lab).factor_failures == 1, "guesses at a factor count as at login"
    reply = answer_second_proof(lab.flow, request, step.ticket, lab.shown(APP))
    assert finish_recovery(lab.flow, went_on(reply), NEW).reply.status == "done"


def test_one_proof_is_not_enough_and_twice_the_same_is_one(lab: Lab) -> None:
    ann(lab)
    saved = give_saved_code(lab)
    begun = begin_recovery(lab.flow, "ann", ip=IP)
    assert finish_recovery(lab.flow, begun, NEW).reply.status == "refused"
    once = by_email(lab, begun)
    assert finish_recovery(lab.flow, once, NEW).reply.status == "refused"
    code = mailed(lab, "recovery_code")
    assert prove(lab.flow, once, "email", code).status == "refused", "accepted once"
    only_saved = went_on(prove(lab.flow, begun, "saved", saved))
    assert prove(lab.flow, only_saved, "saved", saved).status == "refused"
    assert finish_recovery(lab.flow, only_saved, NEW).reply.status == "refused"
    assert lab.login(device="x").status == "asked", "nothing has changed"


def test_a_password_proves_nothing_and_questions_do_not_exist(lab: Lab) -> None:
    ann(lab)
    begun = begin_recovery(lab.flow, "ann", ip=IP)
    assert prove(lab.flow, begun, "email", PASSWORD).status == "refused"
    assert prove(lab.flow, begun, "saved", PASSWORD).status == "refused"


def test_a_recovery_code_of_the_ten_is_no_proof(lab: Lab) -> None:
    session = lab.sign_up()
    _, _, codes = lab.enrol_app(session)
    set_columns(lab, account_of_name(lab), email=None)
    begun = begin_recovery(lab.flow, "ann", ip=IP)
    assert prove(lab.flow, begun, "saved", codes[0]).status == "refused"


def account_of_name(lab: Lab) -> int:
    from twofa_lab.store.accounts import account_by_name

    with read(lab.flow.engine) as c:
        found = account_by_name(c, "ann")
    assert found is not None
    return found.user_id


def test_no_phone_rings_for_a_name_alone(lab: Lab) -> None:
    ann(lab)
    begun = begin_recovery(lab.flow, "ann", ip=IP)
    assert ask_second_proof(lab.flow, begun, "phone", ip=IP).status == "refused"
    lab.wait(MINUTE)
    assert lab.exchange.inbox(parse(PHONE)) == ()


def test_a_swapped_sim_proves_nothing(lab: Lab) -> None:
    ann(lab, whatsapp=True)

    class Swapped:
        def swapped(self, number: PhoneNumber, max_age_hours: int) -> bool:
            assert (number.e164, max_age_hours) == (PHONE, 240)
            return True

    request = by_email(lab)
    lab = lab.with_rules(sim_swap=Swapped())
    assert ask_second_proof(lab.flow, request, "phone", ip=IP).status == "refused"
    lab.wait(MINUTE)
    assert lab.exchange.inbox(parse(PHONE)) == ()


def test_the_phone_code_falls_back_lives_ten_minutes_and_is_no_login(lab: Lab) -> None:
    ann(lab)
    request = by_email(lab)
    step = ask_second_proof(lab.flow, request, "phone", ip=IP)
    assert step.ticket is not None
    lab.wait(30 * SECOND)
    assert advance(lab.flow, step.ticket).status == "asked"
    code = lab.code(PHONE)
    assert answer(lab.flow, step.ticket, code).status == "refused", "it is no login's challenge"
    lab.wait(10 * MINUTE)
    assert answer_second_proof(lab.flow, request, step.ticket, code).status == "refused"


def test_a_challenge_proves_for_its_own_request_only(lab: Lab) -> None:
    ann(lab)
    first = by_email(lab)
    step = ask_second_proof(lab.flow, first, "phone", ip=IP)
    assert step.ticket is not None
    second = by_email(lab)
    assert answer_second_proof(lab.flow, second, step.ticket, lab.code(PHONE)).status == "refused"


def test_unknown_names_cost_and_are_told_the_same(lab: Lab) -> None:
    ann(lab)
    give_saved_code(lab)
    begun: dict[str, str] = {}
    told: dict[str, Reply] = {}

    def begin(name: str) -> Callable[[], None]:
        return lambda: begun.update({name: begin_recovery(lab.flow, name, ip=IP)})

    assert shape(lab, begin("ann")) == shape(lab, begin("bob"))
    assert len(begun["ann"]) == len(begun["bob"])

    def give(name: str, kind: str, typed: str) -> Callable[[], None]:
        return lambda: told.update({name: prove(lab.flow, begun[name], kind, typed)})  # type: ignore[arg-type]

    for kind, typed in (
        ("email", another(mailed(lab, "recovery_code"))),
        ("saved", "7KQ4-M2XP-9TDR-W3HB-7KQ4-M2XP"),
        ("saved", "nonsense"),
    ):
        assert shape(lab, give("ann", kind, typed)) == shape(lab, give("bob", kind, typed))
        assert told["ann"].public() == told["bob"].public()
    asked = {name: ask_second_proof(lab.flow, begun[name], "phone", ip=IP) for name in begun}
    assert asked["ann"].public() == asked["bob"].public()
    for act in (
        lambda name: ask_second_proof(lab.flow, begun[name], "phone", ip=IP),
        lambda name: finish_recovery(lab.flow, begun[name], NEW),
    ):
        assert shape(lab, partial(act, "ann")) == shape(lab, partial(act, "bob"))
    assert finish_recovery(lab.flow, begun["ann"], NEW).reply.status == "refused"


def test_failures_are_the_names_and_beginning_again_resets_none(lab: Lab) -> None:
    ann(lab)
    for _ in range(2):
        begun = begin_recovery(lab.flow, "ann", ip=IP)
        for _ in range(5):
            prove(lab.flow, begun, "email", another(mailed(lab, "recovery_code")))
    begun = begin_recovery(lab.flow, "ann", ip=IP)
    waiting = prove(lab.flow, begun, "email", mailed(lab, "recovery_code"))
    assert (waiting.status, waiting.retry_ms) == ("wait", lab.now + 30 * SECOND)
    lab.wait(-MINUTE)
    assert prove(lab.flow, begun, "email", mailed(lab, "recovery_code")).status == "wait"
    lab.wait(2 * MINUTE)
    went_on(prove(lab.flow, begun, "email", mailed(lab, "recovery_code")))
    begun = begin_recovery(lab.flow, "ann", ip="198.51.100.1")
    assert prove(lab.flow, begun, "saved", "x").status == "refused"
    waiting = prove(lab.flow, begun, "email", mailed(lab, "recovery_code"))
    assert waiting.retry_ms == lab.now + MINUTE, "a right first proof forgets nothing: 11, not 1"


def test_a_day_is_its_life_even_for_what_was_proved(lab: Lab) -> None:
    ann(lab)
    request = by_email(lab)
    lab.wait(DAY + 1)
    with pytest.raises(InputError, match="begin again"):
        ask_second_proof(lab.flow, request, "phone", ip=IP)


@pytest.mark.parametrize("status", ["pending", "locked", "closed"])
def test_an_account_not_in_use_is_not_recovered(lab: Lab, status: str) -> None:
    ann(lab)
    saved = give_saved_code(lab)
    request = went_on(prove(lab.flow, by_email(lab), "saved", saved))
    set_columns(lab, status=status)
    assert finish_recovery(lab.flow, request, NEW).reply.status == "refused"
    assert prove(lab.flow, request, "saved", saved).status == "refused"
    assert ask_second_proof(lab.flow, request, "phone", ip=IP).status == "refused"


def test_a_password_set_meanwhile_voids_what_was_proved(lab: Lab) -> None:
    ann(lab)
    saved = give_saved_code(lab)
    request = went_on(prove(lab.flow, by_email(lab), "saved", saved))
    lab.wait(SECOND)
    assert set_new_password(lab.flow, ANN, "the owner's horse")
    assert finish_recovery(lab.flow, request, NEW).reply.status == "refused"
    with read(lab.flow.engine) as c:
        assert recovery_codes_left(c, ANN, "saved") == 1, "and the saved code is not spent"


def test_many_finish_at_once_and_one_does(threads: Lab) -> None:
    ann(threads)
    saved = give_saved_code(threads)
    request = went_on(prove(threads.flow, by_email(threads), "saved", saved))
    start = threading.Barrier(10)

    def act(number: int) -> Recovered:
        start.wait()
        return finish_recovery(threads.flow, request, f"{NEW} {number}")

    with ThreadPoolExecutor(10) as pool:
        won = list(pool.map(act, range(10)))
    assert [one.reply.status for one in won].count("done") == 1
    assert sum(one.session is not None for one in won) == 1


def test_a_clock_set_back_lets_nobody_finish_twice(lab: Lab) -> None:
    ann(lab)
    request = went_on(by_phone(lab, by_email(lab)))
    lab.wait(-MINUTE)
    done = [finish_recovery(lab.flow, request, NEW).reply.status for _ in range(2)]
    assert done == ["done", "refused"]


def test_a_saved_code_is_spent_in_one_recovery_only(threads: Lab) -> None:
    ann(threads)
    saved = give_saved_code(threads)
    requests = [went_on(prove(threads.flow, by_email(threads), "saved", saved)) for _ in range(2)]
    done = [finish_recovery(threads.flow, one, NEW).reply.status for one in requests]
    assert done == ["done", "refused"]


def test_until_a_factor_is_enrolled_a_login_can_only_enrol(lab: Lab) -> None:
    ann(lab)
    done = recovered(lab)
    assert done.session is not None
    lab.wait(HOUR)
    assert lab.login().record.outcome == "wrong_password"
    back = lab.login(password=NEW, device="new")
    assert (back.status, back.session_level) == ("signed_in", 1), "no factor is left to ask for"
    assert back.session is not None
    state = sessions.check(lab.flow, back.session)
    assert state is not None
    assert state.enrol_only
    assert begin_step_up(lab.flow, back.session).status == "refused"
    lab.enrol_app(done.session)
    assert account_of(lab).status == "active"
    state = sessions.check(lab.flow, done.session)
    assert state is not None
    assert not state.enrol_only
    assert lab.login(password=NEW, device="newer").status == "asked"


def test_one_mailbox_alone_does_not_open_a_recovered_account(lab: Lab) -> None:
    """A reset asks for one proof, which is enough only beside a second factor."""
    ann(lab)
    recovered(lab)
    sent = len(lab.outbox.letters)
    request = begin_reset(lab.flow, "ann", ip="198.51.100.1")
    assert len(lab.outbox.letters) == sent
    assert finish_reset(lab.flow, request, "123456", NEW).status == "refused"


def test_addresses_stay_for_some_days(lab: Lab) -> None:
    ann(lab)
    done = recovered(lab)
    assert done.session is not None
    with pytest.raises(InputError, match="recovered lately"):
        begin_email(lab.flow, done.session, "thief@example.net")
    with read(lab.flow.engine) as c:
        assert not may_change_addresses(lab.flow, c, ANN)
        lab.wait(-HOUR)
        assert not may_change_addresses(lab.flow, c, ANN), "a clock set back shortens nothing"
        lab.wait(HOUR + lab.flow.rules.address_wait_ms)
        assert may_change_addresses(lab.flow, c, ANN)
    none = replace(lab.flow.rules, address_wait_ms=0)
    lab.wait(-lab.flow.rules.address_wait_ms)
    assert begin_email(replace(lab.flow, rules=none), done.session, MAIL).status == "asked"


def test_guesses_counted_before_end_with_the_factors_they_were_at(lab: Lab) -> None:
    ann(lab)
    set_columns(lab, factor_failures=100)
    recovered(lab)
    assert account_of(lab).factor_failures == 0


def test_a_request_prints_no_secret(lab: Lab) -> None:
    ann(lab)
    reply = prove(lab.flow, begin_recovery(lab.flow, "ann"), "saved", give_saved_code(lab))
    request = went_on(reply)
    found = SealedRequest.read(lab.flow, "recovery", request)
    assert found.proved == ("saved",)
    assert request not in repr(reply)
    assert request not in repr(reply.public())
