"""Where a login or sign-up comes from, as the site's edge hands it over, made fit to keep."""

from __future__ import annotations

import re
from typing import Protocol

from twofa_lab.delivery.limits import network_of
from twofa_lab.errors import InputError
from twofa_lab.risk.features import browser_family
from twofa_lab.store.history import Origin

__all__ = ["Edge", "address_of", "keepable", "origin_of"]

_UNKEPT = re.compile("[\0\ud800-\udfff]")
_LONGEST_BROWSER, _LONGEST_RTT_MS = 200, 65_535


class Edge(Protocol):
    """What the site's edge knows of a visitor: see `login.Request`."""

    @property
    def asn(self) -> int: ...
    @property
    def browser(self) -> str: ...
    @property
    def place(self) -> tuple[float, float] | None: ...
    @property
    def rtt_ms(self) -> int: ...


def origin_of(edge: Edge) -> Origin:
    """A visitor's origin as history keeps it; `InputError` for a place that is none.

    A browser's name is cut at 200 characters, for whoever sends it may send anything; a round-trip
    time is at most 65,535 ms, as in the logins table.

    >>> from twofa_lab.flow.login import Request
    >>> origin_of(Request("ann", "", asn=2119, browser="Firefox 120.0", rtt_ms=45))
    Origin(network='2119', browser='Firefox', place=None, rtt_ms=45)
    """
    if edge.place is not None:
        latitude, longitude = edge.place
        if not (abs(latitude) <= 90 and abs(longitude) <= 180):
            raise InputError("no such place: latitude to 90 and longitude to 180 degrees, or None")
    return Origin(
        str(edge.asn) if edge.asn > 0 else "",
        browser_family(keepable(edge.browser[:_LONGEST_BROWSER])),
        edge.place,
        min(max(edge.rtt_ms, 0), _LONGEST_RTT_MS),
    )


def keepable(text: str) -> str:
    """The text with what no database takes, NUL and halves of surrogate pairs, as DEL."""
    return _UNKEPT.sub("\x7f", text)


def address_of(ip: str) -> str:
    """The address whose attempts count together, as `network_of`; empty where `ip` is none."""
    try:
        return network_of(ip)
    except InputError:
        return ""
