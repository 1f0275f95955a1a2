"""A forgotten password: the same for every name, once, and never instead of a second factor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flow.lab import DAY, HOUR, MINUTE, PASSWORD, PHONE, SECOND, Lab
from tests.flow.people import MAIL, account_of, ann, another, mailed, set_columns, shape
from twofa_lab.errors import InputError
from twofa_lab.flow import sessions
from twofa_lab.flow.answer import answer
from twofa_lab.flow.password_reset import (
    begin_reset,
    change_password,
    finish_reset,
    set_new_password,
)
from twofa_lab.flow.recovery import prove
from twofa_lab.flow.sealed_request import MAILS_A_DAY, MAILS_A_NETWORK, REFUSED, SealedRequest
from twofa_lab.risk.policy import Limits
from twofa_lab.store.devices import trusted_devices_of
from twofa_lab.store.engine import read

NEW = "a better horse"


def in_by_phone(lab: Lab) -> tuple[str, str]:
    """Sign in with a code, and trust the device; the session and the device's token."""
    step = lab.login()
    assert step.ticket is not None
    done = answer(lab.flow, step.ticket, lab.code(PHONE), trust_device=True)
    assert done.session is not None
    assert done.device_token is not None
    return done.session, done.device_token


def test_a_reset_sets_the_password_and_ends_what_the_old_one_opened(both: Lab) -> None:
    user = ann(both)
    session, token = in_by_phone(both)
    request = begin_reset(both.flow, " Ann ")
    assert finish_reset(both.flow, request, mailed(both, "reset_code"), NEW).status == "done"
    assert sessions.check(both.flow, session) is None
    with read(both.flow.engine) as c:
        assert trusted_devices_of(c, user, both.now) == []
    assert both.login().record.outcome == "wrong_password"
    step = both.login(password=NEW, device_token=token, device="elsewhere")
    assert step.status == "asked", "a second factor is asked for as before (ASVS 6.4.3)"
    told = [(letter.channel, letter.to) for letter in both.notices("password_changed")]
    assert told == [("email", MAIL), ("sms", PHONE)]
    assert both.audit_holds()


def test_a_reset_signs_nobody_in_and_buys_no_guesses_at_the_second_factor(lab: Lab) -> None:
    ann(lab)
    set_columns(lab, factor_failures=7, factor_wait_until=lab.now + HOUR, stranger_failures=12)
    set_columns(lab, stranger_wait_until=lab.now + HOUR)
    request = begin_reset(lab.flow, "ann")
    reply = finish_reset(lab.flow, request, mailed(lab, "reset_code"), NEW)
    assert reply.public() == {"status": "done", "proved": []}
    after = account_of(lab)
    assert (after.factor_failures, after.factor_wait_until) == (7, lab.now + HOUR)
    assert (after.stranger_failures, after.stranger_wait_until) == (0, 0)
    assert not [row for row in lab.events("session") if "started" in row[1]]


def test_a_login_parked_at_the_second_factor_ends(lab: Lab) -> None:
    ann(lab)
    parked = lab.login()
    assert parked.ticket is not None
    code = lab.code(PHONE)
    assert set_new_password(lab.flow, 5, NEW)
    assert answer(lab.flow, parked.ticket, code).status == "refused"


def test_unknown_names_cost_and_are_told_the_same(lab: Lab) -> None:
    ann(lab)
    begun = {}

    def begin(name: str) -> Callable[[], None]:
        return lambda: begun.update({name: begin_reset(lab.flow, name, ip="192.0.2.1")})

    assert shape(lab, begin("ann")) == shape(lab, begin("bob"))
    assert len(begun["ann"]) == len(begun["bob"]), "as long, so no telling by the sealed state"
    replies = {}

    def finish(name: str) -> Callable[[], None]:
        return lambda: replies.update({name: finish_reset(lab.flow, begun[name], "000000", NEW)})

    wrong = mailed(lab, "reset_code") == "000000"
    assert not wrong
    assert shape(lab, finish("ann")) == shape(lab, finish("bob"))
    assert replies["ann"].public() == replies["bob"].public()
    assert replies["bob"].public()["text"] == REFUSED
    for _ in range(40):
        told = [finish_reset(lab.flow, begin_reset(lab.flow, n), "x", NEW) for n in ("ann", "bob")]
        assert told[0].public() == told[1].public()
    assert told[0].status == "wait"


