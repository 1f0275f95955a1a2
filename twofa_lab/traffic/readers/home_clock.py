"""The home clock of a log's accounts: a log tells where an address lies, not where people live."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from twofa_lab.tables import Array
from twofa_lab.traffic.geography import geography

__all__ = ["has_clock", "home_country", "home_offsets"]

_HOUR = 3_600_000


def home_country(account: Array, country: Array, success: Array, accounts: int) -> Array:
    """The country most of an account's successful logins came from, shape (accounts,).

    Where none succeeded from a known country all rows count; -1 where none has a country. Of
    equally frequent countries the lower code stands.

    >>> home_country(np.array([0, 0, 0, 1]), np.array([2, 2, 1, 2]),
    ...              np.array([False, False, True, False]), 3).tolist()
    [1, 2, -1]
    """
    home = np.full(accounts, -1, np.int64)
    known = country >= 0
    if not known.any():
        return home
    countries = int(country.max()) + 1
    key = account[known].astype(np.int64)  # in place from here: there may be tens of millions
    key *= countries
    key += country[known]
    key *= 2
    key += success[known]
    key.sort()
    first = np.flatnonzero(np.append(True, key[1:] // 2 != key[:-1] // 2))
    rows = np.diff(np.append(first, len(key)))
    successes = np.add.reduceat(key % 2, first)
    who, where = np.divmod(key[first] // 2, countries)
    succeeded = np.zeros(accounts, np.bool_)
    succeeded[who[successes > 0]] = True
    weight = np.where(succeeded[who], successes, rows)
    order = np.lexsort((-where, weight, who))
    home[who[order]] = where[order]  # the last of each account is its heaviest
    return home


def has_clock(country: Array, countries: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Whether a country (a code, or -1) has a clock that `home_offsets` knows."""
    known: npt.NDArray[np.bool_] = _zones(countries)[country] >= 0
    return known


def home_offsets(time: Array, country: Array, countries: tuple[str, ...]) -> npt.NDArray[np.int16]:
    """Minutes to UTC at `time` (ms) by the clock of each row's home `country` (a code, or -1).

    A country's clock is that of its most populous city, with daylight saving as it stood at that
    time; 0 where there is none.

    >>> july = np.array([1_751_328_000_000])
    >>> home_offsets(july, np.array([0]), ("NO",)).tolist()
    [120]
    """
    zones = geography().zones
    # one conversion for each hour of each zone that occurs
    zone = _zones(countries)[country]
    pair, pairs = pd.factorize(time // _HOUR * (len(zones) + 1) + zone + 1)
    hour, which = np.divmod(pairs, len(zones) + 1)
    offset = np.zeros(len(pairs), np.int16)
    for index in np.unique(which[which > 0]):
        rows = np.flatnonzero(which == index)
        utc = pd.DatetimeIndex(hour[rows] * _HOUR * 1_000_000, tz="UTC")
        local = utc.tz_convert(zones[index - 1])
        shift = local.tz_localize(None) - utc.tz_localize(None)
        offset[rows] = shift.total_seconds() // 60
    return offset[pair]


def _zones(countries: tuple[str, ...]) -> Array:
    """The time zone of each country, -1 where unknown; one more entry for code -1."""
    places = geography()
    zone = np.full(len(countries) + 1, -1, np.int64)
    for code, name in enumerate(countries):
        if name in places.countries:
            city = places.largest[places.countries.index(name)]
            zone[code] = places.zone[city] if city >= 0 else -1
    return zone
