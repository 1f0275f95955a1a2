"""What a server sees of a login: device, browser, address, place, round-trip time.

One function for everybody. It is given an actor and a time, never whether the actor is an
attacker, so that a simulated attack can only be told by what the attacker's means make different.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.compiled import loop, mix, part
from twofa_lab.tables import Array
from twofa_lab.traffic.calendar import Clock, offset_at
from twofa_lab.traffic.clients import DEVICE_TYPES
from twofa_lab.traffic.layout import Laid
from twofa_lab.traffic.networks import HOSTING, ISP, MOBILE, ORGANISATION
from twofa_lab.traffic.people import MS_PER_DAY, Actors
from twofa_lab.traffic.quantiles import NORMAL, SIZE

__all__ = ["Draws", "Seen", "Surroundings", "observe"]

_PHONE = DEVICE_TYPES.index("mobile")
_MS_PER_HOUR = 3_600_000
_BASE_RTT = np.array([14.0, 42.0, 9.0, 11.0], np.float32)  # ms by kind of network: assumption
_MS_PER_KM = 0.021  # there and back in fibre at two thirds of light speed, times two for detours


class Surroundings(NamedTuple):
    """Tables about places, blocks and browsers, and the scenario's shares."""

    city_country: Array
    city_zone: Array
    city_km: Array
    largest: Array
    block_start: Array
    block_size: Array
    block_asn: Array
    block_country: Array
    block_kind: Array
    block_cum: Array
    pool_first: Array
    pool_of: Array
    client_last: Array
    client_type: Array
    listed: Array
    upgrade_ms: int
    lease_ms: int
    private_share: float
    mobile_share: float
    hub_share: float
    rtt_measured: float


class Draws(NamedTuple):
    """Uniforms for each row, one stream each."""

    device: Array
    private: Array
    network: Array
    place: Array
    measured: Array
    rtt: Array


class Seen(NamedTuple):
    """What the server sees, column by column; `city` indexes geography's cities."""

    utc_offset_min: Array
    ip: Array
    ip_listed: Array
    asn: Array
    country: Array
    city: Array
    client: Array
    device_id: Array
    rtt_ms: Array


@part
def _block_there(around: Surroundings, country: int, kind: int, chance: float) -> int:
    """A block of that kind in a country, by its number of addresses."""
    pool = around.pool_of[country, kind]
    first, last = around.pool_first[pool], around.pool_first[pool + 1]
    low = around.block_cum[first - 1] if first > 0 else 0.0
    at = low + chance * (around.block_cum[last - 1] - low)
    while first < last - 1:
        middle = (first + last - 1) // 2
        if around.block_cum[middle] <= at:
            first = middle + 1
        else:
            last = middle + 1
    return first


