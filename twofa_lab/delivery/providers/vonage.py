"""Vonage Verify v2: one request carries the whole plan, and Vonage walks it.

Its ordered workflow with a channel timeout (15 to 900 s) is the fallback plan in native form.
Continuing a verification on a channel of our choice is not in it: such a send ends the old request
and starts a new one, with the same code where the code is ours.

Vonage allows one request a number at a time and answers a second with 409 and the id of the first;
that id is passed on in the `DeliveryError`, so that the caller can cancel it. It ends a request at
the third wrong code.

Source: Vonage's public specification and SDK; live behaviour was not checked.
"""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twofa_lab.delivery.providers.base import (
    Checked,
    DeliveryError,
    Outcome,
    Reason,
    SendRequest,
    Sent,
    Supports,
)
from twofa_lab.delivery.providers.http import HttpClient, Reply
from twofa_lab.errors import InputError

__all__ = ["VonageApplication", "VonageKey", "VonageVerify"]

_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_TIMEOUT_SECONDS = (15, 900)
_BY_STATUS = {
    401: Reason.CREDENTIALS,
    402: Reason.NO_CREDIT,
    403: Reason.BLOCKED,
    409: Reason.CONCURRENT,
    422: Reason.INVALID_NUMBER,
    429: Reason.RATE_LIMITED,
}


@dataclass(frozen=True, slots=True)
class VonageKey:
    """API key and secret (Basic authentication; no webhooks with it)."""

    api_key: str
    api_secret: str = field(repr=False)

    def authorization(self, now_seconds: int) -> str:  # noqa: ARG002 - the application needs it
        """Value of the Authorization header."""
        return "Basic " + base64.b64encode(f"{self.api_key}:{self.api_secret}".encode()).decode()


@dataclass(frozen=True, slots=True)
class VonageApplication:
    """An application and its RSA private key in PEM: each call carries a short-lived JWT."""

    application_id: str
    private_key: str = field(repr=False)

    def authorization(self, now_seconds: int) -> str:
        """Value of the Authorization header; the token lives a minute."""
        import jwt

        claims = {
            "application_id": self.application_id,
            "iat": now_seconds,
            "exp": now_seconds + 60,
            "jti": str(uuid.uuid4()),
        }
        return "Bearer " + jwt.encode(claims, self.private_key, algorithm="RS256")


class VonageVerify:
    """Provider adapter; see `twofa_lab.delivery.providers.base.Provider`.

    `brand` (1 to 16 characters) is what people read in the message. WhatsApp needs the sender's
    number in `whatsapp_from`; without it that channel is not offered. `clock` gives seconds since
    1970 UTC.
    """

    name = "vonage"

    def __init__(
        self,
        http: HttpClient,
        credentials: VonageKey | VonageApplication,
        brand: str,
        *,
        whatsapp_from: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not 1 <= len(brand) <= 16:
            raise InputError("vonage: the brand has 1 to 16 characters")
        self._http = http
        self._credentials = credentials
        self._brand = brand
        self._whatsapp_from = whatsapp_from
        self._clock = clock
        channels = {"sms", "voice", "whatsapp"} if whatsapp_from else {"sms", "voice"}
        self.supports = Supports(
            channels=frozenset(channels),
            native_fallback=True,
            own_code=True,
            one_code=True,
            cancel=True,
            code_lengths=range(4, 11),
        )

    def send(self, request: SendRequest) -> Sent:
        """Start the plan: `channel`, then each of `fallback` after `timeout_seconds`."""
        steps = [self._step(channel, request) for channel in (request.channel, *request.fallback)]
        body: dict[str, Any] = {
            "brand": self._brand,
            "workflow": steps,
            "client_ref": hashlib.sha256(request.key.encode()).hexdigest()[:16],
        }
        if request.fallback:
            body["channel_timeout"] = _whole_timeout(request.timeout_seconds)
        length = len(request.code) if request.code is not None else request.code_length
        if length not in self.supports.code_lengths:
            raise InputError("vonage: a code has 4 to 10 characters")
        body |= {"code_length": length} if request.code is None else {"code": request.code}
        if request.verification_id is not None:
            self.cancel(request.verification_id)
        reply = self._call("POST", (), body)
        if reply.status not in (200, 202):
            raise self._error(reply)
        request_id = reply.text("request_id", _UUID)
        if request_id is None:
            raise DeliveryError(self.name, Reason.BAD_REPLY)
        return Sent(request_id)

    def check(self, verification_id: str, code: str) -> Checked:
        """Check a code."""
        reply = self._call("POST", (verification_id,), {"code": code})
        if reply.status == 400 and reply.text("title") == "Invalid Code":
            return Checked(Outcome.WRONG_CODE)
        if reply.status == 404:
            return Checked(Outcome.GONE)
        if reply.status == 410:
            return Checked(Outcome.TOO_MANY_ATTEMPTS)
        if reply.status != 200:
            raise self._error(reply)
        if reply.text("request_id") != verification_id or reply.text("status") != "completed":
            raise DeliveryError(self.name, Reason.BAD_REPLY)
        return Checked(Outcome.APPROVED)

    def cancel(self, verification_id: str) -> None:
        """End the request, pending channels included."""
        reply = self._call("DELETE", (verification_id,), None, idempotent=True)
        if reply.status not in (200, 204, 404):
            raise self._error(reply)

    def _step(self, channel: str, request: SendRequest) -> dict[str, str]:
        if channel not in self.supports.channels:
            raise DeliveryError(self.name, Reason.UNSUPPORTED)
        step = {"channel": channel, "to": request.number.e164[1:]}
        if channel == "whatsapp" and self._whatsapp_from:
            step["from"] = self._whatsapp_from
        return step

    def _call(
        self,
        method: str,
        path: tuple[str, ...],
        body: dict[str, Any] | None,
        *,
        idempotent: bool = False,
    ) -> Reply:
        return self._http.call(
            method,
            ("v2", "verify", *path),
            headers={"Authorization": self._credentials.authorization(int(self._clock()))},
            json_body=body,
            idempotent=idempotent,
        )

    def _error(self, reply: Reply) -> DeliveryError:
        reason = Reason.UNCERTAIN
        if reply.status < 500:
            reason = _BY_STATUS.get(reply.status, Reason.REFUSED)
        return DeliveryError(
            self.name,
            reason,
            retry_after_seconds=reply.retry_after_seconds,
            verification_id=reply.text("request_id", _UUID),
        )


def _whole_timeout(seconds: float) -> int:
    low, high = _TIMEOUT_SECONDS
    if not (low <= seconds <= high and seconds == int(seconds)):
        raise InputError(f"vonage: the fallback timeout is a whole number of {low}-{high} seconds")
    return int(seconds)
