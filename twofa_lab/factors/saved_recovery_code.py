"""The saved recovery code: one long code to get an account back (NIST SP 800-63B-4 §4.2.1.1).

Not one of the ten recovery codes, which stand in for a factor at sign-in: this one opens account
recovery when every factor is gone, and at AAL2 that asks for a second proof beside it (§4.2.2.2).
24 letters, of which four are the look-up prefix and twenty, 100 random bits, the secret (the
standard asks for 64). It is kept and checked like a recovery code, by `recovery_codes.matches`; the
caller throttles attempts. After use it is void: spend it and issue the next in one transaction.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from twofa_lab.factors.ports import RandomBytes
from twofa_lab.factors.recovery_codes import (
    HashCost,
    StoredRecoveryCode,
    TypedRecoveryCode,
    parse_length,
    random_code,
    store_form,
)
from twofa_lab.factors.typed import grouped

__all__ = ["SAVED_CODE_LENGTH", "NewSavedCode", "issue", "parse"]

SAVED_CODE_LENGTH = 24


@dataclass(frozen=True)
class NewSavedCode:
    """A fresh code: show `text` once, keep `stored`."""

    text: str = field(repr=False)
    stored: StoredRecoveryCode


def issue(cost: HashCost, random_bytes: RandomBytes = secrets.token_bytes) -> NewSavedCode:
    """A new saved recovery code, in a set of its own.

    >>> fresh = issue(HashCost(memory_kib=8))
    >>> len(fresh.text.split("-")), fresh.text in repr(fresh)
    (6, False)
    """
    set_id = random_bytes(16).hex()
    code = random_code(SAVED_CODE_LENGTH, random_bytes)
    return NewSavedCode(grouped(code), store_form(set_id, code, cost))


def parse(typed: str) -> TypedRecoveryCode | None:
    """The saved code somebody typed, or None when it can be none.

    >>> parse("7KQ4-M2XP-9TDR-W3HB") is None  # one of the ten
    True
    """
    return parse_length(typed, SAVED_CODE_LENGTH)
