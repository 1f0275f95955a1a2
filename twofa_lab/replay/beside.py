"""Columns beside the logins that learned scorers read: where a city is, what an address was up to.

No policy changes either, so they are computed once for a world. Activity is counted over all
accounts of a world and therefore held in memory, 8 bytes a login; places are looked up as a shard
is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from twofa_lab.risk.address_activity import address_activity
from twofa_lab.risk.vector import BESIDE
from twofa_lab.tables import Array
from twofa_lab.traffic.geography import geography
from twofa_lab.traffic.halves import Half
from twofa_lab.traffic.world import Shard, ShardSource, World

__all__ = ["beside", "places_of", "with_beside"]

_PLACE = ("country", "region", "city")
_ATTEMPT = ("ip", "user_id", "time", "password_ok")


def with_beside(world: World) -> World:
    """The world with the columns `BESIDE` in its logins; the same one if it has them already.

    >>> import twofa_lab as lab
    >>> world = with_beside(lab.simulate("us-consumer", users=50, days=7, seed=1))
    >>> bool(next(world.shards()).logins["ip_accounts"].min() >= 1)
    True
    """
    source = world.source
    if isinstance(source.inner if isinstance(source, Half) else source, _Beside):
        return world
    columns = [name for name in _ATTEMPT if name != "user_id"]  # which comes along from disk
    shards = [[shard.logins[name] for name in _ATTEMPT] for shard in world.shards(columns)]
    if not shards:
        return world
    ip, user_id, time, password_ok = map(np.concatenate, zip(*shards, strict=True))
    found = address_activity(ip, user_id, time, password_ok)
    ends = np.cumsum([len(columns[0]) for columns in shards])[:-1]
    parts = zip(*(np.split(column, ends) for column in found), strict=True)
    return replace(world, source=_Beside(world.source, world.facts.vocabularies, tuple(parts)))


@dataclass(frozen=True, eq=False)
class _Beside:
    """Shards with the columns added; `activity` has a pair of columns a shard."""

    source: ShardSource
    vocabularies: dict[str, tuple[str, ...]]
    activity: tuple[tuple[Array, Array], ...]

    def __len__(self) -> int:
        return len(self.source)

    def load(self, index: int, columns: Iterable[str] | None) -> Shard:
        """See `ShardSource`; the columns added always come along with those of places."""
        if columns is not None:
            columns = {*columns, *_PLACE} - {*BESIDE, "user_id"}
        shard = self.source.load(index, columns)
        added = (*places_of(shard.logins, self.vocabularies), *self.activity[index])
        return replace(shard, logins=shard.logins | dict(zip(BESIDE, added, strict=True)))


def beside(
    table: Mapping[str, Array], vocabularies: Mapping[str, Sequence[str]]
) -> dict[str, Array]:
    """The columns `BESIDE` of a whole log, all its accounts being in one table."""
    activity = address_activity(table["ip"], table["user_id"], table["time"], table["password_ok"])
    return dict(zip(BESIDE, (*places_of(table, vocabularies), *activity), strict=True))


def places_of(
    table: Mapping[str, Array], vocabularies: Mapping[str, Sequence[str]]
) -> tuple[Array, Array]:
    """Latitude and longitude of each row's city, float32, NaN where it is not known.

    A city is told by country, region and name, else by country and name; of several the most
    populous counts, so that an address placed at a namesake seems to travel.
    """
    keys = np.stack([table[name].astype(np.int64) for name in _PLACE])
    country, region, city = (vocabularies[name] for name in _PLACE)
    packed = ((keys[0] + 1) * (len(region) + 1) + keys[1] + 1) * (len(city) + 1) + keys[2] + 1
    row_of, distinct = pd.factorize(packed)
    known = _cities()
    found = np.full((len(distinct) + 1, 2), np.nan, np.float32)
    for at, key in enumerate(distinct.tolist()):
        rest, c = divmod(key, len(city) + 1)
        a, b = divmod(rest, len(region) + 1)
        if a and c:
            land, name = country[a - 1], city[c - 1]
            place = known.get((land, region[b - 1] if b else "", name))
            found[at] = place or known.get((land, "", name), (np.nan, np.nan))
    return found[row_of, 0], found[row_of, 1]


@cache
def _cities() -> dict[tuple[str, str, str], tuple[float, float]]:
    """Coordinates by country, region (empty: any) and name of a city."""
    world = geography()
    people = np.diff(world.people_cum, prepend=0.0)
    found: dict[tuple[str, str, str], tuple[float, float]] = {}
    for at in np.argsort(people, kind="stable").tolist():  # the most populous comes last, and stays
        land, name = world.countries[world.country[at]], world.names[world.name[at]]
        place = (float(world.latitude[at]), float(world.longitude[at]))
        found[land, world.regions[world.region[at]], name] = place
        found[land, "", name] = place
    return found
