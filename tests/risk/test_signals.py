"""Each signal to its edge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.risk.past import DAY, HOUR, MINUTE, NOON, SECOND, Past
from twofa_lab.risk.signals import BITS, SignalRules, local_hour
from twofa_lab.tables import SIGNALS


def test_each_signal_has_a_bit_of_its_own() -> None:
    assert sorted(BITS.values()) == [1, 2, 4, 8, 16]
    assert tuple(BITS) == SIGNALS


def test_the_guides_numbers_are_the_defaults() -> None:
    assert SignalRules().device_memory_ms == 30 * DAY
    assert SignalRules().burst_window_ms == 30 * MINUTE


# First login, thin history.


@pytest.mark.parametrize("place", [(-1, -1), (0, 0), (3, 7)])
@pytest.mark.parametrize("hour", range(0, 24, 5))
def test_on_a_first_login_only_the_device_signal_can_fire(
    place: tuple[int, int], hour: int
) -> None:
    country, region = place
    assert Past().signals(NOON + hour * HOUR, 1, country, region) == {"new_device"}


def test_failed_passwords_before_the_first_login_count() -> None:
    assert Past().failed(NOON, NOON, NOON).signals() == {"new_device", "failed_burst"}


# new_device


@pytest.mark.parametrize(
    ("later", "new"),
    [(0, False), (1, False), (30 * DAY - 1, False), (30 * DAY, False), (30 * DAY + 1, True)],
)
def test_a_device_is_remembered_for_30_days_to_the_millisecond(later: int, new: bool) -> None:
    assert ("new_device" in Past().completed().signals(NOON + later)) == new


def test_every_completed_login_renews_the_memory() -> None:
    past = Past().completed(NOON).completed(NOON + 20 * DAY)
    assert past.signals(NOON + 50 * DAY) == set()
    assert past.signals(NOON + 50 * DAY + 1) == {"new_device"}


def test_a_forgotten_device_is_known_again_after_one_login() -> None:
    past = Past().completed(NOON).completed(NOON + 100 * DAY)
    assert past.signals(NOON + 101 * DAY) == set()


def test_a_device_is_another_devices_stranger() -> None:
    past = Past().completed(device=1).completed(device=2)
    assert past.signals(device=1) == past.signals(device=2) == set()
    assert past.signals(device=3) == {"new_device"}


def test_an_unknown_device_is_always_new() -> None:
    past = Past().completed(device=0, times=5)
    assert past.signals(device=0) == {"new_device"}
    assert past.completed(device=1).signals(device=0) == {"new_device"}


def test_failed_passwords_make_no_device_known() -> None:
    assert Past().completed(device=2).failed(NOON).signals(device=1) == {"new_device"}


# new_country, new_region


def test_a_country_is_new_until_a_login_from_it_was_completed() -> None:
    past = Past().completed(country=0, region=0)
    assert past.signals(country=0, region=0) == set()
    assert past.signals(country=1, region=3) == {"new_country"}
    assert past.completed(country=1, region=3).signals(country=1, region=3) == set()


def test_a_new_country_does_not_report_its_region_as_well() -> None:
    assert Past().completed(country=0, region=0).signals(country=1, region=9) == {"new_country"}


def test_a_new_region_of_a_known_country_fires_alone() -> None:
    past = Past().completed(country=0, region=0)
    assert past.signals(country=0, region=1) == {"new_region"}
    assert past.completed(country=0, region=1).signals(country=0, region=1) == set()


def test_a_country_never_wears_off() -> None:
    past = Past().completed(country=1, region=3).completed(country=0, region=0)
    assert past.signals(NOON + 5_000 * DAY, country=1, region=3) == {"new_device"}


def test_a_place_that_cannot_be_told_never_fires() -> None:
    past = Past().completed(country=0, region=0)
    assert past.signals(country=-1, region=-1) == set()
    assert past.signals(country=0, region=-1) == set()
    assert past.signals(country=-1, region=9) == set()  # a region means nothing without a country


def test_a_login_from_nowhere_leaves_no_place_behind() -> None:
    past = Past().completed(country=-1, region=-1)
    assert past.signals(country=0, region=0) == {"new_country"}
    past = Past().completed(country=0, region=-1)
    assert past.signals(country=0, region=0) == {"new_region"}
    assert past.signals(country=0, region=-1) == set()


def test_the_highest_codes_have_their_place() -> None:
    past = Past().completed(country=4, region=9)
    assert past.signals(country=4, region=9) == set()
    assert past.signals(country=0, region=0) == {"new_country"}
    assert past.signals(country=4, region=0) == {"new_region"}


# odd_hour


@pytest.mark.parametrize(("before", "odd"), [(9, False), (10, True)])
def test_below_ten_completed_logins_the_hour_says_nothing(before: int, odd: bool) -> None:
    past = Past().completed(times=before)
    assert ("odd_hour" in past.signals(NOON + 6 * HOUR)) == odd


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_an_hour_away_is_usual(hours: int) -> None:
    assert Past().completed(times=50).signals(NOON + hours * HOUR) == set()


@pytest.mark.parametrize("hours", [-2, 2, 12])
def test_two_hours_away_is_odd(hours: int) -> None:
    assert Past().completed(times=50).signals(NOON + hours * HOUR) == {"odd_hour"}


@pytest.mark.parametrize(("usual", "odd"), [(48, False), (49, True), (50, True)])
def test_one_in_fifty_is_odd_and_more_is_not(usual: int, odd: bool) -> None:
    past = Past().completed(times=usual).completed(NOON + 6 * HOUR)
    assert ("odd_hour" in past.signals(NOON + 6 * HOUR)) == odd


def test_two_in_a_hundred_are_one_in_fifty() -> None:
    past = Past(200).completed(times=98).completed(NOON + 6 * HOUR, times=2)
    assert past.signals(NOON + 6 * HOUR) == {"odd_hour"}
    assert past.completed(NOON + 7 * HOUR).signals(NOON + 6 * HOUR) == set()


@pytest.mark.parametrize(("usual", "now"), [(23, 0), (0, 23), (0, 0), (23, 22), (0, 1)])
def test_midnight_is_no_edge(usual: int, now: int) -> None:
    midnight = NOON - 12 * HOUR
    past = Past().completed(midnight + usual * HOUR, times=20)
    assert past.signals(midnight + 2 * DAY + now * HOUR) == set()
    assert past.signals(midnight + 2 * DAY + (now + 12) % 24 * HOUR) == {"odd_hour"}


def test_the_hour_is_the_accounts_own() -> None:
    """Twelve at home, winter and summer, though an hour apart in UTC; and each on its offset."""
    past = Past().completed(NOON - HOUR, offset=60, times=20)  # 12:00 in Paris, winter
    assert past.signals(NOON - 2 * HOUR, offset=120) == set()  # 12:00, summer
    assert past.signals(NOON - 4 * HOUR, offset=120) == {"odd_hour"}  # 10:00, summer
    assert past.signals(NOON - 4 * HOUR, offset=180) == set()  # 11:00


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York", "Australia/Lord_Howe"])
@given(hour=st.integers(0, 24 * 366 * 2), minute=st.integers(0, 59))
def test_local_hour_is_the_wall_clocks(zone: str, hour: int, minute: int) -> None:
    """With the offset in force, across every daylight-saving change, half hours too."""
    moment = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=hour, minutes=minute)
    local = moment.astimezone(ZoneInfo(zone))
    minutes = int(local.utcoffset().total_seconds()) // 60
    assert local_hour(int(moment.timestamp()) * SECOND, minutes) == local.hour


@given(st.integers(-(2**45), 2**45), st.integers(-12 * 60, 14 * 60))
def test_local_hour_before_1970_too(time: int, offset: int) -> None:
    home = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time, minutes=offset)
    assert local_hour(time, offset) == home.hour


# failed_burst


@pytest.mark.parametrize(("failures", "burst"), [(0, False), (2, False), (3, True), (4, True)])
def test_three_failures_are_a_burst(failures: int, burst: bool) -> None:
    past = Past().completed().failed(*[NOON] * failures)
    assert past.signals() == ({"failed_burst"} if burst else set())
    assert past.failures(NOON) == failures


@pytest.mark.parametrize(("later", "counted"), [(0, 3), (30 * MINUTE, 3), (30 * MINUTE + 1, 0)])
def test_failures_count_for_30_minutes_to_the_millisecond(later: int, counted: int) -> None:
    assert Past().failed(NOON, NOON, NOON).failures(NOON + later) == counted


def test_failures_drop_out_one_by_one() -> None:
    past = Past().completed().failed(NOON, NOON + MINUTE, NOON + 2 * MINUTE)
    assert past.signals(NOON + 30 * MINUTE) == {"failed_burst"}
    assert past.failures(NOON + 31 * MINUTE) == 2
    assert past.signals(NOON + 31 * MINUTE) == set()


def test_a_completed_login_does_not_clear_the_window() -> None:
    past = Past().failed(NOON, NOON, NOON).completed()
    assert past.signals(NOON + MINUTE) == {"failed_burst"}


@pytest.mark.parametrize("count", [32, 33, 64, 65, 1_000])
def test_of_many_failures_the_latest_32_are_remembered(count: int) -> None:
    past = Past().completed().failed(*(NOON + n for n in range(count)))
    assert past.failures(NOON + count) == 32
    assert past.signals(NOON + count) == {"failed_burst"}
    last = NOON + count - 1
    assert past.failures(last + 30 * MINUTE) == 1
    assert past.failures(last + 30 * MINUTE - 2) == 3
    assert past.failures(last + 30 * MINUTE + 1) == 0


# Rules of one's own.


def test_the_numbers_can_be_changed() -> None:
    rules = SignalRules(
        device_memory_ms=DAY, burst_window_ms=MINUTE, burst_count=1, thin_history=2,
        odd_hour_one_in=3,
    )  # fmt: skip
    past = Past(rules=rules).completed(times=2).failed(NOON)
    assert past.signals(NOON + MINUTE) == {"failed_burst"}
    assert past.signals(NOON + MINUTE + 1) == set()
    assert past.signals(NOON + DAY + 1) == {"new_device"}
    assert past.signals(NOON + 6 * HOUR) == {"odd_hour"}
    assert past.completed(NOON + 6 * HOUR).signals(NOON + 6 * HOUR) == {"odd_hour"}
    assert past.completed(NOON + 6 * HOUR).signals(NOON + 6 * HOUR) == set()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2, 3]), st.sampled_from([-1, 0, 1]), st.integers(-1, 3),
            st.integers(0, 40 * 24),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_signals_are_what_the_list_of_completed_logins_says(
    logins: list[tuple[int, int, int, int]],
) -> None:
    """Against plain sets over the list itself."""
    past, time, known = Past(), NOON, []
    for device, country, region, hours in logins:
        time += hours * HOUR
        seen = past.signals(time, device, country, region)
        fresh = {d for d, _, _, t in known if time - t <= 30 * DAY} - {0}
        countries, regions = {c for _, c, _, _ in known}, {r for _, _, r, _ in known}
        assert ("new_device" in seen) == (device not in fresh)
        place_told = bool(known) and country >= 0
        assert ("new_country" in seen) == (place_told and country not in countries)
        assert ("new_region" in seen) == (
            place_told and country in countries and region >= 0 and region not in regions
        )
        past.completed(time, device, country, region)
        known.append((device, country, region, time))
