"""The same counts from the audit of the real flow, as `twofa-lab audit export` writes it.

A login's row opens it; what follows for that account (its challenge, messages, receipts, outcome)
belongs to it. Step-ups and sign-ups are no logins and do not count. A wait for a code needs the
carrier's receipt that it arrived: it is counted only where there is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import numpy as np

from twofa_lab.analysis.monitoring_tallies import (
    COUNTS,
    HOUR_MS,
    OUTCOMES_HELD,
    Tallies,
    first_of,
    folded,
    tally,
)
from twofa_lab.errors import InputError
from twofa_lab.tables import OUTCOME_NAMES, Array

__all__ = ["tally_audit"]

_DAY = 24 * HOUR_MS
_LATEST = 7_258_118_400_000  # the year 2200
_LONGEST_MS = 3_653 * _DAY
"""Every hour has its counts, so that a stray time stamp would fill the memory; an audit is kept for
four years (`store.archive`)."""
_READ = ("login", "challenge", "send", "delivery", "outcome")
_COLUMNS = ["seq", "at", "user_id", "event", "detail"]
_DEAREST = 10**9  # millionths of US$: no message costs a thousand dollars
_HELD = {name for name, held in zip(OUTCOME_NAMES, OUTCOMES_HELD, strict=True) if held}


@dataclass(slots=True)
class _Login:
    at: int
    user: int
    country: str
    decision: str
    factor: str = ""
    channel: str = ""
    provider: str = ""
    sent_at: int = 0
    messages: int = 0
    microusd: int = 0
    wait_ms: int = -1
    outcome: str = ""


def tally_audit(path: str | Path, *, since: int | None = None, zone: str = "UTC") -> Tallies:
    """Count an exported audit (Parquet) by hour, from the midnight (UTC) before its first login.

    `since`, ms UTC, leaves out earlier logins. `zone` is the clock the business lives by.
    `InputError` when the file is no audit or holds no login.
    """
    if zone not in available_timezones():
        raise InputError(
            f"no time zone {zone!r}: name one of the tz database, such as Europe/London"
        )
    logins = [one for one in _logins(_events(Path(path))) if since is None or one.at >= since]
    if not logins:
        raise InputError(f"{path}: no login in it" + ("" if since is None else " since then"))
    at = np.array([one.at for one in logins], np.int64)
    start = int(at.min()) // _DAY * _DAY
    if int(at.max()) - start > _LONGEST_MS:
        raise InputError(f"{path}: its logins span more than ten years; say since when to count")
    hour = (at - start) // HOUR_MS
    counts = np.array([_counts_of(one) for one in logins], np.float64)
    held = np.array([one.outcome in _HELD for one in logins])
    user = np.array([one.user for one in logins], np.int64)
    counts[:, COUNTS.index("held")] = first_of(held, user, hour)
    dimensions = {
        name: _coded([getattr(one, name) for one in logins])
        for name in ("country", "channel", "provider", "factor")
    }
    found = folded(tally(start, int(hour.max()) + 1, hour, counts, dimensions))
    return replace(found, zone=zone)


def _events(path: Path) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
    """Time, account (-1: none), event and detail of the rows that matter, in order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=_COLUMNS).sort_by("seq")
        at = table.column("at").cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_pylist()
        rest = [table.column(name).to_pylist() for name in _COLUMNS[2:]]
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(f"{path}: not an exported audit ({first})") from None
    for row, (time, user, event, detail) in enumerate(zip(at, *rest, strict=True)):
        if event not in _READ:
            continue
        try:
            known = json.loads(detail)
            if not 0 <= int(time) < _LATEST:
                raise ValueError
            yield int(time), -1 if user is None else int(user), event, dict(known)
        except (TypeError, ValueError, RecursionError):
            raise InputError(
                f"{path}: row {row + 1} is no audit row: its time or detail is damaged"
            ) from None


def _logins(events: Iterator[tuple[int, int, str, dict[str, Any]]]) -> list[_Login]:
    logins: list[_Login] = []
    running: dict[int, _Login] = {}
    challenged: dict[object, _Login] = {}
    for at, user, event, detail in events:
        if event == "login":
            country, decision = detail.get("country"), detail.get("decision")
            running[user] = _Login(at, user, _text(country), _text(decision))
            logins.append(running[user])
            continue
        key = _text(detail.get("challenge"))
        if event == "challenge":
            if detail.get("purpose") == "login" and user in running:
                challenged[key] = running[user]
                challenged[key].factor = _text(detail.get("factor"))
            continue
        login = challenged.get(key) if key else running.get(user)
        if login is None:
            continue
        if event == "outcome":
            login.outcome = login.outcome or _text(detail.get("outcome"))
            running.pop(user, None)
        else:
            _note(login, event, at, detail)
    return logins


def _note(login: _Login, event: str, at: int, detail: dict[str, Any]) -> None:
    """A message of a login's challenge: sent, or reported by the carrier."""
    if event == "delivery":
        if detail.get("arrived") is True and login.wait_ms < 0 and login.messages:
            login.wait_ms = at - login.sent_at
    elif detail.get("result") in ("sent", "maybe sent"):
        if not login.messages:
            login.channel, login.provider = (_text(detail.get(k)) for k in ("channel", "provider"))
            login.sent_at = at
        login.messages += 1
        price = detail.get("microusd")
        login.microusd += price if isinstance(price, int) and 0 <= price < _DEAREST else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _counts_of(login: _Login) -> list[float]:
    challenged, outcome = login.decision == "challenge", login.outcome
    found = {
        "attempts": 1,
        "judged": bool(login.decision),
        "challenged": challenged,
        "verified": outcome == "verified",
        "lost": challenged and outcome not in ("", "verified"),
        "abandoned": outcome == "abandoned",
        "undelivered": outcome == "undelivered",
        "wrong": outcome == "wrong_password",
        "coded": login.messages > 0,
        "again": login.messages > 1,
        "messages": login.messages,
        "cents": login.microusd / 1e4,
        "delivered": login.wait_ms >= 0,
        "wait": max(login.wait_ms, 0) / 1000.0,
    }
    return [float(found.get(name, 0)) for name in COUNTS]


def _coded(values: list[str]) -> tuple[Array, tuple[str, ...]]:
    """Codes and words; -1 where there is nothing."""
    words = tuple(sorted(set(values) - {""}))
    index = {word: code for code, word in enumerate(words)} | {"": -1}
    return np.array([index[value] for value in values], np.int64), words
