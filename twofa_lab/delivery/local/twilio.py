"""Twilio Verify v2 as the local provider speaks it; see `twofa_lab.delivery.providers.twilio`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from twofa_lab.delivery.exchange import Exchange, Verification
from twofa_lab.delivery.local.wire import Request, Response, Route, same
from twofa_lab.delivery.phone import parse, takes
from twofa_lab.delivery.providers.twilio import TWILIO_CHANNELS, TwilioCredentials
from twofa_lab.errors import InputError

__all__ = ["TwilioApi"]

_OURS = {theirs: ours for ours, theirs in TWILIO_CHANNELS.items()}
_SENDS = 5  # of one verification, as checks


class TwilioApi:
    """Answers Twilio's calls from an exchange whose `make_id` gives Twilio's kind of id."""

    def __init__(self, exchange: Exchange, credentials: TwilioCredentials) -> None:
        self._exchange = exchange
        self._credentials = credentials
        service = f"/v2/Services/{re.escape(credentials.service_sid)}"
        self.routes = (
            Route("send", "POST", re.compile(service + "/Verifications"), self._send),
            Route("check", "POST", re.compile(service + "/VerificationCheck"), self._check),
            Route(
                "cancel", "POST", re.compile(service + "/Verifications/(?P<sid>VE[0-9a-f]{32})"),
                self._update,
            ),
        )  # fmt: skip

    def _send(self, request: Request) -> Response:
        if not same(request.headers.get("authorization"), self._credentials.basic):
            return _error(401, 20003, "Authenticate")
        form = request.form()
        channel = _OURS.get(form.get("Channel", ""))
        try:
            number = parse(form.get("To", ""))
        except InputError:
            return _error(400, 60200, "Invalid parameter `To`")
        code = form.get("CustomCode")
        if channel is None or (code is not None and not re.fullmatch(r"\w{4,10}", code)):
            return _error(400, 60200, "Invalid parameter")
        if channel == "sms" and not takes(number.line_type, channel):
            return _error(400, 60205, "SMS is not supported by landline phone number")
        verification = self._exchange.pending(number)
        if verification is None:
            verification = self._exchange.open(number, channel, code=code)
        elif len(verification.messages) >= _SENDS:
            return _error(429, 60203, "Max send attempts reached")
        else:
            self._exchange.send_again(verification, channel)
        return Response(201, self._document(verification, channel))

    def _check(self, request: Request) -> Response:
        if not same(request.headers.get("authorization"), self._credentials.basic):
            return _error(401, 20003, "Authenticate")
        form = request.form()
        verification = self._exchange.find(form.get("VerificationSid", ""))
        if verification is not None and verification.status == "max_attempts_reached":
            return _error(429, 60202, "Max check attempts reached")
        if verification is None or verification.status != "pending":
            return _error(404, 20404, "The requested resource was not found")
        self._exchange.check(verification, form.get("Code", ""))
        return Response(200, self._document(verification, verification.channel))

    def _update(self, request: Request, sid: str) -> Response:
        if not same(request.headers.get("authorization"), self._credentials.basic):
            return _error(401, 20003, "Authenticate")
        status = request.form().get("Status", "")
        verification = self._exchange.find(sid)
        if verification is None or verification.status != "pending":
            return _error(404, 20404, "The requested resource was not found")
        if status not in ("canceled", "approved"):
            return _error(400, 60200, "Invalid parameter `Status`")
        self._exchange.close(verification, status)
        return Response(200, self._document(verification, verification.channel))

    def _document(self, verification: Verification, channel: str) -> Mapping[str, object]:
        created = datetime.fromtimestamp(verification.created_ms / 1000, UTC)
        stamp = created.isoformat(timespec="seconds").replace("+00:00", "Z")
        return {
            "sid": verification.verification_id,
            "service_sid": self._credentials.service_sid,
            "account_sid": self._credentials.account_sid,
            "to": verification.number.e164,
            "channel": TWILIO_CHANNELS[channel],
            "status": verification.status,
            "valid": verification.status == "approved",
            "lookup": {},
            "amount": None,
            "payee": None,
            "send_code_attempts": [
                {"channel": TWILIO_CHANNELS[sent]} for sent, _, _ in verification.messages
            ],
            "date_created": stamp,
            "date_updated": stamp,
            "url": "",
        }


def _error(status: int, code: int, message: str) -> Response:
    return Response(status, {"code": code, "message": message, "more_info": "", "status": status})
