"""Sign-ins in the log of a host's OpenSSH server, as syslog writes it (`/var/log/auth.log`)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.traffic.addresses import AddressTable, format_ip, parse_ips
from twofa_lab.traffic.readers.blocks import open_bytes
from twofa_lab.traffic.readers.gather import Gather
from twofa_lab.traffic.readers.reading import LogRead, counted
from twofa_lab.traffic.readers.syslog import Calendar, Stamp, milliseconds_of, parse_line
from twofa_lab.traffic.readers.users import NamedUsers
from twofa_lab.traffic.readers.values import hash_texts

__all__ = ["read_openssh"]

_SSHD = {"sshd", "sshd-session", "sshd-auth"}  # one program until OpenSSH 9.7, three since
_START = re.compile(
    r"(?:message repeated \d+ times: \[ )?"
    r"(?:Accepted \S+ for|Failed (?:password|keyboard-interactive/pam) for) "
)
# The user name is what the other side typed and may hold anything, " from 192.0.2.1 port 5" too:
# so it reaches to the last " from … port …" of the line.
_ATTEMPT = re.compile(
    r"(?:message repeated (?P<times>\d{1,6}) times: \[ )?"
    r"(?P<result>Accepted|Failed) \S+ for (?:invalid user )?(?P<user>.*) "
    r"from (?P<ip>\S+) port \d+(?: ssh\d)?(?:: (?P<key>.*?))?\]?\s*",
    re.DOTALL,
)
_FINGERPRINT = re.compile(r"SHA256:\S+|(?:MD5:)?(?:[0-9a-f]{2}:){15}[0-9a-f]{2}")


class _Attempt(NamedTuple):
    line: int
    row: int
    stamp: Stamp | str
    user: int
    ip: str
    fingerprint: str
    accepted: bool
    times: int


@dataclass
class _Scan:
    """The attempts of a file, and what else it holds."""

    users: NamedUsers
    attempts: list[_Attempt] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)
    calendar: Calendar = field(default_factory=Calendar)
    other: int = 0
    not_utf8: int = 0

    @property
    def rows(self) -> int:
        return len(self.attempts) + len(self.unread)

    def take(self, number: int, data: bytes) -> None:
        """One line of the file, numbered from 0."""
        try:
            text = data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            self.not_utf8 += 1
            text = data.decode(errors="backslashreplace").rstrip("\r\n")
        line = parse_line(text)
        if line is None:
            # cut or of another form; only what plainly is an attempt counts as one that is lost
            lost = "sshd" in text and _START.search(text)
            self.unread += [number] if lost else []
            self.other += not lost
            return
        stamp = self.calendar.add(line.month, line.day, line.clock) if line.month else line.clock
        if line.program not in _SSHD or not _START.match(line.message):
            self.other += 1
            return
        match = _ATTEMPT.fullmatch(line.message)
        if match is None:
            self.unread.append(number)
            return
        key = _FINGERPRINT.search(match["key"] or "")
        self.attempts.append(
            _Attempt(
                number,
                self.rows,
                stamp,
                self.users.vocabulary.code(match["user"]),
                match["ip"],
                key[0] if key else "",
                match["result"] == "Accepted",
                int(match["times"] or 1),
            )
        )


def read_openssh(
    path: Path,
    *,
    year: int | None,
    addresses: AddressTable | None,
    now: datetime,
    progress: bool,
) -> LogRead:
    """Read accepted sign-ins and failed passwords from a host's log; see `read_logs`.

    Identical lines are not duplicates here: syslog's clock ticks in seconds, and a client may well
    fail twice in one.
    """
    scan = _Scan(NamedUsers(keep_integers=False, missing=()))
    with open_bytes(path, progress=progress) as (raw, bar):
        for number, data in enumerate(raw):
            bar.update(len(data))
            scan.take(number, data)
    if not scan.rows:
        raise InputError(
            f"{path}: no sshd sign-in in its {counted(scan.other, 'line')}; "
            "is it the log of an OpenSSH server in syslog form?"
        )
    gather = Gather(path, "openssh", 1)
    gather.rows_other = scan.other
    try:
        first_year = scan.calendar.first_year(now) if year is None else year
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    _gather(gather, scan, first_year or now.year)
    gather.notes += _notes(scan, first_year, assumed=year is None)
    return gather.result(scan.rows, scan.users, addresses, look_up=True, drop_duplicates=False)


def _gather(gather: Gather, scan: _Scan, first_year: int) -> None:
    """Turn the attempts into rows; a repeated line becomes as many."""
    gather.tally.add("a sign-in line cut short or of unknown form", scan.unread)
    attempts = scan.attempts
    moments = [milliseconds_of(a.stamp, first_year) for a in attempts]
    in_time = np.array([ms is not None and ms >= 0 for ms in moments], np.bool_)
    ip, is_ip = parse_ips([a.ip for a in attempts])
    device_texts = tuple(
        a.fingerprint or f"address {format_ip(int(address))}"
        for a, address in zip(attempts, ip, strict=True)
    )
    lines = np.array([a.line for a in attempts], np.int64)
    gather.tally.add("no time that exists", lines[~in_time])
    gather.tally.add("not an IP address", lines[in_time & ~is_ip])
    good = np.flatnonzero(in_time & is_ip)
    rows = np.repeat(good, [attempts[place].times for place in good])
    gather.add(
        np.array([a.row for a in attempts], np.int64)[rows],
        {
            "user_id": np.array([a.user for a in attempts], np.int64)[rows],
            "time": np.array([ms or 0 for ms in moments], np.int64)[rows],
            "ip": ip[rows],
            "device_id": hash_texts(device_texts)[rows],
            "password_ok": np.array([a.accepted for a in attempts], np.bool_)[rows],
        },
        [],
    )


def _notes(scan: _Scan, first_year: int | None, *, assumed: bool) -> list[str]:
    notes = []
    if first_year is not None:
        how = "assumed" if assumed else "given"
        notes.append(f"year {how} {first_year} for the first line: the stamps have none")
        notes.append("the stamps have no time zone and were taken as UTC")
    if scan.calendar.turns > 0:
        notes.append(
            f"dates go back {counted(scan.calendar.turns, 'time')} within the file, taken as the "
            "turn of a year"
        )
    repeats = [a.times for a in scan.attempts if a.times > 1]
    if repeats:
        notes.append(
            f"{counted(len(repeats), 'line')} 'message repeated' for "
            f"{counted(sum(repeats), 'attempt')}"
        )
    if scan.not_utf8:
        notes.append(f"{counted(scan.not_utf8, 'line')} with bytes that are not UTF-8 text")
    notes.append("devices are told apart by key fingerprint, by address where there is none")
    return notes
