from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.traffic.readers.home_clock import has_clock, home_country, home_offsets

ZONES = {
    "NO": "Europe/Oslo",
    "US": "America/New_York",
    "IN": "Asia/Kolkata",
    "AU": "Australia/Sydney",
}


@pytest.mark.parametrize("month", range(1, 13))
def test_offsets_follow_daylight_saving(month):
    moment = datetime(2025, month, 15, 12, tzinfo=UTC)
    rows = np.arange(len(ZONES))
    time = np.full(len(rows), int(moment.timestamp() * 1000))
    offset = home_offsets(time, rows, tuple(ZONES))
    expected = [moment.astimezone(ZoneInfo(zone)).utcoffset() for zone in ZONES.values()]
    assert offset.tolist() == [shift.total_seconds() / 60 for shift in expected]
    assert offset.dtype == np.int16
    assert has_clock(rows, tuple(ZONES)).all()


def test_unknown_countries_keep_utc():
    country = np.array([-1, 0, 1])
    assert home_offsets(np.array([0, 0, 0]), country, ("ZZ", "NO")).tolist() == [0, 0, 60]
    assert has_clock(country, ("ZZ", "NO")).tolist() == [False, False, True]
    assert home_offsets(np.array([0]), np.array([-1]), ()).tolist() == [0]


LOGINS = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 2), st.booleans()), max_size=30)


@given(LOGINS)
def test_home_country_is_the_most_frequent_one(logins):
    logins = sorted(logins, key=lambda login: login[0])
    account, country, success = (np.array([row[i] for row in logins]) for i in range(3))
    home = home_country(account.astype(int), country.astype(int), success.astype(bool), 4)
    for user in range(4):
        known = [(c, ok) for u, c, ok in logins if u == user and c >= 0]
        counted = [c for c, ok in known if ok] or [c for c, _ in known]
        expected = min(counted, key=lambda c: (-counted.count(c), c)) if counted else -1
        assert home[user] == expected
