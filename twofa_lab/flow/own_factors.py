"""What a person does with the factors they have: look at them, rename, prefer, remove."""

from __future__ import annotations

from dataclasses import dataclass

from twofa_lab.catalog.factors import FACTOR_FACTS
from twofa_lab.errors import InputError
from twofa_lab.factors.recovery_codes import is_low
from twofa_lab.flow.binding import StepUpNeededError, changing
from twofa_lab.flow.contact import new_label
from twofa_lab.flow.service import Flow
from twofa_lab.flow.sessions import check
from twofa_lab.store import authenticators
from twofa_lab.store.authenticators import recovery_codes_left
from twofa_lab.store.engine import read

__all__ = ["OwnFactor", "OwnFactors", "list_factors", "prefer", "remove", "rename"]

_LAST = "this is the account's only second factor; add another one first, then remove it"
_RESTRICTED = frozenset(facts.factor for facts in FACTOR_FACTS if facts.restricted)


@dataclass(frozen=True, slots=True)
class OwnFactor:
    """One factor as its owner sees it; times in ms UTC. `usable`: confirmed, and not stopped after
    too many failures. `restricted`: by the telephone network, in NIST's sense. `synced`: a passkey
    that lives on several devices.
    """

    id: int
    kind: str
    label: str
    created: int
    last_used_at: int | None
    preferred: bool
    usable: bool
    restricted: bool
    synced: bool


@dataclass(frozen=True, slots=True)
class OwnFactors:
    """An account's factors, and what is left to recover it with. `codes_low`: time for new codes
    (never while there is no factor they could stand in for).
    """

    factors: tuple[OwnFactor, ...]
    recovery_codes_left: int
    codes_low: bool
    has_saved_code: bool


def list_factors(flow: Flow, session: str) -> OwnFactors:
    """The factors of a running session's account, oldest first, whatever its level."""
    state = check(flow, session)
    if state is None:
        raise StepUpNeededError("the session has ended; sign in again", 0)
    with read(flow.engine) as c:
        rows = authenticators.authenticators_of(c, state.user_id)
        left = recovery_codes_left(c, state.user_id)
        saved = recovery_codes_left(c, state.user_id, "saved") > 0
    mine = [one for one in rows if one.disabled_at is None or one.stopped]
    best = max((one.preference for one in mine), default=0)
    factors = tuple(
        OwnFactor(
            one.id,
            one.kind,
            one.label,
            one.created,
            one.last_used_at,
            best > 0 and one.preference == best,
            one.usable,
            one.kind in _RESTRICTED,
            one.backup_eligible,
        )
        for one in mine
    )
    any_usable = any(one.usable for one in factors)
    return OwnFactors(factors, left, any_usable and is_low(left, flow.rules.recovery), saved)


def rename(flow: Flow, session: str, authenticator_id: int, label: str) -> None:
    """Change a factor's label. Trust in devices stays: nothing that proves anything changed."""
    text = new_label(label)
    with changing(flow, session) as change:
        one = change.own(authenticator_id)
        authenticators.rename_authenticator(change.c, one.id, text)
        change.audit("factor_renamed", id=one.id, kind=one.kind)
        change.tell("factor_renamed")


def prefer(flow: Flow, session: str, authenticator_id: int) -> None:
    """Have a factor asked for first, where the policy lets the person choose."""
    with changing(flow, session) as change:
        one = change.own(authenticator_id)
        if not one.usable:
            raise InputError("this factor is not in use; confirm it first")
        first = 1 + max(other.preference for other in change.enrolled)
        authenticators.set_preference(change.c, one.id, first)
        change.audit("account_changed", what="preference", id=one.id, kind=one.kind)
        change.tell("factor_preferred")


def remove(flow: Flow, session: str, authenticator_id: int) -> None:
    """Take a factor out of use for good. `InputError` for the account's last usable one."""
    with changing(flow, session) as change:
        one = change.own(authenticator_id)
        others = [other for other in change.enrolled if other.usable and other.id != one.id]
        if one.usable and not others:
            raise InputError(_LAST)
        change.removed(one)
