"""`Flow`: everything a login needs from outside, and the rules it follows, in one value."""

from __future__ import annotations

import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Engine

from twofa_lab.delivery.dispatch import Dispatcher
from twofa_lab.delivery.ledger import SendLedger
from twofa_lab.delivery.limits import PUMPING, SEND_LIMITS, Limit, PumpingRule
from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.plan import FallbackPlan
from twofa_lab.delivery.providers.base import Provider
from twofa_lab.delivery.sim_swap import SimSwapCheck
from twofa_lab.factors.otp import OtpRules
from twofa_lab.factors.passkeys import RelyingParty
from twofa_lab.factors.ports import RandBelow, RandomBytes
from twofa_lab.factors.push import PushRules
from twofa_lab.factors.recovery_codes import RecoveryRules
from twofa_lab.factors.totp import TotpRules
from twofa_lab.flow.beat import Beat
from twofa_lab.flow.passwords import Argon2Passwords, Passwords
from twofa_lab.risk.assess import Assessor
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.signals import SignalRules
from twofa_lab.store.addresses import CountAttempt, count_attempt
from twofa_lab.store.keyring import Keyring

__all__ = ["Flow", "FlowRules", "Outbox", "SessionRules", "Silence", "on_the_beat", "utc_ms"]

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def utc_ms() -> int:
    """The server's clock: whole milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Outbox(Protocol):
    """What leaves for the person besides codes by phone. Never raises and does not wait for
    delivery, which is its own care.
    """

    def email(self, address: str, kind: str, text: str) -> None:
        """An e-mail: a code for validating an address or for recovery, or a notice."""
        ...

    def text_message(self, number: str, kind: str, text: str) -> None:
        """A notice by SMS to a validated number (E.164); codes go through the provider."""
        ...

    def push(self, token: bytes, request_id: str) -> None:
        """A request for approval to the app that holds `token`. It carries no number to match."""
        ...


class Silence:
    """An `Outbox` that sends nothing."""

    def email(self, address: str, kind: str, text: str) -> None:
        """See `Outbox.email`."""

    def text_message(self, number: str, kind: str, text: str) -> None:
        """See `Outbox.text_message`."""

    def push(self, token: bytes, request_id: str) -> None:
        """See `Outbox.push`."""


@dataclass(frozen=True)
class SessionRules:
    """How long what a session proved holds: NIST SP 800-63B-4, 2.1.3 and 2.2.3."""

    aal1_ms: int = 30 * DAY
    aal2_ms: int = DAY
    aal2_idle_ms: int = HOUR


@dataclass(frozen=True)
class FlowRules:
    """The numbers of the flow that are no part of a policy. `totp_window` is in steps to either
    side; `send_limits` and `pumping` are None where something in front limits sending; `not_you`
    ends every notice; `address_wait_ms` is how long a recovered account keeps its addresses (three
    days: assumption, a weekend).
    """

    otp: OtpRules = field(default_factory=OtpRules)
    totp: TotpRules = field(default_factory=TotpRules)
    totp_window: int = 1
    push: PushRules = field(default_factory=PushRules)
    recovery: RecoveryRules = field(default_factory=RecoveryRules)
    sessions: SessionRules = field(default_factory=SessionRules)
    signals: SignalRules = field(default_factory=SignalRules)
    send_limits: tuple[Limit, ...] | None = SEND_LIMITS
    pumping: PumpingRule | None = PUMPING
    address_wait_ms: int = 3 * DAY
    not_you: str = "Change your password, look at your account's settings, or call support."


@dataclass(frozen=True)
class Flow:
    """The service. `prices` gives the price of one message in millionths of US$ by channel and
    country; `line_type` and `has_whatsapp` what a carrier look-up knows of a number (they are asked
    once, at sign-up, and never raise; without one the number's range tells, and nobody has
    WhatsApp); `address_activity` counts what an address has been up to, for a learned scorer;
    `clock` is the server's, in ms since 1970 UTC; randomness is the system's outside tests and
    simulations; `beat` is what answers to mere names leave on.
    """

    engine: Engine
    keyring: Keyring
    provider: Provider
    policy: Policy
    relying_party: RelyingParty
    outbox: Outbox = field(default_factory=Silence)
    passwords: Passwords = field(default_factory=Argon2Passwords)
    rules: FlowRules = field(default_factory=FlowRules)
    prices: Callable[[str, str], int] = lambda channel, country: 0  # noqa: ARG005
    sim_swap: SimSwapCheck | None = None
    line_type: Callable[[PhoneNumber], str] = lambda number: number.line_type
    has_whatsapp: Callable[[PhoneNumber], bool] = lambda number: False  # noqa: ARG005
    address_activity: CountAttempt = count_attempt
    clock: Callable[[], int] = utc_ms
    random_bytes: RandomBytes = secrets.token_bytes
    randbelow: RandBelow = secrets.randbelow
    beat: Beat = field(default_factory=Beat)

    @cached_property
    def assessor(self) -> Assessor:
        """The policy's judge of risk."""
        return Assessor(self.policy, self.rules.signals)

    @cached_property
    def plan(self) -> FallbackPlan:
        """The policy's channels and timeout."""
        fallback = self.policy.fallback
        return FallbackPlan(fallback.channels, fallback.timeout_seconds)

    def dispatcher(self, ledger: SendLedger) -> Dispatcher:
        """Delivers codes, remembering in `ledger` what was sent."""
        return Dispatcher(self.provider, ledger, self.clock, sim_swap=self.sim_swap)

    def token(self) -> str:
        """A random token of 192 bits for a session, a device or a ticket, as URL-safe text."""
        return urlsafe_b64encode(self.random_bytes(24)).decode()

    def user_id(self) -> int:
        """A random number for a new account, of 63 bits."""
        return int.from_bytes(self.random_bytes(8)) >> 1


_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


def on_the_beat(
    act: Callable[Concatenate[Flow, _Given], _Answer],
) -> Callable[Concatenate[Flow, _Given], _Answer]:
    """Let the answer leave on the flow's beat: for what anybody can ask with a name alone."""

    @wraps(act)
    def waiting(flow: Flow, /, *given: _Given.args, **more: _Given.kwargs) -> _Answer:
        since = flow.beat.monotonic()
        answer = act(flow, *given, **more)
        flow.beat.wait(since)
        return answer

    return waiting
