"""What every provider does, and the small set of things that can come of it.

A provider sends a code, checks one, cancels. Whatever it answers on the wire becomes either one of
`Outcome` (the answer to a check) or a `DeliveryError` with one of `Reason`. What matters most about
an error is `maybe_sent`: whether the message may have left all the same. Only when it certainly did
not is anything sent in its place at once; nothing is ever sent twice to make sure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.errors import WorkError

__all__ = [
    "Checked",
    "DeliveryError",
    "Outcome",
    "Provider",
    "Reason",
    "SendRequest",
    "Sent",
    "Supports",
]


class Reason(Enum):
    """Why a provider's call failed; the value is the sentence a person may read."""

    UNREACHABLE = "the provider could not be reached"
    UNCERTAIN = "the provider's answer was lost; the message may have been sent"
    BAD_REPLY = "the provider's answer made no sense; the message may have been sent"
    REFUSED = "the provider refused the request"
    INVALID_NUMBER = "the provider does not accept this phone number"
    UNSUPPORTED = "this channel cannot be used here"
    BLOCKED = "sending to this number is blocked against fraud"
    RATE_LIMITED = "too many messages; wait before asking for another"
    CONCURRENT = "a verification of this number is already under way"
    IN_PROGRESS = "this message is being sent, or its answer was lost; it is not sent again"
    NO_CREDIT = "the account with the provider has no credit"
    CREDENTIALS = "the provider does not accept our credentials"
    NO_CHANNEL = "no channel is left that could carry a code to this number"


_MAYBE_SENT = frozenset((Reason.UNCERTAIN, Reason.BAD_REPLY, Reason.IN_PROGRESS))


class DeliveryError(WorkError):
    """A provider's call failed. Its text is made here, never taken from the wire, so that no code
    and no number can be in it.

    `verification_id` is set where the provider names the verification in the way (CONCURRENT).

    >>> error = DeliveryError("twilio", Reason.RATE_LIMITED, retry_after_seconds=30)
    >>> str(error), error.maybe_sent
    ('twilio: too many messages; wait before asking for another', False)
    """

    def __init__(
        self,
        provider: str,
        reason: Reason,
        *,
        retry_after_seconds: int | None = None,
        verification_id: str | None = None,
    ) -> None:
        super().__init__(f"{provider}: {reason.value}")
        self.provider = provider
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.verification_id = verification_id

    @property
    def maybe_sent(self) -> bool:
        """Whether the message may have left, so that it must not be sent again."""
        return self.reason in _MAYBE_SENT


class Outcome(Enum):
    """The answer to a check of a code."""

    APPROVED = "approved"
    WRONG_CODE = "wrong_code"
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    EXPIRED = "expired"
    GONE = "gone"
    """Unknown to the provider: used already, cancelled, or never there."""


@dataclass(frozen=True, slots=True)
class SendRequest:
    """One message, or with `fallback` the whole plan for a provider that carries it itself.

    `key` makes the send idempotent (see `twofa_lab.delivery.ledger`). `verification_id` continues a
    verification on another channel. `code` is our own code; None leaves it to the provider.
    """

    number: PhoneNumber
    channel: str
    key: str
    fallback: tuple[str, ...] = ()
    timeout_seconds: float = 30.0
    verification_id: str | None = None
    code: str | None = field(default=None, repr=False)
    code_length: int = 6


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took the message: its verification id."""

    verification_id: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of a code said."""

    outcome: Outcome

    @property
    def approved(self) -> bool:
        return self.outcome is Outcome.APPROVED


@dataclass(frozen=True, slots=True)
class Supports:
    """What a provider can do.

    `native_fallback`: it walks the channels itself; `own_code`: it takes our code; `one_code`: all
    messages of a verification carry one code under one id; `cancel`: a verification can be ended;
    `one_a_number`: a send to a number with an open verification continues that one, with *its*
    code.
    """

    channels: frozenset[str]
    native_fallback: bool
    own_code: bool
    one_code: bool
    cancel: bool
    code_lengths: range
    one_a_number: bool = False


class Provider(Protocol):
    """A verification provider. Calls raise `DeliveryError`, and nothing else on purpose."""

    @property
    def name(self) -> str:
        """Short name for logs and prices."""
        ...

    @property
    def supports(self) -> Supports:
        """What this provider can do."""
        ...

    def send(self, request: SendRequest) -> Sent:
        """Send a message (or start the plan) and return the verification's id."""
        ...

    def check(self, verification_id: str, code: str) -> Checked:
        """Ask whether that is the code; every call may count as an attempt."""
        ...

    def cancel(self, verification_id: str) -> None:
        """End the verification and whatever is pending; not an error if it is over already."""
        ...
