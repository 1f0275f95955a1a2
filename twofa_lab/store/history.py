"""What an account's completed logins leave behind, and its recent wrong passwords.

Only *completed* logins are recorded. Each fact is one row (a device, a country, a region, an hour
of the home clock, the login itself) with how often and when it was last seen, so a login is
recorded by one statement and read back by one query, a second one for the wrong passwords.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import ClauseElement, Connection, bindparam, case, delete, insert, select

from twofa_lab.store.schema import failed_passwords, history
from twofa_lab.store.statements import Insert, Prepared

__all__ = ["Device", "History", "load_history", "record_failed_password", "record_login"]


class Device(NamedTuple):
    """When a device completed logins first and last, and since when it is trusted (0: not)."""

    first_seen: int
    last_seen: int
    trusted_at: int


@dataclass(frozen=True, slots=True)
class History:
    """What the risk signals need to know of an account; times in milliseconds UTC.

    `hours` counts completed logins by hour of the home clock; `failed_at` are wrong passwords,
    oldest first.
    """

    completed_logins: int
    first_login: int | None
    last_login: int | None
    devices: Mapping[str, Device]
    countries: frozenset[str]
    regions: frozenset[str]
    hours: tuple[int, ...]
    failed_at: tuple[int, ...]


_h = history.c
_f = failed_passwords.c
_LOAD = Prepared(
    select(_h.kind, _h.value, _h.count, _h.first_seen, _h.last_seen, _h.trusted_at).where(
        _h.user_id == bindparam("user_id")
    )
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
    later = case(
        (new.excluded.last_seen > _h.last_seen, new.excluded.last_seen), else_=_h.last_seen
    )
    return new.on_conflict_do_update(
        index_elements=[_h.user_id, _h.kind, _h.value],
        set_={"count": _h.count + 1, "last_seen": later},
    )


_SEEN = Prepared(_seen_again, ("user_id", "kind", "value", "count", "first_seen", "last_seen"))


def load_history(connection: Connection, user_id: int, failed_since: int) -> History:
    """The account's history, with wrong passwords from `failed_since` on. Two queries."""
    places: dict[str, set[str]] = {"country": set(), "region": set()}
    devices: dict[str, Device] = {}
    hours = [0] * 24
    completed, first_login, last_login = 0, None, None
    rows = _LOAD.all(connection, {"user_id": user_id})
    for kind, value, count, first_seen, last_seen, trusted_at in rows:
        match kind:
            case "device":
                devices[value] = Device(first_seen, last_seen, trusted_at)
            case "hour":
                hours[int(value)] = count
            case "login":
                completed, first_login, last_login = count, first_seen, last_seen
            case _:
                places[kind].add(value)
    failed = _FAILED.all(connection, {"user_id": user_id, "since": failed_since})
    return History(
        completed_logins=completed,
        first_login=first_login,
        last_login=last_login,
        devices=MappingProxyType(devices),
        countries=frozenset(places["country"]),
        regions=frozenset(places["region"]),
        hours=tuple(hours),
        failed_at=tuple(at for (at,) in failed),
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
) -> None:
    """Enter a completed login. An empty `device`, `country` or `region` is unknown: no row.

    `hour` is of the account's home clock, 0 to 23.
    """
    seen = (
        ("login", "*"),
        ("device", device),
        ("country", country),
        ("region", region),
        ("hour", str(hour)),
    )
    fixed = {"user_id": user_id, "count": 1, "first_seen": at, "last_seen": at}
    rows = [{**fixed, "kind": kind, "value": value} for kind, value in seen if value]
    _SEEN.many(connection, rows)


def record_failed_password(connection: Connection, user_id: int, at: int, forget: int) -> None:
    """Enter a wrong password, and drop those before `forget` that no signal looks at any more."""
    _FORGET.run(connection, {"of": user_id, "before": forget})
    _ADD_FAILED.run(connection, {"user_id": user_id, "at": at})
