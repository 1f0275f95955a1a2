"""Push approval with number matching, and a limit that makes bombing pointless.

The login page shows a number; the person types it into the app, and the approval carries it. A bare
"approve?" no longer counts (NIST SP 800-63B-4 §3.1.3), and neither does picking one of three
numbers: a tired victim is right one time in three. The same section asks for six digits; products
in the field show two, which saves four keystrokes and lets one blind guess in a hundred through.

One request takes one answer: a wrong number ends it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from twofa_lab.catalog.factors import CODE_LIFE_SECONDS
from twofa_lab.errors import InputError
from twofa_lab.factors.ports import KeyedHash, RandBelow, is_alive
from twofa_lab.factors.typed import digits_of

__all__ = [
    "MatchNumber",
    "PushRequest",
    "PushRules",
    "PushVerdict",
    "SendDecision",
    "check",
    "hash_number",
    "may_send",
    "new_number",
]

_PURPOSE = "push-number"


@dataclass(frozen=True)
class PushRules:
    """Number, life and limits of push requests.

    `digits` after NIST §3.1.3.2, which also asks for a "reasonable limit"; the limits themselves
    are assumptions: three requests in ten minutes serve a person whose phone is slow, ten without
    one success is nobody's habit, and whoever says "not me" twice a day is under attack.
    """

    digits: int = 6
    life_seconds: int = 60
    max_in_window: int = 3
    window_seconds: int = 600
    max_since_success: int = 10
    max_denials: int = 2
    denial_window_seconds: int = 86_400

    def __post_init__(self) -> None:
        if not 2 <= self.digits <= 8:
            raise InputError(f"the number to match has 2 to 8 digits, not {self.digits}")
        if not 1 <= self.life_seconds <= CODE_LIFE_SECONDS:
            raise InputError(
                f"a push request lives 1 to {CODE_LIFE_SECONDS} seconds, not {self.life_seconds}"
            )
        limits = (self.max_in_window, self.max_since_success, self.max_denials)
        if min(*limits, self.window_seconds, self.denial_window_seconds) < 1:
            raise InputError("the limits on push requests are whole numbers from 1")


@dataclass(frozen=True)
class MatchNumber:
    """The number for the login page: show `text` there, and send it nowhere else."""

    text: str = field(repr=False)


@dataclass(frozen=True)
class PushRequest:
    """What the store keeps of a request that went to the phone."""

    request_id: str
    number_hash: bytes = field(repr=False)
    issued_ms: int
    answered: bool = False


class PushVerdict(StrEnum):
    """What an answer from the phone is worth."""

    APPROVED = "approved"
    DENIED = "denied"
    WRONG_NUMBER = "wrong_number"
    EXPIRED = "expired"
    USED = "used"


@dataclass(frozen=True)
class SendDecision:
    """Whether another request may go out; if not why, and from when on one may (None: only after
    a success by another factor).

    >>> bool(SendDecision(True))
    True
    """

    allowed: bool
    reason: str = ""
    retry_at_ms: int | None = None

    def __bool__(self) -> bool:
        return self.allowed


def new_number(rules: PushRules, randbelow: RandBelow = secrets.randbelow) -> MatchNumber:
    """A random number to match.

    >>> new_number(PushRules(), randbelow=lambda n: 4711).text
    '004711'
    """
    return MatchNumber(f"{randbelow(10**rules.digits):0{rules.digits}d}")


def hash_number(keys: KeyedHash, request_id: str, number: str) -> bytes:
    """The keyed hash under which the number is kept, worthless for any other request."""
    identifier = request_id.encode()
    return keys.mac(len(identifier).to_bytes(4, "big") + identifier + number.encode(), _PURPOSE)


def check(
    request: PushRequest,
    *,
    approved: bool,
    typed: str,
    now_ms: int,
    keys: KeyedHash,
    rules: PushRules,
) -> PushVerdict:
    """What the phone's answer is worth.

    Any answer in time ends the request: mark it answered where it was not (see the package's
    table) and act only when that row was yours. A wrong number counts as a failed attempt, and,
    like a denial, is a reason to tell the person.
    """
    if request.answered:
        return PushVerdict.USED
    if not is_alive(request.issued_ms, now_ms, rules.life_seconds):
        return PushVerdict.EXPIRED
    if not approved:
        return PushVerdict.DENIED
    number = digits_of(typed, rules.digits)
    if number is None:
        return PushVerdict.WRONG_NUMBER
    expected = hash_number(keys, request.request_id, number)
    if hmac.compare_digest(expected, request.number_hash):
        return PushVerdict.APPROVED
    return PushVerdict.WRONG_NUMBER


def may_send(
    requests_ms: Sequence[int], denials_ms: Sequence[int], now_ms: int, rules: PushRules
) -> SendDecision:
    """Whether one more request may be sent to an account's phone.

    `requests_ms` are the times of the requests since the account's last success, `denials_ms` those
    the person refused or answered with a wrong number. Times ahead of the clock count as recent, so
    a clock that steps back opens nothing. Read and insert in one transaction, or two parallel
    logins both see room for one.

    >>> may_send([0, 1000, 2000], [], 3000, PushRules()).retry_at_ms
    600000
    >>> may_send([0], [1000, 2000], 3000, PushRules()).reason
    'denials'
    """
    retry = _when_room(denials_ms, now_ms, rules.max_denials, rules.denial_window_seconds)
    if retry is not None:
        return SendDecision(False, "denials", retry)
    if len(requests_ms) >= rules.max_since_success:
        return SendDecision(False, "no success in many requests", None)
    retry = _when_room(requests_ms, now_ms, rules.max_in_window, rules.window_seconds)
    if retry is not None:
        return SendDecision(False, "too many requests", retry)
    return SendDecision(True)


def _when_room(times_ms: Sequence[int], now_ms: int, most: int, window_seconds: int) -> int | None:
    """None if fewer than `most` times lie in the window, else when that will be so."""
    recent = sorted(t for t in times_ms if now_ms - t < window_seconds * 1000)
    if len(recent) < most:
        return None
    return recent[-most] + window_seconds * 1000
