"""Was the SIM behind a number changed lately? Asked before a code goes over the phone network.

The question and answer are those of the CAMARA SIM Swap API, which mobile operators offer:
`POST /check {phoneNumber, maxAge}` gives `{swapped}`. NIST SP 800-63B-4 section 3.1.3.3 asks to
consider SIM change, porting and device swap before a code is sent by SMS or voice.

What if the answer cannot be had? `fail_closed` treats the number as swapped.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.providers.base import DeliveryError, Reason
from twofa_lab.delivery.providers.http import HttpClient
from twofa_lab.errors import InputError

__all__ = [
    "DEFAULT_MAX_AGE_HOURS",
    "PSTN_CHANNELS",
    "CamaraSimSwap",
    "SimSwapCheck",
    "SimSwapVerdict",
    "sim_swap_verdict",
]

DEFAULT_MAX_AGE_HOURS = 240
"""The API's own default; it takes 1 to 2400 hours."""

PSTN_CHANNELS = frozenset(("sms", "voice"))
"""Channels that end at the SIM. A WhatsApp account stays with its device."""


class SimSwapCheck(Protocol):
    """Knows whether a number's SIM was swapped within the last `max_age_hours`."""

    def swapped(self, number: PhoneNumber, max_age_hours: int) -> bool:
        """The answer; `DeliveryError` where there is none."""
        ...


class SimSwapVerdict(Enum):
    """What the check means for a send over the phone network."""

    CLEAR = "clear"
    SWAPPED = "swapped"
    UNKNOWN_ALLOWED = "unknown, allowed"
    UNKNOWN_REFUSED = "unknown, refused"

    @property
    def allows(self) -> bool:
        """Whether SMS and voice may be used."""
        return self in (SimSwapVerdict.CLEAR, SimSwapVerdict.UNKNOWN_ALLOWED)


def sim_swap_verdict(
    check: SimSwapCheck,
    number: PhoneNumber,
    *,
    max_age_hours: int = DEFAULT_MAX_AGE_HOURS,
    fail_closed: bool = True,
) -> SimSwapVerdict:
    """Ask, and say what follows from the answer or from having none."""
    if not 1 <= max_age_hours <= 2400:
        raise InputError("a SIM-swap check looks back 1 to 2400 hours")
    try:
        swapped = check.swapped(number, max_age_hours)
    except DeliveryError:
        return SimSwapVerdict.UNKNOWN_REFUSED if fail_closed else SimSwapVerdict.UNKNOWN_ALLOWED
    return SimSwapVerdict.SWAPPED if swapped else SimSwapVerdict.CLEAR


class CamaraSimSwap:
    """The check over HTTP. The client's base URL is the API's root, such as `…/sim-swap/v2`."""

    name = "sim-swap"

    def __init__(self, http: HttpClient, access_token: str) -> None:
        self._http = http
        self._access_token = access_token

    def swapped(self, number: PhoneNumber, max_age_hours: int) -> bool:
        """See `SimSwapCheck.swapped`. A question changes nothing, so it may be repeated."""
        reply = self._http.call(
            "POST",
            ("check",),
            headers={"Authorization": f"Bearer {self._access_token}"},
            json_body={"phoneNumber": number.e164, "maxAge": max_age_hours},
            idempotent=True,
        )
        if reply.status == 401:
            raise DeliveryError(self.name, Reason.CREDENTIALS)
        answer = reply.body.get("swapped")
        if reply.status != 200 or not isinstance(answer, bool):
            raise DeliveryError(self.name, Reason.BAD_REPLY)
        return answer