@pytest.mark.parametrize(
    "values",
    [{"status": "pending"}, {"status": "locked"}, {"status": "closed"}, {"email": None},
     {"status": "recovery"}],
)  # fmt: skip
def test_who_may_not_reset_gets_no_code_and_the_same_answer(
    lab: Lab, values: dict[str, object]
) -> None:
    ann(lab)
    set_columns(lab, **values)
    request = begin_reset(lab.flow, "ann")
    assert lab.outbox.letters == []
    assert finish_reset(lab.flow, request, "123456", NEW).status == "refused"


def test_the_right_code_of_an_account_locked_meanwhile_is_refused(lab: Lab) -> None:
    ann(lab)
    request = begin_reset(lab.flow, "ann")
    set_columns(lab, status="locked")
    assert finish_reset(lab.flow, request, mailed(lab, "reset_code"), NEW).status == "refused"


@pytest.mark.parametrize(
    ("later", "status"),
    [(DAY, "done"), (-90 * SECOND, "done"), (DAY + 1, None), (-90 * SECOND - 1, None)],
)
def test_a_code_by_email_lives_a_day_and_a_clock_set_back_lengthens_nothing(
    lab: Lab, later: int, status: str | None
) -> None:
    ann(lab)
    request = begin_reset(lab.flow, "ann")
    set_columns(lab, password_changed_at=0)
    lab.wait(later)
    if status is None:
        with pytest.raises(InputError, match="begin again"):
            finish_reset(lab.flow, request, mailed(lab, "reset_code"), NEW)
    else:
        assert finish_reset(lab.flow, request, mailed(lab, "reset_code"), NEW).status == status


def test_a_request_takes_five_tries_and_the_sixth_not_even_right(lab: Lab) -> None:
    ann(lab)
    request = begin_reset(lab.flow, "ann")
    code = mailed(lab, "reset_code")
    for _ in range(5):
        assert finish_reset(lab.flow, request, another(code), NEW).status == "refused"
    assert finish_reset(lab.flow, request, code, NEW).status == "refused"
    assert lab.login(password=NEW).record.outcome == "wrong_password"


def test_failures_are_the_names_and_beginning_again_resets_none(lab: Lab) -> None:
    ann(lab)
    for _ in range(2):
        request = begin_reset(lab.flow, "ann")
        for _ in range(5):
            finish_reset(lab.flow, request, another(mailed(lab, "reset_code")), NEW)
    request = begin_reset(lab.flow, "ann")
    code = mailed(lab, "reset_code")
    waiting = finish_reset(lab.flow, request, code, NEW)
    assert (waiting.status, waiting.retry_ms) == ("wait", lab.now + 30 * SECOND)
    lab.wait(-MINUTE)
    assert finish_reset(lab.flow, request, code, NEW).status == "wait", "a clock set back"
    lab.wait(MINUTE + 30 * SECOND)
    assert finish_reset(lab.flow, request, code, NEW).status == "done"


def test_a_hard_stop_ends_resets_until_support_acts(lab: Lab) -> None:
    ann(lab)
    limits = Limits(throttle_after=100, lock_after=7)
    lab = lab.with_rules(policy=lab.flow.policy.model_copy(update={"limits": limits}))
    for wrong in (5, 2):
        request = begin_reset(lab.flow, "ann")
        for _ in range(wrong):
            finish_reset(lab.flow, request, another(mailed(lab, "reset_code")), NEW)
    lab.wait(30 * MINUTE)
    assert finish_reset(lab.flow, request, mailed(lab, "reset_code"), NEW).status == "refused"


def test_one_code_many_hands_one_new_password(threads: Lab) -> None:
    ann(threads)
    lab = threads.with_rules(
        policy=threads.flow.policy.model_copy(update={"limits": Limits(throttle_after=100)})
    )
    request = begin_reset(lab.flow, "ann")
    code, start = mailed(lab, "reset_code"), threading.Barrier(5)

    def finish(number: int) -> str:
        start.wait()
        return finish_reset(lab.flow, request, code, f"{NEW} {number}").status

    with ThreadPoolExecutor(5) as pool:
        won = list(pool.map(finish, range(5)))
    assert sorted(won) == ["done"] + ["refused"] * 4


def test_parallel_guesses_never_pass_the_limit(threads: Lab) -> None:
    ann(threads)
    request = begin_reset(threads.flow, "ann")
    code, start = mailed(threads, "reset_code"), threading.Barrier(20)

    def guess(_: int) -> str:
        start.wait()
        return finish_reset(threads.flow, request, another(code), NEW).status

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(guess, range(20)))
    counted = [row for row in threads.events("attempt") if '"refused":""' in row[1]]
    assert len(counted) == 5


