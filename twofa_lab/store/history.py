"""What an account's completed logins leave behind, and its recent wrong passwords.

Only *completed* logins are recorded. Each fact is one row (a device, a country, a region, an hour
of the home clock, a network, a browser, the last place, the round-trip times, the login itself)
with how often and when it was last seen, so a login is recorded by one statement and read back by
one query, a second one for the wrong passwords.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import (
    ClauseElement,
    Connection,
    Double,
    bindparam,
    case,
    cast,
    delete,
    insert,
    select,
)

from twofa_lab.store.schema import failed_passwords, history
from twofa_lab.store.statements import Insert, Prepared

__all__ = [
    "UNKNOWN",
    "Device",
    "History",
    "Origin",
    "Place",
    "RoundTrips",
    "load_history",
    "record_failed_password",
    "record_login",
]


class Device(NamedTuple):
    """When a device completed logins first and last, and since when it is trusted (0: not)."""

    first_seen: int
    last_seen: int
    trusted_at: int


class Place(NamedTuple):
    """Where the last completed login with a known place came from, in degrees, and when."""

    at: int
    latitude: float
    longitude: float


class RoundTrips(NamedTuple):
    """How many round-trip times were measured, the mean of their logarithms (of ms) and the sum of
    squared deviations from it.
    """

    measured: int
    mean: float
    squares: float


_UNMEASURED = RoundTrips(0, 0.0, 0.0)


class Origin(NamedTuple):
    """Where a login came from beyond country and region, as a learned scorer reads it: autonomous
    system, browser family (both as text; empty: unknown), latitude and longitude in degrees, and
    round-trip time in ms (0: not measured).
    """

    network: str = ""
    browser: str = ""
    place: tuple[float, float] | None = None
    rtt_ms: int = 0


UNKNOWN = Origin()
"""Nothing is known."""


@dataclass(frozen=True, slots=True)
class History:
    """What the risk signals need to know of an account; times in milliseconds UTC.

    `hours` counts completed logins by hour of the home clock; `failed_at` are wrong passwords,
    oldest first; `networks` and `browsers` as in `Origin`.
    """

    completed_logins: int
    first_login: int | None
    last_login: int | None
    devices: Mapping[str, Device]
    countries: frozenset[str]
    regions: frozenset[str]
    hours: tuple[int, ...]
    failed_at: tuple[int, ...]
    networks: frozenset[str] = frozenset()
    browsers: frozenset[str] = frozenset()
    place: Place | None = None
    round_trips: RoundTrips = _UNMEASURED


_h = history.c
_f = failed_passwords.c
_LOAD = Prepared(
    select(
        _h.kind, _h.value, _h.count, _h.first_seen, _h.last_seen, _h.trusted_at, _h.x, _h.y
    ).where(_h.user_id == bindparam("user_id"))
)
_FAILED = Prepared(
    select(_f.at)
    .where(_f.user_id == bindparam("user_id"), _f.at >= bindparam("since"))
    .order_by(_f.at)
)
_FORGET = Prepared(
    delete(failed_passwords).where(_f.user_id == bindparam("of"), _f.at < bindparam("before"))
)
_ADD_FAILED = Prepared(insert(failed_passwords), ("user_id", "at"))


def _seen_again(own_insert: Insert) -> ClauseElement:
    new = own_insert(history)
    # a clock that stepped back must not make a device look older than it is
    is_later, is_rtt = new.excluded.last_seen >= _h.last_seen, _h.kind == "rtt"
    step = new.excluded.x - _h.x  # mean and spread by Welford's method (1962), as `risk.features`
    mean = _h.x + step / cast(_h.count + 1, Double)
    return new.on_conflict_do_update(
        index_elements=[_h.user_id, _h.kind, _h.value],
        set_={
            "count": _h.count + 1,
            "last_seen": case((is_later, new.excluded.last_seen), else_=_h.last_seen),
            "x": case((is_rtt, mean), (is_later, new.excluded.x), else_=_h.x),
            "y": case(
                (is_rtt, _h.y + step * (new.excluded.x - mean)),
                (is_later, new.excluded.y),
                else_=_h.y,
            ),
        },
    )


_SEEN = Prepared(
    _seen_again, ("user_id", "kind", "value", "count", "first_seen", "last_seen", "x", "y")
)


def load_history(connection: Connection, user_id: int, failed_since: int) -> History:
    """The account's history, with wrong passwords from `failed_since` on. Two queries."""
    known: dict[str, set[str]] = {k: set() for k in ("country", "region", "asn", "browser")}
    devices: dict[str, Device] = {}
    hours = [0] * 24
    completed, first_login, last_login = 0, None, None
    place, round_trips = None, _UNMEASURED
    rows = _LOAD.all(connection, {"user_id": user_id})
    for kind, value, count, first_seen, last_seen, trusted_at, x, y in rows:
        match kind:
            case "device":
                devices[value] = Device(first_seen, last_seen, trusted_at)
            case "hour":
                hours[int(value)] = count
            case "login":
                completed, first_login, last_login = count, first_seen, last_seen
            case "place":
                place = Place(last_seen, x, y)
            case "rtt":
                round_trips = RoundTrips(count, x, y)
            case _:
                known[kind].add(value)
    failed = _FAILED.all(connection, {"user_id": user_id, "since": failed_since})
    return History(
        completed_logins=completed,
        first_login=first_login,
        last_login=last_login,
        devices=MappingProxyType(devices),
        countries=frozenset(known["country"]),
        regions=frozenset(known["region"]),
        hours=tuple(hours),
        failed_at=tuple(at for (at,) in failed),
        networks=frozenset(known["asn"]),
        browsers=frozenset(known["browser"]),
        place=place,
        round_trips=round_trips,
    )


def record_login(
    connection: Connection,
    user_id: int,
    at: int,
    *,
    device: str,
    country: str,
    region: str,
    hour: int,
    origin: Origin = UNKNOWN,
) -> None:
    """Enter a completed login. What is unknown, such as an empty `device`, leaves no row.

    `hour` is of the account's home clock, 0 to 23.
    """
    seen = (
        ("login", "*"),
        ("device", device),
        ("country", country),
        ("region", region),
        ("hour", str(hour)),
        ("asn", origin.network),
        ("browser", origin.browser),
    )
    fixed: dict[str, Any] = {"user_id": user_id, "count": 1, "first_seen": at, "last_seen": at}
    plain = {**fixed, "x": None, "y": None}
    rows = [{**plain, "kind": kind, "value": value} for kind, value in seen if value]
    if origin.place is not None:
        x, y = origin.place
        rows.append({**fixed, "kind": "place", "value": "*", "x": x, "y": y})
    if origin.rtt_ms > 0:
        x, y = math.log(origin.rtt_ms), 0.0
        rows.append({**fixed, "kind": "rtt", "value": "*", "x": x, "y": y})
    _SEEN.many(connection, rows)


def record_failed_password(connection: Connection, user_id: int, at: int, forget: int) -> None:
    """Enter a wrong password, and drop those before `forget` that no signal looks at any more."""
    _FORGET.run(connection, {"of": user_id, "before": forget})
    _ADD_FAILED.run(connection, {"user_id": user_id, "at": at})
