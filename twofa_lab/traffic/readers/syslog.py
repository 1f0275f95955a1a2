"""Lines of syslog: program, message and time, where the usual stamp has no year."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from twofa_lab.errors import InputError

__all__ = ["Calendar", "Line", "Stamp", "milliseconds_of", "parse_line"]

# the stamp of traditional syslog (RFC 3164) or an ISO one (RFC 5424); then host, program, message
_LINE = re.compile(
    r"(?:(?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?P<clock>[0-2]\d:[0-5]\d:[0-6]\d)"
    r"|(?P<iso>\d{4}-\d\d-\d\dT\S+)) \S+ (?P<program>[^\s\[:]+)(?:\[\d+\])?: (?P<message>.*)",
    re.DOTALL,
)
_MONTHS = [
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
# A clock set back over midnight is no year's turn; a day more, as 28 February to 1 March counts 2.
_SET_BACK_DAYS = 2


class Line(NamedTuple):
    """A line's program and message, and its stamp: month, day and clock, or an ISO text."""

    program: str
    message: str
    month: int
    day: int
    clock: str


class Stamp(NamedTuple):
    """A time without a year; `turn` counts the turns of the year since the file began."""

    turn: int
    month: int
    day: int
    clock: str


def parse_line(text: str) -> Line | None:
    """The parts of a line; None where it has not the form or not a date of any year.

    >>> parse_line("Mar  7 10:00:00 host sshd[12]: Server listening on :: port 22.")
    Line(program='sshd', message='Server listening on :: port 22.', month=3, day=7,
         clock='10:00:00')
    """
    match = _LINE.fullmatch(text)
    if match is None:
        return None
    if match["iso"]:
        return Line(match["program"], match["message"], 0, 0, match["iso"])
    if match["month"] not in _MONTHS:
        return None
    month, day = _MONTHS.index(match["month"]) + 1, int(match["day"])
    try:
        date(2000, month, day)  # a leap year knows every day
    except ValueError:
        return None
    return Line(match["program"], match["message"], month, day, match["clock"])


class Calendar:
    """Places stamps without a year, in the order of the file: dates that go back are a new year's.

    >>> calendar = Calendar()
    >>> stamps = [calendar.add(12, 31, "23:59:59"), calendar.add(1, 1, "00:00:03")]
    >>> calendar.first_year(now=datetime(2026, 1, 2, tzinfo=UTC)), stamps[1].turn
    (2025, 1)
    """

    def __init__(self) -> None:
        self._turn = 0
        self._last: int | None = None
        self._latest: dict[tuple[int, int, int], str] = {}  # the day's latest clock

    @property
    def turns(self) -> int:
        """How often the year turned within the file."""
        return len({turn for turn, _, _ in self._latest}) - 1

    def add(self, month: int, day: int, clock: str) -> Stamp:
        """The stamp of the next line."""
        place = date(2000, month, day).timetuple().tm_yday
        if self._last is not None:
            if place < self._last - _SET_BACK_DAYS:
                self._turn += 1
            elif place >= self._last + 366 - _SET_BACK_DAYS:  # set back over New Year
                self._turn -= 1
        self._last = place
        key = (self._turn, month, day)
        self._latest[key] = max(clock, self._latest.get(key, ""))
        return Stamp(*key, clock)

    def first_year(self, now: datetime) -> int | None:
        """The latest year of turn 0 with no stamp after `now`; None if there are no stamps.

        Raises `InputError` when no year near `now` has all the dates.
        """
        if not self._latest:
            return None
        stamps = [Stamp(*key, clock) for key, clock in self._latest.items()]
        turns = [stamp.turn for stamp in stamps]
        now_ms = (now - _EPOCH) // _MS
        # 29 February may be eight years back (1896 to 1904)
        for year in range(now.year - min(turns), now.year - max(turns) - 9, -1):
            moments = [milliseconds_of(stamp, year) for stamp in stamps]
            if all(ms is not None and ms <= now_ms for ms in moments):
                return year
        raise InputError("no year fits the dates of the log; give the year of its first line")


def milliseconds_of(stamp: Stamp | str, first_year: int) -> int | None:
    """Milliseconds since 1970, by UTC where the stamp has no zone; None if there is no such time.

    >>> milliseconds_of(Stamp(0, 1, 1, "00:00:01"), 1970)
    1000
    """
    try:
        if isinstance(stamp, str):
            moment = datetime.fromisoformat(stamp)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        else:
            hour, minute, second = map(int, stamp.clock.split(":"))
            moment = datetime(first_year + stamp.turn, stamp.month, stamp.day, tzinfo=UTC)
            # added, for a leap second's :60 is the next minute's start
            moment += timedelta(hours=hour, minutes=minute, seconds=second)
    except ValueError:
        return None
    return (moment - _EPOCH) // _MS
