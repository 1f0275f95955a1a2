"""Rows of a log, gathered block by block and made into the logins table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from twofa_lab.errors import InputError
from twofa_lab.tables import LOGINS, POTENTIAL_OUTCOMES, Array
from twofa_lab.traffic.addresses import AddressTable, packaged_addresses
from twofa_lab.traffic.readers.home_clock import home_country, home_offsets
from twofa_lab.traffic.readers.reading import LogRead, Reading, Tally, counted
from twofa_lab.traffic.readers.users import UserIds
from twofa_lab.traffic.readers.values import Vocabulary, hash_texts

__all__ = ["Gather"]

_COLUMNS = tuple(column for column in LOGINS.columns if column not in POTENTIAL_OUTCOMES)
_NOTHING = {"campaign": -1, **{column.name: -1 for column in _COLUMNS if column.text}}


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
        self._pieces: dict[str, list[Array]] = {}
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
            self._pieces.setdefault(name, []).append(column if whole else column[good])
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
        settled = users.settle(np.concatenate(self._pieces.pop("user_id")))
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
        """The pieces joined, by account, then time, then place in the file."""
        time = np.concatenate(self._pieces.pop("time"))
        late = int((time[1:] < np.maximum.accumulate(time)[:-1]).sum())
        if late:
            self.notes.append(f"{counted(late, 'row')} out of time order, sorted")
        order = np.lexsort((time, user))
        columns = {"user_id": user[order], "time": time[order]}
        del user, time
        while self._pieces:  # one by one, so that pieces and columns are not held twice
            name, pieces = self._pieces.popitem()
            columns[name] = np.concatenate(pieces)[order]
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
        """The columns a log does not hold: home clock, device, and what stays empty."""
        rows = len(columns["user_id"])
        for column in _COLUMNS:
            if column.name not in columns:
                value = _NOTHING.get(column.name, 0)
                columns[column.name] = np.full(rows, value, column.dtype)
                if column.name == "device_id":
                    agents = hash_texts((*self.vocabularies["user_agent"].texts, ""))
                    agents[-1] = 0  # where the code of a missing text (-1) points
                    columns["device_id"] = agents[columns["user_agent"]]
        columns["login_id"] = np.arange(rows, dtype=np.int64)
        user = columns["user_id"]
        account = np.append(0, np.cumsum(user[1:] != user[:-1])).astype(np.int32)
        home = home_country(
            account, columns["country"], columns["password_ok"], int(account[-1]) + 1
        )
        columns["utc_offset_min"], known = home_offsets(
            columns["time"], home[account], self.vocabularies["country"].texts
        )
        unknown = len(np.unique(account[~known]))
        if unknown:
            self.notes.append(
                f"{counted(unknown, 'account')} without a known home country: the clock there was "
                "taken as UTC"
            )
