"""Attackers: who is hit when, by whom, and what the attacker could get past.

An attacker is an actor drawn like everybody (`people.draw_actors`), with other home countries and
networks. Targeted kinds put on what they know of the victim: the city and browser; or the network
block, device model and hours too; or the victim's own device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from twofa_lab.catalog.efficacy import PASS_SHARE, WAYS
from twofa_lab.tables import ATTACKS, FACTORS, Array
from twofa_lab.traffic.calendar import Clock, times_of_logins
from twofa_lab.traffic.clients import Clients
from twofa_lab.traffic.geography import Geography
from twofa_lab.traffic.layout import AttackRows
from twofa_lab.traffic.networks import HOSTING, ISP, Networks
from twofa_lab.traffic.people import MS_PER_DAY, Actors, Mix, Traits, draw_actors, stack, take
from twofa_lab.traffic.scenario import Attack, Scenario
from twofa_lab.traffic.streams import GLOBAL, Streams

__all__ = ["Criminals", "Raid", "draw_criminals", "raid"]

_POOL = 3000  # criminals of each kind in a world: assumption
_CREW = 60  # of them at work in one campaign: assumption
_GUESSES = ("password_spray", "brute_force")  # the right password, if ever, is the last tried
_PUSH = 1 << FACTORS.index("push")  # only prompts can be bombed
_MASS = ("credential_stuffing", "password_spray", "brute_force")  # know nothing of their victims
_RETURN_DAYS = 6.0  # mean days between later visits: assumption


@dataclass(frozen=True)
class Criminals:
    """What is the same for every shard: the actors of each kind, and its campaigns.

    `first[kind]` is where the kind's actors begin in `actors`; `campaigns[kind]` holds start times
    (ms) and `campaign_id[kind]` the number of its first campaign.
    """

    actors: Actors
    first: dict[str, int]
    campaigns: dict[str, Array]
    campaign_id: dict[str, int]


class Raid(NamedTuple):
    """One shard's attacks: rows, further actors they need, and what each hit gets past."""

    rows: AttackRows
    actors: Actors
    defeats: Array


def draw_criminals(
    scenario: Scenario,
    seed: int,
    clock: Clock,
    window_start: int,
    sources: tuple[Geography, Networks, Clients],
) -> Criminals:
    """Draw every kind's actors and campaigns, from streams of the whole world."""
    groups: list[Actors] = []
    first: dict[str, int] = {}
    campaigns: dict[str, Array] = {}
    campaign_id: dict[str, int] = {}
    number = 0
    for kind, attack in scenario.attacks.items():
        streams = Streams(seed, GLOBAL)
        first[kind] = _POOL * len(groups)
        named = streams.named(kind)
        groups.append(_pool(scenario, kind, named, clock, sources))
        campaigns[kind] = _campaigns(attack, named, clock, window_start)
        campaign_id[kind] = number
        number += max(len(campaigns[kind]), 1)
    if not groups:  # a world without attacks
        mix = Mix(scenario.people.countries)
        window = (clock.start, clock.end)
        groups.append(draw_actors(0, Streams(seed, GLOBAL), scenario, mix, window, sources))
    return Criminals(stack(*groups), first, campaigns, campaign_id)


def _pool(
    scenario: Scenario,
    kind: str,
    streams: Streams,
    clock: Clock,
    sources: tuple[Geography, Networks, Clients],
) -> Actors:
    """A kind's actors: in every crew the share `same_country` lives where the accounts do.
    Those who know their victim take that victim's country instead (`_disguise`).
    """
    attack = scenario.attacks[kind]
    share = attack.same_country if kind in _MASS else 0.0
    window = (clock.start, clock.end)
    mix = Mix(scenario.attackers_from, attack.network)
    far = draw_actors(_POOL, streams.named("far"), scenario, mix, window, sources)
    if share == 0.0:
        return far
    mix = Mix(scenario.people.countries, attack.network)
    near = draw_actors(_POOL, streams.named("near"), scenario, mix, window, sources)
    position = np.arange(_POOL)
    is_near = position % _CREW < round(_CREW * share)
    return take(stack(near, far), np.where(is_near, position, position + _POOL))


def _campaigns(attack: Attack, streams: Streams, clock: Clock, window_start: int) -> Array:
    """Start times of a kind's campaigns: evenly likely over the window, plus the named days."""
    rng = streams.of("campaigns")
    years = (clock.end - clock.start) / MS_PER_DAY / 365.0
    count = int(rng.poisson(attack.campaigns_per_year * years))
    if attack.campaigns_per_year > 0 and count == 0:
        count = 1
    starts = clock.start + (rng.random(count) * (clock.end - clock.start)).astype(np.int64)
    waves = window_start + np.array(attack.wave_days, np.int64) * MS_PER_DAY
    return np.sort(np.concatenate([starts, waves[waves < clock.end]]))


