"""What reading a log gives back: the logins, and an account of every row that was not taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.sheet import Sheet, number
from twofa_lab.tables import Array

__all__ = ["LogRead", "Reading", "Rejection", "Tally", "counted", "positions_without"]

_EXAMPLES = 3


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class Rejection(NamedTuple):
    """Rows turned away for one reason; `examples` are the first row numbers in the file."""

    reason: str
    rows: int
    examples: tuple[int, ...]

    @property
    def where(self) -> str:
        """The example row numbers as text."""
        more = ", …" if self.rows > len(self.examples) else ""
        return ", ".join(map(str, self.examples)) + more

    def __str__(self) -> str:
        return f"{counted(self.rows, 'row')}, {self.reason} (row {self.where})"


@dataclass(frozen=True)
class Reading:
    """How the reading went.

    - `rows_read`: rows that tell of a login attempt; `rows_rejected` of them could not be used.
    - `rejected`: the reasons, most frequent first. Row numbers count from 1 as in the file, a
      CSV's header being row 1 (blank lines of a CSV are not counted).
    - `rows_other`: lines of a host's log about something else.
    - `untrusted_ids`, `untrusted_rows`: distinct user ids that a spreadsheet rounded (as in
      `-4.32e+18`), so that several accounts may be one here, and the rows that carry them.
    - `logins`: attempts in the result; more than the rows used where one line tells of several.
    - `notes`: sentences on what was assumed or mended.
    """

    path: str
    format: str
    rows_read: int
    rows_rejected: int
    rejected: tuple[Rejection, ...]
    rows_other: int
    untrusted_ids: int
    untrusted_rows: int
    logins: int
    users: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain numbers, text, lists and dicts, for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["rejected"] = [
            {"reason": r.reason, "rows": r.rows, "examples": list(r.examples)}
            for r in self.rejected
        ]
        plain["notes"] = list(self.notes)
        return plain

    def sheet(self) -> Sheet:
        """The counts and reasons as a table, the notes under it."""
        rows = [
            ("rows read", number(self.rows_read), ""),
            ("rows rejected", number(self.rows_rejected), ""),
            *((f"rejected: {r.reason}", number(r.rows), r.where) for r in self.rejected),
            ("logins", number(self.logins), ""),
            ("users", number(self.users), ""),
        ]
        if self.rows_other:
            rows.append(("lines about something else", number(self.rows_other), ""))
        if self.untrusted_ids:
            rows.append(("user ids not to be trusted", number(self.untrusted_ids), ""))
            rows.append(("rows that carry them", number(self.untrusted_rows), ""))
        note = "".join(f"{note[0].upper()}{note[1:]}. " for note in self.notes).strip()
        columns = (self.format, "count", "rows, such as")
        return Sheet(self.path, columns, tuple(rows), note)

    def __str__(self) -> str:
        return self.sheet().to_text()

    def _repr_html_(self) -> str:
        return self.sheet().to_html()


@dataclass(frozen=True, eq=False)
class LogRead:
    """A log as the `LOGINS` table, account-major, without the potential outcomes a log cannot have.

    - `columns`: numpy arrays as `twofa_lab.tables.LOGINS` documents; text as codes into
      `vocabularies[column]`, -1 where missing. `campaign` is -1 throughout.
    - `user_names`: where the log names its users, the name of each `user_id`; else None.
    - `row_index`: each login's place among the input's data rows (a host's attempt lines), from
      0, so that logins can also be walked as they came.
    """

    columns: dict[str, Array]
    vocabularies: dict[str, tuple[str, ...]]
    user_names: tuple[str, ...] | None
    row_index: Array
    reading: Reading

    def __len__(self) -> int:
        return len(self.row_index)

    def __repr__(self) -> str:
        return f"LogRead({len(self):,} logins, {self.reading.users:,} users; {self.reading.path})"

    def _repr_html_(self) -> str:
        return self.reading._repr_html_()


@dataclass
class Tally:
    """Counts rejected rows by reason while a file is read; `first_row` is the number of row 0."""

    first_row: int
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[int]] = field(default_factory=dict)

    def add(self, reason: str, rows: Array | Sequence[int]) -> None:
        """Count these data rows, numbered from 0 and in rising order."""
        if len(rows):
            self.counts[reason] = self.counts.get(reason, 0) + len(rows)
            known = self.examples.setdefault(reason, [])
            known += [int(row) + self.first_row for row in rows[: _EXAMPLES - len(known)]]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def rejections(self) -> tuple[Rejection, ...]:
        """The reasons, most frequent first."""
        order = sorted(self.counts, key=lambda reason: (-self.counts[reason], reason))
        return tuple(
            Rejection(reason, self.counts[reason], tuple(self.examples[reason])) for reason in order
        )

    def refuse_if_nothing_left(self, path: str, accepted: int) -> None:
        """Raise `InputError` with the reasons when rows were read and none could be used."""
        if not accepted and self.total:
            reasons = "; ".join(str(rejection) for rejection in self.rejections()[:3])
            raise InputError(f"{path}: none of the {self.total:,} rows can be used: {reasons}")


def positions_without(start: int, count: int, skipped: list[int]) -> Array:
    """The next `count` data row numbers from `start`, leaving out those `skipped` (sorted).

    >>> positions_without(5, 3, [4, 6]).tolist()
    [5, 7, 8]
    """
    if not skipped:
        return np.arange(start, start + count, dtype=np.int64)
    numbers = np.arange(start, start + count + len(skipped), dtype=np.int64)
    kept: Array = numbers[~np.isin(numbers, skipped)][:count]
    return kept
