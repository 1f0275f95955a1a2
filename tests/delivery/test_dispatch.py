"""The whole delivery of a code, over the simulated provider and over HTTP with every fault."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from twofa_lab.delivery.carrier import ScriptedCarrier
from twofa_lab.delivery.dispatch import Delivery, Dispatcher, NothingSentError, SendRecord
from twofa_lab.delivery.exchange import Exchange
from twofa_lab.delivery.ledger import MemoryLedger
from twofa_lab.delivery.limits import MemoryCounter, SendGuard
from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.plan import FallbackPlan
from twofa_lab.delivery.providers.base import DeliveryError, Outcome, Reason
from twofa_lab.delivery.providers.simulated import SimulatedProvider

PLAN = FallbackPlan(("whatsapp", "sms", "voice"), 30)
IP = "203.0.113.1"


@dataclass
class Sim:
    """The simulated provider under a dispatcher."""

    exchange: Exchange
    carrier: ScriptedCarrier
    dispatcher: Dispatcher


@pytest.fixture
def simulated(clock: Any) -> Callable[..., Sim]:
    def make(**options: Any) -> Sim:
        carrier = ScriptedCarrier()
        exchange = Exchange(carrier, clock)
        dispatcher = Dispatcher(SimulatedProvider(exchange), MemoryLedger(), clock, **options)
        return Sim(exchange, carrier, dispatcher)

    return make


def start(dispatcher: Dispatcher, number: PhoneNumber, **more: Any) -> Delivery:
    settings: dict[str, Any] = {"whatsapp": True, "ip": IP}
    return dispatcher.start("login-1", number, PLAN, **(settings | more))


def results(delivery: Delivery) -> list[tuple[str, int, str]]:
    return [(record.channel, record.at_ds, record.result) for record in delivery.records]


def test_the_plan_is_walked_until_the_code_was_entered(
    simulated: Any, clock: Any, mobile: PhoneNumber
) -> None:
    sim = simulated()
    sim.carrier.script(mobile, {"sms": 40})
    delivery = start(sim.dispatcher, mobile)
    started = clock.now
    assert sim.dispatcher.next_due_ms(delivery) == started + 30_000
    clock.advance(29.9)
    assert sim.dispatcher.advance(delivery) == delivery
    clock.advance(0.1)
    delivery = sim.dispatcher.advance(delivery)
    clock.advance(4)
    (message,) = sim.exchange.inbox(mobile)
    delivery, checked = sim.dispatcher.check(delivery, "wrong1")
    assert checked.outcome is Outcome.WRONG_CODE
    delivery, checked = sim.dispatcher.check(delivery, message.code)
    assert checked.approved
    clock.advance(300)
    delivery = sim.dispatcher.advance(delivery)
    assert results(delivery) == [("whatsapp", 0, "sent"), ("sms", 300, "sent")]
    assert (delivery.messages, sim.exchange.messages_sent) == (2, 2)
    assert sim.dispatcher.next_due_ms(delivery) is None
    assert len(delivery.verification_ids) == 1


def test_a_resend_and_no_second_one(simulated: Any, clock: Any, mobile: PhoneNumber) -> None:
    sim = simulated()
    sim.carrier.script(mobile, {}, resend_ds=25)
    delivery = start(sim.dispatcher, mobile)
    delivery = replace(delivery, plan=delivery.plan.resend_asked())
    for _ in range(6):
        clock.advance(30)
        delivery = sim.dispatcher.advance(delivery)
    assert [record.at_ds for record in delivery.records] == [0, 300, 600, 900]
    assert [message.channel for message in sim.exchange.inbox(mobile)] == ["whatsapp"]


def test_the_same_challenge_started_twice_sends_once(
    simulated: Any, clock: Any, mobile: PhoneNumber
) -> None:
    sim = simulated()
    first = start(sim.dispatcher, mobile)
    again = start(sim.dispatcher, mobile)  # the process died before it stored the first
    assert again.verification_ids == first.verification_ids
    clock.advance(30)
    sim.dispatcher.advance(first)
    sim.dispatcher.advance(again)
    assert sim.exchange.messages_sent == 2


def test_a_person_without_usable_channel_is_told(simulated: Any, landline: PhoneNumber) -> None:
    sim = simulated()
    with pytest.raises(DeliveryError) as refused:
        sim.dispatcher.start(
            "k", landline, FallbackPlan(("whatsapp", "sms"), 30), whatsapp=True, ip=IP
        )
    assert refused.value.reason is Reason.NO_CHANNEL
    assert start(sim.dispatcher, landline).records[0].channel == "voice"


def test_limits_refuse_before_anything_is_sent(
    simulated: Any, clock: Any, mobile: PhoneNumber
) -> None:
    guard = SendGuard(MemoryCounter())
    sim = simulated(guard=guard)
    for index in range(3):
        sim.dispatcher.start(f"login-{index}", mobile, PLAN, whatsapp=True, ip=IP)
        clock.advance(1)
    with pytest.raises(DeliveryError) as refused:
        sim.dispatcher.start("login-3", mobile, PLAN, whatsapp=True, ip=IP)
    assert refused.value.reason is Reason.RATE_LIMITED
    assert refused.value.retry_after_seconds == 600
    assert sim.exchange.messages_sent == 3


def test_a_swapped_sim_leaves_only_whatsapp(
    simulated: Any, mobile: PhoneNumber, landline: PhoneNumber
) -> None:
    class Swapped:
        def swapped(self, number: PhoneNumber, max_age_hours: int) -> bool:
            return True

    class Silent:
        def swapped(self, number: PhoneNumber, max_age_hours: int) -> bool:
            raise DeliveryError("sim-swap", Reason.UNREACHABLE)

    for check in (Swapped(), Silent()):
        sim = simulated(sim_swap=check)
        assert start(sim.dispatcher, mobile).plan.channels == ("whatsapp",)
        with pytest.raises(DeliveryError) as refused:
            start(sim.dispatcher, landline)
        assert refused.value.reason is Reason.BLOCKED
        assert sim.exchange.messages_sent == 1
    open_ended = simulated(sim_swap=Silent(), fail_closed=False)
    assert start(open_ended.dispatcher, mobile).plan.channels == PLAN.channels


def test_cancelling_ends_it_here_and_there(simulated: Any, clock: Any, mobile: PhoneNumber) -> None:
    sim = simulated()
    sim.carrier.script(mobile, {"whatsapp": 0})
    delivery = start(sim.dispatcher, mobile, code="314159")
    assert sim.exchange.inbox(mobile)[0].code == "314159"
    assert "314159" not in repr(delivery)
    delivery = sim.dispatcher.cancel(delivery)
    clock.advance(60)
    assert sim.dispatcher.advance(delivery) == delivery
    assert sim.dispatcher.check(delivery, "314159")[1].outcome is Outcome.GONE


def dispatcher_for(lab: Any, name: str) -> Dispatcher:
    return Dispatcher(lab.adapter(name), MemoryLedger(), lab.clock)


@pytest.mark.parametrize("name", ["twilio", "vonage", "verifynow"])
def test_every_provider_falls_back_to_sms_and_lets_the_person_in(
    lab: Any, mobile: PhoneNumber, name: str
) -> None:
    lab.script(mobile, sms=50)
    dispatcher = dispatcher_for(lab, name)
    delivery = start(dispatcher, mobile)
    lab.clock.advance(30)
    delivery = dispatcher.advance(delivery)
    lab.clock.advance(5)
    (message,) = lab.local.inbox(mobile)
    delivery, checked = dispatcher.check(delivery, message.code)
    assert (message.channel, checked.approved) == ("sms", True)
    lab.clock.advance(300)
    delivery = dispatcher.advance(delivery)
    assert (delivery.messages, lab.local.messages_sent) == (2, 2)


def test_a_late_first_message_counts_even_where_each_has_its_own_code(
    lab: Any, mobile: PhoneNumber
) -> None:
    lab.script(mobile, whatsapp=320)
    dispatcher = dispatcher_for(lab, "verifynow")
    delivery = start(dispatcher, mobile)
    lab.clock.advance(33)
    delivery = dispatcher.advance(delivery)
    assert len(delivery.verification_ids) == 2
    (message,) = lab.local.inbox(mobile)
    assert dispatcher.check(delivery, message.code)[1].approved


def test_vonage_s_own_schedule_is_recorded_as_it_happens(lab: Any, mobile: PhoneNumber) -> None:
    lab.script(mobile, whatsapp=10)
    dispatcher = dispatcher_for(lab, "vonage")
    delivery = start(dispatcher, mobile)
    assert [record.result for record in delivery.records] == ["sent", "scheduled", "scheduled"]
    lab.clock.advance(29.9)
    ended, checked = dispatcher.check(delivery, lab.local.inbox(mobile)[0].code)
    assert checked.approved
    assert (ended.messages, lab.local.messages_sent) == (1, 1)
    for late_ms, messages in ((30_000, 1), (30_100, 2), (60_000, 2), (60_100, 3)):
        # done at the very moment a channel was due: it was not sent
        assert delivery.over(delivery.started_ms + late_ms).messages == messages
    lab.clock.advance(0.1)
    assert dispatcher.advance(delivery).messages == 2  # had the person not been done


REFUSING = ("429", "redirect")  # nothing was done; a redirect cannot be told from "maybe done"
LOSING = (
    "5xx", "5xx-after-send", "timeout-after-send", "slow-drip", "slow-headers", "malformed-json",
    "oversized-json",
)  # fmt: skip


@pytest.mark.parametrize("name", ["twilio", "vonage", "verifynow"])
def test_a_refused_send_falls_back_at_once(lab: Any, mobile: PhoneNumber, name: str) -> None:
    lab.script(mobile, sms=20)
    lab.fault("429:1@send")
    dispatcher = dispatcher_for(lab, name)
    delivery = start(dispatcher, mobile)
    assert delivery.records[:2] == (
        SendRecord("whatsapp", 0, "RATE_LIMITED"),
        SendRecord("sms", 0, "sent"),
    )
    lab.clock.advance(2)
    assert dispatcher.check(delivery, lab.local.inbox(mobile)[0].code)[1].approved
    assert lab.local.messages_sent == 1


@pytest.mark.parametrize("fault", LOSING)
@pytest.mark.parametrize("name", ["twilio", "verifynow"])
def test_a_lost_answer_is_never_sent_again_and_the_next_channel_waits_its_turn(
    lab: Any, mobile: PhoneNumber, name: str, fault: str
) -> None:
    lab.script(mobile, sms=20)
    dispatcher = dispatcher_for(lab, name)
    lab.fault(fault + ":1@send")
    delivery = start(dispatcher, mobile)
    sent_at_once = lab.local.messages_sent
    assert sent_at_once == (0 if fault == "5xx" else 1)
    assert results(delivery) == [("whatsapp", 0, "maybe sent")]
    # the same challenge again, as after a crash: nothing goes out
    start(dispatcher, mobile)
    assert lab.local.messages_sent == sent_at_once
    lab.clock.advance(30)
    delivery = dispatcher.advance(delivery)
    lab.clock.advance(2)
    assert lab.local.messages_sent == sent_at_once + 1
    assert dispatcher.check(delivery, lab.local.inbox(mobile)[-1].code)[1].approved


@pytest.mark.parametrize("fault", LOSING)
def test_a_lost_answer_of_the_whole_plan_is_not_sent_again(
    lab: Any, mobile: PhoneNumber, fault: str
) -> None:
    dispatcher = dispatcher_for(lab, "vonage")
    lab.fault(fault + ":1@send")
    delivery = start(dispatcher, mobile)
    assert delivery.records[0].result == "maybe sent"
    again = start(dispatcher, mobile)
    assert lab.local.messages_sent == (0 if fault == "5xx" else 1)
    assert again.verification_ids == ()
    assert dispatcher.check(again, "123456")[1].outcome is Outcome.GONE


@pytest.mark.parametrize("name", ["twilio", "vonage", "verifynow"])
def test_a_provider_that_refuses_everything_gives_a_clear_refusal(
    lab: Any, mobile: PhoneNumber, name: str
) -> None:
    lab.fault("429@send")
    with pytest.raises(NothingSentError, match="wait before asking") as refused:
        start(dispatcher_for(lab, name), mobile)
    assert refused.value.retry_after_seconds == 30
    assert {record.result for record in refused.value.records} == {"RATE_LIMITED"}
    assert lab.local.messages_sent == 0


@pytest.mark.parametrize("name", ["twilio", "vonage", "verifynow"])
@pytest.mark.parametrize("fault", [*REFUSING, *LOSING])
def test_a_check_without_an_answer_lets_nobody_in(
    lab: Any, mobile: PhoneNumber, name: str, fault: str
) -> None:
    lab.script(mobile, whatsapp=0)
    dispatcher = dispatcher_for(lab, name)
    delivery = start(dispatcher, mobile)
    lab.fault(fault + ":1@check")
    with pytest.raises(DeliveryError):
        dispatcher.check(delivery, lab.local.inbox(mobile)[0].code)


@pytest.mark.parametrize("fault", ["5xx:1@cancel", "timeout-after-send:1@cancel"])
@pytest.mark.parametrize("name", ["twilio", "vonage"])
def test_a_cancel_is_repeated_after_a_passing_fault(
    lab: Any, mobile: PhoneNumber, name: str, fault: str
) -> None:
    dispatcher = dispatcher_for(lab, name)
    delivery = start(dispatcher, mobile)
    lab.fault(fault)
    dispatcher.cancel(delivery)
    lab.clock.advance(300)
    lab.local.tick()
    assert lab.local.messages_sent == 1
