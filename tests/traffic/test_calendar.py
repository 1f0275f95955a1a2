from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.traffic.calendar import make_clock, offset_at, times_of_logins, window_of
from twofa_lab.traffic.clients import clients
from twofa_lab.traffic.geography import geography, zone_offsets
from twofa_lab.traffic.networks import networks
from twofa_lab.traffic.people import MS_PER_DAY, Mix, draw_actors
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.streams import Streams

SOURCES = (geography(), networks(), clients())
MS_PER_HOUR = 3_600_000
EVEN_WEEK = [1, 1, 1, 1, 1, 1, 1]


def times(scenario, n=60_000, days=120, zones=None, seed=3):
    """When `n` different people log in once each; and whose home zones these are."""
    clock = make_clock(scenario, days)
    mix = Mix(scenario.people.countries)
    streams = Streams(seed, 0)
    actors = draw_actors(n, streams, scenario, mix, (clock.start, clock.end), SOURCES)
    never = np.full_like(actors.trip_start, 2**62)
    actors = actors._replace(trip_start=never, trip_end=never)
    if zones is not None:
        actors = actors._replace(zone=np.full(n, geography().zones.index(zones), np.int16))
    u = [streams.uniform(f"test {k}", n) for k in range(3)]
    found = times_of_logins(clock, actors, geography().zone, np.arange(n), *u)
    return clock, actors, found


def local(time_ms, zone):
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).astimezone(ZoneInfo(zone))


def hours_of_day(times_ms, zone):
    """Hours since local midnight, through Python's own time zone rules."""
    moments = [local(t, zone) for t in times_ms.tolist()]
    return np.array([m.hour + m.minute / 60 + m.second / 3600 for m in moments])


def test_the_window_begins_at_midnight_utc_after_the_warm_up(consumer):
    first, start, end = window_of(consumer, 90)
    assert datetime.fromtimestamp(start / 1000, tz=UTC) == datetime(2026, 1, 5, tzinfo=UTC)
    assert start - first == 30 * MS_PER_DAY
    assert end - start == 90 * MS_PER_DAY


def test_every_login_falls_into_the_window(consumer):
    clock, _, found = times(consumer, days=3)
    assert found.min() >= clock.start
    assert found.max() < clock.end


# --- hours


def test_the_hours_have_the_mean_and_spread_of_the_scenarios_profile(consumer):
    weights = np.array(consumer.calendar.hours)
    middle = np.arange(24) + 0.5
    mean = weights @ middle / weights.sum()
    spread = weights @ ((middle - mean) ** 2 + 1 / 12) / weights.sum()
    table = make_clock(consumer, 5).hour_table.astype(np.float64)
    assert table.mean() == pytest.approx(mean, abs=0.01)
    assert table.var() == pytest.approx(spread, rel=0.005)


def test_logins_follow_the_profile_on_the_home_clock(consumer):
    scenario = consumer.changed(calendar__habit_share=0.0, people__countries={"US": 1.0})
    _, _, found = times(scenario, n=20_000, zones="America/New_York")
    hour = hours_of_day(found, "America/New_York").astype(int)
    weights = np.array(scenario.calendar.hours)
    shares = np.bincount(hour, minlength=24) / len(hour)
    assert shares == pytest.approx(weights / weights.sum(), abs=0.006)


def test_habits_gather_a_persons_logins(consumer):
    clock = make_clock(consumer.changed(calendar__habit_share=1.0), 120)
    actors = draw_actors(
        1, Streams(1, 0), consumer, Mix({"US": 1.0}), (clock.start, clock.end), SOURCES
    )
    never = np.full_like(actors.trip_start, 2**62)
    actors = actors._replace(trip_start=never, trip_end=never)
    u = [np.random.default_rng(k).random(4_000, np.float32) for k in range(3)]
    found = times_of_logins(clock, actors, geography().zone, np.zeros(4_000, np.int64), *u)
    hour = hours_of_day(found, geography().zones[actors.zone[0]])
    distance = np.abs(hour[:, None] - actors.habit_hours[0])
    nearest = np.minimum(distance, 24 - distance).min(axis=1)
    assert np.mean(nearest < 2 * consumer.calendar.habit_spread_hours + 0.2) > 0.95


# --- days


def test_days_follow_weekdays_holidays_and_growth(consumer):
    scenario = consumer.changed(
        calendar__weekdays=[2, 1, 1, 1, 1, 0.5, 0.25],
        calendar__weeks=[1, 0, 0],
        calendar__growth_per_year=1.0,
        calendar__holiday_factor=0.5,
    )
    clock = make_clock(scenario, 366)
    places = geography()
    shares = np.diff(clock.day_cum[clock.slot_of[places.country_index("US")], 0].astype(float))
    first = datetime.fromtimestamp(clock.start / 1000, tz=UTC).date()
    day = {first + timedelta(days=k): share for k, share in enumerate(shares)}
    one = day[date(2026, 3, 3)]  # a Tuesday
    assert day[date(2026, 3, 2)] / one == pytest.approx(2.0, rel=0.01)  # Monday
    assert day[date(2026, 3, 7)] / one == pytest.approx(0.5, rel=0.02)  # Saturday
    assert day[date(2026, 3, 8)] / one == pytest.approx(0.25, rel=0.02)  # Sunday
    assert day[date(2026, 12, 25)] / day[date(2026, 12, 18)] == pytest.approx(0.5, rel=0.02)
    assert day[date(2026, 12, 1)] / one == pytest.approx(2 ** (273 / 365), rel=0.02)


