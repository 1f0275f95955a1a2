"""Codes of an authenticator app: TOTP (RFC 6238) over HOTP (RFC 4226), with pyotp.

A conflict to know of: with `window=1`, as in the guide's sample, a code is accepted during its own
30-second step and the one before and after, so for up to 90 seconds. NIST SP 800-63B-4 §3.1.4 asks
for a step of at most two minutes and is met; OWASP ASVS 6.5.5 asks for a life of at most 30 seconds
and is *not*. `window=0` meets it, at the price of refusing every phone whose clock is half a minute
off. Either way a step is accepted once, so the longer life can be guessed at but not replayed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
import secrets
from dataclasses import dataclass, field

import pyotp
import segno

from twofa_lab.catalog.factors import TOTP_STEP_SECONDS
from twofa_lab.errors import InputError
from twofa_lab.factors.ports import RandomBytes
from twofa_lab.factors.typed import digits_of

__all__ = ["Enrolment", "TotpRules", "TotpSecret", "match", "new_secret"]

SECRET_BYTES = 20
"""160 bits, RFC 4226's recommendation; NIST §3.1.4 asks for 112."""

_MINIMUM_BYTES = 14
_ALGORITHMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}


@dataclass(frozen=True)
class TotpRules:
    """What server and app agree on. Most apps ignore anything but these defaults."""

    digits: int = 6
    step_seconds: int = TOTP_STEP_SECONDS
    algorithm: str = "sha1"

    def __post_init__(self) -> None:
        if not 6 <= self.digits <= 8:
            raise InputError(f"an app's code has 6 to 8 digits, not {self.digits}")
        if not 1 <= self.step_seconds <= 120:
            raise InputError(f"a step is 1 to 120 seconds (NIST 3.1.4), not {self.step_seconds}")
        if self.algorithm not in _ALGORITHMS:
            raise InputError(f"algorithm {self.algorithm!r} is not one of {sorted(_ALGORITHMS)}")


@dataclass(frozen=True)
class TotpSecret:
    """The shared key. `raw` goes to the store's encryption, bound to user and field.

    >>> TotpSecret(b"12345678901234567890").base32
    'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'
    >>> TotpSecret(b"12345678901234567890")
    TotpSecret()
    """

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) < _MINIMUM_BYTES:
            raise InputError(f"a TOTP key has at least 112 bits, not {8 * len(self.raw)}")

    @classmethod
    def from_base32(cls, text: str) -> TotpSecret:
        """Read a key typed by hand; `InputError` when it is no base 32 (the text is not shown)."""
        plain = "".join(text.split()).upper().rstrip("=")
        try:
            return cls(base64.b32decode(plain + "=" * (-len(plain) % 8)))
        except (binascii.Error, ValueError):
            raise InputError("the TOTP key is not base 32 (letters A-Z, digits 2-7)") from None

    @property
    def base32(self) -> str:
        """The key as people type it when no camera is at hand."""
        return base64.b32encode(self.raw).decode().rstrip("=")


@dataclass(frozen=True)
class Enrolment:
    """What a person needs to add the account to an app: shown once, over TLS, never stored.

    The factor becomes active only when a code typed back `match`es; that step is burned too.
    """

    secret: TotpSecret = field(repr=False)
    account: str
    issuer: str
    rules: TotpRules = TotpRules()

    def __post_init__(self) -> None:
        for name, text in (("account", self.account), ("issuer", self.issuer)):
            if not text.strip() or ":" in text or not text.isprintable():
                raise InputError(f"the {name} of a TOTP key is printable text without a colon")

    @property
    def uri(self) -> str:
        """The otpauth URI, which holds the secret."""
        return _totp(self.secret, self.rules).provisioning_uri(
            name=self.account, issuer_name=self.issuer
        )

    def svg(self) -> bytes:
        """The QR code of `uri` as an SVG image."""
        return self._qr("svg")

    def png(self) -> bytes:
        """The QR code of `uri` as a PNG image."""
        return self._qr("png")

    def _qr(self, kind: str) -> bytes:
        out = io.BytesIO()
        segno.make(self.uri, error="m", micro=False).save(out, kind=kind, scale=6)
        return out.getvalue()


def new_secret(random_bytes: RandomBytes = secrets.token_bytes) -> TotpSecret:
    """A fresh random key of 160 bits."""
    return TotpSecret(random_bytes(SECRET_BYTES))


def match(
    secret: TotpSecret,
    typed: str,
    now_ms: int,
    last_step: int,
    window: int = 1,
    rules: TotpRules | None = None,
) -> int | None:
    """The time step whose code was typed, or None; never one at or before `last_step`.

    `last_step` is the last step accepted for this key, the enrolment's included, -1 before any.
    The caller burns the result with a conditional UPDATE (see the package's table). Every step of
    the window is computed and compared whatever was typed, so time tells nothing; should two steps
    share a code, the later one is taken, so that burning it burns both. A clock that steps back
    makes codes fail until it has caught up with `last_step`: the safe side.

    >>> key = TotpSecret(b"12345678901234567890")
    >>> match(key, "287 082", now_ms=59_000, last_step=-1)
    1
    >>> match(key, "287 082", now_ms=61_000, last_step=1) is None
    True
    """
    if window < 0:
        raise InputError(f"the window counts steps to either side, not {window}")
    agreed = rules or TotpRules()
    code = digits_of(typed, agreed.digits)
    if code is None:
        return None
    totp = _totp(secret, agreed)
    now_step = now_ms // (agreed.step_seconds * 1000)
    found = None
    for step in range(max(0, now_step - window), now_step + window + 1):
        same = hmac.compare_digest(totp.generate_otp(step), code)
        if same and step > last_step:
            found = step
    return found


def _totp(secret: TotpSecret, rules: TotpRules) -> pyotp.TOTP:
    return pyotp.TOTP(
        secret.base32,
        digits=rules.digits,
        digest=_ALGORITHMS[rules.algorithm],
        interval=rules.step_seconds,
    )
