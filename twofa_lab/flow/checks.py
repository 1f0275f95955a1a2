"""Whether an answer is right, for each factor; what makes it true only once happens here too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, cast

from sqlalchemy import Connection

from twofa_lab.factors import otp, passkeys, recovery_codes, totp
from twofa_lab.factors.passkey_refusals import CeremonyError
from twofa_lab.factors.passkeys import Kind, PasskeyRecord
from twofa_lab.factors.recovery_codes import StoredRecoveryCode, TypedRecoveryCode
from twofa_lab.factors.typed import digits_of
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.service import Flow
from twofa_lab.store import authenticators as kept
from twofa_lab.store.challenges import Challenge

__all__ = ["STANDS_IN", "Check", "check_of", "passkey_record"]

STANDS_IN = frozenset(("login", "step_up"))
"""Purposes for which one of the ten recovery codes may stand in for a factor."""


class Check(NamedTuple):
    """How one answer is checked: `passes(connection, now)` in the transaction that counted it, or
    `remote` by the provider, outside of it.
    """

    factor: str
    passes: Callable[[Connection, int], bool]
    remote: bool = False


def check_of(flow: Flow, found: Challenge, pending: Pending, typed: str) -> Check | None:
    """The check that fits what was typed; None for text that can be no answer at all."""
    if found.factor == "push" and pending.approved:
        return Check("push", lambda _c, _now: True)
    if found.factor in {"passkey", "hardware_key"}:
        if typed.lstrip().startswith("{"):
            return Check(found.factor, lambda c, _now: _passkey(flow, c, found, typed))
    elif found.factor == "totp" and digits_of(typed, flow.rules.totp.digits):
        return Check("totp", lambda c, now: _totp(flow, c, found, typed, now))
    elif found.factor in {"otp", "email"} and digits_of(typed, flow.rules.otp.digits):
        remote = found.expected is None
        return Check(found.factor, lambda _c, now: _code(flow, found, typed, now), remote)
    # a recovery code stands in for a factor, not for the proof that an address is one's own
    code = recovery_codes.parse(typed) if found.purpose in STANDS_IN else None
    if code is None:
        return None
    return Check("recovery_code", lambda c, now: _recovery(flow, c, found.user_id, code, now))


def _code(flow: Flow, found: Challenge, typed: str, now: int) -> bool:
    challenge = otp.OtpChallenge(found.id, found.expected or b"", found.created)
    verdict = otp.check(challenge, typed, now, flow.keyring, flow.rules.otp)
    return verdict is otp.OtpVerdict.ACCEPTED


def _totp(flow: Flow, c: Connection, found: Challenge, typed: str, now: int) -> bool:
    """Any of the account's apps may answer; the step that matched is burned."""
    for one in kept.authenticators_of(c, found.user_id):
        if one.kind != "totp" or not one.usable:
            continue
        secret = totp.TotpSecret(kept.secret_of(flow.keyring, one))
        rules, window = flow.rules.totp, flow.rules.totp_window
        step = totp.match(secret, typed, now, one.last_totp_step, window, rules)
        if step is not None:
            return kept.burn_totp_step(c, one.id, step)
    return False


def _passkey(flow: Flow, c: Connection, found: Challenge, response: str) -> bool:
    try:
        claimed = passkeys.presented(response).credential_id
        one = kept.authenticator_by_credential(c, claimed)
        if one is None or one.user_id != found.user_id or not one.usable:
            return False
        verified = passkeys.verify_authentication(
            flow.relying_party, found.expected or b"", response, passkey_record(flow, one)
        )
    except CeremonyError:
        return False
    return kept.bump_sign_count(c, one.id, verified.sign_count, backed_up=verified.backed_up)


def passkey_record(flow: Flow, one: kept.Authenticator) -> PasskeyRecord:
    """A stored key as the WebAuthn functions take it."""
    return PasskeyRecord(
        credential_id=one.credential_id or b"",
        public_key=one.public_key or b"",
        user_handle=passkeys.user_handle(flow.keyring, one.user_id),
        kind=cast(Kind, one.kind),
        sign_count=one.sign_count,
        backup_eligible=one.backup_eligible,
        backed_up=one.backup_state,
        user_verified=one.user_verified,
    )


def _recovery(
    flow: Flow,
    c: Connection,
    user_id: int,
    code: TypedRecoveryCode,
    now: int,
    kind: Literal["lookup", "saved"] = "lookup",
) -> bool:
    """One hash, whether the account has a code with that prefix or not; a right one is spent."""
    cost = flow.rules.recovery.cost
    rows = [
        row for row in kept.recovery_codes_with_prefix(c, user_id, code.prefix) if row.kind == kind
    ]
    stored = None
    if rows:
        stored = StoredRecoveryCode(rows[0].set_id, code.prefix, rows[0].code_hash)
    right = recovery_codes.matches(stored, code, cost)
    return right and kept.use_recovery_code(c, user_id, rows[0].id, now)
