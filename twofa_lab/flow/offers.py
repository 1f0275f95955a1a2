"""Which enrolled factors a challenge offers, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

from twofa_lab.catalog.factors import STRENGTH_ORDER
from twofa_lab.store.accounts import Account
from twofa_lab.store.authenticators import Authenticator
from twofa_lab.tables import FACTORS

__all__ = ["STRONGEST_FIRST", "has_phone_only", "of_kind", "offered"]

STRONGEST_FIRST = tuple(FACTORS[code] for code in STRENGTH_ORDER)
"""Factors a challenge asks for, the strongest first: the replay's order too."""


def offered(enrolled: Sequence[Authenticator], *, allow_weaker: bool) -> tuple[str, ...]:
    """The kinds of factor to offer, best first: by the person's preference, then by strength.

    Without `allow_weaker` only the strongest one enrolled, whatever the person prefers.
    """
    usable = [one for one in enrolled if one.usable and one.kind in STRONGEST_FIRST]
    liked: dict[str, int] = {}
    for one in usable:
        liked[one.kind] = max(one.preference, liked.get(one.kind, 0))
    by_strength = [kind for kind in STRONGEST_FIRST if kind in liked]
    if not allow_weaker:
        return tuple(by_strength[:1])
    return tuple(sorted(by_strength, key=lambda kind: -liked[kind]))  # stable: strength decides


def has_phone_only(account: Account, enrolled: Sequence[Authenticator]) -> bool:
    """Whether the phone that sign-up verified is all there is to ask for: no factor was ever bound.

    Not for an account whose factors were lost or disabled: a code would be a weaker way round them.
    """
    confirmed = [one.kind for one in enrolled if one.confirmed_at is not None]
    bound = any(kind in STRONGEST_FIRST for kind in confirmed)
    return not bound and account.status == "active" and account.phone is not None


def of_kind(enrolled: Sequence[Authenticator], kind: str) -> list[Authenticator]:
    """The usable authenticators of one kind, the preferred and then the newest first."""
    usable = [one for one in enrolled if one.usable and one.kind == kind]
    return sorted(usable, key=lambda one: (-one.preference, -one.id))
