"""The phones' side of the local provider: what arrived where, and whose SIM was changed.

Token-guarded, unlike a real phone network: whoever can read a handset's inbox can be that person.
The operator's SIM-swap answer (CAMARA) stands beside it, with a token of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any

from twofa_lab.delivery.exchange import Exchange
from twofa_lab.delivery.local.wire import Request, Response, Route, same
from twofa_lab.delivery.phone import PhoneNumber, parse
from twofa_lab.errors import InputError

__all__ = ["HandsetApi", "SimSwapApi"]

_HOUR_MS = 3_600_000


class HandsetApi:
    """`GET /handset/messages?number=+…` and `POST /handset/sim-swap {"number": "+…"}`, with the
    token as a Bearer. Messages carry channel, code, `sent_ms` and `arrived_ms`, and show up once
    they have arrived.
    """

    def __init__(self, exchanges: Iterable[Exchange], sims: SimSwapApi, token: str) -> None:
        self._exchanges = tuple(exchanges)
        self._sims = sims
        self._token = token
        self.routes = (
            Route("handset", "GET", re.compile("/handset/messages"), self._messages),
            Route("handset", "POST", re.compile("/handset/sim-swap"), self._swap),
        )

    def _messages(self, request: Request) -> Response:
        if not same(request.headers.get("authorization"), f"Bearer {self._token}"):
            return Response(401, {"error": "the handset's token is missing or wrong"})
        try:
            number = parse(request.query.get("number", ""))
        except InputError as error:
            return Response(400, {"error": str(error)})
        arrived = [message for exchange in self._exchanges for message in exchange.inbox(number)]
        arrived.sort(key=lambda message: message.arrived_ms)
        return Response(
            200,
            {
                "messages": [
                    {
                        "channel": message.channel,
                        "code": message.code,
                        "sent_ms": message.sent_ms,
                        "arrived_ms": message.arrived_ms,
                    }
                    for message in arrived
                ]
            },
        )

    def _swap(self, request: Request) -> Response:
        if not same(request.headers.get("authorization"), f"Bearer {self._token}"):
            return Response(401, {"error": "the handset's token is missing or wrong"})
        try:
            number = parse(str(request.json().get("number", "")))
        except InputError as error:
            return Response(400, {"error": str(error)})
        self._sims.swap(number)
        return Response(204)


class SimSwapApi:
    """`POST /sim-swap/v2/check`, as CAMARA words it; SIMs change by `swap`."""

    def __init__(self, clock: Callable[[], int], token: str) -> None:
        self._clock = clock
        self._token = token
        self._swapped_ms: dict[str, int] = {}
        self._lock = Lock()
        self.routes = (Route("sim-swap", "POST", re.compile("/sim-swap/v2/check"), self._check),)

    def swap(self, number: PhoneNumber) -> None:
        """Put a new SIM behind the number, now."""
        with self._lock:
            self._swapped_ms[number.e164] = self._clock()

    def _check(self, request: Request) -> Response:
        if not same(request.headers.get("authorization"), f"Bearer {self._token}"):
            return _camara(401, "UNAUTHENTICATED")
        body: dict[str, Any] = request.json()
        max_age = body.get("maxAge", 240)
        try:
            number = parse(str(body.get("phoneNumber", "")))
        except InputError:
            return _camara(400, "INVALID_ARGUMENT")
        if not isinstance(max_age, int) or not 1 <= max_age <= 2400:
            return _camara(400, "OUT_OF_RANGE")
        with self._lock:
            swapped_ms = self._swapped_ms.get(number.e164)
        recent = swapped_ms is not None and self._clock() - swapped_ms <= max_age * _HOUR_MS
        return Response(200, {"swapped": recent})


def _camara(status: int, code: str) -> Response:
    return Response(status, {"status": status, "code": code, "message": code})
