"""A clock to set, numbers to send to, a local provider and adapters that talk to it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from twofa_lab.delivery import local_provider
from twofa_lab.delivery.carrier import ScriptedCarrier
from twofa_lab.delivery.local.faults import parse_fault
from twofa_lab.delivery.local_provider import LocalProvider
from twofa_lab.delivery.phone import PhoneNumber, parse
from twofa_lab.delivery.providers.base import Provider
from twofa_lab.delivery.providers.http import HttpClient, Timeouts
from twofa_lab.delivery.providers.twilio import TwilioVerify
from twofa_lab.delivery.providers.verifynow import VerifyNow
from twofa_lab.delivery.providers.vonage import VonageVerify

QUICK = Timeouts(connect=2.0, read=0.2, total=0.4)


@dataclass
class Clock:
    """Milliseconds since 1970 UTC, moved by hand."""

    now: int = 1_760_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * 1000)


@dataclass
class Lab:
    """A local provider with a scripted carrier, and adapters that talk to it."""

    local: LocalProvider
    carrier: ScriptedCarrier
    clock: Clock
    stack: ExitStack = field(repr=False)

    def client(self, name: str, url: str | None = None, timeouts: Timeouts = QUICK) -> HttpClient:
        return self.stack.enter_context(
            HttpClient(name, url or self.local.url, timeouts=timeouts, sleep=lambda _: None)
        )

    def adapter(self, name: str, timeouts: Timeouts = QUICK) -> Provider:
        secrets = self.local.secrets
        http = self.client(name, timeouts=timeouts)
        if name == "twilio":
            return TwilioVerify(http, secrets.twilio)
        if name == "vonage":
            return VonageVerify(http, secrets.vonage, "Lab", whatsapp_from="447700900000")
        return VerifyNow(http, secrets.verifynow)

    def fault(self, *texts: str) -> None:
        self.local.faults.set(*map(parse_fault, texts))

    def script(self, number: PhoneNumber, resend_ds: int | None = None, **delays: int) -> None:
        self.carrier.script(number, delays, resend_ds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_lab(clock: Clock) -> Iterator[Callable[..., Lab]]:
    with ExitStack() as stack:

        def make(**options: Any) -> Lab:
            carrier = ScriptedCarrier()
            local = local_provider.serve(carrier, clock=clock, **options)
            stack.enter_context(local)
            return Lab(local, carrier, clock, stack)

        yield make


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab()


@pytest.fixture
def mobile() -> PhoneNumber:
    return parse("+447400123456")


@pytest.fixture
def landline() -> PhoneNumber:
    return parse("+442071838750")
