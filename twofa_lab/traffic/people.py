"""Draw people: where they live, when they are awake, what they carry and how they connect.

Account holders and attackers are drawn by the same function from the same pools; a scenario only
gives attackers other home countries and other networks. `Actors` is what the feature code sees of
either; `Traits` is what only an account holder has.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.tables import FACTORS, LINE_TYPES, Array
from twofa_lab.traffic.clients import DEVICE_TYPES, Clients
from twofa_lab.traffic.geography import Geography
from twofa_lab.traffic.networks import HOSTING, ISP, MOBILE, ORGANISATION, Networks
from twofa_lab.traffic.quantiles import normal
from twofa_lab.traffic.scenario import People, Scenario
from twofa_lab.traffic.streams import Streams

__all__ = ["MS_PER_DAY", "Actors", "Mix", "Traits", "draw_actors", "draw_traits", "stack", "take"]

MS_PER_DAY = 86_400_000
_DEVICES, _TRIPS = 4, 3
_LAST_SIGNUP_MS = 3_600_000  # before the end of the window, so that there is time for a login
_MOBILE, _DESKTOP, _TABLET = (DEVICE_TYPES.index(name) for name in ("mobile", "desktop", "tablet"))


class Actors(NamedTuple):
    """Someone who logs in, as parallel arrays of length n (or (n, 4) by device, (n, 3) by trip).

    `city` is home; `*_block` index into `Networks`; `key` seeds this actor's own choices;
    `habit_hours` are the two hours around which they log in; `device_*` give each device's
    User-Agent row, identity, share of use, and the time it is replaced by another; trips are
    [start, end) in ms with a destination.
    """

    city: Array
    zone: Array
    country: Array
    week: Array
    habit_hours: Array
    key: Array
    home_block: Array
    work_block: Array
    mobile_block: Array
    vpn_block: Array
    vpn_share: Array
    work_share: Array
    device_client: Array
    device_next: Array
    device_key: Array
    device_share: Array
    device_until: Array
    device_cookie_ms: Array
    trip_start: Array
    trip_end: Array
    trip_city: Array


class Traits(NamedTuple):
    """What an account holder has besides: activity, phone, factors, skill."""

    created: Array
    logins_per_year: Array
    line_type: Array
    whatsapp: Array
    factors: Array
    slip_rate: Array
    patience: Array
    skill: Array


class Mix(NamedTuple):
    """Where a group of actors comes from: weights by country code, and by home network (hosting,
    VPN, residential); `None` for the scenario's own people.
    """

    countries: dict[str, float]
    network: tuple[float, float, float] | None = None


def take(actors: Actors, index: Array) -> Actors:
    """The actors at those positions, in that order."""
    return Actors._make(column[index] for column in actors)


def stack(*groups: Actors) -> Actors:
    """Several groups of actors as one."""
    return Actors._make(np.concatenate(columns) for columns in zip(*groups, strict=True))


def pick(weights: Array, uniform: Array) -> Array:
    """Indices drawn with these weights, one for each uniform.

    >>> pick(np.array([1.0, 0.0, 3.0]), np.array([0.1, 0.3, 0.9])).tolist()
    [0, 2, 2]
    """
    cum = np.cumsum(weights) / np.sum(weights)
    last = int(np.flatnonzero(weights)[-1])
    return np.minimum(np.searchsorted(cum, uniform, side="right"), last)


def draw_actors(
    n: int,
    streams: Streams,
    scenario: Scenario,
    mix: Mix,
    window: tuple[int, int],
    sources: tuple[Geography, Networks, Clients],
) -> Actors:
    """Draw `n` people who live through `window` (start and end, ms)."""
    places, nets, agents = sources
    people = scenario.people
    codes = np.array([places.country_index(code) for code in mix.countries])
    country = codes[pick(np.array([*mix.countries.values()]), streams.uniform("country", n))]
    city = places.draw_cities(country, streams.uniform("city", n).astype(np.float64))
    kind = _home_kind(people, mix, streams.uniform("home network", n))
    uses_vpn = kind == _VPN
    exits = np.where(
        streams.uniform("vpn abroad", n) < people.vpn_abroad,
        codes[pick(np.array([*mix.countries.values()]), streams.uniform("vpn country", n))],
        country,
    )
    return Actors(
        city=city,
        zone=places.zone[city],
        country=country.astype(np.int16),
        week=pick(np.array(scenario.calendar.weeks), streams.uniform("week", n)).astype(np.int8),
        habit_hours=_habit_hours(n, streams, scenario),
        key=streams.keys("key", n),
        home_block=nets.draw_blocks(
            country, np.where(kind == HOSTING, HOSTING, ISP), streams.uniform("home block", n)
        ),
        work_block=nets.draw_blocks(country, ORGANISATION, streams.uniform("work block", n)),
        mobile_block=nets.draw_blocks(country, MOBILE, streams.uniform("mobile block", n)),
        vpn_block=nets.draw_blocks(exits, HOSTING, streams.uniform("vpn block", n)),
        vpn_share=np.where(uses_vpn, people.vpn_share, 0.0).astype(np.float32),
        work_share=np.where(
            streams.uniform("office", n) < 0.6, people.work_share / 0.6, 0.0
        ).astype(np.float32),  # assumption: six in ten have a workplace with a network
        **_devices(n, streams, people, agents, window),
        **_trips(n, streams, people, places, country, window),
    )


_VPN = 9  # not a kind of pool: home is residential, but many logins leave through a VPN


def _home_kind(people: People, mix: Mix, uniform: Array) -> Array:
    hosting, vpn = people.hosting_people, people.vpn_people
    weights = np.array(mix.network or (hosting, vpn, 1.0 - hosting - vpn))
    return np.array([HOSTING, _VPN, ISP])[pick(weights, uniform)]


def _habit_hours(n: int, streams: Streams, scenario: Scenario) -> Array:
    hours = np.array(scenario.calendar.hours)
    drawn = pick(hours, streams.uniform("habit hours", (n, 2)).ravel()).reshape(n, 2)
    return (drawn + streams.uniform("habit minutes", (n, 2))).astype(np.float32)


def _devices(
    n: int, streams: Streams, people: People, agents: Clients, window: tuple[int, int]
) -> dict[str, Array]:
    shape = (n, _DEVICES)
    count = 1 + pick(np.array(people.device_counts), streams.uniform("devices", n))
    kind = np.empty(shape, np.int64)
    kind[:, 0] = np.where(streams.uniform("first", n) < people.mobile_first, _MOBILE, _DESKTOP)
    kind[:, 1] = np.where(kind[:, 0] == _MOBILE, _DESKTOP, _MOBILE)
    others = streams.uniform("others", (n, 2))
    kind[:, 2:] = np.where(
        others < people.tablet_share, _TABLET, np.where(others < 0.6, _DESKTOP, _MOBILE)
    )
    agent = agents.draw(kind, streams.uniform("client", shape).astype(np.float64))
    following = agents.draw(kind, streams.uniform("next client", shape).astype(np.float64))
    weight = np.where(np.arange(_DEVICES) < count[:, None], [1.0, 0.45, 0.20, 0.12], 0.0)
    share = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    life = -np.log1p(-streams.of("device life").random(shape)) * people.device_life_days
    cookie = 0.25 - 1.1 * np.log1p(-streams.of("cookie").random(shape))
    return {
        "device_client": agent,
        "device_next": following,
        "device_key": streams.keys("device key", shape),
        "device_share": share.astype(np.float32),
        "device_until": window[0] + (life * MS_PER_DAY).astype(np.int64),
        "device_cookie_ms": (cookie * people.cookie_life_days * MS_PER_DAY).astype(np.int64),
    }


def _trips(
    n: int,
    streams: Streams,
    people: People,
    places: Geography,
    country: Array,
    window: tuple[int, int],
) -> dict[str, Array]:
    """At most three trips a window: further ones of a frequent traveller are not modelled."""
    shape = (n, _TRIPS)
    years = (window[1] - window[0]) / MS_PER_DAY / 365.0
    many = np.minimum(streams.of("trips").poisson(people.trips_per_year * years, n), _TRIPS)
    start = window[0] + (streams.of("trip start").random(shape) * (window[1] - window[0])).astype(
        np.int64
    )
    days = people.trip_days.median * np.exp(
        people.trip_days.sigma * normal(streams.uniform("trip days", shape))
    )
    end = start + (days * MS_PER_DAY).astype(np.int64)
    goes = np.arange(_TRIPS) < many[:, None]
    world = np.flatnonzero(places.largest >= 0)
    weight = np.diff(np.concatenate(([0.0], places.people_cum)[:]))
    by_country = np.bincount(places.country, weight, len(places.countries))[world]
    abroad = world[pick(by_country, streams.uniform("trip country", shape).ravel())].reshape(shape)
    there = np.where(
        streams.uniform("trip abroad", shape) < people.trip_abroad, abroad, country[:, None]
    )
    city = places.draw_cities(there, streams.uniform("trip city", shape).astype(np.float64))
    return {
        "trip_start": np.where(goes, start, 2**62),
        "trip_end": np.where(goes, end, 2**62),
        "trip_city": city,
    }


def draw_traits(
    n: int, streams: Streams, scenario: Scenario, country: Array, window: tuple[int, int]
) -> Traits:
    """Draw what the holders of `n` accounts have besides; `country` holds codes of geography."""
    people = scenario.people
    activity = people.activity
    rate = activity.median * np.exp(activity.sigma * normal(streams.uniform("activity", n)))
    factors = np.full(n, 1 << FACTORS.index("otp"), np.uint8)
    for name, share in people.factors.items():
        has = streams.uniform(f"factor {name}", n) < share
        factors |= np.where(has, 1 << FACTORS.index(name), 0).astype(np.uint8)
    return Traits(
        created=_created(n, streams, people, window),
        logins_per_year=np.maximum(1.0, np.rint(rate)).astype(np.float32),
        line_type=_line_types(people, streams.uniform("line type", n)),
        whatsapp=streams.uniform("whatsapp", n) < _whatsapp_share(people)[country],
        factors=factors,
        slip_rate=np.minimum(
            people.slip_rate * (0.4 + 1.2 * streams.uniform("slips", n)), 0.95
        ).astype(np.float32),
        patience=np.exp(0.4 * normal(streams.uniform("patience", n))).astype(np.float32),
        skill=np.exp(0.3 * normal(streams.uniform("skill", n))).astype(np.float32),
    )


def _created(n: int, streams: Streams, people: People, window: tuple[int, int]) -> Array:
    """When the account was made: uniform over the window for the new ones, long before it else."""
    span = window[1] - window[0]
    new_share = min(people.created_share_per_year * span / MS_PER_DAY / 365.0, 0.9)
    new = streams.uniform("is new", n) < new_share
    place = streams.of("created").random(n)
    inside = window[0] + (place * (span - _LAST_SIGNUP_MS)).astype(np.int64)
    before = window[0] - ((30 + place * 1500) * MS_PER_DAY).astype(np.int64)
    return np.where(new, inside, before)


def _line_types(people: People, uniform: Array) -> Array:
    weights = np.array([people.line_types.get(name, 0.0) for name in LINE_TYPES])  # type: ignore[call-overload]
    return pick(weights, uniform).astype(np.uint8)


def _whatsapp_share(people: People) -> Array:
    from twofa_lab.traffic.geography import geography

    default = people.whatsapp["default"]
    return np.array([people.whatsapp.get(code, default) for code in geography().countries])
