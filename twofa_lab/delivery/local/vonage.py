"""Vonage Verify v2 as the local provider speaks it; see `twofa_lab.delivery.providers.vonage`."""

from __future__ import annotations

import re
import uuid
from typing import Any

from twofa_lab.delivery.exchange import Exchange
from twofa_lab.delivery.local.wire import Request, Response, Route, same
from twofa_lab.delivery.phone import PhoneNumber, parse, takes
from twofa_lab.delivery.plan import FallbackPlan
from twofa_lab.delivery.providers.vonage import VonageKey
from twofa_lab.errors import InputError

__all__ = ["VonageApi"]

_CHANNELS = ("sms", "voice", "whatsapp")
_ERRORS = "https://developer.vonage.com/api-errors"


class VonageApi:
    """Answers Vonage's calls from an exchange whose `make_id` gives UUIDs.

    Knows the API key, and an application by its id and public key in PEM.
    """

    def __init__(
        self,
        exchange: Exchange,
        key: VonageKey,
        application_id: str = "",
        public_key: str | None = None,
    ) -> None:
        self._exchange = exchange
        self._key = key
        self._application_id = application_id
        self._public_key = public_key
        one = r"/v2/verify/(?P<request_id>[0-9a-fA-F-]{36})"
        self.routes = (
            Route("send", "POST", re.compile("/v2/verify"), self._send),
            Route("check", "POST", re.compile(one), self._check),
            Route("cancel", "DELETE", re.compile(one), self._cancel),
            Route("send", "POST", re.compile(one + "/next_workflow"), self._next),
        )

    def _send(self, request: Request) -> Response:
        if not self._known(request):
            return _error(401, "Unauthorized", "check your credentials")
        body = request.json()
        try:
            number, plan, code, length = _read(body)
        except (InputError, ValueError, TypeError, KeyError):
            return _error(422, "Invalid params", "the value of one or more parameters is invalid")
        active = self._exchange.pending(number)
        if active is not None:
            detail = "Concurrent verifications to the same number are not allowed."
            return _error(409, "Conflict", detail, request_id=active.verification_id)
        verification = self._exchange.open(
            number,
            plan.channels[0],
            code=code,
            code_length=length,
            plan=plan.start(plan.channels),
        )
        return Response(202, {"request_id": verification.verification_id})

    def _check(self, request: Request, request_id: str) -> Response:
        if not self._known(request):
            return _error(401, "Unauthorized", "check your credentials")
        verification = self._exchange.find(request_id)
        if verification is not None and verification.status == "max_attempts_reached":
            return _too_many()
        if verification is None or verification.status != "pending":
            return _error(404, "Not Found", "not found or verified already")
        if self._exchange.check(verification, str(request.json().get("code"))):
            return Response(200, {"request_id": request_id, "status": "completed"})
        if verification.status == "max_attempts_reached":
            return _too_many()
        detail = "The code you provided does not match the expected value."
        return _error(400, "Invalid Code", detail)

    def _cancel(self, request: Request, request_id: str) -> Response:
        if not self._known(request):
            return _error(401, "Unauthorized", "check your credentials")
        verification = self._exchange.find(request_id)
        if verification is None or verification.status != "pending":
            return _error(404, "Not Found", "not found or verified already")
        self._exchange.close(verification)
        return Response(204)

    def _next(self, request: Request, request_id: str) -> Response:
        if not self._known(request):
            return _error(401, "Unauthorized", "check your credentials")
        verification = self._exchange.find(request_id)
        if verification is None:
            return _error(404, "Not Found", "not found or verified already")
        if not self._exchange.next_channel(verification):
            return _error(409, "Conflict", "There are no more events left to trigger.")
        return Response(200)

    def _known(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        if not given.startswith("Bearer "):
            return same(given, self._key.authorization(0))
        if self._public_key is None:
            return False
        import jwt

        try:
            claims = jwt.decode(given[7:], self._public_key, algorithms=["RS256"])
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            return False
        return claims.get("application_id") == self._application_id


def _read(body: dict[str, Any]) -> tuple[PhoneNumber, FallbackPlan, str | None, int]:
    """Number, plan, own code and code length of a request; raises where it is not valid."""
    brand, workflow = body["brand"], body["workflow"]
    timeout, length, code = body.get("channel_timeout", 180), body.get("code_length", 4), None
    if not 1 <= len(brand) <= 16 or not 1 <= len(body.get("client_ref", "x")) <= 16:
        raise ValueError("brand or client_ref")
    if not 15 <= timeout <= 900 or not 4 <= length <= 10:
        raise ValueError("channel_timeout or code_length")
    if body.get("code") is not None:
        code = str(body["code"])
        if not re.fullmatch(r"[a-zA-Z0-9]{4,10}", code):
            raise ValueError("code")
    channels = tuple(step["channel"] for step in workflow)
    numbers = {parse("+" + step["to"]) for step in workflow}
    if len(numbers) != 1 or not set(channels) <= set(_CHANNELS):
        raise ValueError("workflow")
    number = numbers.pop()
    if any(step["channel"] == "whatsapp" and not step.get("from") for step in workflow):
        raise ValueError("from")
    if not all(takes(number.line_type, channel) for channel in channels):
        raise ValueError("landline")
    return number, FallbackPlan(channels, timeout), code, length


def _too_many() -> Response:
    detail = "An incorrect code has been provided too many times. Workflow terminated."
    return _error(410, "Invalid Code", detail)


def _error(status: int, title: str, detail: str, **more: str) -> Response:
    instance = str(uuid.uuid4())
    return Response(
        status,
        {"type": _ERRORS, "title": title, "detail": detail, "instance": instance, **more},
        {"Content-Type": "application/problem+json"},
    )
