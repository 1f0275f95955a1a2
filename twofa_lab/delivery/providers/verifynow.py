"""Message Central VerifyNow v3: query strings, a token, no fallback, no voice, no own codes.

Every send starts a verification of its own, with its own id and code: here the fallback is ours,
and a code is looked for among all verifications of the challenge (see `dispatch`). There is no way
to end one, so `cancel` does nothing. Codes have 4 to 8 digits.

The vendor puts password, phone number and code into URLs. They are kept out of our logs (see
`http`); proxies and servers on the way may still write them down, a reason to prefer another
provider.

Source: the vendor's public pages; live behaviour was not checked. That errors come with their code
in `responseCode`, whatever the HTTP status, is an assumption.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from threading import Lock

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

__all__ = ["VerifyNow", "VerifyNowCredentials"]

_FLOWS = {"sms": "SMS", "whatsapp": "WHATSAPP"}
_SEND_ERRORS = {
    501: Reason.CREDENTIALS,  # unknown customer
    506: Reason.CONCURRENT,
    508: Reason.NO_CREDIT,
    805: Reason.NO_CREDIT,
    511: Reason.BLOCKED,  # country not served
    700: Reason.REFUSED,
    800: Reason.RATE_LIMITED,  # daily maximum
}
_CHECK_OUTCOMES = {
    505: Outcome.GONE,
    700: Outcome.WRONG_CODE,
    702: Outcome.WRONG_CODE,
    703: Outcome.GONE,  # verified already
    705: Outcome.EXPIRED,
    800: Outcome.TOO_MANY_ATTEMPTS,
}
_VERIFIED = ("VERIFICATION_COMPLETED", "VERIFIED")  # documented; and in the guide's short form


@dataclass(frozen=True, slots=True)
class VerifyNowCredentials:
    """The customer's id, e-mail and password."""

    customer_id: str
    email: str
    password: str = field(repr=False)


class VerifyNow:
    """Provider adapter; see `twofa_lab.delivery.providers.base.Provider`."""

    name = "verifynow"
    supports = Supports(
        channels=frozenset(_FLOWS),
        native_fallback=False,
        own_code=False,
        one_code=False,
        cancel=False,
        code_lengths=range(4, 9),
    )

    def __init__(self, http: HttpClient, credentials: VerifyNowCredentials) -> None:
        self._http = http
        self._credentials = credentials
        self._token: str | None = None
        self._lock = Lock()

    def send(self, request: SendRequest) -> Sent:
        """Send one message; a `verification_id` to continue has no meaning here."""
        flow = _FLOWS.get(request.channel)
        if flow is None or request.code is not None:
            raise DeliveryError(self.name, Reason.UNSUPPORTED)
        if request.code_length not in self.supports.code_lengths:
            raise InputError("verifynow: a code has 4 to 8 digits")
        query = {
            "countryCode": str(request.number.country_code),
            "mobileNumber": request.number.national,
            "flowType": flow,
            "otpLength": str(request.code_length),
            "customerId": self._credentials.customer_id,
        }
        reply = self._call("POST", "send", query)
        code = reply.number("responseCode")
        if reply.status >= 400 or code != 200:
            raise self._error(reply, code)
        data = reply.inner("data")
        identifier = data.number("verificationId")
        if identifier is None or data.text("mobileNumber") != request.number.national:
            raise DeliveryError(self.name, Reason.BAD_REPLY)
        return Sent(str(identifier))

    def check(self, verification_id: str, code: str) -> Checked:
        """Check a code. Never retried although it is a GET: it uses up an attempt, or the code."""
        reply = self._call("GET", "validateOtp", {"verificationId": verification_id, "code": code})
        response = reply.number("responseCode")
        if response in _CHECK_OUTCOMES:
            return Checked(_CHECK_OUTCOMES[response])
        if reply.status >= 400 or response != 200:
            raise self._error(reply, response)
        data = reply.inner("data")
        if str(data.number("verificationId")) != verification_id:
            raise DeliveryError(self.name, Reason.BAD_REPLY)
        if data.text("verificationStatus") not in _VERIFIED:
            return Checked(Outcome.WRONG_CODE)
        return Checked(Outcome.APPROVED)

    def cancel(self, verification_id: str) -> None:
        """Nothing: the vendor has no such call, and nothing is pending with it."""

    def _call(self, method: str, operation: str, query: dict[str, str]) -> Reply:
        """A call with the cached token; 401 means nothing was done, so a new token may retry."""
        for attempt in (0, 1):
            token = self._fresh_token(renew=attempt > 0)
            reply = self._http.call(
                method, ("verification", "v3", operation), headers={"authToken": token}, query=query
            )
            if reply.status != 401:
                return reply
        raise DeliveryError(self.name, Reason.CREDENTIALS)

    def _fresh_token(self, *, renew: bool) -> str:
        with self._lock:
            if self._token is not None and not renew:
                return self._token
            try:
                reply = self._ask_for_token()
            except DeliveryError:
                reply = Reply(503, {})
            token = reply.text("token", r"[\x21-\x7e]{1,4000}")
            if reply.status >= 500:
                # whatever went wrong, no message was asked for yet
                raise DeliveryError(self.name, Reason.UNREACHABLE)
            if reply.status != 200 or token is None:
                raise DeliveryError(self.name, Reason.CREDENTIALS)
            self._token = token
            return token

    def _ask_for_token(self) -> Reply:
        given = self._credentials
        return self._http.call(
            "GET",
            ("auth", "v1", "authentication", "token"),
            query={
                "customerId": given.customer_id,
                "key": base64.b64encode(given.password.encode()).decode(),
                "scope": "NEW",
                "email": given.email,
            },
            idempotent=True,
        )

    def _error(self, reply: Reply, code: int | None) -> DeliveryError:
        if reply.status >= 500:
            reason = Reason.UNCERTAIN
        elif reply.status == 429:
            reason = Reason.RATE_LIMITED
        elif code is None and reply.status < 400:
            reason = Reason.BAD_REPLY
        else:
            reason = _SEND_ERRORS.get(code or 0, Reason.REFUSED)
        return DeliveryError(self.name, reason, retry_after_seconds=reply.retry_after_seconds)
