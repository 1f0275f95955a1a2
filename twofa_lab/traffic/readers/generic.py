"""Any login log in a CSV or Parquet file, by a mapping from a login's fields to its columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from twofa_lab.errors import InputError
from twofa_lab.traffic.addresses import AddressTable
from twofa_lab.traffic.readers.blocks import CsvBlocks, ParquetBlocks
from twofa_lab.traffic.readers.fields import FIELDS, REQUIRED, FieldReader
from twofa_lab.traffic.readers.gather import Gather
from twofa_lab.traffic.readers.reading import LogRead
from twofa_lab.traffic.readers.users import NamedUsers

__all__ = ["column_mapping", "read_generic"]


def column_mapping(
    path: Path, header: list[str], columns: Mapping[str, str] | None
) -> dict[str, str]:
    """The file's column for each field it holds.

    A field not mapped is the column of the same name, if there is one. Raises `InputError` for an
    unknown field, a mapped column that is not there, and a required field without a column.

    >>> column_mapping(Path("x.csv"), ["who", "time", "password_ok", "n"], {"user_id": "who"})
    {'user_id': 'who', 'time': 'time', 'password_ok': 'password_ok'}
    """
    given = dict(columns or {})
    unknown = [field for field in given if field not in FIELDS]
    if unknown:
        raise InputError(
            f"the column mapping names the unknown field {unknown[0]!r}; fields are "
            f"{', '.join(FIELDS)}"
        )
    there = f"the file has {', '.join(map(repr, header)) or 'none'}"
    for field, name in given.items():
        if name not in header:
            raise InputError(f"{path}: no column {name!r}, mapped to {field}; {there}")
    mapping = {field: given.get(field, field) for field in FIELDS}
    mapping = {field: name for field, name in mapping.items() if name in header}
    missing = [field for field in REQUIRED if field not in mapping]
    if missing:
        mend = ", ".join(f"{field!r}: '…'" for field in missing)
        raise InputError(
            f"{path}: no column for {', '.join(missing)}; {there}; say which with "
            f"columns={{{mend}}}"
        )
    return mapping


def read_generic(
    path: Path,
    *,
    columns: Mapping[str, str] | None,
    addresses: AddressTable | None,
    progress: bool,
) -> LogRead:
    """Read a CSV (with a header) or Parquet file, streamed; see `read_logs`."""
    parquet = path.suffix.lower() in {".parquet", ".pq"}
    source = (ParquetBlocks if parquet else CsvBlocks)(path, progress=progress)
    mapping = column_mapping(path, source.header, columns)
    gather = Gather(path, "generic", source.FIRST_ROW)
    users = NamedUsers(keep_integers=True)
    other = [name for name in source.header if name not in mapping.values()]
    reader = FieldReader(gather, mapping, users, other)
    for batch, rows in source.blocks(gather.tally, source.header, plain=mapping["time"]):
        reader.add(batch, rows)
    if other:
        gather.notes.append(f"columns not used: {', '.join(other)}")
    gather.notes += [*reader.notes(), *source.notes]
    return gather.result(
        source.rows_read, users, addresses, look_up="ip" in mapping, drop_duplicates=True
    )
