"""A complete service on a stage: simulated phones, a clock that one moves, nothing that leaves.

For notebooks, benchmarks and simulated people: `parity` plays its worlds on it. The flow is the
real one; only what surrounds it is played: the carrier, the phones behind it, the outbox, the time
and the randomness. The same seed gives the same codes and keys, so nothing here may ever serve real
people.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from twofa_lab.catalog.factors import FACTOR_FACTS
from twofa_lab.delivery import phone
from twofa_lab.delivery.carrier import ScriptedCarrier
from twofa_lab.delivery.exchange import Exchange
from twofa_lab.delivery.providers.simulated import SimulatedProvider
from twofa_lab.errors import WorkError
from twofa_lab.factors.passkeys import RelyingParty
from twofa_lab.flow import codes_due
from twofa_lab.flow.beat import Beat
from twofa_lab.flow.passwords import Argon2Passwords
from twofa_lab.flow.service import Flow
from twofa_lab.risk.policy import Policy
from twofa_lab.store.engine import connect
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.migrations import upgrade

__all__ = ["Clock", "Phones", "Rehearsal"]

MONDAY = 1_767_603_600_000
"""2026-01-05 09:00 UTC, when a rehearsal begins."""

_PRICES = {
    facts.channel: round(1_000_000 * sum(facts.cost_usd) / 2)
    for facts in FACTOR_FACTS
    if facts.factor == "otp"
}


@dataclass
class Clock:
    """The simulated server's clock, in ms since 1970 UTC."""

    now: int = MONDAY

    def __call__(self) -> int:
        return self.now


class Phones:
    """The simulated carrier and the phones behind it; also the flow's outbox."""

    def __init__(self, clock: Clock) -> None:
        self.carrier = ScriptedCarrier()
        self.exchange = Exchange(self.carrier, clock)
        self.provider = SimulatedProvider(self.exchange)
        self.requests: list[tuple[bytes, str]] = []
        self.letters: list[str] = []

    def email(self, address: str, kind: str, text: str) -> None:  # noqa: ARG002 - an `Outbox`
        """See `Outbox.email`."""
        self.letters.append(kind)

    def text_message(self, number: str, kind: str, text: str) -> None:  # noqa: ARG002 - the same
        """See `Outbox.text_message`."""
        self.letters.append(kind)

    def push(self, token: bytes, request_id: str) -> None:
        """See `Outbox.push`."""
        self.requests.append((token, request_id))


@dataclass(frozen=True)
class Rehearsal:
    """A flow with its clock and phones; make one with `open`.

    >>> stage = Rehearsal.open(Policy.risk_based())
    >>> stage.wait(days=1) - stage.wait(seconds=-86_400)
    86400000
    """

    flow: Flow
    clock: Clock
    phones: Phones
    rng: random.Random = field(repr=False)

    @classmethod
    def open(
        cls, policy: Policy, seed: int = 7, engine: Engine | None = None, **changed: Any
    ) -> Rehearsal:
        """Raise the curtain, over a database in memory or over `engine`, which is brought up to
        date. `changed` are other values of `Flow`'s fields; as it is, every phone has WhatsApp and
        a message costs the middle of the catalogue's range.
        """
        clock, rng = Clock(), random.Random(seed)  # noqa: S311 - a stage, the same every time
        phones = Phones(clock)
        engine = connect("sqlite://") if engine is None else engine
        upgrade(engine)
        rp = RelyingParty("example.com", "Example", ("https://example.com",))
        values: dict[str, Any] = {
            "outbox": phones,
            "passwords": Argon2Passwords(passes=1, memory_kib=8),
            "prices": lambda channel, _country: _PRICES[channel],
            "clock": clock,
            "random_bytes": rng.randbytes,
            "randbelow": rng.randrange,
            "has_whatsapp": lambda _number: True,
            "beat": Beat(0),
            **changed,
        }
        flow = Flow(engine, Keyring.generate(), phones.provider, policy, rp, **values)
        return cls(flow, clock, phones, rng)

    def wait(self, *, seconds: float = 0, days: float = 0) -> int:
        """Let time pass; the time then, in ms since 1970 UTC."""
        self.clock.now += round(1_000 * seconds) + round(86_400_000 * days)
        return self.clock.now

    def until(self, moment: int | None) -> int:
        """Let time pass until a moment; `WorkError` where there is none."""
        if moment is None:
            raise WorkError("nothing is due any more")
        self.clock.now = max(self.clock.now, moment)
        return self.clock.now

    def reach(self, number: str, **seconds: float | None) -> None:
        """Set how long messages to a number take by channel; None: they never arrive."""
        delays = {name: None if s is None else round(10 * s) for name, s in seconds.items()}
        self.phones.carrier.script(phone.parse(number), delays)

    def read(self, number: str) -> str:
        """The newest code that has arrived on a phone; the carrier's receipts come in with it."""
        found = self.phones.exchange.inbox(phone.parse(number))
        if not found:
            raise WorkError("no message has arrived on that phone yet")
        self.report(number)
        return found[-1].code

    def report(self, number: str) -> None:
        """The carrier reports what has arrived on a phone by now, and what never will."""
        verification = self.phones.exchange.newest(phone.parse(number))
        if verification is None:
            return
        for channel, _, arrives in verification.messages:
            if arrives is None or arrives <= self.clock.now:
                given = verification.verification_id
                codes_due.receipt(self.flow, given, channel, arrived=arrives is not None)
