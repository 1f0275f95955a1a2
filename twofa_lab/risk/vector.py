"""One login as numbers: the signals a learned scorer weighs, in one order, computed in one place.

The four signals (`signals`), what more an account's past says (`features`), and what its address
was up to (`address_activity`). Kept as float32, in the closed loop and for fitting alike, so that a
value falls on the same side of a threshold in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from twofa_lab.compiled import part
from twofa_lab.errors import InputError
from twofa_lab.risk.features import (
    FeaturePast,
    browser_families,
    new_feature_past,
    read_features,
    record_features,
)
from twofa_lab.risk.signals import BITS, MS_PER_DAY
from twofa_lab.tables import LOGINS, Array

__all__ = [
    "BESIDE",
    "READ",
    "VECTOR",
    "Signal",
    "SignalColumns",
    "feature_past_of",
    "names",
    "read_vector",
    "record_row",
    "signal_columns",
]


class Signal(NamedTuple):
    """One entry of the vector. `direction`: 1 where more of it may never lower the risk, else 0."""

    name: str
    direction: int
    meaning: str


VECTOR = (
    Signal("new_device", 1, "no completed login on this device in the last 30 days"),
    Signal("new_country", 1, "never logged in from this country before"),
    Signal("new_region", 1, "never logged in from this region of the country before"),
    Signal("odd_hour", 1, "an hour at which this account hardly ever logs in"),
    Signal("failures", 1, "failed passwords of the account in the last 30 minutes"),
    Signal("travel_kmh", 1, "km/h from the place of the last completed login"),
    Signal("new_asn", 1, "never logged in from this network before"),
    Signal("new_browser_family", 1, "never logged in with this browser before"),
    Signal("rtt_deviation", 1, "round-trip time, in the account's own standard deviations"),
    Signal("age_days", 0, "days since the account's first completed login (-1: there is none)"),
    Signal("since_last_days", 0, "days since its last completed login (-1: there is none)"),
    Signal("ip_accounts", 1, "accounts tried from this address in the last hour"),
    Signal("ip_failures", 1, "wrong passwords from this address in the last hour"),
    Signal("ip_listed", 1, "the address is on a public block list"),
)

_DEVICE, _COUNTRY, _REGION, _HOUR = (BITS[signal.name] for signal in VECTOR[:4])

READ = ("asn", "browser", "rtt_ms", "ip_listed")
"""Columns of the logins table that are read beside those of the four signals."""

BESIDE = ("latitude", "longitude", "ip_accounts", "ip_failures")
"""Columns that a logins table has not by itself: places in degrees (float32, NaN unknown), and
`address_activity`. `replay.beside` adds them."""


def names() -> tuple[str, ...]:
    """The names of the vector's entries.

    >>> names()[:2]
    ('new_device', 'new_country')
    """
    return tuple(signal.name for signal in VECTOR)


class SignalColumns(NamedTuple):
    """What the vector reads of each row, for compiled loops: network and browser family as codes
    (-1 missing), the place, round-trip time in ms (0 missing), and the address's activity.
    """

    asn: Array
    family: Array
    latitude: Array
    longitude: Array
    rtt_ms: Array
    ip_accounts: Array
    ip_failures: Array
    ip_listed: Array


def signal_columns(
    table: Mapping[str, Array], vocabularies: Mapping[str, Sequence[str]]
) -> SignalColumns:
    """The columns of a logins table with those of `BESIDE`; `InputError` names one that lacks."""
    import pandas as pd

    LOGINS.check(dict(table), READ)
    for name in BESIDE:
        if name not in table:
            raise InputError(
                f"the logins lack the column {name!r}, which a learned scorer reads: "
                "take the world through twofa_lab.replay.beside.with_beside(world)"
            )
    asn = pd.factorize(np.append(np.zeros(1, np.uint32), table["asn"]))[0][1:] - 1
    families, _ = browser_families(vocabularies["browser"])
    columns = (
        asn.astype(np.int32),
        np.append(families, np.int16(-1))[table["browser"]],
        table["latitude"].astype(np.float32, copy=False),
        table["longitude"].astype(np.float32, copy=False),
        table["rtt_ms"],
        table["ip_accounts"].astype(np.int32, copy=False),
        table["ip_failures"].astype(np.int32, copy=False),
        table["ip_listed"],
    )
    return SignalColumns._make(map(_frozen, columns))


def _frozen(values: Array) -> Array:
    view = np.ascontiguousarray(values).view()
    view.flags.writeable = False  # compiled code is made for one kind of array
    return view


def feature_past_of(columns: SignalColumns) -> FeaturePast:
    """A workspace for these columns' codes."""
    return new_feature_past(
        int(columns.asn.max(initial=0)) + 1, int(columns.family.max(initial=0)) + 1
    )


@part
def read_vector(columns, i, past, time, bits, failures, values):  # type: ignore[no-untyped-def]
    """Write row `i`'s vector into `values`, against what its account completed before."""
    found = read_features(
        past,
        time,
        np.int64(columns.asn[i]),
        np.int64(columns.family[i]),
        np.float64(columns.latitude[i]),
        np.float64(columns.longitude[i]),
        np.int64(columns.rtt_ms[i]),
    )
    values[0] = bits & _DEVICE != 0
    values[1] = bits & _COUNTRY != 0
    values[2] = bits & _REGION != 0
    values[3] = bits & _HOUR != 0
    values[4] = failures
    values[5] = found.travel_kmh
    values[6] = found.new_asn
    values[7] = found.new_browser_family
    values[8] = found.rtt_deviation
    values[9] = found.age_ms / MS_PER_DAY if found.age_ms >= 0 else -1.0
    values[10] = found.since_last_ms / MS_PER_DAY if found.age_ms >= 0 else -1.0
    values[11] = columns.ip_accounts[i]
    values[12] = columns.ip_failures[i]
    values[13] = columns.ip_listed[i]


@part
def record_row(columns, i, past, time):  # type: ignore[no-untyped-def]
    """Enter row `i`, a completed login, into its account's past."""
    record_features(
        past,
        time,
        np.int64(columns.asn[i]),
        np.int64(columns.family[i]),
        np.float64(columns.latitude[i]),
        np.float64(columns.longitude[i]),
        np.int64(columns.rtt_ms[i]),
    )
