"""What a step of a login comes to: what the page may show, and what the server notes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from twofa_lab.errors import InputError
from twofa_lab.flow.service import Flow

__all__ = ["Ask", "Record", "Step", "Ticket"]

_PURPOSE = "ticket"


class Ticket(NamedTuple):
    """The right to answer one challenge: its id, and the secret of the request that opened it.

    The page holds `text`; the store only the secret's hash, so that a challenge is answered by
    nobody but the browser it was shown to (ASVS 6.6.2).
    """

    challenge_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Ticket({self.challenge_id!r})"

    @property
    def text(self) -> str:
        """As the page carries it."""
        return f"{self.challenge_id}.{self.secret}"

    def binding(self, flow: Flow) -> bytes:
        """As the store keeps the secret."""
        return flow.keyring.mac(self.secret.encode(), _PURPOSE)

    @classmethod
    def read(cls, text: str) -> Ticket:
        """The inverse of `text`; `InputError` when it is none."""
        challenge_id, dot, secret = text.partition(".")
        plain = text.isascii() and text.isprintable() and len(text) <= 200
        if not (plain and dot and challenge_id and secret):
            raise InputError("this is no ticket of an open challenge; begin again")
        return cls(challenge_id, secret)


@dataclass(frozen=True, slots=True)
class Ask:
    """What the page shows: the factor asked for, and what goes with it.

    `masked` is where a code went, `options` the WebAuthn request (JSON), `number` what to type into
    the app; `others` are factors the person may use instead; `left` the attempts that are left;
    `next_send_ms` when the code goes out on the next channel.
    """

    factor: str
    masked: str = ""
    options: str = field(default="", repr=False)
    number: str = field(default="", repr=False)
    others: tuple[str, ...] = ()
    left: int = 0
    next_send_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What the server knows of a login and never shows: the columns of the outcomes table.

    `decision` and `outcome` are names, None while there is none yet.
    """

    bits: int = 0
    failures: int = 0
    score: float = 0.0
    decision: str | None = None
    trusted: bool = False
    factor: str = "none"
    attempts: int = 0
    messages: int = 0
    microusd: int = 0
    seconds_ds: int = 0
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Where a login stands.

    `status`: "signed_in" (with `session` and perhaps `device_token`, once, for two cookies),
    "asked" (with `ask` and `ticket`), "wait" (until `retry_ms`), "refused", or "done": what was to
    be proved within a session is proved. `session_level` is the AAL reached; `text` what a refusal
    says, where the usual words do not fit. What is told to the person is `public`.
    """

    status: Literal["signed_in", "asked", "wait", "refused", "done"]
    record: Record = field(default=Record(), repr=False)
    ask: Ask | None = None
    ticket: Ticket | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)
    session_level: int = 0
    device_token: str | None = field(default=None, repr=False)
    retry_ms: int | None = None
    text: str = ""

    def public(self) -> dict[str, Any]:
        """The answer a page gives: the same for a wrong password, an unknown name, a denied login
        and a locked account.
        """
        plain: dict[str, Any] = {"status": self.status}
        if self.ask is not None:
            plain["ask"] = {name: getattr(self.ask, name) for name in self.ask.__slots__}
        if self.retry_ms is not None:
            plain["retry_ms"] = self.retry_ms
        if self.status == "refused":
            plain["text"] = self.text or (
                "Name, password or code is not right. Try again, or recover the account."
            )
        return plain
