"""Limits on sending: per number, per address, per prefix, and against SMS pumping.

SMS pumping (artificially inflated traffic) has codes sent to ranges of numbers whose operator pays
the attacker a share. Nobody enters those codes, so a prefix with much traffic and little conversion
is blocked. All rules are pure arithmetic over a `Counter` that is passed in. What is counted is a
*verification* (one challenge): its fallback messages are one person's one request.

Keys are keyed hashes, so that a counter's table holds no phone number and no address.
"""

from __future__ import annotations

import hashlib
import ipaddress
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from threading import Lock
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
    """Counts events by key; `add` then `count` must be safe between threads and processes.
    Times are milliseconds since 1970 UTC.
    """

    def add(self, key: str, at: int) -> None:
        """Count one event of that key at that time."""
        ...

    def count(self, key: str, since: int) -> int:
        """Events of that key later than `since` (those at `since` itself are out)."""
        ...


class MemoryCounter:
    """A `Counter` in memory, for one process.

    >>> counter = MemoryCounter()
    >>> for at in (1, 2, 3):
    ...     counter.add("key", at)
    >>> counter.count("key", since=1)
    2
    """

    def __init__(self) -> None:
        self._times: dict[str, list[int]] = defaultdict(list)
        self._lock = Lock()

    def add(self, key: str, at: int) -> None:
        """See `Counter.add`."""
        with self._lock:
            times = self._times[key]
            times.insert(bisect_right(times, at), at)

    def count(self, key: str, since: int) -> int:
        """See `Counter.count`."""
        with self._lock:
            times = self._times.get(key, [])
            return len(times) - bisect_right(times, since)

    def forget(self, before: int) -> None:
        """Drop events up to that time, to keep memory bounded."""
        with self._lock:
            for key in list(self._times):
                times = self._times[key]
                del times[: bisect_right(times, before)]
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
    """Admits or refuses a verification before any message is sent.

    `pepper` is a secret of at least 16 bytes that keys the hashes; without it, a hash of a phone
    number is undone by trying all numbers.
    """

    def __init__(
        self,
        counter: Counter,
        pepper: bytes,
        limits: tuple[Limit, ...] = SEND_LIMITS,
        pumping: PumpingRule | None = PUMPING,
    ) -> None:
        if len(pepper) < 16:
            raise InputError("the pepper of the send limits needs at least 16 bytes")
        self._counter = counter
        self._pepper = pepper[:64]
        self._limits = limits
        self._pumping = pumping

    def admit(self, number: PhoneNumber, ip: str, now_ms: int) -> Refusal | None:
        """Count this verification, or say why it is refused; what is refused is not counted.

        Of callers that race for the last place all may be refused, but the limit is never passed.
        """
        keys = self._keys(number, ip)
        refusal = self._over(keys, now_ms, spare=1) or self._pumped(number, now_ms)
        if refusal is not None:
            return refusal
        for key in keys.values():
            self._counter.add(key, now_ms)
        return self._over(keys, now_ms, spare=0)

    def completed(self, number: PhoneNumber, now_ms: int) -> None:
        """The person entered the right code: the prefix converts."""
        self._counter.add(self._key("done", prefix_of(number)), now_ms)

    def _over(self, keys: dict[str, str], now_ms: int, spare: int) -> Refusal | None:
        for limit in self._limits:
            since = now_ms - limit.window_seconds * 1000
            if self._counter.count(keys[limit.scope], since) + spare > limit.count:
                return Refusal(limit.scope, limit.window_seconds)
        return None

    def _pumped(self, number: PhoneNumber, now_ms: int) -> Refusal | None:
        rule, prefix = self._pumping, prefix_of(number)
        if rule is None:
            return None
        since = now_ms - rule.window_seconds * 1000
        settled = now_ms - rule.settle_seconds * 1000
        key = self._key("prefix", prefix)
        started = self._counter.count(key, since) - self._counter.count(key, settled)
        completed = self._counter.count(self._key("done", prefix), since)
        return Refusal("pumping", rule.window_seconds) if rule.blocks(started, completed) else None

    def _keys(self, number: PhoneNumber, ip: str) -> dict[str, str]:
        named = {"number": number.e164, "ip": network_of(ip), "prefix": prefix_of(number)}
        return {scope: self._key(scope, value) for scope, value in named.items()}

    def _key(self, scope: str, value: str) -> str:
        digest = hashlib.blake2b(value.encode(), digest_size=16, key=self._pepper).hexdigest()
        return f"{scope}:{digest}"


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
