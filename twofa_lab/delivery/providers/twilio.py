"""Twilio Verify v2: form-encoded requests, JSON replies, one verification a number.

Twilio has no fallback list: the next channel is another `Verifications` call for the same number,
which within ten minutes continues the same verification with the same code. It has no idempotency
key either, so a send whose answer was lost is never repeated here. The length of its codes is a
setting of the service; a request's `code_length` has no effect.

Source: Twilio's public API reference and error list; live behaviour was not checked.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

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

__all__ = ["TWILIO_CHANNELS", "TwilioCredentials", "TwilioVerify"]

TWILIO_CHANNELS = {"sms": "sms", "voice": "call", "whatsapp": "whatsapp"}
"""Our channel names to Twilio's."""

_SID = r"VE[0-9a-fA-F]{32}"
_SEND_ERRORS = {
    20003: Reason.CREDENTIALS,
    20429: Reason.RATE_LIMITED,
    60200: Reason.INVALID_NUMBER,
    60203: Reason.RATE_LIMITED,  # five sends of one verification
    60205: Reason.UNSUPPORTED,  # SMS to a landline
    60212: Reason.CONCURRENT,
    60410: Reason.BLOCKED,  # fraud guard blocked the prefix
    60605: Reason.BLOCKED,  # geographic permission
}
_TOO_MANY_CHECKS = 60202
_CHECK_STATUS = {
    "approved": Outcome.APPROVED,
    "pending": Outcome.WRONG_CODE,
    "expired": Outcome.EXPIRED,
    "max_attempts_reached": Outcome.TOO_MANY_ATTEMPTS,
    "canceled": Outcome.GONE,
    "deleted": Outcome.GONE,
    "failed": Outcome.GONE,
}


@dataclass(frozen=True, slots=True)
class TwilioCredentials:
    """Account and Verify service, with the account's auth token."""

    account_sid: str
    service_sid: str
    auth_token: str = field(repr=False)

    @property
    def basic(self) -> str:
        """Value of the Authorization header."""
        pair = f"{self.account_sid}:{self.auth_token}".encode()
        return "Basic " + base64.b64encode(pair).decode()


class TwilioVerify:
    """Provider adapter; see `twofa_lab.delivery.providers.base.Provider`."""

    name = "twilio"
    supports = Supports(
        channels=frozenset(TWILIO_CHANNELS),
        native_fallback=False,
        own_code=True,
        one_code=True,
        cancel=True,
        code_lengths=range(4, 11),
        one_a_number=True,
    )

    def __init__(self, http: HttpClient, credentials: TwilioCredentials) -> None:
        self._http = http
        self._credentials = credentials

    def send(self, request: SendRequest) -> Sent:
        """Start the number's verification, or continue it on another channel."""
        channel = TWILIO_CHANNELS.get(request.channel)
        if channel is None:
            raise DeliveryError(self.name, Reason.UNSUPPORTED)
        form = {"To": request.number.e164, "Channel": channel}
        if request.code is not None:
            if len(request.code) not in self.supports.code_lengths:
                raise InputError("twilio: a code has 4 to 10 characters")
            form["CustomCode"] = request.code
        reply = self._post(("Verifications",), form)
        if reply.status not in (200, 201):
            raise self._error(reply)
        sid = reply.text("sid", _SID)
        if sid is None or reply.text("to") != request.number.e164:
            raise DeliveryError(self.name, Reason.BAD_REPLY)
        if reply.text("channel") != channel or reply.text("status") != "pending":
            raise DeliveryError(self.name, Reason.BAD_REPLY)
        return Sent(sid)

    def check(self, verification_id: str, code: str) -> Checked:
        """Check a code; Twilio allows five checks and forgets a verification that is over."""
        reply = self._post(
            ("VerificationCheck",), {"VerificationSid": verification_id, "Code": code}
        )
        if reply.status == 404:
            return Checked(Outcome.GONE)
        if reply.status == 429 and reply.number("code") == _TOO_MANY_CHECKS:
            return Checked(Outcome.TOO_MANY_ATTEMPTS)
        if reply.status not in (200, 201):
            raise self._error(reply)
        outcome = _CHECK_STATUS.get(reply.text("status") or "")
        if outcome is None or reply.text("sid") != verification_id:
            raise DeliveryError(self.name, Reason.BAD_REPLY)
        if (outcome is Outcome.APPROVED) != (reply.body.get("valid") is True):
            raise DeliveryError(self.name, Reason.BAD_REPLY)
        return Checked(outcome)

    def cancel(self, verification_id: str) -> None:
        """Set the verification's status to canceled."""
        reply = self._post(
            ("Verifications", verification_id), {"Status": "canceled"}, idempotent=True
        )
        if reply.status not in (200, 404):
            raise self._error(reply)

    def _post(
        self, path: tuple[str, ...], form: dict[str, str], *, idempotent: bool = False
    ) -> Reply:
        return self._http.call(
            "POST",
            ("v2", "Services", self._credentials.service_sid, *path),
            headers={"Authorization": self._credentials.basic},
            form=form,
            idempotent=idempotent,
        )

    def _error(self, reply: Reply) -> DeliveryError:
        by_status = {401: Reason.CREDENTIALS, 403: Reason.BLOCKED, 429: Reason.RATE_LIMITED}
        reason = Reason.UNCERTAIN
        if reply.status < 500:
            fallback = by_status.get(reply.status, Reason.REFUSED)
            reason = _SEND_ERRORS.get(reply.number("code") or 0, fallback)
        return DeliveryError(self.name, reason, retry_after_seconds=reply.retry_after_seconds)
