"""The way in: one call for every format."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from twofa_lab.errors import InputError
from twofa_lab.traffic.addresses import AddressTable
from twofa_lab.traffic.readers.generic import read_generic
from twofa_lab.traffic.readers.openssh import read_openssh
from twofa_lab.traffic.readers.rba import read_rba
from twofa_lab.traffic.readers.reading import LogRead

__all__ = ["FORMATS", "read_logs"]

FORMATS = ("rba", "openssh", "generic")


def read_logs(
    path: str | Path,
    format: str = "rba",  # noqa: A002 - the word everybody uses
    *,
    columns: Mapping[str, str] | None = None,
    year: int | None = None,
    addresses: AddressTable | None = None,
    now: datetime | None = None,
    progress: bool = True,
) -> LogRead:
    r"""Read a log of login attempts into the `LOGINS` table, without potential outcomes.

    Formats:

    - `rba`: the CSV of the RBA data set, in its own columns. Millions of rows are streamed.
      User ids that a spreadsheet rounded are taken and counted as untrusted.
    - `openssh`: a host's syslog with sshd's `Accepted …` and `Failed password …` lines. Stamps
      without a year get the latest year in which none lies after `now`, or `year` for the first
      line; dates that go back more than two days are a year's turn. A line `message repeated N
      times` is N attempts. An attempt with any accepted method counts as `password_ok`.
    - `generic`: a CSV with a header, or Parquet (by its suffix). `columns` maps fields of a login
      to the file's columns; a field not mapped is the column of its own name. Required are
      `user_id`, `time` and `password_ok`; further `ip`, `ip_listed`, `country`, `region`, `city`,
      `asn`, `user_agent`, `browser`, `os`, `device_type`, `device_id`, `rtt_ms` and `attack` (a
      truth value or a kind of `ATTACKS`). Times are ISO 8601, with an offset to UTC in all rows or
      in none, or seconds or milliseconds since 1970.

    In all of them `-` and empty text mean "missing". A log has no device ids as a rule: `device_id`
    is then a stable hash of the user agent (`rba`, `generic`), or of the key's fingerprint or else
    the address (`openssh`). `utc_offset_min` is the clock of the most populous city of the
    account's most frequent country among successful logins (among all where none succeeded).
    Where country or network are missing, `openssh` and `generic` look them up by address in
    `addresses` (the packaged table by default).

    Rows that cannot be used, and rows equal to an earlier one in every field (not in `openssh`),
    are counted in the result's `reading`: `rows_read` is the rows used and the rows rejected.
    `progress` shows a bar on standard error when reading takes over a second.

    Raises `InputError` for a file or call of the wrong form, and when no row can be used.

    >>> import tempfile
    >>> text = "who,time,password_ok\nann,2026-03-01T10:00Z,yes\nbob,soon,no\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "log.csv")
    ...     _ = path.write_text(text)
    ...     log = read_logs(path, "generic", columns={"user_id": "who"})
    >>> log.user_names, log.reading.rows_read, str(log.reading.rejected[0])
    (('ann',), 2, '1 row, time: not a time between 1970 and 2200 (row 3)')
    """
    path = Path(path)
    if format not in FORMATS:
        raise InputError(f"unknown log format {format!r}: use one of {', '.join(FORMATS)}")
    if columns is not None and format != "generic":
        raise InputError(f"a column mapping is for the generic format, not for {format!r}")
    if year is not None and format != "openssh":
        raise InputError(f"a year is for the openssh format, not for {format!r}")
    if path.is_dir():
        raise InputError(f"{path}: is a directory, not a log file")
    if format == "rba":
        return read_rba(path, progress=progress)
    if format == "generic":
        return read_generic(path, columns=columns, addresses=addresses, progress=progress)
    return read_openssh(
        path, year=year, addresses=addresses, now=now or datetime.now(UTC), progress=progress
    )
