"""People who are there already, what their mailbox holds, and how the database is watched."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.flow.lab import DAY, NOW, PASSWORD, PASSWORDS, PHONE, Lab
from twofa_lab.factors import saved_recovery_code
from twofa_lab.flow.importing import Import, import_accounts
from twofa_lab.store.accounts import Account, account
from twofa_lab.store.authenticators import replace_recovery_codes
from twofa_lab.store.engine import read, write
from twofa_lab.store.schema import accounts

ANN = 5
MAIL = "ann@example.com"

_CODE = re.compile(r"\b\d{6}\b")
_VALUES = re.compile(r"'(?:[^']|'')*'|[xX]'[^']*'|-?\b\d+\b|(?<!IS )(?<!NOT )NULL")


def ann(lab: Lab, **changed: Any) -> int:
    """An active account with a validated phone, which is its factor, and address."""
    plain: dict[str, Any] = {
        "user_id": ANN,
        "name": "ann",
        "password_hash": PASSWORDS.hash(PASSWORD),
        "created": NOW - 40 * DAY,
        "phone": PHONE,
        "home_zone": "Europe/London",
        "email": MAIL,
        "otp": True,
    }
    wanted = Import(**{**plain, **changed})
    import_accounts(lab.flow, [wanted])
    return wanted.user_id


def give_saved_code(lab: Lab, user_id: int = ANN) -> str:
    fresh = saved_recovery_code.issue(lab.flow.rules.recovery.cost)
    row = (fresh.stored.prefix, fresh.stored.code_hash)
    with write(lab.flow.engine) as c:
        replace_recovery_codes(c, user_id, "saved", fresh.stored.set_id, [row], lab.now)
    return fresh.text


def mailed(lab: Lab, kind: str) -> str:
    """The newest code of that kind in the mailbox."""
    letters = [letter for letter in lab.outbox.letters if letter.kind == kind]
    found = _CODE.search(letters[-1].text)
    assert found is not None
    return found[0]


def another(code: str) -> str:
    """A code that is not that one."""
    return f"{(int(code) + 1) % 10**6:06d}"


def account_of(lab: Lab, user_id: int = ANN) -> Account:
    with read(lab.flow.engine) as c:
        found = account(c, user_id)
    assert found is not None
    return found


def set_columns(lab: Lab, user_id: int = ANN, **values: object) -> None:
    with write(lab.flow.engine) as c:
        c.execute(accounts.update().where(accounts.c.user_id == user_id).values(**values))


def shape(lab: Lab, act: Callable[[], object]) -> list[str]:
    """Every statement SQLite runs for an act, values left out."""
    seen: list[str] = []
    with lab.flow.engine.connect() as c:
        raw: Any = c.connection.dbapi_connection
    raw.set_trace_callback(lambda statement: seen.append(_VALUES.sub("?", statement)))
    try:
        act()
    finally:
        raw.set_trace_callback(None)
    assert len(seen) > 3, "something was traced"
    return seen
