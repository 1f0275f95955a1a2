"""Trusted devices: a signed, rotating, revocable token that lifts challenges, never an AAL.

The cookie is `series.token.signature`. Each use exchanges the token for the next; a token that was
exchanged before and comes back was copied, and the whole series dies. The signature binds cookie,
account and device, so that made-up cookies neither reach the store nor kill anybody's series.
Trust ends after the policy's days, with a password reset, with a change of factors, or by hand.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from typing import NamedTuple

from sqlalchemy import Connection

from twofa_lab.flow.service import Flow
from twofa_lab.store import devices
from twofa_lab.store.audit import Event

__all__ = ["Presented", "present", "trust"]


class Presented(NamedTuple):
    """Whether a device showed a valid token, the next cookie for it, and what to record."""

    held: bool
    cookie: str | None = None
    events: tuple[Event, ...] = ()

    def __repr__(self) -> str:
        return f"Presented(held={self.held})"


def present(
    flow: Flow, c: Connection, user_id: int, device: str, cookie: str, now: int
) -> Presented:
    """Exchange a device's token. Call it only once the password was right."""
    series, _, rest = cookie.partition(".")
    token, _, signature = rest.partition(".")
    expected = _signature(flow, user_id, device, series, token)
    given = signature.encode(errors="surrogatepass")
    if not token or not hmac.compare_digest(expected.encode(), given):
        return Presented(held=False)
    following = flow.token()
    found = devices.rotate_token(
        c,
        series=series,
        device=device,
        presented=_hash(flow, token),
        following=_hash(flow, following),
        now=now,
    )
    if found is devices.Rotation.ROTATED:
        return Presented(True, _cookie(flow, user_id, device, series, following))
    if found is devices.Rotation.STOLEN:
        return Presented(False, None, (Event(now, "device_revoked", user_id, {"why": "copied"}),))
    return Presented(held=False)


def trust(
    flow: Flow, c: Connection, user_id: int, device: str, started: int, now: int
) -> tuple[str, Event]:
    """Trust a device from the login's start on; the cookie, and what to record.

    The account's history must hold the device already. An older series of it ends.
    """
    devices.revoke_device(c, user_id, device, now)
    series, token = flow.token(), flow.token()
    devices.trust_device(
        c,
        user_id=user_id,
        device=device,
        series=series,
        token_hash=_hash(flow, token),
        now=started,
        # the policy's last millisecond still counts
        expires=started + flow.assessor.trust_ms + 1,
    )
    days = flow.policy.trust_device_days or 0.0
    return (
        _cookie(flow, user_id, device, series, token),
        Event(now, "device_trusted", user_id, {"days": days}),
    )


def _hash(flow: Flow, token: str) -> bytes:
    return flow.keyring.mac(token.encode(), "device-token")


def _signature(flow: Flow, user_id: int, device: str, series: str, token: str) -> str:
    text = f"{user_id}\n{device}\n{series}\n{token}".encode(errors="surrogatepass")
    return urlsafe_b64encode(flow.keyring.mac(text, "device-cookie")[:18]).decode()


def _cookie(flow: Flow, user_id: int, device: str, series: str, token: str) -> str:
    return f"{series}.{token}.{_signature(flow, user_id, device, series, token)}"
