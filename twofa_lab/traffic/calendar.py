"""When people log in: days by weekday, holiday and growth; hours on each person's own clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np

from twofa_lab.compiled import loop, part
from twofa_lab.tables import Array
from twofa_lab.traffic.geography import geography, zone_offsets
from twofa_lab.traffic.people import MS_PER_DAY, Actors
from twofa_lab.traffic.quantiles import NORMAL, SIZE
from twofa_lab.traffic.scenario import Calendar, Scenario

__all__ = ["Clock", "make_clock", "offset_at", "time_of_login", "times_of_logins", "window_of"]

_MS_PER_HOUR = 3_600_000
_MARGIN_HOURS = 48  # the offset table reaches past the window: local days straddle it


class Clock(NamedTuple):
    """The window as tables.

    `day_cum[slot, week, d]`: share of logins before day `d` for a country's slot and a person's
    kind of week; `slot_of[country]`; `offsets[zone, hour]` minutes to UTC from `offset_start` on;
    `hour_table`: quantiles of the daily rhythm, in hours.
    """

    start: int
    end: int
    day_cum: Array
    slot_of: Array
    offsets: Array
    offset_start: int
    hour_table: Array
    habit_share: float
    habit_spread: float


def window_of(scenario: Scenario, days: int) -> tuple[int, int, int]:
    """Start of the warm-up, start and end of the window that counts, in ms.

    >>> window_of(Scenario.load("us-consumer"), 90)[2] - window_of(Scenario.load("us-consumer"), 90)[1]
    7776000000
    """  # noqa: E501 - one example line
    midnight = datetime(scenario.start.year, scenario.start.month, scenario.start.day, tzinfo=UTC)
    start = int(midnight.timestamp()) * 1000
    return start - scenario.warmup_days * MS_PER_DAY, start, start + days * MS_PER_DAY


def make_clock(scenario: Scenario, days: int) -> Clock:
    """The calendar of a scenario over its warm-up and `days`."""
    first, _, end = window_of(scenario, days)
    places = geography()
    codes = list(dict.fromkeys([*scenario.people.countries, *scenario.attackers_from]))
    slot_of = np.zeros(len(places.countries), np.int32)
    for slot, code in enumerate(codes):
        slot_of[places.country_index(code)] = slot
    offset_start = first - _MARGIN_HOURS * _MS_PER_HOUR
    hours = (end - first) // _MS_PER_HOUR + 2 * _MARGIN_HOURS
    count = (end - first) // MS_PER_DAY
    day_cum = np.stack([_day_shares(scenario, code, first, count) for code in codes])
    cum = np.cumsum(np.array(scenario.calendar.hours, np.float64))
    share = (np.arange(SIZE) + 0.5) / SIZE * cum[-1]
    table = np.interp(share, np.concatenate(([0.0], cum)), np.arange(25.0))
    return Clock(
        start=first,
        end=end,
        day_cum=day_cum.astype(np.float32),
        slot_of=slot_of,
        offsets=zone_offsets(places.zones, offset_start, int(hours)),
        offset_start=offset_start,
        hour_table=table.astype(np.float32),
        habit_share=scenario.calendar.habit_share,
        habit_spread=scenario.calendar.habit_spread_hours,
    )


def _day_shares(scenario: Scenario, country: str, first_ms: int, count: int) -> Array:
    """Running share of logins by day for the three kinds of week: the scenario's own, one that
    leans to the weekend, and an even one.
    """
    calendar: Calendar = scenario.calendar
    first = datetime.fromtimestamp(first_ms / 1000, tz=UTC).date()
    days = [first + timedelta(days=index) for index in range(count)]
    off = _holidays(country, days)
    own = np.array(calendar.weekdays)
    weeks = (own, own[[5, 5, 5, 5, 5, 0, 0]], np.full(7, own.mean()))
    weekday = np.array([day.weekday() for day in days])
    growth = (1.0 + calendar.growth_per_year) ** (np.arange(count) / 365.0)
    rest = np.where([day in off for day in days], calendar.holiday_factor, 1.0)
    shares = []
    for week in weeks:
        cum = np.cumsum(week[weekday] * growth * rest + 1e-12)  # also where all of it is days off
        shares.append(np.concatenate(([0.0], cum / cum[-1])))
    return np.array(shares)


def _holidays(country: str, days: list[date]) -> set[date]:
    """Public holidays of a country; none where the `holidays` package does not know it."""
    import holidays

    years = sorted({day.year for day in days})
    try:
        return set(holidays.country_holidays(country, years=years))
    except NotImplementedError:
        return set()


@part
def offset_at(clock: Clock, zone: int, time: int) -> int:
    """Minutes to UTC of a time zone at a time in or near the window."""
    hour = (time - clock.offset_start) // _MS_PER_HOUR
    hour = min(max(hour, 0), clock.offsets.shape[1] - 1)
    return clock.offsets[zone, hour]


@part
def _day_of(clock: Clock, slot: int, week: int, share: float) -> int:
    """The day on which this share of a window's logins has passed: a binary search."""
    low, high = 0, clock.day_cum.shape[2] - 1
    while low < high - 1:
        middle = (low + high) // 2
        if clock.day_cum[slot, week, middle] <= share:
            low = middle
        else:
            high = middle
    return low


@loop
def time_of_login(
    clock: Clock,
    actors: Actors,
    city_zone: Array,
    actor: int,
    u_day: float,
    u_hour: float,
    u_minute: float,
) -> int:
    """A time (ms UTC) at which this person logs in, from three uniforms.

    The day follows the calendar of the home country; the hour is near one of the person's two
    habitual hours, else anywhere in the daily rhythm, on the clock of where the person is.
    """
    day = _day_of(clock, clock.slot_of[actors.country[actor]], actors.week[actor], u_day)
    if u_hour < clock.habit_share:
        part = u_hour / clock.habit_share * 2.0
        which = 0 if part < 1.0 else 1
        noise = NORMAL[min(np.int64((part - which) * SIZE), SIZE - 1)]
        hour = actors.habit_hours[actor, which] + clock.habit_spread * noise + u_minute * 0.2
    else:
        part = (u_hour - clock.habit_share) / (1.0 - clock.habit_share)
        hour = clock.hour_table[min(np.int64(part * SIZE), SIZE - 1)] + u_minute * 0.01
    local = clock.start + day * MS_PER_DAY + np.int64((hour % 24.0) * _MS_PER_HOUR)
    zone = actors.zone[actor]
    for trip in range(actors.trip_start.shape[1]):
        if actors.trip_start[actor, trip] <= local < actors.trip_end[actor, trip]:
            zone = city_zone[actors.trip_city[actor, trip]]
    # the offset is tabled by UTC: the first look-up finds about when that is, the second is right
    about = local - np.int64(offset_at(clock, zone, local)) * 60_000
    time = local - np.int64(offset_at(clock, zone, about)) * 60_000
    if time < clock.start:
        time += MS_PER_DAY
    if time >= clock.end:
        time -= MS_PER_DAY
    return time


@loop
def times_of_logins(
    clock: Clock,
    actors: Actors,
    city_zone: Array,
    index: Array,
    u_day: Array,
    u_hour: Array,
    u_minute: Array,
    times: Array,
) -> None:
    """`time_of_login` for each actor of `index`, written to `times`."""
    for i in range(len(index)):
        times[i] = time_of_login(
            clock, actors, city_zone, index[i], u_day[i], u_hour[i], u_minute[i]
        )
