"""What a person keeps in a drawer: ten recovery codes, and one saved recovery code.

Both are shown once and kept as hashes. Making new ones voids the old.
"""

from __future__ import annotations

from twofa_lab.factors import recovery_codes, saved_recovery_code
from twofa_lab.factors.recovery_codes import NewRecoveryCodes, StoredRecoveryCode
from twofa_lab.flow.binding import Change, changing
from twofa_lab.flow.service import Flow
from twofa_lab.flow.sessions import session_hash
from twofa_lab.store import devices
from twofa_lab.store.authenticators import recovery_codes_left, replace_recovery_codes
from twofa_lab.store.engine import read

__all__ = ["give_codes_if_none", "new_recovery_codes", "new_saved_code", "spare_codes"]


def new_recovery_codes(flow: Flow, session: str) -> tuple[str, ...]:
    """Ten fresh recovery codes, to be shown once; the account's former ones are void."""
    fresh = _generate(flow)
    with changing(flow, session) as change:
        _keep_codes(change, fresh)
        change.void_trust()
    return fresh.codes


def new_saved_code(flow: Flow, session: str) -> str:
    """A fresh saved recovery code, to be shown once; the former one is void."""
    fresh = saved_recovery_code.issue(flow.rules.recovery.cost, flow.random_bytes)
    with changing(flow, session) as change:
        _keep(change, "saved", fresh.stored.set_id, (fresh.stored,))
        change.void_trust()
        change.tell("saved_code")
    return fresh.text


def spare_codes(flow: Flow, session: str) -> NewRecoveryCodes | None:
    """Codes for a session's account if it has none unused: hashed before the transaction, since
    that takes the longest.
    """
    with read(flow.engine) as c:
        running = devices.session(c, session_hash(flow, session))
        if running is None or recovery_codes_left(c, running.user_id):
            return None
    return _generate(flow)


def give_codes_if_none(change: Change, spare: NewRecoveryCodes | None) -> tuple[str, ...]:
    """Keep the spare codes if the account still has none; they are to be shown once."""
    if spare is None or recovery_codes_left(change.c, change.account.user_id):
        return ()
    _keep_codes(change, spare)
    return spare.codes


def _generate(flow: Flow) -> NewRecoveryCodes:
    return recovery_codes.generate(flow.rules.recovery, flow.random_bytes)


def _keep_codes(change: Change, fresh: NewRecoveryCodes) -> None:
    _keep(change, "lookup", fresh.set_id, fresh.stored)
    change.tell("recovery_codes")


def _keep(change: Change, kind: str, set_id: str, stored: tuple[StoredRecoveryCode, ...]) -> None:
    rows = [(row.prefix, row.code_hash) for row in stored]
    replace_recovery_codes(change.c, change.account.user_id, kind, set_id, rows, change.now)
    change.audit("recovery_codes", kind=kind, count=len(rows))
