"""From laid-out rows to the columns of the logins table, the same way for everybody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.tables import LOGINS, Array
from twofa_lab.traffic.calendar import Clock
from twofa_lab.traffic.clients import DEVICE_TYPES, Clients, clients
from twofa_lab.traffic.geography import Geography, geography
from twofa_lab.traffic.layout import Laid
from twofa_lab.traffic.networks import KINDS, Networks
from twofa_lab.traffic.observe import Draws, Seen, Surroundings, observe
from twofa_lab.traffic.people import MS_PER_DAY, Actors, Traits
from twofa_lab.traffic.potential import Habits, make_habits, potential_columns
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.streams import Streams

__all__ = ["Tables", "columns", "make_tables", "people_columns", "vocabularies"]


@dataclass(frozen=True)
class Tables:
    """A scenario's lookup tables for the two compiled loops."""

    around: Surroundings
    habits: Habits


def vocabularies() -> dict[str, tuple[str, ...]]:
    """Text behind the codes of generated tables; the same for every scenario."""
    places, agents = geography(), clients()
    return {
        "country": places.countries,
        "region": places.regions,
        "city": places.names,
        "time_zone": places.zones,
        "user_agent": agents.user_agents,
        "browser": agents.browsers,
        "os": agents.systems,
        "device_type": DEVICE_TYPES,
    }


def make_tables(scenario: Scenario, sources: tuple[Geography, Networks, Clients]) -> Tables:
    """Lookup tables for a scenario."""
    places, nets, agents = sources
    people = scenario.people
    return Tables(
        around=Surroundings(
            city_country=places.country,
            city_zone=places.zone,
            city_km=_distances(scenario, places),
            largest=places.largest,
            block_start=nets.start,
            block_size=nets.size,
            block_asn=nets.asn,
            block_country=nets.country,
            block_kind=nets.kind,
            block_cum=nets.cum,
            pool_first=nets.first,
            pool_of=nets.pool_of,
            client_last=agents.family_last,
            client_type=agents.device_type,
            listed=np.array([scenario.listed.get(kind, 0.0) for kind in KINDS]),  # type: ignore[call-overload]
            upgrade_ms=int(people.upgrade_days * MS_PER_DAY),
            lease_ms=int(people.home_lease_days * MS_PER_DAY),
            private_share=people.private_share,
            mobile_share=people.mobile_network_share,
            hub_share=people.mobile_hub_share,
            rtt_measured=scenario.rtt_measured,
        ),
        habits=make_habits(scenario, len(DEVICE_TYPES), DEVICE_TYPES.index("mobile")),
    )


def _distances(scenario: Scenario, places: Geography) -> Array:
    """Kilometres along the great circle from every city to the service (haversine)."""
    code, _, name = scenario.service_city.partition(":")
    country, wanted = places.country_index(code), places.names.index(name)
    here = np.flatnonzero((places.country == country) & (places.name == wanted))
    if not len(here):
        raise InputError(f"service_city: {code} has no city {name!r} of 15,000 people")
    lat, lon = np.radians(places.latitude), np.radians(places.longitude)
    home = here[0]
    half = (
        np.sin((lat - lat[home]) / 2) ** 2
        + np.cos(lat) * np.cos(lat[home]) * np.sin((lon - lon[home]) / 2) ** 2
    )
    return (2 * 6371.0 * np.arcsin(np.sqrt(half))).astype(np.float32)


def columns(
    laid: Laid,
    actors: Actors,
    people: Actors,
    traits: Traits,
    defeats: Array,
    streams: Streams,
    clock: Clock,
    tables: Tables,
    sources: tuple[Geography, Networks, Clients],
) -> dict[str, Array]:
    """Every column of the logins table but the ids, for all rows of a shard."""
    places, _, agents = sources
    seen = _seen(laid, actors, people, streams, clock, tables.around)
    device_type = agents.device_type[seen.client]
    potential = potential_columns(
        laid.time, laid.account, device_type, people.country, traits, streams, tables.habits
    )
    out = {
        "time": laid.time,
        "utc_offset_min": seen.utc_offset_min,
        "ip": seen.ip,
        "ip_listed": seen.ip_listed,
        "asn": seen.asn,
        "country": seen.country,
        "region": places.region[seen.city],
        "city": places.name[seen.city],
        "user_agent": seen.client,
        "browser": agents.browser[seen.client],
        "os": agents.system[seen.client],
        "device_type": device_type,
        "device_id": seen.device_id,
        "rtt_ms": seen.rtt_ms,
        "password_ok": laid.password_ok,
        "password_reset": laid.password_reset,
        "signup": laid.signup,
        "attack": laid.attack,
        "campaign": laid.campaign,
        **potential,
    }
    past = np.concatenate([defeats, np.zeros(1, np.uint8)])  # hit -1: nobody's, gets past nothing
    out["po_defeats"] = past[laid.hit]
    return out


def _seen(
    laid: Laid, actors: Actors, people: Actors, streams: Streams, clock: Clock, around: Surroundings
) -> Seen:
    n = len(laid.time)
    dtypes = {column.name: column.dtype for column in LOGINS.columns} | {
        "client": "int32",
        "city": "int32",
    }
    seen = Seen._make(np.zeros(n, dtypes[name]) for name in Seen._fields)
    draws = Draws._make(streams.uniform(f"seen {name}", n) for name in Draws._fields)
    observe(laid, actors, people.zone, clock, around, draws, seen)
    return seen


def people_columns(
    people: Actors, traits: Traits, first: int, places: Geography
) -> dict[str, Array]:
    """The people table of a shard whose first account is number `first`."""
    n = len(people.city)
    share = people.device_share
    return {
        "user_id": first + np.arange(n, dtype=np.int64),
        "created": traits.created,
        "country": people.country,
        "region": places.region[people.city],
        "city": places.name[people.city],
        "time_zone": people.zone,
        "logins_per_year": traits.logins_per_year,
        "devices": (1 + (np.diff(share, axis=1) > 1e-6).sum(axis=1)).astype(np.uint8),
        "line_type": traits.line_type,
        "whatsapp": traits.whatsapp,
        "factors": traits.factors,
        "uses_vpn": people.vpn_share > 0,
        "slip_rate": traits.slip_rate,
        "patience": traits.patience,
        "skill": traits.skill,
    }
