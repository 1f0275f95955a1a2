"""The simulated carrier: whether a message arrives, and after how long.

`SimulatedCarrier` draws it from published shares and times by country and channel, with outages;
`ScriptedCarrier` plays exact delays, so that a login's potential outcomes come true in the flow.

Draws are keyed by (seed, what is drawn, message), not taken from a running stream: the fate of one
message does not depend on which others were sent before it, and a message that gets through in an
outage is one that would have got through without it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Protocol

from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.errors import InputError
from twofa_lab.tables import NEVER

__all__ = [
    "QUALITY",
    "Carrier",
    "ChannelQuality",
    "Message",
    "Outage",
    "ScriptedCarrier",
    "SimulatedCarrier",
]

_NORMAL = NormalDist()
_DECILE = _NORMAL.inv_cdf(0.9)
ANY = "*"


@dataclass(frozen=True, slots=True)
class Message:
    """One message handed to the carrier; times are milliseconds since 1970 UTC.

    `message_id` is what the simulated carrier keys its draws by; it may hold the number.
    """

    number: PhoneNumber
    channel: str
    sent_ms: int
    message_id: str = field(repr=False)
    resend: bool = False


class Carrier(Protocol):
    """Decides the fate of a message."""

    def delay_ds(self, message: Message) -> int | None:
        """Tenths of a second until the message is in the person's hands; None: never."""
        ...


@dataclass(frozen=True, slots=True)
class ChannelQuality:
    """How good a channel is: the share of messages that arrive, and a lognormal delay.

    `low_seconds` and `high_seconds` are the delay's first and ninth decile: the sources give a
    range ("2-5 s"), and reading it as the middle 80 % is an assumption.

    >>> round(QUALITY["BR", "sms"].median_seconds, 2), round(QUALITY["BR", "sms"].mean_seconds, 2)
    (3.16, 3.37)
    """

    delivered: float
    low_seconds: float
    high_seconds: float
    source: str

    @property
    def median_seconds(self) -> float:
        return math.sqrt(self.low_seconds * self.high_seconds)

    @property
    def sigma(self) -> float:
        """Standard deviation of the delay's logarithm."""
        return math.log(self.high_seconds / self.low_seconds) / (2 * _DECILE)

    @property
    def mean_seconds(self) -> float:
        return self.median_seconds * math.exp(self.sigma**2 / 2)


_BRAZIL = "one vendor's figures for Brazil (middle of the range); lognormal shape: assumption"
_US_SHARE = "US first attempt 95-99 % (middle); delay as in Brazil and lognormal shape: assumptions"
_ASSUMED = "assumption: as in Brazil"

QUALITY: dict[tuple[str, str], ChannelQuality] = {
    ("BR", "sms"): ChannelQuality(0.965, 2.0, 5.0, _BRAZIL),
    ("BR", "whatsapp"): ChannelQuality(0.985, 1.0, 2.0, _BRAZIL),
    ("BR", "voice"): ChannelQuality(0.915, 5.0, 8.0, _BRAZIL),
    ("US", "sms"): ChannelQuality(0.97, 2.0, 5.0, _US_SHARE),
    (ANY, "sms"): ChannelQuality(0.965, 2.0, 5.0, _ASSUMED),
    (ANY, "whatsapp"): ChannelQuality(0.985, 1.0, 2.0, _ASSUMED),
    (ANY, "voice"): ChannelQuality(0.915, 5.0, 8.0, _ASSUMED),
}
"""Quality by (country, channel); country "*" stands for every other one."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A stretch of time in which a channel (None: all) in a country (None: all) works badly.

    Of the messages that would arrive, `delivered` still do (0: none), `slower` times as late.
    Published: US first-attempt delivery falls to the 80s of a percent during incidents.
    """

    start_ms: int
    end_ms: int
    channel: str | None = None
    country: str | None = None
    delivered: float = 0.0
    slower: float = 1.0

    def hits(self, message: Message) -> bool:
        """Whether the message was sent within the outage."""
        return (
            self.start_ms <= message.sent_ms < self.end_ms
            and self.channel in (None, message.channel)
            and self.country in (None, message.number.region)
        )


@dataclass(frozen=True)
class SimulatedCarrier:
    """Draws every message's fate from `quality` and `outages`; same seed, same fates."""

    seed: int
    quality: Mapping[tuple[str, str], ChannelQuality] = field(default_factory=lambda: QUALITY)
    outages: Sequence[Outage] = ()

    def delay_ds(self, message: Message) -> int | None:
        """See `Carrier.delay_ds`; at least one tenth of a second."""
        country, channel = message.number.region, message.channel
        quality = self.quality.get((country, channel)) or self.quality.get((ANY, channel))
        if quality is None:
            raise InputError(f"the simulated carrier knows no quality of channel {channel!r}")
        share, slower = quality.delivered, 1.0
        for outage in self.outages:
            if outage.hits(message):
                share, slower = share * outage.delivered, slower * outage.slower
        if self._uniform("loss", message.message_id) >= share:
            return None
        normal = _NORMAL.inv_cdf(self._uniform("delay", message.message_id))
        seconds = quality.median_seconds * math.exp(quality.sigma * normal) * slower
        delay = max(1, round(seconds * 10))
        return delay if delay < NEVER else None

    def _uniform(self, name: str, message_id: str) -> float:
        """A number in (0, 1) that belongs to this seed, name and message."""
        digest = hashlib.blake2b(
            message_id.encode(),
            digest_size=8,
            key=self.seed.to_bytes(16, "big", signed=True),
            person=name.encode(),
        ).digest()
        return ((int.from_bytes(digest, "big") >> 11) + 0.5) / 2**53


class ScriptedCarrier:
    """Plays exact delays, set beforehand for each number: a login's potential outcomes.

    A number nobody has set anything for receives nothing.
    """

    def __init__(self) -> None:
        self._scripts: dict[str, tuple[Mapping[str, int | None], int | None]] = {}

    def script(
        self, number: PhoneNumber, delays_ds: Mapping[str, int | None], resend_ds: int | None = None
    ) -> None:
        """From now on messages to that number take `delays_ds` by channel (None: never arrive),
        a resend `resend_ds`.
        """
        self._scripts[number.e164] = (dict(delays_ds), resend_ds)

    def delay_ds(self, message: Message) -> int | None:
        """See `Carrier.delay_ds`."""
        delays, resend = self._scripts.get(message.number.e164, ({}, None))
        delay = resend if message.resend else delays.get(message.channel)
        return None if delay is None or delay >= NEVER else delay
