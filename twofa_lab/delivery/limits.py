"""Limits on sending: per number, per address, per prefix, and against SMS pumping.

SMS pumping (artificially inflated traffic) has codes sent to ranges of numbers whose operator pays
the attacker a share. Nobody enters those codes, so a prefix with much traffic and little conversion
is blocked. All rules are pure arithmetic over a `Counter` that is passed in. What is counted is a
*verification* (one challenge): its fallback messages are one person's one request.

Keys name numbers and addresses in clear: a counter that stores them must store a keyed hash only.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_left, insort
from collections import defaultdict
from dataclasses import dataclass
from threading import RLock
from typing import Literal, Protocol

from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.errors import InputError

__all__ = [
    "PUMPING",
    "SEND_LIMITS",
    "Counter",
    "Limit",
    "MemoryCounter",
    "PumpingRule",
    "Refusal",
    "SendGuard",
    "network_of",
    "prefix_of",
]

Scope = Literal["number", "ip", "prefix"]


class Counter(Protocol):
    """Counts events by key. Times are milliseconds since 1970 UTC."""

    def add(self, key: str, at: int) -> None:
        """Count one event of that key at that time."""
        ...

    def count(self, key: str, since: int) -> int:
        """Events of that key from `since` on, that time included."""
        ...

    def add_within(self, key: str, at: int, since: int, limit: int) -> bool:
        """Count one event unless the key has had `limit` from `since` on; whether it was counted.
        Atomic between threads and processes.
        """
        ...


class MemoryCounter:
    """A `Counter` in memory, for one process.

    >>> counter = MemoryCounter()
    >>> for at in (1, 2, 3):
    ...     counter.add("key", at)
    >>> counter.count("key", since=2), counter.add_within("key", at=4, since=2, limit=2)
    (2, False)
    """

    def __init__(self) -> None:
        self._times: dict[str, list[int]] = defaultdict(list)
        self._lock = RLock()

    def add(self, key: str, at: int) -> None:
        """See `Counter.add`."""
        with self._lock:
            insort(self._times[key], at)

    def count(self, key: str, since: int) -> int:
        """See `Counter.count`."""
        with self._lock:
            times = self._times.get(key, [])
            return len(times) - bisect_left(times, since)

    def add_within(self, key: str, at: int, since: int, limit: int) -> bool:
        """See `Counter.add_within`."""
        with self._lock:
            if self.count(key, since) >= limit:
                return False
            self.add(key, at)
            return True

    def forget(self, before: int) -> None:
        """Drop events earlier than that, to keep memory bounded."""
        with self._lock:
            for key in list(self._times):
                times = self._times[key]
                del times[: bisect_left(times, before)]
                if not times:
                    del self._times[key]


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` verifications of one number, address or prefix in `window_seconds`."""

    scope: Scope
    count: int
    window_seconds: int
    source: str


SEND_LIMITS = (
    Limit("number", 3, 600, "Telnyx Verify, security best practices: 3 a number in 10 minutes"),
    Limit("number", 10, 86_400, "assumption: ten challenges a day is more than people need"),
    Limit("ip", 20, 3600, "assumption: a household or small office behind one address"),
    Limit("prefix", 200, 3600, "assumption: 2 % of a block of 10,000 numbers in an hour"),
)
"""The default limits. A prefix is a number without its last four digits."""


@dataclass(frozen=True, slots=True)
class PumpingRule:
    """A prefix is blocked while it has at least `volume` verifications in the window, of which
    less than the share `conversion` was completed.

    Volume with conversion is how Vonage's anti-fraud system blocks a network; it publishes no
    numbers. These: assumption. Honest traffic converts at 72.3 % (published, one vendor), so
    that 20 verifications with fewer than 5 completed are less than two chances in a million.
    """

    volume: int = 20
    conversion: float = 0.25
    window_seconds: int = 3600
    settle_seconds: int = 120
    """The latest verifications do not count yet: people are still typing. Assumption."""

    def blocks(self, started: int, completed: int) -> bool:
        """Whether a prefix with those counts is blocked.

        >>> PUMPING.blocks(19, 0), PUMPING.blocks(20, 4), PUMPING.blocks(20, 5)
        (False, True, False)
        """
        return started >= self.volume and completed < self.conversion * started


PUMPING = PumpingRule()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a verification is not sent: the limit's scope or "pumping", and when to try again."""

    rule: str
    retry_after_seconds: int


class SendGuard:
    """Admits or refuses a verification before any message is sent."""

    def __init__(
        self,
        counter: Counter,
        limits: tuple[Limit, ...] = SEND_LIMITS,
        pumping: PumpingRule | None = PUMPING,
    ) -> None:
        self._counter = counter
        self._limits = limits
        self._pumping = pumping

    def admit(self, number: PhoneNumber, ip: str, now_ms: int) -> Refusal | None:
        """Count this verification, or say why it is refused; what is refused is not counted.

        However many race for the last place, a limit is never passed.
        """
        values = {"number": number.e164, "ip": network_of(ip), "prefix": prefix_of(number)}
        counted = [
            (limit, f"{limit.scope}/{limit.window_seconds}:{values[limit.scope]}")
            for limit in self._limits
        ]
        for limit, key in counted:
            if self._counter.count(key, _since(now_ms, limit.window_seconds)) >= limit.count:
                return Refusal(limit.scope, limit.window_seconds)
        if self._pumping is not None and self._pumped(self._pumping, number, now_ms):
            return Refusal("pumping", self._pumping.window_seconds)
        for limit, key in counted:
            since = _since(now_ms, limit.window_seconds)
            if not self._counter.add_within(key, now_ms, since, limit.count):
                return Refusal(limit.scope, limit.window_seconds)  # lost a race for the last place
        if self._pumping is not None:
            self._counter.add("started:" + prefix_of(number), now_ms)
        return None

    def completed(self, number: PhoneNumber, now_ms: int) -> None:
        """The person entered the right code: the prefix converts."""
        if self._pumping is not None:
            self._counter.add("completed:" + prefix_of(number), now_ms)

    def _pumped(self, rule: PumpingRule, number: PhoneNumber, now_ms: int) -> bool:
        prefix = prefix_of(number)
        since = _since(now_ms, rule.window_seconds)
        settled = _since(now_ms, rule.settle_seconds)
        started = self._counter.count("started:" + prefix, since)
        started -= self._counter.count("started:" + prefix, settled)
        return rule.blocks(started, self._counter.count("completed:" + prefix, since))


def prefix_of(number: PhoneNumber) -> str:
    """The block a number lies in: E.164 without the last four digits."""
    return number.e164[:-4]


def network_of(ip: str) -> str:
    """The address a limit counts: IPv4 whole, IPv6 by its /64, which one customer has.

    >>> network_of("203.0.113.9"), network_of("2001:db8:1:2:3::9")
    ('203.0.113.9', '2001:db8:1:2::')
    """
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        raise InputError("not an IP address") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
    return str(address)


def _since(now_ms: int, seconds: int) -> int:
    """The first moment within the last `seconds`, this one included."""
    return now_ms - seconds * 1000 + 1
