"""The RBA data set of login attempts (Wiefling et al., ACM TOPS 2022, CC BY 4.0) and its likes."""

from __future__ import annotations

from pathlib import Path

from twofa_lab.errors import InputError
from twofa_lab.traffic.readers.blocks import CsvBlocks
from twofa_lab.traffic.readers.fields import FieldReader
from twofa_lab.traffic.readers.gather import Gather
from twofa_lab.traffic.readers.reading import LogRead
from twofa_lab.traffic.readers.users import NumberedUsers

__all__ = ["RBA_COLUMNS", "read_rba"]

RBA_COLUMNS = {
    "time": "Login Timestamp",
    "user_id": "User ID",
    "rtt_ms": "Round-Trip Time [ms]",
    "ip": "IP Address",
    "country": "Country",
    "region": "Region",
    "city": "City",
    "asn": "ASN",
    "user_agent": "User Agent String",
    "browser": "Browser Name and Version",
    "os": "OS Name and Version",
    "device_type": "Device Type",
    "password_ok": "Login Successful",
    "ip_listed": "Is Attack IP",
    "attack": "Is Account Takeover",
}
"""The data set's column for each field. Its `index` column is not used."""


def read_rba(path: Path, *, progress: bool) -> LogRead:
    """Read the data set's CSV, streamed; see `read_logs`.

    Places and networks are the file's own: its addresses are partly made up, so nothing is looked
    up by them.
    """
    source = CsvBlocks(path, progress=progress)
    missing = [name for name in RBA_COLUMNS.values() if name not in source.header]
    if missing:
        raise InputError(
            f"{path}: not the RBA data set: the header lacks {', '.join(map(repr, missing))}; "
            "for another CSV use format 'generic' with a column mapping"
        )
    gather = Gather(path, "rba", source.FIRST_ROW)
    users = NumberedUsers()
    reader = FieldReader(gather, RBA_COLUMNS, users, [], naive_only=True)
    for batch, rows in source.blocks(
        gather.tally, list(RBA_COLUMNS.values()), plain=RBA_COLUMNS["time"]
    ):
        reader.add(batch, rows)
    extra = [name for name in source.header if name not in {*RBA_COLUMNS.values(), "index"}]
    if extra:
        gather.notes.append(f"columns not used: {', '.join(extra)}")
    gather.notes += [*reader.notes(), *source.notes]
    return gather.result(source.rows_read, users, look_up=False, drop_duplicates=True)
