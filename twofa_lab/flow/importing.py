"""Accounts brought over from elsewhere, with everything already enrolled: for operators.

No session, no code and no network: whoever calls this vouches for what is brought over. For a
migration, and for people who are simulated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from twofa_lab.delivery import phone
from twofa_lab.errors import InputError
from twofa_lab.factors.passkeys import PasskeyRecord, user_handle
from twofa_lab.factors.totp import TotpSecret
from twofa_lab.flow.binding import columns_of
from twofa_lab.flow.contact import email_address, home_zone, new_name
from twofa_lab.flow.service import Flow
from twofa_lab.store import accounts, authenticators
from twofa_lab.store.audit import Event, append
from twofa_lab.store.engine import write

__all__ = ["Import", "import_accounts"]


@dataclass(frozen=True, slots=True)
class Import:
    """One account. `phone` (E.164) and `email` are vouched for as validated; `otp`: the number is
    the second factor too. `line_type` empty: from the number's range. A key's `user_handle` is that
    of `passkeys.user_handle` for this `user_id`. `created` is when its owner signed up, in ms UTC.
    """

    user_id: int
    name: str
    password_hash: str = field(repr=False)
    created: int
    phone: str = field(repr=False)
    home_zone: str = "UTC"
    email: str = field(default="", repr=False)
    line_type: str = ""
    whatsapp: bool = False
    otp: bool = False
    totp: TotpSecret | None = None
    push: bytes | None = field(default=None, repr=False)
    keys: tuple[PasskeyRecord, ...] = ()


def import_accounts(flow: Flow, wanted: Iterable[Import]) -> int:
    """Add them all as active accounts, or none; how many.

    `InputError` names the account that cannot be added.
    """
    events: list[Event] = []
    with write(flow.engine) as c:
        for one in wanted:
            try:
                events.append(_add(flow, c, one))
            except InputError as error:
                raise InputError(f"account {one.user_id}: {error}") from None
        append(c, events)
    return len(events)


def _add(flow: Flow, c: Connection, one: Import) -> Event:
    now, number = flow.clock(), phone.parse(one.phone)
    accounts.add_account(
        c,
        flow.keyring,
        user_id=one.user_id,
        name=new_name(one.name),
        password_hash=one.password_hash,
        created=one.created,
        home_zone=home_zone(one.home_zone),
        email=email_address(one.email) if one.email else None,
        phone=number.e164,
        line_type=one.line_type or number.line_type,
        whatsapp=one.whatsapp,
        status="active",
    )
    secrets = {
        "otp": number.e164.encode() if one.otp else None,
        "totp": one.totp.raw if one.totp else None,
        "push": one.push,
    }
    for kind, secret in secrets.items():
        if secret is not None:
            _bind(flow, c, one, kind, secret=secret)
    for key in one.keys:
        if key.user_handle != user_handle(flow.keyring, one.user_id):
            raise InputError("a key's user handle is not this account's")
        _bind(flow, c, one, key.kind, key=key)
    kinds = [kind for kind, secret in secrets.items() if secret is not None]
    kinds += [key.kind for key in one.keys]
    detail = {"what": "imported", "factors": " ".join(kinds)}
    return Event(now, "signup", one.user_id, detail)


def _bind(
    flow: Flow,
    c: Connection,
    one: Import,
    kind: str,
    *,
    secret: bytes | None = None,
    key: PasskeyRecord | None = None,
) -> None:
    material = {} if key is None else columns_of(key)
    authenticators.add_authenticator(
        c,
        flow.keyring,
        user_id=one.user_id,
        kind=kind,
        label="imported",
        created=one.created,
        confirmed_at=one.created,
        secret=secret,
        **material,
    )