def raid(
    scenario: Scenario,
    streams: Streams,
    people: Actors,
    traits: Traits,
    criminals: Criminals,
    clock: Clock,
    sources: tuple[Geography, Networks, Clients],
) -> Raid:
    """All attacks on one shard's accounts; actor numbers count people, criminals, then `actors`."""
    hits = []
    everybody = np.arange(len(people.city))
    extra: list[Actors] = []
    next_actor = len(people.city) + len(criminals.actors.city)
    next_hit = 0
    for kind, attack in scenario.attacks.items():
        prone = np.flatnonzero(traits.factors & _PUSH) if kind == "push_bombing" else everybody
        hit = _hits(kind, attack, streams.named(kind), people, prone, criminals, clock, sources)
        if hit.disguise is not None:
            count = len(hit.disguise.city)
            hit.rows["actor"] += next_actor
            extra.append(hit.disguise)
            next_actor += count
        else:
            hit.rows["actor"] += len(people.city)
        hit.rows["hit"] += next_hit
        next_hit += len(hit.defeats)
        hits.append(hit)
    columns = {
        name: np.concatenate([hit.rows[name] for hit in hits]) if hits else np.zeros(0, np.int64)
        for name in ("account", "time", "password_ok", "kind", "campaign", "actor", "hit")
    }
    keep = (columns["time"] < clock.end) & (columns["time"] > traits.created[columns["account"]])
    columns = {name: values[keep] for name, values in columns.items()}
    order = np.lexsort((columns["time"], columns["account"]))
    starts = np.searchsorted(columns["account"][order], np.arange(len(people.city) + 1))
    return Raid(
        rows=AttackRows(
            starts=starts.astype(np.int64),
            time=columns["time"][order].astype(np.int64),
            password_ok=columns["password_ok"][order].astype(bool),
            kind=columns["kind"][order].astype(np.uint8),
            campaign=columns["campaign"][order].astype(np.int32),
            actor=columns["actor"][order].astype(np.int32),
            hit=columns["hit"][order].astype(np.int32),
        ),
        actors=stack(*extra) if extra else take(people, np.arange(0)),
        defeats=np.concatenate([hit.defeats for hit in hits]) if hits else np.zeros(0, np.uint8),
    )


class _Hits(NamedTuple):
    """Hits of one kind, unrolled to attempts; `disguise`: one actor a hit, for targeted kinds."""

    rows: dict[str, Array]
    defeats: Array
    disguise: Actors | None


def _hits(
    kind: str,
    attack: Attack,
    streams: Streams,
    people: Actors,
    prone: Array,
    criminals: Criminals,
    clock: Clock,
    sources: tuple[Geography, Networks, Clients],
) -> _Hits:
    """Hits on the accounts of `prone`, at the kind's rate among those."""
    years = (clock.end - clock.start) / MS_PER_DAY / 365.0
    count = int(streams.of("hits").poisson(attack.reach_per_year * years * len(prone)))
    account = prone[(streams.of("accounts").random(count) * len(prone)).astype(np.int64)]
    campaigns = criminals.campaigns[kind]
    which = (streams.of("campaign").random(count) * max(len(campaigns), 1)).astype(np.int64)
    crew = (which * _CREW + streams.of("crew").integers(0, _CREW, count)) % _POOL
    if not len(campaigns):
        crew = streams.of("criminal").integers(0, _POOL, count)
    criminal = criminals.first[kind] + crew
    actors, index, disguise = criminals.actors, criminal, None
    if kind not in _MASS:
        disguise = _disguise(
            kind, attack, streams, take(people, account), take(criminals.actors, criminal), sources
        )
        actors, index = disguise, np.arange(count)
    start = _first_times(attack, streams, campaigns, which, actors, index, clock, sources[0].zone)
    right = streams.of("password").random(count) < attack.password_right
    rows = _attempts(kind, attack, streams, start, right)
    hit = rows["hit"]
    rows |= {
        "account": account[hit],
        "campaign": (criminals.campaign_id[kind] + which)[hit],
        "kind": np.full(len(hit), ATTACKS.index(kind)),
        "actor": index[hit],
    }
    return _Hits(rows, _defeats(kind, streams, count), disguise)