def test_the_second_kind_of_week_leans_to_the_weekend_and_the_third_is_even(consumer):
    clock = make_clock(consumer.changed(calendar__growth_per_year=0.0), 28)
    slot = clock.slot_of[geography().country_index("NG")]  # no public holidays known for January
    weeks = np.diff(clock.day_cum[slot].astype(float), axis=1)[:, -28:].reshape(3, 4, 7)
    own, lean, even = weeks.mean(axis=1)  # the window begins on a Monday
    assert own[5] < own[0] < lean[5] * 1.3
    assert lean[5] > lean[0]
    assert even == pytest.approx(even.mean(), rel=0.02)


def test_a_window_of_nothing_but_days_off_still_has_days(consumer):
    scenario = consumer.changed(
        start="2026-01-10", warmup_days=0, calendar__weekdays=[1, 1, 1, 1, 1, 0, 0],
        calendar__weeks=[1, 0, 0],
    )  # fmt: skip
    clock, _, found = times(scenario, n=100, days=2)
    assert ((found >= clock.start) & (found < clock.end)).all()


# --- time zones


ZONES = ("America/New_York", "America/Los_Angeles", "Europe/Oslo", "America/Sao_Paulo",
         "Asia/Kolkata", "Australia/Sydney", "Pacific/Auckland")  # fmt: skip


@given(st.sampled_from(ZONES), st.integers(0, 120 * 24 * 60 - 1))
def test_offsets_are_the_tz_databases(zone, minutes):
    clock = _clock()
    time = clock.start + minutes * 60_000
    expected = local(time, zone).utcoffset()
    index = geography().zones.index(zone)
    assert offset_at(clock, index, time) * 60 == expected.total_seconds()


def _clock(cache=[]):  # noqa: B006 - made once for all examples
    if not cache:
        cache.append(make_clock(Scenario.load("us-consumer"), 120))
    return cache[0]


def test_beyond_the_table_the_last_offset_known_stands():
    clock = _clock()
    zone = geography().zones.index("Europe/Oslo")
    assert offset_at(clock, zone, clock.start - 10**12) == 60
    assert offset_at(clock, zone, clock.end + 10**12) == 120


def test_half_hour_changes_are_right_from_the_next_hour_on():
    start = int(datetime(2026, 4, 4, tzinfo=UTC).timestamp()) * 1000
    offsets = zone_offsets(("Australia/Lord_Howe",), start, 48)[0]
    assert {int(o) for o in offsets} == {660, 630}


@pytest.mark.parametrize(
    ("zone", "change"),
    [("America/New_York", "2026-03-08T07:00"), ("Europe/Oslo", "2026-03-29T01:00"),
     ("Australia/Sydney", "2026-04-04T16:00")],
)  # fmt: skip
def test_hours_of_life_stay_the_same_when_the_clocks_change(consumer, zone, change):
    scenario = consumer.changed(
        calendar__weekdays=EVEN_WEEK, calendar__growth_per_year=0.0, calendar__holiday_factor=1.0
    )
    _, _, found = times(scenario, n=120_000, zones=zone)
    moment = int(datetime.fromisoformat(change).replace(tzinfo=UTC).timestamp()) * 1000
    weeks = 3 * 7 * MS_PER_DAY
    before = found[(found >= moment - weeks) & (found < moment)]
    after = found[(found >= moment) & (found < moment + weeks)]
    assert min(len(before), len(after)) > 10_000
    jump = local(moment, zone).utcoffset() - local(moment - 1, zone).utcoffset()

    def profile(sample, shift_hours=0.0):
        hours = (sample / MS_PER_HOUR + shift_hours) % 24
        return np.bincount(hours.astype(int), minlength=24) / len(sample)

    on_the_clock = [np.bincount(hours_of_day(s, zone).astype(int), minlength=24) / len(s)
                    for s in (before, after)]  # fmt: skip
    assert 0.5 * np.abs(on_the_clock[0] - on_the_clock[1]).sum() < 0.02
    in_utc = 0.5 * np.abs(profile(before) - profile(after)).sum()
    moved = 0.5 * np.abs(profile(before) - profile(after, jump.total_seconds() / 3600)).sum()
    assert in_utc > 0.05  # the UTC hours did move
    assert moved < 0.02  # by the change


def test_on_the_day_the_clocks_change_logins_come_at_the_hour_that_was_meant(consumer):
    scenario = consumer.changed(calendar__habit_share=0.0, start="2026-03-07", warmup_days=0)
    clock = make_clock(scenario, 3)
    mix = Mix({"US": 1.0})
    actors = draw_actors(1, Streams(1, 0), scenario, mix, (clock.start, clock.end), SOURCES)
    never = np.full_like(actors.trip_start, 2**62)
    zone = np.array([geography().zones.index("America/New_York")], np.int16)
    actors = actors._replace(zone=zone, trip_start=never, trip_end=never)
    n = 2_000
    u_hour = ((np.arange(n) + 0.5) / n).astype(np.float32)
    second_day, still = np.full(n, 0.5, np.float32), np.zeros(n, np.float32)
    found = times_of_logins(clock, actors, geography().zone, np.zeros(n, np.int64),
                            second_day, u_hour, still)  # fmt: skip
    assert {local(t, "America/New_York").date() for t in found.tolist()} == {date(2026, 3, 8)}
    meant = clock.hour_table[(u_hour * 4096).astype(int)]
    skipped = (meant >= 2) & (meant < 3)  # the hour that never was
    got = hours_of_day(found, "America/New_York")
    assert np.abs(got - meant)[~skipped].max() < 1 / 3600 + 1e-3
