"""More signals than the rules use, for scorers that can weigh them: what an account's past says.

| feature | is |
|---|---|
| `travel_kmh` | speed from the place of the last completed login to this one, on a great circle; below 100 km apart it is 0, since addresses are hardly placed more finely (assumption); less than a minute between them counts as a minute |
| `new_asn` | the account has completed logins from known networks, none from this one |
| `new_browser_family` | the same for the browser's name without its version |
| `rtt_deviation` | distance of ln(round-trip time) from the account's mean, in its own standard deviations, which are taken to be at least 0.1 (assumption); 0 below 5 measurements (assumption) |
| `age_ms`, `since_last_ms` | time since the account's first and last completed login; -1 without one |

What is missing (network or family -1, a place that is NaN, round-trip time 0) never fires and
leaves nothing behind, as with the four signals. Only completed logins are recorded. What hangs on
other accounts too (`ip_accounts`, `ip_failures`, the block list) is in `address_activity`.
"""  # noqa: E501 - a table row is one line

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from twofa_lab.compiled import part
from twofa_lab.tables import Array

__all__ = [
    "FeaturePast",
    "Features",
    "browser_families",
    "browser_family",
    "distance_km",
    "new_feature_past",
    "read_features",
    "record_features",
    "restore_features",
    "start_feature_past",
]

EARTH_KM = 6371.0088
"""Mean radius of the earth (IUGG)."""

_NEAR_KM, _SHORTEST_MS, _MS_PER_HOUR = 100.0, 60_000, 3_600_000.0
_FEWEST_RTTS, _LEAST_SPREAD = 5, 0.1

_NOW, _COMPLETED, _FIRST, _LAST, _PLACED, _PLACED_AT, _ASNS, _FAMILIES, _RTTS, _WIDTH = range(10)
_LATITUDE, _LONGITUDE, _MEAN, _SQUARES = range(4)
_VERSION = re.compile(r"[\s/]+v?\d.*$")


class FeaturePast(NamedTuple):
    """The workspace, for one account after another. `seen`: the epoch in which each network, then
    each browser family, was last seen. `numbers`: counters and times, int64. `floats`: the last
    place, and mean and sum of squared deviations of ln(round-trip time).
    """

    seen: Array
    numbers: Array
    floats: Array


class Features(NamedTuple):
    """One login's features, as the module explains."""

    travel_kmh: float
    new_asn: bool
    new_browser_family: bool
    rtt_deviation: float
    age_ms: int
    since_last_ms: int


def new_feature_past(asns: int, families: int) -> FeaturePast:
    """A workspace for network and family codes below these counts."""
    numbers = np.zeros(10, np.int64)
    numbers[_WIDTH] = asns
    return FeaturePast(np.zeros(asns + families, np.int64), numbers, np.zeros(4))


