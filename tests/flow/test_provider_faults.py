"""A provider that fails, over HTTP: another channel, or a clear refusal, and never a way in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.flow.entering import asked
from tests.flow.lab import SECOND
from tests.flow.people import account_of
from tests.flow.wired import Wired, walk
from twofa_lab.delivery.local.faults import FAULTS
from twofa_lab.errors import InputError
from twofa_lab.flow.answer import answer

SENDS_FAIL = ("429", "5xx", "redirect")
SENDS_LOST = (
    "5xx-after-send",
    "timeout-after-send",
    "slow-drip",
    "slow-headers",
    "malformed-json",
    "oversized-json",
)


def test_every_fault_is_rehearsed() -> None:
    webhooks = {name for name in FAULTS if name.startswith("webhook-")}
    assert {*SENDS_FAIL, *SENDS_LOST} == set(FAULTS) - webhooks


@pytest.mark.parametrize("fault", [*SENDS_FAIL, *SENDS_LOST])
def test_a_fault_on_the_first_send(wired: Wired, fault: str) -> None:
    """Refused for certain: the next channel at once. Maybe sent: it waits its turn, and the message
    is not sent a second time. Never a session."""
    lab = wired.lab
    wired.fault(f"{fault}:1@send")
    step = lab.strange_login()
    wired.fault()
    assert step.session is None
    assert step.status in {"asked", "refused"}
    if step.status == "refused":
        assert (step.record.outcome, wired.local.messages_sent) == ("undelivered", 0)
        return
    ticket, _ = asked(step)
    by_channel = [one.channel for one in wired.sent(ticket)]
    assert len(set(by_channel)) == len(by_channel), "no channel twice"
    assert wired.local.messages_sent <= len(by_channel)
    paid = sum(one.price_microusd for one in wired.sent(ticket))
    assert step.record.microusd >= paid
    walk(wired, ticket, 60 * SECOND)
    by_channel = [one.channel for one in wired.sent(ticket)]
    assert len(set(by_channel)) == len(by_channel)
    lab.wait(5 * SECOND)
    came = [answer(lab.flow, ticket, message["code"]).status for message in wired.inbox()]
    assert "signed_in" in came, "a code that arrived lets in, whatever the provider's first answer"
    assert lab.audit_holds()


@pytest.mark.parametrize("fault", SENDS_LOST)
def test_a_message_whose_answer_was_lost_is_not_sent_again(twilio: Wired, fault: str) -> None:
    lab = twilio.lab
    twilio.fault(f"{fault}:1@send")
    ticket, page = asked(lab.strange_login())
    assert [(one.channel, one.state) for one in twilio.sent(ticket)] == [("whatsapp", "unknown")]
    assert twilio.local.messages_sent == 1
    assert page.next_send_ms == lab.now + 30 * SECOND
    step = answer(lab.flow, ticket, twilio.code())
    assert (step.status, step.record.messages) == ("signed_in", 1), "our code, wherever it went"
    assert (step.record.microusd, twilio.local.messages_sent) == (1_000, 1)


@pytest.mark.parametrize("fault", [*SENDS_FAIL, *SENDS_LOST])
def test_an_outage_of_every_send_is_a_clear_refusal(wired: Wired, fault: str) -> None:
    lab = wired.lab
    wired.fault(f"{fault}@send")
    step = lab.strange_login()
    if step.ticket is not None:
        step = walk(wired, step.ticket, 100 * SECOND)
    assert step.session is None
    assert lab.events("session") == []
    if step.status == "refused":
        assert (step.record.outcome, wired.local.messages_sent) == ("undelivered", 0)
    else:
        assert step.record.messages == len(lab.flow.provider.supports.channels)
        assert 0 <= wired.local.messages_sent <= step.record.messages


@pytest.mark.parametrize("fault", [*SENDS_FAIL, *SENDS_LOST])
def test_a_fault_on_the_check_lets_nobody_in(verifynow: Wired, fault: str) -> None:
    """The attempt is counted; a wrong code never becomes a right one."""
    lab = verifynow.lab
    ticket, _ = asked(lab.strange_login())
    code = verifynow.code()
    verifynow.fault(f"{fault}:1@check")
    step = answer(lab.flow, ticket, code)
    assert (step.status, step.session) == ("asked", None)
    assert account_of(lab).factor_failures == 1
    again = answer(lab.flow, ticket, code)
    # what the provider had already approved is spent with it
    assert again.status == ("signed_in" if fault in SENDS_FAIL else "asked")


@pytest.mark.parametrize("fault", [*SENDS_FAIL, *SENDS_LOST])
@pytest.mark.parametrize("operation", ["check", "cancel"])
def test_a_fault_after_our_own_check_keeps_nobody_out(
    vonage: Wired, fault: str, operation: str
) -> None:
    lab = vonage.lab
    ticket, _ = asked(lab.strange_login())
    code = vonage.code()
    vonage.fault(f"{fault}@{operation}")
    assert answer(lab.flow, ticket, code).status == "signed_in"
    lab.wait(60 * SECOND)
    vonage.local.tick()
    assert vonage.local.messages_sent == 1, "what one call could not tell, the other did"


def test_an_outage_of_the_token_is_a_clear_refusal(verifynow: Wired) -> None:
    verifynow.fault("5xx@token")
    step = verifynow.lab.strange_login()
    assert (step.status, step.record.outcome) == ("refused", "undelivered")
    assert verifynow.local.messages_sent == 0


def test_a_provider_that_is_gone_is_a_clear_refusal(wired: Wired) -> None:
    wired.local.close()
    step = wired.lab.strange_login()
    assert (step.status, step.record.outcome, step.session) == ("refused", "undelivered", None)


def test_an_approval_of_another_verification_is_none(verifynow: Wired) -> None:
    """ASVS 6.6.2: another challenge's code is no answer to this one."""
    lab = verifynow.lab
    first, _ = asked(lab.strange_login())
    code = verifynow.code()
    second, _ = asked(lab.strange_login())
    assert answer(lab.flow, second, code).status == "asked"
    assert answer(lab.flow, first, code).status == "signed_in"


def test_a_timeout_that_vonage_cannot_have_is_an_error_and_no_login(vonage: Wired) -> None:
    """A mistake of whoever wrote the policy, named in one line; nothing is sent."""
    policy = vonage.lab.flow.policy
    fallback = policy.fallback.model_copy(update={"timeout_seconds": 10.0})
    lab = vonage.lab.with_rules(policy=policy.model_copy(update={"fallback": fallback}))
    with pytest.raises(InputError, match="15-900 seconds"):
        lab.strange_login()
    assert vonage.local.messages_sent == 0
    assert lab.events("session") == []


def test_codes_of_a_length_the_provider_lacks_are_an_error_and_no_login(verifynow: Wired) -> None:
    rules = verifynow.lab.flow.rules
    lab = verifynow.lab.with_rules(rules=replace(rules, otp=replace(rules.otp, digits=10)))
    with pytest.raises(InputError, match="4 to 8 digits"):
        lab.strange_login()
    assert verifynow.local.messages_sent == 0
