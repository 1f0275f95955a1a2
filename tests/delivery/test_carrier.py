import math
from statistics import median

import pytest

from twofa_lab.delivery.carrier import (
    QUALITY,
    ChannelQuality,
    Message,
    Outage,
    ScriptedCarrier,
    SimulatedCarrier,
)
from twofa_lab.delivery.phone import PhoneNumber, parse
from twofa_lab.errors import InputError
from twofa_lab.tables import NEVER

BRAZIL = parse("+5511961234567")
N = 20_000


def message(index: int, channel: str = "sms", number: PhoneNumber = BRAZIL, at: int = 0) -> Message:
    return Message(number, channel, at, f"m{index}")


def fates(carrier: SimulatedCarrier, channel: str = "sms", at: int = 0) -> list[int | None]:
    return [carrier.delay_ds(message(index, channel, at=at)) for index in range(N)]


@pytest.mark.parametrize("channel", ["sms", "whatsapp", "voice"])
def test_shares_and_delays_are_those_of_the_channel(channel: str) -> None:
    quality = QUALITY["BR", channel]
    delays = [delay for delay in fates(SimulatedCarrier(1), channel) if delay is not None]
    spread = math.sqrt(quality.delivered * (1 - quality.delivered) / N)
    assert len(delays) / N == pytest.approx(quality.delivered, abs=4 * spread)
    assert median(delays) / 10 == pytest.approx(quality.median_seconds, rel=0.03)
    assert sum(delays) / len(delays) / 10 == pytest.approx(quality.mean_seconds, rel=0.03)
    below = sum(delay <= quality.high_seconds * 10 for delay in delays) / len(delays)
    assert below == pytest.approx(0.9, abs=0.02)


def test_a_message_s_fate_depends_on_seed_and_message_only() -> None:
    carrier = SimulatedCarrier(7)
    forward = [carrier.delay_ds(message(index)) for index in range(200)]
    backward = [SimulatedCarrier(7).delay_ds(message(index)) for index in reversed(range(200))]
    assert forward == backward[::-1]
    assert forward != [SimulatedCarrier(8).delay_ds(message(index)) for index in range(200)]


def test_another_country_or_channel_has_its_own_quality_and_unknown_ones_a_default() -> None:
    french = [SimulatedCarrier(1).delay_ds(message(i, number=parse("+33612345678"))) for i in "12"]
    assert all(delay is None or delay > 0 for delay in french)
    with pytest.raises(InputError, match="pigeon"):
        SimulatedCarrier(1).delay_ds(message(1, "pigeon"))


def test_an_outage_loses_and_slows_only_what_it_hits() -> None:
    quiet = fates(SimulatedCarrier(3))
    bad = SimulatedCarrier(3, outages=(Outage(1000, 2000, "sms", "BR", 0.85, 2.0),))
    hit = fates(bad, at=1000)
    assert fates(bad, at=999) == fates(bad, at=2000) == quiet
    assert fates(bad, "voice", at=1500) == fates(SimulatedCarrier(3), "voice")
    assert sum(delay is not None for delay in hit) / N == pytest.approx(0.965 * 0.85, abs=0.01)
    for before, during in zip(quiet, hit, strict=True):
        if during is not None:  # whoever gets through would have got through without it
            assert before is not None
            assert during == pytest.approx(2 * before, abs=1)
    elsewhere = Message(parse("+33612345678"), "sms", 1500, "m1")
    assert bad.delay_ds(elsewhere) == SimulatedCarrier(3).delay_ds(elsewhere)


def test_a_total_outage_lets_nothing_through() -> None:
    assert set(fates(SimulatedCarrier(3, outages=(Outage(0, 1),)))) == {None}


def test_a_delay_too_long_for_the_tables_is_never() -> None:
    slow = {("*", "sms"): ChannelQuality(1.0, 5000.0, 9000.0, "test")}
    assert all(delay is None or delay < NEVER for delay in fates(SimulatedCarrier(1, quality=slow)))


def test_every_figure_names_its_source() -> None:
    assert all(quality.source for quality in QUALITY.values())


def test_a_scripted_carrier_plays_what_was_set_for_the_number() -> None:
    carrier = ScriptedCarrier()
    carrier.script(BRAZIL, {"sms": 35, "voice": None, "whatsapp": NEVER}, resend_ds=12)
    assert carrier.delay_ds(message(1)) == 35
    assert carrier.delay_ds(message(1, "voice")) is None
    assert carrier.delay_ds(message(1, "whatsapp")) is None
    assert carrier.delay_ds(Message(BRAZIL, "sms", 0, "m2", resend=True)) == 12
    assert carrier.delay_ds(message(1, number=parse("+33612345678"))) is None
    carrier.script(BRAZIL, {"sms": 1})
    assert carrier.delay_ds(message(3)) == 1
    assert carrier.delay_ds(Message(BRAZIL, "sms", 0, "m2", resend=True)) is None