@part
def _device(actors, actor, time, start, around, u_device, u_private):  # type: ignore[no-untyped-def]
    """The User-Agent row and the device's identity as the server knows it."""
    slot = 0
    while slot < 3 and u_device >= actors.device_share[actor, slot]:
        slot += 1
    until = actors.device_until[actor, slot]
    key = actors.device_key[actor, slot]
    if time >= until:  # replaced by a new device, which is a new identity
        client, since, key = actors.device_next[actor, slot], until, mix(key)
    else:
        client, since = actors.device_client[actor, slot], start
    client = min(client + (time - since) // around.upgrade_ms, around.client_last[client])
    epoch = np.uint64((time - since) // actors.device_cookie_ms[actor, slot])
    identity = mix(key ^ mix(epoch))
    if u_private < around.private_share:
        identity = mix(identity ^ np.uint64(time))
    return client, identity


@part
def _network(actors, actor, time, clock, around, phone, u_network, u_place):  # type: ignore[no-untyped-def]
    """The address block, city, and how often the address within the block changes (ms)."""
    city, away = actors.city[actor], -1
    for trip in range(actors.trip_start.shape[1]):
        if actors.trip_start[actor, trip] <= time < actors.trip_end[actor, trip]:
            city, away = actors.trip_city[actor, trip], trip
    vpn = actors.vpn_share[actor]
    if u_network < vpn:
        block = actors.vpn_block[actor]
        return block, around.largest[around.block_country[block]], 12 * _MS_PER_HOUR
    chance = (u_network - vpn) / (1.0 - vpn)
    key = mix(actors.key[actor] ^ np.uint64(away + 2))
    there = np.float64(key >> np.uint64(11)) / 9007199254740992.0
    country = around.city_country[city]
    abroad = country != actors.country[actor]
    mobile = around.mobile_share if phone else 0.03
    if chance < mobile:
        block = actors.mobile_block[actor]
        if abroad and u_place < 0.5:  # a local SIM; the other half roam through home
            block = _block_there(around, country, MOBILE, there)
        elif abroad:
            city = around.largest[actors.country[actor]]
        elif u_place < around.hub_share:
            city = around.largest[country]
        return block, city, 6 * _MS_PER_HOUR
    if away >= 0:
        return _block_there(around, country, ISP, there), city, 3 * MS_PER_DAY
    local = time + np.int64(offset_at(clock, actors.zone[actor], time)) * 60_000
    hour = local // _MS_PER_HOUR % 24
    weekday = (local // MS_PER_DAY + 3) % 7  # 1970-01-01 was a Thursday
    share = mobile + (1.0 - mobile) * actors.work_share[actor]
    if weekday < 5 and 8 <= hour < 18 and chance < share:
        return actors.work_block[actor], city, 2000 * MS_PER_DAY
    return actors.home_block[actor], city, around.lease_ms


@loop
def observe(
    laid: Laid,
    actors: Actors,
    homes: Array,
    clock: Clock,
    around: Surroundings,
    draws: Draws,
    seen: Seen,
) -> None:
    """Fill `seen` for every row; `homes` is each account's home time zone."""
    for i in range(len(laid.time)):
        time, actor = laid.time[i], laid.actor[i]
        client, identity = _device(
            actors, actor, time, clock.start, around, draws.device[i], draws.private[i]
        )
        phone = around.client_type[client] == _PHONE
        block, city, lease = _network(
            actors, actor, time, clock, around, phone, draws.network[i], draws.place[i]
        )
        kind = around.block_kind[block]
        size = around.block_size[block]
        # a connection stays in its part of a block: 4,096 addresses, a VPN exit 32
        part = min(size, np.uint64(32 if kind == HOSTING else 4096))
        corner = mix(actors.key[actor] if kind != HOSTING else np.uint64(block)) % (
            size - part + np.uint64(1)
        )
        turn = np.uint64((time - clock.start + MS_PER_DAY) // lease)
        ip = around.block_start[block] + corner + mix(actors.key[actor] ^ turn) % part
        country = around.block_country[block]
        if around.city_country[city] != country:
            city = around.largest[country]
        seen.utc_offset_min[i] = offset_at(clock, homes[laid.account[i]], time)
        seen.ip[i] = ip
        listed = np.float64(mix(ip) >> np.uint64(11)) / 9007199254740992.0
        seen.ip_listed[i] = listed < around.listed[kind]
        seen.asn[i] = around.block_asn[block]
        seen.country[i] = country
        seen.city[i] = city
        seen.client[i] = client
        seen.device_id[i] = identity
        if draws.measured[i] < around.rtt_measured:
            noise = np.exp(0.45 * NORMAL[np.int64(draws.rtt[i] * SIZE)])
            rtt = (_BASE_RTT[kind] + _MS_PER_KM * around.city_km[city]) * noise
            seen.rtt_ms[i] = np.uint16(min(max(rtt, 1.0), 60_000.0))


if len(_BASE_RTT) <= ORGANISATION:
    raise AssertionError("a base round-trip time is missing for a kind of network")
