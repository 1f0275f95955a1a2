"""VerifyNow v3 as the local provider speaks it; see `twofa_lab.delivery.providers.verifynow`.

Assumptions where the vendor's pages are silent: errors come as HTTP 400 with their `responseCode`;
a second verification of a number by the same flow within its 60 seconds is refused with 506.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable

from twofa_lab.delivery.exchange import Exchange
from twofa_lab.delivery.local.wire import Request, Response, Route, same
from twofa_lab.delivery.phone import parse, takes
from twofa_lab.delivery.providers.verifynow import VerifyNowCredentials
from twofa_lab.errors import InputError

__all__ = ["VerifyNowApi"]

_FLOWS = {"SMS": "sms", "WHATSAPP": "whatsapp"}
_TIMEOUT_SECONDS = 60
_CLOSED = {
    "approved": (703, "ALREADY_VERIFIED"),
    "expired": (705, "VERIFICATION_EXPIRED"),
    "max_attempts_reached": (800, "MAXIMUM_LIMIT_REACHED"),
}


class VerifyNowApi:
    """Answers VerifyNow's calls from an exchange whose `make_id` gives whole numbers."""

    def __init__(
        self, exchange: Exchange, credentials: VerifyNowCredentials, clock: Callable[[], int]
    ) -> None:
        self._exchange = exchange
        self._credentials = credentials
        self._clock = clock
        self._token = secrets.token_urlsafe(32)
        self.routes = (
            Route("token", "GET", re.compile("/auth/v1/authentication/token"), self._give_token),
            Route("send", "POST", re.compile("/verification/v3/send"), self._send),
            Route("check", "GET", re.compile("/verification/v3/validateOtp"), self._check),
        )

    def revoke_token(self) -> None:
        """Let the token expire: the next call with it gets 401."""
        self._token = secrets.token_urlsafe(32)

    def _give_token(self, request: Request) -> Response:
        given, key = self._credentials, request.query.get("key", "")
        right = same(request.query.get("customerId"), given.customer_id) and same(
            key, base64.b64encode(given.password.encode()).decode()
        )
        if not right:
            return Response(401, {"status": 401, "token": None})
        return Response(200, {"status": 200, "token": self._token})

    def _send(self, request: Request) -> Response:
        if not same(request.headers.get("authtoken"), self._token):
            return Response(401, {"responseCode": 401, "message": "UNAUTHORIZED"})
        query = request.query
        channel = _FLOWS.get(query.get("flowType", ""))
        length = query.get("otpLength", "4")
        try:
            number = parse(f"+{query.get('countryCode', '')}{query.get('mobileNumber', '')}")
        except InputError:
            return _answer(700, "VERIFICATION_FAILED")
        if channel is None or not re.fullmatch("[4-8]", length):
            return _answer(700, "VERIFICATION_FAILED")
        if not takes(number.line_type, channel):
            return _answer(700, "VERIFICATION_FAILED")
        active = self._exchange.pending(number)
        age = self._clock() - active.created_ms if active else 0
        if active and active.channel == channel and age < _TIMEOUT_SECONDS * 1000:
            return _answer(506, "REQUEST_ALREADY_EXISTS")
        verification = self._exchange.open(number, channel, code_length=int(length))
        return _answer(
            200,
            "SUCCESS",
            verificationId=verification.verification_id,
            mobileNumber=number.national,
            timeout=str(_TIMEOUT_SECONDS),
            smsCLI=None,
            transactionId=secrets.token_hex(8),
        )

    def _check(self, request: Request) -> Response:
        if not same(request.headers.get("authtoken"), self._token):
            return Response(401, {"responseCode": 401, "message": "UNAUTHORIZED"})
        verification = self._exchange.find(request.query.get("verificationId", ""))
        if verification is None:
            return _answer(505, "INVALID_VERIFICATION_ID")
        if verification.status in _CLOSED:
            return _answer(*_CLOSED[verification.status])
        if not self._exchange.check(verification, request.query.get("code", "")):
            return _answer(702, "WRONG_OTP_PROVIDED")
        return _answer(
            200,
            "SUCCESS",
            verificationId=verification.verification_id,
            mobileNumber=verification.number.national,
            verificationStatus="VERIFICATION_COMPLETED",
        )


def _answer(code: int, message: str, **data: str | None) -> Response:
    inner = {**data, "responseCode": str(code), "errorMessage": None if code == 200 else message}
    return Response(
        200 if code == 200 else 400, {"responseCode": code, "message": message, "data": inner}
    )
