"""Ann with every factor, ways to answer for her, and ways to count what a call costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyotp

from tests.flow.lab import ORIGIN, PASSWORDS, PHONE, Lab
from tests.flow.people import ANN, ann
from twofa_lab.factors import passkeys, recovery_codes
from twofa_lab.factors.passkeys import Kind, PasskeyRecord
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.factors.totp import TotpSecret
from twofa_lab.flow.push_answers import proof_of_app, push_answer
from twofa_lab.flow.step import Ask, Step, Ticket
from twofa_lab.risk.policy import Policy
from twofa_lab.store import authenticators
from twofa_lab.store.challenges import Challenge, challenge
from twofa_lab.store.engine import read, write

SEED = TotpSecret(b"12345678901234567890")
APP = pyotp.TOTP(SEED.base32)
PUSH_SECRET = b"the secret of an app"
WRONG = "000000"


def asked(step: Step) -> tuple[Ticket, Ask]:
    """The ticket and the page of a step that asks."""
    assert step.status == "asked", step
    assert step.ticket is not None
    assert step.ask is not None
    return step.ticket, step.ask


def key_of(
    lab: Lab, device: SoftAuthenticator, user_id: int = ANN, kind: Kind = "passkey"
) -> PasskeyRecord:
    """A key of that device, registered for an account."""
    handle = passkeys.user_handle(lab.flow.keyring, user_id)
    rp = lab.flow.relying_party
    ceremony = passkeys.registration(rp, user_handle=handle, user_name="ann", kind=kind)
    answer = device.register(ceremony.options, ORIGIN)
    return passkeys.verify_registration(
        rp, ceremony.challenge, answer, user_handle=handle, kind=kind
    )


def give_recovery_codes(lab: Lab, user_id: int = ANN) -> tuple[str, ...]:
    """Ten recovery codes, as shown once."""
    fresh = recovery_codes.generate(lab.flow.rules.recovery)
    rows = [(one.prefix, one.code_hash) for one in fresh.stored]
    with write(lab.flow.engine) as c:
        authenticators.replace_recovery_codes(c, user_id, "lookup", fresh.set_id, rows, lab.now)
    return fresh.codes


def challenge_of(lab: Lab, ticket: Ticket) -> Challenge:
    with read(lab.flow.engine) as c:
        found = challenge(c, ticket.challenge_id, ticket.binding(lab.flow))
    assert found is not None
    return found


def prefer(lab: Lab, kind: str) -> None:
    """Make a factor the person's first choice."""
    with write(lab.flow.engine) as c:
        for one in authenticators.authenticators_of(c, ANN):
            authenticators.set_preference(c, one.id, int(one.kind == kind))


def under(lab: Lab, **changed: Any) -> Lab:
    """The same service under a changed policy that asks at every login."""
    return lab.with_rules(policy=Policy.universal().model_copy(update=changed))


@dataclass
class Equipped:
    """Ann and all she holds."""

    lab: Lab
    passkey: SoftAuthenticator = field(default_factory=lambda: SoftAuthenticator(synced=True))
    hardware_key: SoftAuthenticator = field(default_factory=SoftAuthenticator)

    @classmethod
    def of(cls, lab: Lab) -> Equipped:
        mine = cls(lab)
        keys = (key_of(lab, mine.passkey), key_of(lab, mine.hardware_key, kind="hardware_key"))
        ann(lab, totp=SEED, push=PUSH_SECRET, keys=keys, whatsapp=True)
        return mine

    def typed(self, ticket: Ticket, page: Ask) -> str:
        """The right answer to what a page asks."""
        match page.factor:
            case "otp":
                return self.lab.code(PHONE)
            case "totp":
                return self.lab.shown(APP)
            case "push":
                approve(self.lab, ticket, page.number)
                return ""
            case "passkey":
                return self.passkey.authenticate(page.options, ORIGIN)
            case _:
                return self.hardware_key.authenticate(page.options, ORIGIN)


def approve(lab: Lab, ticket: Ticket, number: str, *, approved: bool = True) -> str:
    """What Ann's app answers."""
    proof = proof_of_app(PUSH_SECRET, ticket.challenge_id, number, approved=approved)
    return push_answer(lab.flow, ticket.challenge_id, number, proof, approved=approved)


class CountingPasswords:
    """Argon2id at the least cost, counting."""

    def __init__(self) -> None:
        self.decoy = PASSWORDS.decoy
        self.hashed = 0
        self.verified: list[str] = []

    def hash(self, password: str) -> str:
        self.hashed += 1
        return PASSWORDS.hash(password)

    def verify(self, stored: str, password: str) -> bool:
        self.verified.append(stored)
        return PASSWORDS.verify(stored, password)


@contextmanager
def argon2_calls(monkeypatch: Any) -> Iterator[list[str]]:
    """Every hash of a recovery code that is computed meanwhile."""
    calls: list[str] = []
    real = recovery_codes._hasher

    class Counted:
        def __init__(self, cost: recovery_codes.HashCost) -> None:
            self.real = real(cost)

        def hash(self, secret: str) -> str:
            calls.append("hash")
            return self.real.hash(secret)

        def verify(self, stored: bytes, secret: str) -> bool:
            calls.append("verify")
            return self.real.verify(stored, secret)

    monkeypatch.setattr(recovery_codes, "_hasher", Counted)
    yield calls
    monkeypatch.undo()
