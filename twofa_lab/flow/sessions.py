"""Sessions, tagged with the assurance level they reached and how (`amr`, RFC 8176).

A session says what was proved and when, never more: it falls back to AAL1 once the AAL2 window is
over (NIST SP 800-63B-4, 2.2.3), and ends with AAL1's. A trusted device gives an AAL1 session.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from twofa_lab.catalog.factors import FACTOR_FACTS, MAX_CLOCK_STEP_MS, RECOVERY_FACTS
from twofa_lab.flow.service import Flow
from twofa_lab.store import accounts, devices
from twofa_lab.store.audit import Event, append
from twofa_lab.store.engine import write

__all__ = [
    "Proof",
    "SessionState",
    "check",
    "in_window",
    "log_out",
    "open_session",
    "proof_of",
    "raise_level",
    "session_hash",
]

_HIGHEST = 2
"""AAL3 also needs proof that a key cannot leave its device; attestation is not asked for."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a login proved: an assurance level, and authentication methods."""

    aal: int
    amr: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionState:
    """A running session: whose, its level now, its methods, since when.

    `enrol_only`: the account was recovered and has no factor yet. The site lets such a session do
    nothing but enrol one; the first factor confirmed makes the account, and with it the session,
    an ordinary one.
    """

    user_id: int
    aal: int
    amr: tuple[str, ...]
    created: int
    enrol_only: bool = False


def proof_of(factor: str, channel: str = "none", *, with_password: bool = True) -> Proof:
    """What a second factor adds up to beside a password.

    >>> proof_of("none"), proof_of("totp").amr
    (Proof(aal=1, amr=('pwd',)), ('pwd', 'otp', 'mfa'))
    >>> proof_of("otp", "sms")
    Proof(aal=2, amr=('pwd', 'otp', 'sms', 'mca', 'mfa'))
    """
    first = ("pwd",) if with_password else ()
    if factor == "none":
        return Proof(1, first)
    if factor == "recovery_code":
        facts = next(facts for facts in RECOVERY_FACTS if facts.name == "recovery_codes")
        return Proof(facts.aal, (*first, *facts.amr, "mfa"))
    found = [facts for facts in FACTOR_FACTS if facts.factor == factor]
    best = next((facts for facts in found if facts.channel == channel), found[0])
    return Proof(min(best.aal, _HIGHEST), (*first, *best.amr, "mfa"))


def session_hash(flow: Flow, token: str) -> bytes:
    """As the store keeps a session's token."""
    return flow.keyring.mac(token.encode(errors="surrogatepass"), "session")


def open_session(
    flow: Flow, c: Connection, user_id: int, proof: Proof, device: str, now: int
) -> str:
    """Start a session in the caller's transaction; its token, for a cookie."""
    token = flow.token()
    devices.add_session(
        c,
        id_hash=session_hash(flow, token),
        user_id=user_id,
        aal=proof.aal,
        amr=" ".join(proof.amr),
        now=now,
        device=device or None,
    )
    return token


def raise_level(
    flow: Flow, c: Connection, id_hash: bytes, proof: Proof, now: int
) -> tuple[str, Event] | None:
    """Raise a running session in the caller's transaction by what was just proved: its new token,
    and what to audit. None when it ended, or was raised by somebody else.
    """
    found = devices.session(c, id_hash)
    if found is None:
        return None
    before = found.amr.split()
    # no password was typed into a session that began with a passkey alone
    more = [method for method in proof.amr if method != "pwd" or "pwd" in before]
    amr = " ".join(dict.fromkeys((*before, *more)))
    token = flow.token()
    following = session_hash(flow, token)
    if not devices.raise_session(c, id_hash, proof.aal, amr, now, following):
        return None
    detail = {"what": "raised", "aal": proof.aal, "amr": amr}
    return token, Event(now, "session", found.user_id, detail)


def in_window(flow: Flow, proved: int, now: int) -> bool:
    """Whether what was proved then is less than the AAL2 window ago; not in the time to come, where
    a clock that stepped back leaves it.
    """
    return -MAX_CLOCK_STEP_MS <= now - proved <= flow.rules.sessions.aal2_ms


def check(flow: Flow, token: str) -> SessionState | None:
    """The running session of a token, noting its use; None when there is none.

    Its level is what still holds now: AAL2 for a day, or an hour without use, and not past a clock
    that stepped back, which would lengthen both.
    """
    now, rules = flow.clock(), flow.rules.sessions
    with write(flow.engine) as c:
        found = devices.session(c, session_hash(flow, token))
        if found is None or found.ended is not None:
            return None
        age, idle = now - found.created, now - found.last_seen
        if age > rules.aal1_ms:
            devices.end_session(c, found.id_hash, now)
            append(c, [Event(now, "session", found.user_id, {"what": "ended", "why": "age"})])
            return None
        aal, amr = found.aal, tuple(found.amr.split())
        in_use = -MAX_CLOCK_STEP_MS <= idle <= rules.aal2_idle_ms
        over = not in_use or not in_window(flow, found.created, now)
        if aal > 1 and over:
            # for good: coming back within the hour does not raise it again
            aal = 1
            devices.lower_session(c, found.id_hash)
        devices.touch_session(c, found.id_hash, now)
        account = accounts.account(c, found.user_id)
    recovering = account is not None and account.status == "recovery"
    return SessionState(found.user_id, aal, amr, found.created, enrol_only=recovering)


def log_out(flow: Flow, token: str) -> bool:
    """End a session; False when there was none."""
    now = flow.clock()
    with write(flow.engine) as c:
        found = devices.session(c, session_hash(flow, token))
        ended = found is not None and devices.end_session(c, found.id_hash, now)
        if found is not None and ended:
            append(c, [Event(now, "session", found.user_id, {"what": "ended", "why": "log-out"})])
    return ended
