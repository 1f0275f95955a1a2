"""Rows of a log, gathered block by block and made into the logins table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from twofa_lab.errors import InputError
from twofa_lab.tables import LOGINS, POTENTIAL_OUTCOMES, Array
from twofa_lab.traffic.addresses import AddressTable, packaged_addresses
from twofa_lab.traffic.readers.home_clock import has_clock, home_country, home_offsets
from twofa_lab.traffic.readers.reading import LogRead, Reading, Tally, counted
from twofa_lab.traffic.readers.users import UserIds
from twofa_lab.traffic.readers.values import Vocabulary, hash_texts

__all__ = ["Gather"]

_COLUMNS = tuple(column for column in LOGINS.columns if column not in POTENTIAL_OUTCOMES)
_CHUNK = 1 << 20  # rows: bounds the working memory of what is computed at the end
_NOTHING = {"campaign": -1, **{column.name: -1 for column in _COLUMNS if column.text}}


class _Column:
    """A column that grows at its end. Many small pieces instead would leave the heap in crumbs,
    and take twice the memory by the time they are joined.
    """

    def __init__(self, values: Array) -> None:
        self._data = values
        self._rows = len(values)

    def append(self, values: Array) -> None:
        rows = self._rows + len(values)
        if rows > len(self._data):
            # room that is not written to takes no memory yet
            grown = np.empty(max(rows, 2 * self._rows), self._data.dtype)
            grown[: self._rows] = self._data[: self._rows]
            self._data = grown
        self._data[self._rows : rows] = values
        self._rows = rows

    @property
    def values(self) -> Array:
        return self._data[: self._rows]


class Gather:
    """Accepted rows so far, and a tally of the others.

    `first_row` is the number the file's first data row is known by. `add` takes a block;
    `result` builds the table and empties the gatherer.
    """

    def __init__(self, path: Path, form: str, first_row: int) -> None:
        self.path = path
        self.form = form
        self.tally = Tally(first_row)
        self.notes: list[str] = []
        self.rows_other = 0
        self.vocabularies = {c.name: Vocabulary(c.name, c.dtype) for c in _COLUMNS if c.text}
        self._columns: dict[str, _Column] = {}
        self._accepted = 0

    def add(
        self, rows: Array, values: dict[str, Array], problems: Sequence[tuple[str, Array]]
    ) -> Array:
        """Take the rows (data row numbers from 0) none of the `problems` (reason, mask) is about.

        Every row is counted under the first of its problems. Returns the mask of those taken.
        """
        good = np.ones(len(rows), np.bool_)
        for reason, bad in problems:
            self.tally.add(reason, rows[bad & good])
            good &= ~bad
        whole = bool(good.all())
        for name, column in {**values, "row_index": rows}.items():
            part = column if whole else column[good]
            if name in self._columns:
                self._columns[name].append(part)
            else:
                self._columns[name] = _Column(part)
        self._accepted += int(good.sum())
        return good

    def result(
        self,
        rows_read: int,
        users: UserIds,
        addresses: AddressTable | None = None,
        *,
        look_up: bool,
        drop_duplicates: bool,
    ) -> LogRead:
        """The logins, account-major, with everything a log leaves to be worked out.

        `look_up` fills in country and network by address where they are missing;
        `drop_duplicates` counts rows equal to an earlier one as rejected.
        """
        self.tally.refuse_if_nothing_left(str(self.path), self._accepted)
        if not rows_read:
            raise InputError(f"{self.path}: the file holds a header and no rows")
        settled = users.settle(self._columns.pop("user_id").values)
        columns = self._sorted(settled.ids)
        if drop_duplicates:
            columns = self._without_duplicates(columns)
        columns.pop("rest", None)
        if look_up:
            self._look_up(columns, addresses)
        self._fill(columns)
        row_index = columns.pop("row_index")
        vocabularies = {name: words.texts for name, words in self.vocabularies.items()}
        LOGINS.check(columns, only=[column.name for column in _COLUMNS])
        user = columns["user_id"]
        return LogRead(
            columns={column.name: columns[column.name] for column in _COLUMNS},
            vocabularies=vocabularies,
            user_names=settled.names,
            row_index=row_index,
            reading=Reading(
                path=str(self.path),
                format=self.form,
                rows_read=rows_read,
                rows_rejected=self.tally.total,
                rejected=self.tally.rejections(),
                rows_other=self.rows_other,
                untrusted_ids=settled.untrusted_ids,
                untrusted_rows=settled.untrusted_rows,
                logins=len(user),
                users=int((user[1:] != user[:-1]).sum()) + 1,
                notes=tuple(self.notes),
            ),
        )

    def _sorted(self, user: Array) -> dict[str, Array]:
        """The rows by account, then time, then place in the file."""
        time = self._columns.pop("time").values
        late = int((time[1:] < np.maximum.accumulate(time)[:-1]).sum())
        if late:
            self.notes.append(f"{counted(late, 'row')} out of time order, sorted")
        order = np.lexsort((time, user))
        columns = {"user_id": user[order], "time": time[order]}
        del user, time
        while self._columns:  # one by one, so that no column but one is held twice
            name, column = self._columns.popitem()
            columns[name] = column.values[order]
        return columns

    def _without_duplicates(self, columns: dict[str, Array]) -> dict[str, Array]:
        """Drop the rows that equal an earlier one in every column; the first one stays."""
        user, time = columns["user_id"], columns["time"]
        twin = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
        rows = np.flatnonzero(np.append(twin, False) | np.append(False, twin))
        if not len(rows):
            return columns
        table = pd.DataFrame({k: v[rows] for k, v in columns.items() if k != "row_index"})
        again = rows[table.duplicated().to_numpy()]
        if not len(again):
            return columns
        self.tally.add("duplicate of an earlier row", np.sort(columns["row_index"][again]))
        keep = np.ones(len(user), np.bool_)
        keep[again] = False
        return {name: column[keep] for name, column in columns.items()}

    def _look_up(self, columns: dict[str, Array], addresses: AddressTable | None) -> None:
        """Country and network of the rows that come without, by their address."""
        rows = len(columns["user_id"])
        country = columns.setdefault("country", np.full(rows, -1, np.int16))
        asn = columns.setdefault("asn", np.zeros(rows, np.uint32))
        wanted = ((country < 0) | (asn == 0)) & (columns["ip"] != 0)
        if not wanted.any():
            return
        table = addresses or packaged_addresses()
        code, address = pd.factorize(columns["ip"][wanted])
        found_country, found_asn = table.lookup(address)
        words = self.vocabularies["country"]
        codes = np.array(
            [words.code(table.countries[c]) if c >= 0 else -1 for c in found_country], np.int16
        )
        columns["country"][wanted] = np.where(country[wanted] < 0, codes[code], country[wanted])
        columns["asn"][wanted] = np.where(asn[wanted] == 0, found_asn[code], asn[wanted])
        self.notes.append(f"country and network looked up by address: {table.source}")

    def _fill(self, columns: dict[str, Array]) -> None:
        """The columns a log does not hold: device, home clock, and what stays empty."""
        rows = len(columns["user_id"])
        if "device_id" not in columns and "user_agent" in columns:
            agents = hash_texts((*self.vocabularies["user_agent"].texts, ""))
            agents[-1] = 0  # where the code of a missing text (-1) points
            columns["device_id"] = agents[columns["user_agent"]]
        for column in _COLUMNS:
            if column.name not in columns:
                value = _NOTHING.get(column.name, 0)
                columns[column.name] = np.full(rows, value, column.dtype)
        columns["login_id"] = np.arange(rows, dtype=np.int64)
        self._set_home_clock(columns)

    def _set_home_clock(self, columns: dict[str, Array]) -> None:
        user, offset = columns["user_id"], columns["utc_offset_min"]
        account = np.append(0, np.cumsum(user[1:] != user[:-1])).astype(np.int32)
        countries = self.vocabularies["country"].texts
        home = home_country(
            account, columns["country"], columns["password_ok"], int(account[-1]) + 1
        )
        for start in range(0, len(user), _CHUNK):
            part = slice(start, start + _CHUNK)
            offset[part] = home_offsets(columns["time"][part], home[account[part]], countries)
        unknown = int((~has_clock(home, countries)).sum())
        if unknown:
            self.notes.append(
                f"{counted(unknown, 'account')} without a known home country: the clock there was "
                "taken as UTC"
            )
