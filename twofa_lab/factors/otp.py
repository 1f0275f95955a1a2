"""One-time codes sent by SMS, WhatsApp, voice or e-mail.

A code is drawn by a CSPRNG, kept only as a keyed hash bound to its challenge, lives ten minutes and
is accepted once (NIST SP 800-63B-4 §3.1.3.2; ASVS 6.5.1 to 6.5.5). E-mail codes serve address
validation and recovery only: §3.1.3.1 forbids e-mail as a second factor.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from enum import StrEnum

from twofa_lab.catalog.factors import CODE_LIFE_SECONDS
from twofa_lab.errors import InputError
from twofa_lab.factors.ports import KeyedHash, RandBelow, is_alive
from twofa_lab.factors.typed import digits_of

__all__ = ["OtpChallenge", "OtpCode", "OtpRules", "OtpVerdict", "check", "hash_code", "new_code"]

_PURPOSE = "otp-code"


@dataclass(frozen=True)
class OtpRules:
    """Length, life and attempts of a code.

    `digits` 4 to 10 (the providers' common range; under six falls short of NIST §3.1.3.2 and ASVS
    6.5.4), `life_seconds` at most the ten minutes of §3.1.3.2, `max_attempts` the guide's five.

    >>> OtpRules(digits=3)
    Traceback (most recent call last):
    ...
    twofa_lab.errors.InputError: a code has 4 to 10 digits, not 3
    """

    digits: int = 6
    life_seconds: int = CODE_LIFE_SECONDS
    max_attempts: int = 5

    def __post_init__(self) -> None:
        if not 4 <= self.digits <= 10:
            raise InputError(f"a code has 4 to 10 digits, not {self.digits}")
        if not 1 <= self.life_seconds <= CODE_LIFE_SECONDS:
            raise InputError(
                f"a code lives 1 to {CODE_LIFE_SECONDS} seconds, not {self.life_seconds}"
            )
        if not 1 <= self.max_attempts <= 100:
            raise InputError(f"a code allows 1 to 100 attempts, not {self.max_attempts}")


@dataclass(frozen=True)
class OtpCode:
    """A code on its way to the person: hand `text` to the channel and forget it."""

    text: str = field(repr=False)


@dataclass(frozen=True)
class OtpChallenge:
    """What the store keeps of a sent code. `attempts` counts entries *before* the one at hand."""

    challenge_id: str
    code_hash: bytes = field(repr=False)
    issued_ms: int
    attempts: int = 0
    consumed: bool = False


class OtpVerdict(StrEnum):
    """What a typed code was; only `ACCEPTED` lets anybody in, and only once consumed."""

    ACCEPTED = "accepted"
    WRONG = "wrong"
    MALFORMED = "malformed"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    USED = "used"


def new_code(rules: OtpRules, randbelow: RandBelow = secrets.randbelow) -> OtpCode:
    """A random code of `rules.digits` digits, every value equally likely.

    >>> new_code(OtpRules(), randbelow=lambda n: 42).text
    '000042'
    >>> new_code(OtpRules())
    OtpCode()
    """
    return OtpCode(f"{randbelow(10**rules.digits):0{rules.digits}d}")


def hash_code(keys: KeyedHash, challenge_id: str, code: str) -> bytes:
    """The keyed hash under which a code is kept, worthless for any other challenge.

    Without the key the million values of a six-digit code would be hashed through in a second.
    """
    identifier = challenge_id.encode()
    return keys.mac(len(identifier).to_bytes(4, "big") + identifier + code.encode(), _PURPOSE)


def check(
    challenge: OtpChallenge, typed: str, now_ms: int, keys: KeyedHash, rules: OtpRules
) -> OtpVerdict:
    """What the entry `typed` is worth.

    The caller counts the attempt first, atomically, and consumes the challenge after `ACCEPTED`
    (see the package's table); two right entries at once then leave one success. `MALFORMED` text
    can be no code, so it need not be counted. The comparison takes the same time for every guess.
    """
    if challenge.consumed:
        return OtpVerdict.USED
    if not is_alive(challenge.issued_ms, now_ms, rules.life_seconds):
        return OtpVerdict.EXPIRED
    if challenge.attempts >= rules.max_attempts:
        return OtpVerdict.EXHAUSTED
    code = digits_of(typed, rules.digits)
    if code is None:
        return OtpVerdict.MALFORMED
    expected = hash_code(keys, challenge.challenge_id, code)
    if hmac.compare_digest(expected, challenge.code_hash):
        return OtpVerdict.ACCEPTED
    return OtpVerdict.WRONG
