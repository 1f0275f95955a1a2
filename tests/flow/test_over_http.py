"""The whole flow over HTTP: three providers as the local one speaks them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.flow.entering import WRONG, asked, challenge_of, give_recovery_codes
from tests.flow.lab import ARRIVES, PHONE, SECOND, sign_up_of
from tests.flow.people import another
from tests.flow.wired import Wired, walk
from twofa_lab.flow.answer import answer, leave
from twofa_lab.flow.codes_due import advance, receipt, resend
from twofa_lab.flow.sign_up import begin_sign_up, verify_phone


def test_a_login_with_the_code_from_the_handset(wired: Wired) -> None:
    lab = wired.lab
    ticket, page = asked(lab.strange_login())
    assert page.factor == "otp"
    code = wired.code()
    assert answer(lab.flow, ticket, another(code)).status == "asked"
    step = answer(lab.flow, ticket, code)
    assert (step.status, step.session_level, step.record.attempts) == ("signed_in", 2, 2)
    assert (step.record.messages, step.record.microusd) == (1, 1_000)
    assert wired.local.messages_sent == 1
    assert answer(lab.flow, ticket, code).status == "refused"
    assert [one.state for one in wired.sent(ticket)] == ["sent"]
    assert lab.audit_holds()


def test_the_provider_learns_that_the_code_was_entered(wired: Wired) -> None:
    """They block numbers whose codes nobody enters: ending a delivery is not enough."""
    ticket, _ = asked(wired.lab.strange_login())
    answer(wired.lab.flow, ticket, wired.code())
    assert wired.status() == "approved"


def test_what_is_left_is_cancelled(wired: Wired) -> None:
    ticket, _ = asked(wired.lab.strange_login())
    leave(wired.lab.flow, ticket)
    assert wired.status() == ("pending" if wired.name == "verifynow" else "canceled")


def test_five_wrong_codes_end_it_with_the_provider_too(wired: Wired) -> None:
    """Though Vonage itself would end at three: our codes are checked here, and it never sees
    them."""
    lab = wired.lab
    ticket, _ = asked(lab.strange_login())
    code = wired.code()
    for _ in range(4):
        assert answer(lab.flow, ticket, another(code)).status == "asked"
    assert answer(lab.flow, ticket, another(code)).record.outcome == "failed"
    assert answer(lab.flow, ticket, code).status == "refused"
    over = "max_attempts_reached" if wired.name == "verifynow" else "canceled"
    assert wired.status() == over


def test_four_wrong_codes_and_the_right_one(wired: Wired) -> None:
    lab = wired.lab
    ticket, _ = asked(lab.strange_login())
    code = wired.code()
    for _ in range(4):
        answer(lab.flow, ticket, another(code))
    assert answer(lab.flow, ticket, code).status == "signed_in"


def test_fallback_to_the_next_channel(wired: Wired) -> None:
    """Ours where the provider has none, Vonage's own where it has: the same messages, the same
    price, and the method of the channel that carried the code."""
    lab = wired.lab
    lab.reachable(PHONE, {"sms": 35})
    ticket, _ = asked(lab.strange_login())
    lab.reachable(PHONE, {"sms": 35})
    step = walk(wired, ticket, 30 * SECOND)
    assert (step.status, step.record.messages, step.record.microusd) == ("asked", 2, 2_000)
    sent = wired.sent(ticket)
    assert [one.channel for one in sent] == ["whatsapp", "sms"]
    (arrived,) = wired_inbox(wired)
    assert arrived["channel"] == "sms"
    assert receipt(lab.flow, sent[1].provider_id or "", "sms", arrived=True)
    done = answer(lab.flow, ticket, arrived["code"])
    assert (done.status, done.record.messages, done.record.microusd) == ("signed_in", 2, 2_000)
    assert wired.local.messages_sent == 2
    assert '"amr":"pwd otp sms mca mfa"' in lab.events("session")[-1][1]
    lab.wait(60 * SECOND)
    wired.local.tick()
    assert wired.local.messages_sent == 2, "nothing is sent once the person is in"


def wired_inbox(wired: Wired) -> list[dict[str, Any]]:
    wired.lab.wait(5 * SECOND)
    return wired.inbox()


def test_a_page_that_never_asks_is_charged_for_what_the_provider_sent_itself(
    vonage: Wired,
) -> None:
    lab = vonage.lab
    lab.reachable(PHONE, {"voice": 35})
    ticket, page = asked(lab.strange_login())
    assert page.next_send_ms is None
    lab.wait(65 * SECOND)
    vonage.local.tick()
    step = answer(lab.flow, ticket, WRONG)
    assert (step.status, step.record.messages, step.record.microusd) == ("asked", 3, 3_000)
    done = answer(lab.flow, ticket, vonage.code())
    assert (done.status, done.record.microusd) == ("signed_in", 3_000)
    assert [one.channel for one in vonage.sent(ticket)] == ["whatsapp", "sms", "voice"]
    assert [detail.count('"microusd":1000') for _, detail in lab.events("send")] == [1] * 3
    assert lab.audit_holds()


def test_a_resend_with_a_code_that_still_fits(wired: Wired) -> None:
    """VerifyNow gives every message a code of its own, and each of them lets in."""
    lab = wired.lab
    number = lab.reachable(PHONE, {})
    lab.carrier.script(number, {}, resend_ds=20)
    ticket, _ = asked(lab.strange_login())
    walk(wired, ticket, 90 * SECOND)
    if wired.name != "twilio":  # a carrier that knows this is a resend: here a new verification
        lab.reachable(PHONE, ARRIVES)
    step = resend(lab.flow, ticket)
    assert step.status == "asked"
    assert answer(lab.flow, ticket, wired.code()).status == "signed_in"
    assert step.record.messages == wired.local.messages_sent == len(wired.sent(ticket))


def test_an_earlier_code_of_a_provider_with_many_codes_lets_in(verifynow: Wired) -> None:
    lab = verifynow.lab
    lab.reachable(PHONE, {"whatsapp": 350, "sms": 20})
    ticket, _ = asked(lab.strange_login())
    walk(verifynow, ticket, 40 * SECOND)
    first, second = (message["code"] for message in verifynow.inbox())
    assert first != second
    assert challenge_of(lab, ticket).expected is None, "the provider checks"
    late = verifynow.inbox()[-1]
    assert late["channel"] == "whatsapp"
    assert answer(lab.flow, ticket, late["code"]).status == "signed_in"


def test_two_pages_that_wait_know_of_every_code(verifynow: Wired) -> None:
    """What one page's call sent, the other's must not forget."""
    lab = verifynow.lab
    lab.reachable(PHONE, {"sms": 20})
    ticket, _ = asked(lab.strange_login())
    stale = challenge_of(lab, ticket).context
    lab.wait(30 * SECOND)
    advance(lab.flow, ticket)
    with lab.flow.engine.begin() as c:
        c.exec_driver_sql("update challenges set context = ?", (stale,))
    assert answer(lab.flow, ticket, verifynow.code()).status == "signed_in"


def test_a_recovery_code_needs_no_provider(wired: Wired) -> None:
    lab = wired.lab
    (code, *_) = give_recovery_codes(lab)
    ticket, _ = asked(lab.strange_login())
    wired.fault("5xx")
    assert answer(lab.flow, ticket, code).status == "signed_in"


# -- a page that was closed ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["twilio", "vonage"])
def test_beginning_again_sends_the_new_code(wire: Callable[[str], Wired], name: str) -> None:
    """Both know one verification a number: the closed page's is ended, or its code would travel
    (Twilio), or none (Vonage)."""
    wired = wire(name)
    lab = wired.lab
    closed, _ = asked(lab.strange_login())
    lab.wait(5 * SECOND)
    ticket, _ = asked(lab.strange_login())
    step = answer(lab.flow, ticket, wired.code())
    assert step.status == "signed_in"
    assert wired.local.messages_sent == {"twilio": 3, "vonage": 2}[name]
    assert step.record.messages == {"twilio": 2, "vonage": 1}[name]
    assert step.record.microusd == step.record.messages * 1_000
    assert advance(lab.flow, closed).status == "asked"
    assert lab.audit_holds()


def test_beginning_again_with_verifynow_takes_the_next_channel(verifynow: Wired) -> None:
    """It refuses a second message by one channel within a minute."""
    lab = verifynow.lab
    asked(lab.strange_login())
    ticket, _ = asked(lab.strange_login())
    assert [(one.channel, one.state) for one in verifynow.sent(ticket)] == [
        ("whatsapp", "failed"),
        ("sms", "sent"),
    ]
    assert answer(lab.flow, ticket, verifynow.code()).status == "signed_in"
    assert asked(lab.strange_login())[0]


@pytest.mark.parametrize("name", ["twilio", "vonage"])
def test_a_sign_up_that_is_begun_again(wire: Callable[[str], Wired], name: str) -> None:
    wired = wire(name)
    lab, number = wired.lab, "+447400123457"
    lab.reachable(number)
    begin_sign_up(lab.flow, sign_up_of("bob", number))
    step = begin_sign_up(lab.flow, sign_up_of("bob", number))
    assert step.ticket is not None
    lab.wait(5 * SECOND)
    code = wired.local.inbox(lab.reachable(number))[-1].code
    assert verify_phone(lab.flow, step.ticket, code).status == "signed_in"
