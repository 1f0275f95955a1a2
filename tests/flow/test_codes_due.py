"""While a code is on its way: the plan is walked, each message is sent once, receipts are told."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.flow.entering import Equipped, asked, under
from tests.flow.lab import MINUTE, PHONE, SECOND, Lab
from tests.flow.people import ann
from twofa_lab.delivery.phone import parse
from twofa_lab.flow.answer import answer, leave
from twofa_lab.flow.codes_due import advance, receipt, resend
from twofa_lab.flow.step import Ticket
from twofa_lab.store.challenges import Message, messages_of
from twofa_lab.store.engine import read

CHANNELS = ["whatsapp", "sms", "voice"]


def sent(lab: Lab, ticket: Ticket) -> list[Message]:
    with read(lab.flow.engine) as c:
        return messages_of(c, ticket.challenge_id)


def opened(lab: Lab) -> Ticket:
    ann(lab, whatsapp=True)
    return asked(lab.strange_login())[0]


def test_each_channel_in_its_turn_and_one_resend(both: Lab) -> None:
    lab = both
    ticket = opened(lab)
    start, due = lab.now, []
    for after in (0, 29_999, 30_000, 60_000, 89_999, 90_000):
        lab.time[0] = start + after
        step = advance(lab.flow, ticket)
        due.append(asked(step)[1].next_send_ms)
        assert step.record.messages == len(sent(lab, ticket))
    assert [at and at - start for at in due] == [30_000, 30_000, 60_000, None, None, None]
    assert [one.channel for one in sent(lab, ticket)] == CHANNELS
    for _ in range(3):
        step = resend(lab.flow, ticket)
    assert [one.channel for one in sent(lab, ticket)] == [*CHANNELS, "whatsapp"]
    assert (step.record.messages, step.record.microusd) == (4, 4 * 8_300)
    assert lab.exchange.messages_sent == 4
    assert [detail.count('"result":"sent"') for _, detail in lab.events("send")] == [1] * 4


def test_a_resend_asked_for_early_goes_out_once_all_had_their_time(lab: Lab) -> None:
    ticket = opened(lab)
    resend(lab.flow, ticket)
    assert len(sent(lab, ticket)) == 1
    for _ in range(3):
        lab.wait(30 * SECOND)
        advance(lab.flow, ticket)
    assert [one.channel for one in sent(lab, ticket)] == [*CHANNELS, "whatsapp"]


def test_a_page_that_slept_catches_up(lab: Lab) -> None:
    ticket = opened(lab)
    lab.wait(5 * MINUTE)
    advance(lab.flow, ticket)
    assert [one.channel for one in sent(lab, ticket)] == CHANNELS


def test_nothing_is_sent_once_the_person_is_in(lab: Lab) -> None:
    ticket = opened(lab)
    assert answer(lab.flow, ticket, lab.code(PHONE)).status == "signed_in"
    lab.wait(MINUTE)
    assert advance(lab.flow, ticket).status == "refused"
    assert resend(lab.flow, ticket).status == "refused"
    assert lab.exchange.messages_sent == 1


def test_a_code_that_died_ends_the_login(lab: Lab) -> None:
    ticket = opened(lab)
    lab.wait(10 * MINUTE + 1)
    step = advance(lab.flow, ticket)
    assert (step.status, step.record.outcome) == ("refused", "abandoned")
    assert len(sent(lab, ticket)) == 1, "a dead code is not sent"
    assert advance(lab.flow, ticket).record.outcome is None, "it had ended"


def test_where_no_code_is_on_its_way_there_is_nothing_to_send(lab: Lab) -> None:
    Equipped.of(lab)
    ticket, page = asked(under(lab).login())
    assert asked(resend(lab.flow, ticket))[1].factor == page.factor == "hardware_key"
    assert lab.exchange.messages_sent == 0


def test_pages_that_ask_at_once_send_once(threads: Lab) -> None:
    """Both of two pages, or a page that is reloaded, call at the same moment."""
    lab = threads
    ticket = opened(lab)
    lab.wait(30 * SECOND)
    start = threading.Barrier(8)

    def act(_number: int) -> str:
        start.wait()
        return advance(lab.flow, ticket).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(act, range(8))) == {"asked"}
    assert [one.channel for one in sent(lab, ticket)] == CHANNELS[:2]
    assert lab.exchange.messages_sent == 2
    assert lab.audit_holds()


# -- receipts --------------------------------------------------------------------------------------


def told(lab: Lab, channel: str, *, arrived: bool) -> bool:
    verification = lab.exchange.newest(parse(PHONE))
    assert verification is not None
    return receipt(lab.flow, verification.verification_id, channel, arrived=arrived)


def test_a_receipt_lets_nobody_in_and_counts_once(both: Lab) -> None:
    lab = both
    ticket = opened(lab)
    assert told(lab, "whatsapp", arrived=True)
    assert not told(lab, "whatsapp", arrived=True)
    assert not told(lab, "sms", arrived=True), "nothing was sent there"
    assert not receipt(lab.flow, "unknown", "sms", arrived=True)
    (message,) = sent(lab, ticket)
    assert (message.state, message.delivered_at) == ("delivered", lab.now)
    assert lab.events("session") == []
    assert len(lab.events("delivery")) == 1


@pytest.mark.parametrize(
    ("lost", "outcome"),
    [([], "abandoned"), (["whatsapp"], "abandoned"), (["whatsapp", "sms"], "undelivered")],
)
def test_undelivered_is_what_the_carriers_say(lab: Lab, lost: list[str], outcome: str) -> None:
    ticket = opened(lab)
    lab.wait(30 * SECOND)
    advance(lab.flow, ticket)
    for channel in lost:
        assert told(lab, channel, arrived=False)
    assert leave(lab.flow, ticket).record.outcome == outcome


def test_a_late_first_message_still_counts(lab: Lab) -> None:
    """And its channel is the session's method, as the carrier reported it."""
    lab.reachable(PHONE, {"whatsapp": 350, "sms": 100})
    ann(lab, whatsapp=True)
    number = lab.reachable(PHONE, {"whatsapp": 350, "sms": 100})
    ticket = asked(lab.strange_login())[0]
    lab.wait(30 * SECOND)
    advance(lab.flow, ticket)
    lab.wait(5 * SECOND)
    (message,) = lab.exchange.inbox(number)
    assert message.channel == "whatsapp"
    assert told(lab, "whatsapp", arrived=True)
    assert answer(lab.flow, ticket, message.code).status == "signed_in"
    assert '"amr":"pwd otp mca mfa"' in lab.events("session")[-1][1]