def browser_families(browsers: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    """The family of each browser of a vocabulary: its name up to the version.

    >>> codes, names = browser_families(["Chrome Mobile 46.0.2490", "Firefox 20.0", "Firefox/21"])
    >>> codes.tolist(), names
    ([0, 1, 1], ('Chrome Mobile', 'Firefox'))
    """
    names: dict[str, int] = {}
    codes = [names.setdefault(browser_family(text), len(names)) for text in browsers]
    return np.array(codes, np.int16), tuple(names)


@lru_cache(maxsize=4096)
def browser_family(browser: str) -> str:
    """A browser's name up to the version.

    >>> browser_family("Chrome Mobile 46.0.2490")
    'Chrome Mobile'
    """
    return _VERSION.sub("", browser) or browser


@part
def start_feature_past(past: FeaturePast) -> None:
    """Forget the account before."""
    past.numbers[_NOW] += 1
    for place in range(_COMPLETED, _WIDTH):
        past.numbers[place] = 0
    past.floats[_MEAN] = 0.0
    past.floats[_SQUARES] = 0.0


@part
def distance_km(from_latitude: float, from_longitude: float, latitude: float, longitude: float):  # type: ignore[no-untyped-def]
    """Great-circle distance by the haversine formula, degrees in.

    >>> round(distance_km(59.9139, 10.7522, 60.3913, 5.3221))  # Oslo to Bergen
    305
    """
    north = math.radians(latitude - from_latitude)
    east = math.radians(longitude - from_longitude)
    half = math.sin(north / 2) ** 2 + math.cos(math.radians(from_latitude)) * math.cos(
        math.radians(latitude)
    ) * (math.sin(east / 2) ** 2)
    return 2 * EARTH_KM * math.asin(math.sqrt(min(1.0, half)))


@part
def _travel_kmh(past, time, latitude, longitude):  # type: ignore[no-untyped-def]
    if past.numbers[_PLACED] == 0 or math.isnan(latitude) or math.isnan(longitude):
        return 0.0
    from_latitude, from_longitude = past.floats[_LATITUDE], past.floats[_LONGITUDE]
    if latitude == from_latitude and longitude == from_longitude:
        return 0.0  # nearly every login: spares the trigonometry
    km = distance_km(from_latitude, from_longitude, latitude, longitude)
    elapsed = max(time - past.numbers[_PLACED_AT], _SHORTEST_MS)
    return km / (elapsed / _MS_PER_HOUR) if km >= _NEAR_KM else 0.0


@part
def _rtt_deviation(past, rtt_ms):  # type: ignore[no-untyped-def]
    measured = past.numbers[_RTTS]
    if rtt_ms == 0 or measured < _FEWEST_RTTS:
        return 0.0
    spread = math.sqrt(past.floats[_SQUARES] / (measured - 1))
    return abs(math.log(rtt_ms) - past.floats[_MEAN]) / max(spread, _LEAST_SPREAD)


@part
def read_features(past, time, asn, family, latitude, longitude, rtt_ms):  # type: ignore[no-untyped-def]
    """The features of one login against what its account completed before.

    `asn` and `family` are codes, the place is in degrees, the round-trip time in ms.
    """
    numbers = past.numbers
    now, width = numbers[_NOW], numbers[_WIDTH]
    new_asn = numbers[_ASNS] > 0 and asn >= 0 and past.seen[asn] != now
    new_family = numbers[_FAMILIES] > 0 and family >= 0 and past.seen[width + family] != now
    known = numbers[_COMPLETED] > 0
    return Features(
        _travel_kmh(past, time, latitude, longitude),
        new_asn,
        new_family,
        _rtt_deviation(past, rtt_ms),
        time - numbers[_FIRST] if known else -1,
        time - numbers[_LAST] if known else -1,
    )


@part
def record_features(past, time, asn, family, latitude, longitude, rtt_ms):  # type: ignore[no-untyped-def]
    """Enter a completed login; mean and spread are kept by Welford's method (1962)."""
    numbers, floats = past.numbers, past.floats
    if numbers[_COMPLETED] == 0:
        numbers[_FIRST] = time
    numbers[_COMPLETED] += 1
    numbers[_LAST] = time
    if asn >= 0:
        past.seen[asn] = numbers[_NOW]
        numbers[_ASNS] += 1
    if family >= 0:
        past.seen[numbers[_WIDTH] + family] = numbers[_NOW]
        numbers[_FAMILIES] += 1
    if not (math.isnan(latitude) or math.isnan(longitude)):
        numbers[_PLACED] = 1
        numbers[_PLACED_AT] = time
        floats[_LATITUDE] = latitude
        floats[_LONGITUDE] = longitude
    if rtt_ms > 0:
        numbers[_RTTS] += 1
        step = math.log(rtt_ms) - floats[_MEAN]
        floats[_MEAN] += step / numbers[_RTTS]
        floats[_SQUARES] += step * (math.log(rtt_ms) - floats[_MEAN])


@part
def restore_features(past, known, logins, placed_at, place, rtts, rtt_spread):  # type: ignore[no-untyped-def]
    """Fill the workspace, after `start_feature_past`, with an account read from a store.

    `known` are how many networks and browser families it has used, which are codes 0, 1 and so on;
    `logins` how many it completed, the first and the last; `place` its last place in degrees (NaN:
    there is none), `placed_at` when; `rtts` how many round-trip times were measured, `rtt_spread`
    the mean of their logarithms and the sum of squared deviations.
    """
    numbers, floats = past.numbers, past.floats
    numbers[_COMPLETED], numbers[_FIRST], numbers[_LAST] = logins
    for asn in range(known[0]):
        past.seen[asn] = numbers[_NOW]
    for family in range(known[1]):
        past.seen[numbers[_WIDTH] + family] = numbers[_NOW]
    numbers[_ASNS], numbers[_FAMILIES] = known
    if not math.isnan(place[0]):
        numbers[_PLACED] = 1
        numbers[_PLACED_AT] = placed_at
        floats[_LATITUDE] = np.float32(place[0])  # as a login's own place is read
        floats[_LONGITUDE] = np.float32(place[1])
    numbers[_RTTS] = rtts
    floats[_MEAN], floats[_SQUARES] = rtt_spread
