from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from twofa_lab.delivery import exchange as exchange_module
from twofa_lab.delivery.carrier import ScriptedCarrier, SimulatedCarrier
from twofa_lab.delivery.exchange import Exchange, Verification, draw_code
from twofa_lab.delivery.phone import PhoneNumber, parse
from twofa_lab.delivery.plan import FallbackPlan

PLAN = FallbackPlan(("whatsapp", "sms", "voice"), 30)


@pytest.fixture
def carrier(mobile: PhoneNumber) -> ScriptedCarrier:
    carrier = ScriptedCarrier()
    carrier.script(mobile, {"whatsapp": 450, "sms": 35, "voice": 80}, resend_ds=20)
    return carrier


def test_a_code_appears_on_the_phone_when_it_arrives(
    clock: Any, carrier: ScriptedCarrier, mobile: PhoneNumber
) -> None:
    exchange = Exchange(carrier, clock)
    verification = exchange.open(mobile, "sms", code_length=8)
    clock.advance(3.4)
    assert exchange.inbox(mobile) == ()
    clock.advance(0.1)
    (message,) = exchange.inbox(mobile)
    assert message.arrived_ms - message.sent_ms == 3500
    assert len(message.code) == 8
    assert exchange.check(verification, message.code)
    assert not exchange.check(verification, message.code)


def test_a_plan_is_walked_to_the_times_it_was_due(
    clock: Any, carrier: ScriptedCarrier, mobile: PhoneNumber
) -> None:
    exchange = Exchange(carrier, clock)
    verification = exchange.open(mobile, "whatsapp", plan=PLAN.start(PLAN.channels))
    start = clock.now
    clock.advance(500)  # nobody looked for minutes
    exchange.advance_all()
    sent = [(channel, (at - start) // 100) for channel, at, _ in verification.messages]
    assert sent == [("whatsapp", 0), ("sms", 300), ("voice", 600)]
    assert [message.channel for message in exchange.inbox(mobile)] == ["sms", "whatsapp", "voice"]
    assert len({message.code for message in exchange.inbox(mobile)}) == 1


def test_the_right_code_at_the_moment_a_channel_is_due_cancels_it(
    clock: Any, carrier: ScriptedCarrier, mobile: PhoneNumber
) -> None:
    exchange = Exchange(carrier, clock, make_code=lambda length: "1" * length)
    verification = exchange.open(mobile, "whatsapp", plan=PLAN.start(PLAN.channels))
    clock.advance(30)
    assert exchange.check(verification, "111111")
    clock.advance(100)
    exchange.advance_all()
    assert exchange.messages_sent == 1


def test_a_channel_can_be_tried_early_and_only_while_there_is_one(
    clock: Any, carrier: ScriptedCarrier, mobile: PhoneNumber
) -> None:
    exchange = Exchange(carrier, clock)
    verification = exchange.open(mobile, "whatsapp", plan=PLAN.start(PLAN.channels))
    assert exchange.next_channel(verification)
    assert exchange.next_channel(verification)
    assert not exchange.next_channel(verification)
    assert exchange.messages_sent == 3
    assert not exchange.next_channel(exchange.open(mobile, "sms"))


def test_wrong_codes_end_a_verification(
    clock: Any, carrier: ScriptedCarrier, mobile: PhoneNumber
) -> None:
    exchange = Exchange(carrier, clock, max_checks=3, make_code=lambda _: "123456")
    verification = exchange.open(mobile, "sms")
    for _ in range(3):
        assert not exchange.check(verification, "654321")
    assert verification.status == "max_attempts_reached"
    exchange.send_again(verification, "voice")
    assert not exchange.check(verification, "123456")
    assert exchange.messages_sent == 1


def test_a_code_lives_ten_minutes(
    clock: Any, carrier: ScriptedCarrier, mobile: PhoneNumber
) -> None:
    exchange = Exchange(carrier, clock, make_code=lambda _: "123456")
    in_time, late = exchange.open(mobile, "sms"), exchange.open(mobile, "sms")
    clock.advance(600)
    assert exchange.check(in_time, "123456")
    clock.advance(0.001)
    assert not exchange.check(late, "123456")
    assert late.status == "expired"
    assert exchange.pending(mobile) is None


def test_fifty_threads_with_the_right_code_succeed_once(
    clock: Any, carrier: ScriptedCarrier, mobile: PhoneNumber
) -> None:
    exchange = Exchange(carrier, clock, make_code=lambda _: "123456")
    verification = exchange.open(mobile, "sms")
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: exchange.check(verification, "123456"), range(500)))
    assert sum(answers) == 1


def test_a_listener_hears_of_messages_and_of_the_end(
    clock: Any, carrier: ScriptedCarrier, mobile: PhoneNumber
) -> None:
    heard: list[tuple[str, str | None]] = []

    def listen(verification: Verification, channel: str | None) -> None:
        heard.append((verification.status, channel))

    exchange = Exchange(carrier, clock, listener=listen)
    verification = exchange.open(mobile, "sms")
    exchange.send_again(verification, "voice")
    exchange.close(verification)
    exchange.close(verification)
    assert heard == [("pending", "sms"), ("pending", "voice"), ("canceled", None)]


def test_the_same_seed_gives_the_same_person_the_same_fates(
    clock: Any, mobile: PhoneNumber
) -> None:
    def delays(*channels: str) -> list[list[int | None]]:
        exchange = Exchange(SimulatedCarrier(5), clock)
        found = []
        for _ in range(200):
            verification = exchange.open(mobile, channels[0])
            for channel in channels[1:]:
                exchange.send_again(verification, channel)
            found.append([arrives for _, _, arrives in verification.messages])
            exchange.close(verification)
        return found

    both = delays("sms", "voice")
    assert both == delays("sms", "voice")
    assert any(None in pair for pair in both)
    # one message more for everybody changes nothing about the others
    assert [pair[:1] for pair in both] == delays("sms")


def test_memory_is_bounded(
    clock: Any, carrier: ScriptedCarrier, mobile: PhoneNumber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "_KEPT", 10)
    exchange = Exchange(carrier, clock)
    other = parse("+33612345678")
    first = exchange.open(other, "sms")
    for _ in range(10):
        exchange.open(mobile, "sms")
    assert exchange.find(first.verification_id) is None
    assert exchange.pending(other) is None
    exchange.advance_all()


def test_codes_are_digits_of_the_length_asked_for() -> None:
    drawn = {draw_code(4) for _ in range(500)}
    assert all(code.isdecimal() and len(code) == 4 for code in drawn)
    assert len(drawn) > 400
