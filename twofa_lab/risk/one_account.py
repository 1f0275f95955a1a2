"""One account as a service keeps it: its next login judged, then recorded if it was completed.

The very functions of the closed loop, over a workspace of this account's own. Any value may serve
as a device, place, network or browser family; they are numbered as they come.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from twofa_lab.compiled import loop
from twofa_lab.errors import InputError
from twofa_lab.risk.features import (
    FeaturePast,
    browser_family,
    new_feature_past,
    start_feature_past,
)
from twofa_lab.risk.history import (
    History,
    find_device,
    new_history,
    record_completed,
    record_failed_password,
    start_account,
)
from twofa_lab.risk.signals import SignalRules, read_signals
from twofa_lab.risk.vector import VECTOR, SignalColumns, read_vector, record_row
from twofa_lab.tables import Array

__all__ = ["OneAccount", "Seen", "Verdict", "login_with_signals"]

_MISSING = (None, "", "-")
_NAMED = ("device_id", "country", "region", "asn", "family")


class Seen(NamedTuple):
    """What was seen of a login: signal bits, failed passwords in the window, and its vector
    (`risk.vector.VECTOR`, float32), which is overwritten by the next login.
    """

    bits: int
    failures: int
    values: Array


class Verdict(Protocol):
    """How a scorer judges what was seen of a login, and takes its score apart."""

    def judge(self, seen: Seen) -> float: ...

    def explain(self, seen: Seen) -> Any: ...


class OneAccount:
    """An account for the rules or a learned scorer: `score` a login, then `record` it if it was
    completed; tell it of wrong passwords by `failed`.

    A login is a mapping. It needs `time` (ms since 1970 UTC), and may have `utc_offset_min` (the
    account's home clock), `device_id`, `country`, `region`, `asn`, `browser` (name and version),
    `latitude`, `longitude`, `rtt_ms`, `ip_accounts`, `ip_failures`, `ip_listed`. What is left out,
    None, empty or `-` is missing, as are a device, network or round-trip time of 0.
    """

    def __init__(self, verdict: Verdict, rules: SignalRules | None = None) -> None:
        self._verdict, self._rules = verdict, rules or SignalRules()
        self._known: tuple[dict[Hashable, int], ...] = tuple({} for _ in _NAMED)
        self._past: list[Mapping[str, Any]] = []
        self._failed: list[int] = []
        dtypes = ("i4", "i2", "f4", "f4", "u2", "i4", "i4", "?")  # as `signal_columns` gives them
        self._row = SignalColumns._make(np.zeros(1, dtype) for dtype in dtypes)
        self._values = np.zeros(len(VECTOR), np.float32)
        self._make(32)

    def see(self, login: Mapping[str, Any]) -> Seen:
        """What the login shows against the account's past."""
        facts = self._read(login, self._codes(login))
        bits, failures = _see(
            self._history, self._rules, self._features, self._row, facts, self._values
        )
        return Seen(bits, failures, self._values)

    def score(self, login: Mapping[str, Any]) -> float:
        """The login's score."""
        return self._verdict.judge(self.see(login))

    def explain(self, login: Mapping[str, Any]) -> Any:
        """The login's score taken apart."""
        return self._verdict.explain(self.see(login))

    def record(self, login: Mapping[str, Any]) -> None:
        """Enter a completed login."""
        if len(self._past) == self._room:
            self._make(2 * self._room)
        self._enter(login)
        self._past.append(dict(login))

    def failed(self, time: int) -> None:
        """Enter a wrong password at this time."""
        self._failed = [*self._failed[-31:], time]
        _fail(self._history, time)

    def _make(self, room: int) -> None:
        """A workspace for so many logins, and the past once more."""
        self._room = room
        self._history = new_history(room + 1, room + 1, room + 1)
        self._features = new_feature_past(room + 1, room + 1)
        _start(self._history, self._features, room + 1)
        for login in self._past:
            self._enter(login)
        for time in self._failed:
            _fail(self._history, time)

    def _enter(self, login: Mapping[str, Any]) -> None:
        codes = self._codes(login)
        for known, code, value in zip(self._known, codes, _named(login), strict=True):
            if code == len(known):
                known[value] = code
        _record(self._history, self._features, self._row, self._read(login, codes))

    def _codes(self, login: Mapping[str, Any]) -> list[int]:
        """The values' numbers: -1 missing, one past those known for a new one."""
        return [
            -1 if value in _MISSING else known.get(value, len(known))
            for known, value in zip(self._known, _named(login), strict=True)
        ]

    def _read(self, login: Mapping[str, Any], codes: list[int]) -> tuple[int, int, int, int, int]:
        """Fill the row; time, hour, device, country and region."""
        get = login.get
        try:
            time = int(login["time"])
        except (KeyError, TypeError, ValueError):
            raise InputError("a login needs its time, in ms since 1970 UTC") from None
        row = self._row
        row.asn[0], row.family[0] = codes[3], codes[4]
        latitude, longitude = get("latitude"), get("longitude")
        row.latitude[0] = math.nan if latitude is None else latitude
        row.longitude[0] = math.nan if longitude is None else longitude
        row.rtt_ms[0] = get("rtt_ms") or 0
        row.ip_accounts[0] = get("ip_accounts") or 0
        row.ip_failures[0] = get("ip_failures") or 0
        row.ip_listed[0] = get("ip_listed") or False
        hour = (time + (get("utc_offset_min") or 0) * 60_000) // 3_600_000 % 24
        return time, hour, codes[0] + 1, codes[1], codes[2]


def login_with_signals(
    table: Mapping[str, Array], vocabularies: Mapping[str, Sequence[str]], row: int
) -> dict[str, Any]:
    """One row of a logins table with the columns `BESIDE` as a login for `OneAccount`."""
    login: dict[str, Any] = {
        name: table[name][row].item()
        for name in (
            "time", "utc_offset_min", "device_id", "asn", "latitude", "longitude", "rtt_ms",
            "ip_accounts", "ip_failures", "ip_listed",
        )
    }  # fmt: skip
    for name in ("country", "region", "browser"):
        code = int(table[name][row])
        login[name] = vocabularies[name][code] if code >= 0 else None
    return login


def _named(login: Mapping[str, Any]) -> tuple[Hashable, ...]:
    get = login.get
    browser = get("browser")
    return (
        get("device_id") or None,
        get("country"),
        get("region"),
        get("asn") or None,
        None if browser in _MISSING else browser_family(browser),
    )


@loop
def _start(history: History, features: FeaturePast, rows: int) -> None:
    start_account(history, rows)
    start_feature_past(features)


@loop
def _see(
    history: History,
    rules: SignalRules,
    features: FeaturePast,
    row: SignalColumns,
    facts: tuple[int, int, int, int, int],
    values: Array,
) -> tuple[int, int]:
    time, hour, device, country, region = facts
    bits, failures, _, _ = read_signals(history, rules, time, hour, device, country, region)
    read_vector(row, 0, features, time, bits, failures, values)
    return bits, failures


@loop
def _record(
    history: History,
    features: FeaturePast,
    row: SignalColumns,
    facts: tuple[int, int, int, int, int],
) -> None:
    time, hour, device, country, region = facts
    slot, known = find_device(history, device)
    record_completed(history, slot, known, time, hour, device, country, region, False)
    record_row(row, 0, features, time)


@loop
def _fail(history: History, time: int) -> None:
    record_failed_password(history, time)