def _disguise(
    kind: str,
    attack: Attack,
    streams: Streams,
    victim: Actors,
    criminal: Actors,
    sources: tuple[Geography, Networks, Clients],
) -> Actors:
    """Who the server will see: the criminal, wearing what this kind knows of the victim."""
    places, nets, _ = sources
    count = len(victim.city)
    if kind == "stolen_device":
        first_only = np.broadcast_to(np.float32(1.0), victim.device_share.shape).copy()
        away = nets.draw_blocks(victim.country, ISP, streams.uniform("fence", count))
        at_home = streams.uniform("near home", count) < 0.3  # assumption: a relative, a flatmate
        home = np.where(at_home, victim.home_block, away).astype(np.int32)
        return victim._replace(device_share=first_only, home_block=home)
    near = streams.uniform("same country", count) < attack.same_country
    local = nets.draw_blocks(victim.country, ISP, streams.uniform("local block", count))
    city = np.where(
        near,
        places.draw_cities(
            victim.country.astype(np.int64), streams.uniform("near city", count).astype(np.float64)
        ),
        criminal.city,
    ).astype(np.int32)
    residential = nets.kind[criminal.home_block] == ISP
    home = np.where(near & residential, local, criminal.home_block).astype(np.int32)
    seen = criminal._replace(
        city=city,
        home_block=home,
        country=places.country[city],
        vpn_block=np.where(near, _exit_near(nets, victim, streams), criminal.vpn_block).astype(
            np.int32
        ),
        mobile_block=np.where(near, victim.mobile_block, criminal.mobile_block).astype(np.int32),
        work_share=np.zeros(count, np.float32),
    )
    if kind in ("targeted", "very_targeted"):
        seen = seen._replace(
            city=victim.city,
            country=victim.country,
            zone=victim.zone,
            device_client=victim.device_client,
            device_next=victim.device_next,
            device_until=victim.device_until,
            device_share=victim.device_share,
        )
    if kind == "very_targeted":
        seen = seen._replace(
            home_block=victim.home_block,
            work_block=victim.work_block,
            work_share=victim.work_share,
            habit_hours=victim.habit_hours,
            week=victim.week,
        )
    return seen


def _exit_near(nets: Networks, victim: Actors, streams: Streams) -> Array:
    """A VPN exit in the victim's country."""
    return nets.draw_blocks(victim.country, HOSTING, streams.uniform("exit", len(victim.city)))


def _first_times(
    attack: Attack,
    streams: Streams,
    campaigns: Array,
    which: Array,
    actors: Actors,
    index: Array,
    clock: Clock,
    city_zone: Array,
) -> Array:
    """When each hit begins: at any time of a campaign, or by the attacker's own habits."""
    count = len(which)
    if len(campaigns):
        spread = streams.of("in campaign").random(count) * attack.campaign_hours * 3_600_000
        return campaigns[which] + spread.astype(np.int64)
    u = streams.uniform("when", (3, count))
    times = np.empty(count, np.int64)
    times_of_logins(clock, actors, city_zone, index, u[0], u[1], u[2], times)
    return times


def _attempts(
    kind: str, attack: Attack, streams: Streams, start: Array, right: Array
) -> dict[str, Array]:
    """Unroll hits into attempts, and later visits of those who hold the right password."""
    count = len(start)
    tries = 1 + streams.of("tries").poisson(attack.attempts - 1.0, count)
    hit = np.repeat(np.arange(count), tries)
    first = np.concatenate(([0], np.cumsum(tries)))[:-1]
    nth = np.arange(len(hit)) - first[hit]
    gaps = streams.of("gaps").exponential(attack.gap_seconds * 1000.0, len(hit))
    gaps[nth == 0] = 0.0
    since = np.cumsum(gaps)
    time = start[hit] + (since - since[first][hit]).astype(np.int64)
    last = nth == tries[hit] - 1
    ok = right[hit] & (last if kind in _GUESSES else True)
    visits = np.where(right, streams.of("returns").poisson(attack.returns, count), 0)
    again = np.repeat(np.arange(count), visits)
    later = streams.of("return times").exponential(_RETURN_DAYS * MS_PER_DAY, len(again))
    return {
        "hit": np.concatenate([hit, again]),
        "time": np.concatenate([time, start[again] + later.astype(np.int64)]),
        "password_ok": np.concatenate([ok, np.ones(len(again), bool)]),
    }


def _defeats(kind: str, streams: Streams, count: int) -> Array:
    """Bit mask over WAYS for each hit. One uniform a hit: an attacker who gets past a harder way
    would get past an easier one too.
    """
    chance = streams.of("skill").random(count)
    mask = np.zeros(count, np.uint8)
    for bit, share in enumerate(PASS_SHARE[kind]):
        mask |= np.where(chance < share, 1 << bit, 0).astype(np.uint8)
    return mask


if any(len(shares) != len(WAYS) for shares in PASS_SHARE.values()):
    raise AssertionError("the efficacy table is out of step with the ways to answer")
