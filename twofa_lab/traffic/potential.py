"""Potential outcomes: what would happen if this login were challenged, drawn for every row.

Attackers' rows draw from the same streams and tables as everybody's; only `po_defeats` is theirs,
and it is assigned by hit (`attackers.py`), not here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.compiled import loop, part
from twofa_lab.tables import CHANNELS, LINE_TYPES, POTENTIAL_OUTCOMES, Array
from twofa_lab.traffic.calendar import window_of
from twofa_lab.traffic.geography import geography
from twofa_lab.traffic.people import MS_PER_DAY, Traits
from twofa_lab.traffic.quantiles import SIZE, delay_table, lognormal_table
from twofa_lab.traffic.scenario import Carrier, Incident, Scenario
from twofa_lab.traffic.streams import Streams

__all__ = [
    "Habits",
    "PotentialDraws",
    "PotentialOutcomes",
    "draw_potential",
    "make_habits",
    "potential_columns",
]

_WHATSAPP, _SMS, _VOICE = (CHANNELS.index(name) for name in ("whatsapp", "sms", "voice"))
_LANDLINE = LINE_TYPES.index("landline")
_LONGEST_DS = 60_000


class Habits(NamedTuple):
    """The scenario's distributions as tables.

    `delays[slot, channel]`: quantiles in deciseconds of a delivery slot; slot 0 is the default,
    then a slot a listed country, then as many again for every incident. `slot_of[country]`;
    `incident_*`: window, channel and which countries' slots it moves.
    """

    delays: Array
    slot_of: Array
    slots: int
    incident_start: Array
    incident_end: Array
    incident_channel: Array
    incident_hits: Array
    entry: Array
    patience: Array
    wrong_code: float
    at_hand: Array
    trusts: float
    resends: float
    passkey_works: float


class PotentialDraws(NamedTuple):
    """Uniforms for each row, one stream each; `acts` holds four 16-bit uniforms a row."""

    whatsapp: Array
    sms: Array
    voice: Array
    resend: Array
    entry: Array
    patience: Array
    wrong: Array
    acts: Array


class PotentialOutcomes(NamedTuple):
    """The `po_*` columns of the logins table, in its order, `po_defeats` apart."""

    po_whatsapp_ds: Array
    po_sms_ds: Array
    po_voice_ds: Array
    po_resend_ds: Array
    po_entry_ds: Array
    po_patience_ds: Array
    po_wrong_codes: Array
    po_phone_at_hand: Array
    po_trusts_device: Array
    po_resends: Array
    po_passkey_works: Array


def make_habits(scenario: Scenario, device_types: int, phone: int) -> Habits:
    """Tables for a scenario; `phone` is the code of the device type that is itself the phone."""
    places = geography()
    listed = [code for code in scenario.delivery if code != "default"]
    slots = 1 + len(listed)
    slot_of = np.zeros(len(places.countries), np.int32)
    for index, code in enumerate(listed):
        slot_of[places.country_index(code)] = index + 1
    carriers = [_carriers(scenario, code) for code in ("default", *listed)]
    start_ms = window_of(scenario, 1)[1]
    delays = [[_table(by_name[name]) for name in CHANNELS[1:]] for by_name in carriers]
    for incident in scenario.incidents:
        delays += [[_table(c[name], incident) for name in CHANNELS[1:]] for c in carriers]
    challenge = scenario.challenge
    at_hand = np.full(device_types, challenge.phone_at_hand_elsewhere)
    at_hand[phone] = challenge.phone_at_hand_on_mobile
    begins = [start_ms + i.day * MS_PER_DAY + int(i.hour * 3_600_000) for i in scenario.incidents]
    lasts = [int(i.hours * 3_600_000) for i in scenario.incidents]
    return Habits(
        delays=np.array(delays, np.uint16),
        slot_of=slot_of,
        slots=slots,
        incident_start=np.array(begins, np.int64),
        incident_end=np.array(begins, np.int64) + np.array(lasts, np.int64),
        incident_channel=np.array([CHANNELS.index(i.channel) for i in scenario.incidents], np.int8),
        incident_hits=np.array(
            [
                [not i.countries or code in i.countries for code in places.countries]
                for i in scenario.incidents
            ],
            bool,
        ).reshape(len(scenario.incidents), len(places.countries)),
        entry=lognormal_table(challenge.entry_seconds.median * 10, challenge.entry_seconds.sigma),
        patience=lognormal_table(
            challenge.patience_seconds.median * 10, challenge.patience_seconds.sigma
        ),
        wrong_code=challenge.wrong_code,
        at_hand=at_hand,
        trusts=challenge.trusts_device,
        resends=challenge.resends,
        passkey_works=challenge.passkey_works,
    )


def _carriers(scenario: Scenario, code: str) -> dict[str, Carrier]:
    return {**scenario.delivery["default"], **scenario.delivery[code]}  # type: ignore[dict-item]


def _table(carrier: Carrier, incident: Incident | None = None) -> Array:
    loss, median = carrier.loss, carrier.seconds.median
    if incident:
        loss, median = 1.0 - (1.0 - loss) * (1.0 - incident.loss), median * incident.slower
    return delay_table(loss, median, carrier.seconds.sigma)


def potential_columns(
    time: Array,
    account: Array,
    device_type: Array,
    country: Array,
    traits: Traits,
    streams: Streams,
    habits: Habits,
) -> dict[str, Array]:
    """The `po_*` columns of rows, `po_defeats` apart; arguments as `draw_potential`'s."""
    n = len(time)
    dtypes = {column.name: column.dtype for column in POTENTIAL_OUTCOMES}
    out = PotentialOutcomes._make(np.zeros(n, dtypes[name]) for name in PotentialOutcomes._fields)
    names = [name for name in PotentialDraws._fields if name != "acts"]
    draws = PotentialDraws(
        **{name: streams.uniform(f"challenge {name}", n) for name in names},
        acts=streams.keys("challenge acts", n),
    )
    draw_potential(time, account, device_type, country, traits, habits, draws, out)
    return out._asdict()


