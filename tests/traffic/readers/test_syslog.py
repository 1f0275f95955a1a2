from datetime import UTC, datetime

import pytest

from twofa_lab.errors import InputError
from twofa_lab.traffic.readers.syslog import Calendar, Stamp, milliseconds_of, parse_line

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def years(days: list[tuple[int, int]], now: datetime = NOW) -> list[int]:
    """The year each (month, day) of a file gets."""
    calendar = Calendar()
    stamps = [calendar.add(month, day, "12:00:00") for month, day in days]
    first = calendar.first_year(now)
    assert first is not None
    return [first + stamp.turn for stamp in stamps]


def test_the_latest_year_without_a_stamp_in_the_future():
    assert years([(3, 27), (4, 20)]) == [2026, 2026]
    assert years([(6, 1)]) == [2025]  # at noon, twelve hours ahead
    assert years([(6, 1)], datetime(2026, 6, 1, 12, tzinfo=UTC)) == [2026]


def test_dates_that_go_back_are_a_new_year():
    assert years([(11, 30), (12, 31), (1, 1), (5, 2)]) == [2025, 2025, 2026, 2026]
    assert years([(7, 1), (3, 1), (2, 1)]) == [2024, 2025, 2026]
    assert years([(3, 27), (3, 5)]) == [2025, 2026]


def test_a_clock_set_back_is_no_new_year():
    assert years([(3, 2), (3, 1), (2, 28), (3, 1)]) == [2026] * 4
    assert years([(12, 31), (1, 1), (12, 31), (1, 1)]) == [2025, 2026, 2025, 2026]
    assert years([(1, 1), (12, 31), (1, 1)]) == [2026, 2025, 2026]


def test_the_29th_of_february_finds_a_leap_year():
    assert years([(2, 29), (4, 1)]) == [2024, 2024]
    calendar = Calendar()
    for day in ((2, 29), (2, 20), (2, 29)):
        calendar.add(*day, "00:00:00")
    with pytest.raises(InputError, match="no year fits"):
        calendar.first_year(NOW)


def test_a_calendar_without_stamps_has_no_year():
    assert Calendar().first_year(NOW) is None


def test_lines():
    line = parse_line("Mar 27 13:06:56 ip-10-77-20-248 sshd[1291]: Server listening on :: port 22.")
    assert line == ("sshd", "Server listening on :: port 22.", 3, 27, "13:06:56")
    line = parse_line("2026-03-27T13:06:56.25+01:00 host sshd-session[9]: hello")
    assert line == ("sshd-session", "hello", 0, 0, "2026-03-27T13:06:56.25+01:00")
    assert parse_line("Mar 27 13:06:56 host kernel: x").program == "kernel"
    for text in (
        *("", "rubbish", "Mrz 27 13:06:56 host sshd[1]: x", "Feb 30 13:06:56 host sshd[1]: x"),
        *("Mar 27 13:06:56 host sshd[1]", "Mar 27 33:06:56 host sshd[1]: x"),
    ):
        assert parse_line(text) is None, text


def test_moments():
    assert milliseconds_of(Stamp(1, 1, 1, "00:00:00"), 1970) == 31_536_000_000
    assert milliseconds_of(Stamp(0, 12, 31, "23:59:60"), 1970) == 31_536_000_000  # a leap second
    assert milliseconds_of("1970-01-01T01:00:01+01:00", 0) == 1000
    assert milliseconds_of("1970-01-01T00:00:01", 0) == 1000
    assert milliseconds_of("1970-01-01Tnoon", 0) is None
    assert milliseconds_of(Stamp(0, 2, 29, "00:00:00"), 2025) is None