def test_a_password_set_meanwhile_voids_the_request(lab: Lab) -> None:
    ann(lab)
    first = begin_reset(lab.flow, "ann")
    code = mailed(lab, "reset_code")
    lab.wait(SECOND)
    assert set_new_password(lab.flow, 5, NEW)
    assert finish_reset(lab.flow, first, code, "a third horse").status == "refused"


def test_mails_are_limited_by_name_and_network(lab: Lab) -> None:
    ann(lab)
    for _ in range(MAILS_A_NETWORK + 2):
        begin_reset(lab.flow, "ann", ip="192.0.2.1")
    assert len(lab.outbox.letters) == MAILS_A_NETWORK
    begin_reset(lab.flow, "ann", ip="198.51.100.7")
    assert len(lab.outbox.letters) == MAILS_A_NETWORK + 1, "one stranger does not take them all"
    for number in range(40):
        begin_reset(lab.flow, "ann", ip=f"203.0.113.{number}")
    assert len(lab.outbox.letters) == MAILS_A_DAY
    lab.wait(DAY)
    begin_reset(lab.flow, "ann", ip="192.0.2.1")
    assert len(lab.outbox.letters) == MAILS_A_DAY + 1


def test_a_request_is_sealed_for_its_purpose_and_prints_nothing(lab: Lab) -> None:
    ann(lab)
    request = begin_reset(lab.flow, "ann")
    found = SealedRequest.read(lab.flow, "reset", request)
    assert mailed(lab, "reset_code") not in repr(found) + request
    assert found.code_hash not in repr(found)
    assert replace(found).seal(lab.flow) != request, "a nonce of its own each time"
    with pytest.raises(InputError, match="begin again"):
        prove(lab.flow, request, "email", mailed(lab, "reset_code"))
    flipped = request[:40] + ("A" if request[40] != "A" else "B") + request[41:]
    with pytest.raises(InputError, match="begin again"):
        finish_reset(lab.flow, flipped, "123456", NEW)
    assert mailed(lab, "reset_code") not in "".join(detail for _, detail in lab.events())


@given(text=st.text(max_size=300))
def test_no_text_is_a_request(text: str) -> None:
    with pytest.raises(InputError, match="begin again"):
        SealedRequest.read(_FLOW, "reset", text)


def _flow() -> Lab:
    from tests.flow.lab import make_lab
    from twofa_lab.store.engine import connect

    return make_lab(connect("sqlite://"))


_FLOW = _flow().flow


def test_a_password_that_cannot_be_one_is_refused_before_the_code_is_looked_at(lab: Lab) -> None:
    ann(lab)
    request = begin_reset(lab.flow, "ann")
    for bad in ("short", "x" * 257):
        with pytest.raises(InputError, match="8 to 256"):
            finish_reset(lab.flow, request, mailed(lab, "reset_code"), bad)
    assert lab.events("attempt") == []


def test_a_password_is_changed_by_who_knows_the_old_one(lab: Lab) -> None:
    ann(lab)
    other, _ = in_by_phone(lab)
    lab.wait(11 * MINUTE)
    mine = lab.login().session
    assert mine is not None
    assert change_password(lab.flow, mine, "no horse at all", NEW).status == "refused"
    assert change_password(lab.flow, mine, PASSWORD, NEW).status == "done"
    assert sessions.check(lab.flow, mine) is not None
    assert sessions.check(lab.flow, other) is None
    assert lab.login(password=NEW).status != "refused"
    assert len(lab.notices("password_changed")) == 2
    with read(lab.flow.engine) as c:
        assert trusted_devices_of(c, 5, lab.now) == []
    assert change_password(lab.flow, "no session", NEW, PASSWORD).status == "refused"


def test_a_stolen_session_is_no_place_to_guess_the_password(lab: Lab) -> None:
    ann(lab)
    mine, _ = in_by_phone(lab)
    for _ in range(10):
        assert change_password(lab.flow, mine, "a wrong horse", NEW).status == "refused"
    waiting = change_password(lab.flow, mine, PASSWORD, NEW)
    assert (waiting.status, waiting.retry_ms) == ("wait", lab.now + 30 * SECOND)
    lab.wait(30 * SECOND)
    assert change_password(lab.flow, mine, PASSWORD, NEW).status == "done"


def test_an_operator_sets_a_password_with_all_that_a_reset_does(lab: Lab) -> None:
    ann(lab)
    session, _ = in_by_phone(lab)
    assert set_new_password(lab.flow, 5, NEW)
    assert sessions.check(lab.flow, session) is None
    assert not set_new_password(lab.flow, 6, NEW)
    with pytest.raises(InputError, match="8 to 256"):
        set_new_password(lab.flow, 5, "short")