@part
def _slot(habits: Habits, country: int, channel: int, time: int) -> int:
    """The delivery slot in force for a country and channel at a time."""
    slot = habits.slot_of[country]
    for k in range(len(habits.incident_start)):
        if (
            habits.incident_channel[k] == channel
            and habits.incident_start[k] <= time < habits.incident_end[k]
            and habits.incident_hits[k, country]
        ):
            return slot + habits.slots * (k + 1)
    return slot


@part
def _delay(habits: Habits, country: int, channel: int, time: int, uniform: float) -> int:
    slot = _slot(habits, country, channel, time)
    return habits.delays[slot, channel - 1, np.int64(uniform * SIZE)]


@loop
def draw_potential(
    time: Array,
    account: Array,
    device_type: Array,
    country: Array,
    traits: Traits,
    habits: Habits,
    draws: PotentialDraws,
    out: PotentialOutcomes,
) -> None:
    """Fill `out` for every row. `account` indexes `traits` and the home `country` of accounts."""
    for i in range(len(time)):
        a = account[i]
        home, when = country[a], time[i]
        out.po_whatsapp_ds[i] = _delay(habits, home, _WHATSAPP, when, draws.whatsapp[i])
        out.po_sms_ds[i] = _delay(habits, home, _SMS, when, draws.sms[i])
        out.po_voice_ds[i] = _delay(habits, home, _VOICE, when, draws.voice[i])
        # a resend goes out on the first channel: the person's best one, whatever the plan's order
        best = _WHATSAPP if traits.whatsapp[a] else _SMS
        if best == _SMS and traits.line_type[a] == _LANDLINE:
            best = _VOICE
        out.po_resend_ds[i] = _delay(habits, home, best, when, draws.resend[i])
        entry = habits.entry[np.int64(draws.entry[i] * SIZE)] * traits.skill[a]
        out.po_entry_ds[i] = np.uint16(min(max(entry, 10.0), _LONGEST_DS))
        wait = habits.patience[np.int64(draws.patience[i] * SIZE)] * traits.patience[a]
        out.po_patience_ds[i] = np.uint16(min(max(wait, 10.0), _LONGEST_DS))
        wrong, chance, left = 0, habits.wrong_code, draws.wrong[i]
        while wrong < 20 and left < chance:
            wrong, left = wrong + 1, left / chance
        out.po_wrong_codes[i] = wrong
        acts = draws.acts[i]
        out.po_phone_at_hand[i] = _part(acts, 0) < habits.at_hand[device_type[i]]
        out.po_trusts_device[i] = _part(acts, 1) < habits.trusts
        out.po_resends[i] = _part(acts, 2) < habits.resends
        out.po_passkey_works[i] = _part(acts, 3) < habits.passkey_works


@part
def _part(acts: np.uint64, which: int) -> float:
    """One of the four 16-bit uniforms in a 64-bit draw."""
    return np.float64((acts >> np.uint64(16 * which)) & np.uint64(0xFFFF)) / 65536.0
