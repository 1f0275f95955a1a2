"""Feature values as dense codes, the same code for the same value in every table.

A table's own codes are good only beside its own vocabularies, and addresses and networks come as
bare numbers. A scorer that is fitted on one table and asked about another needs one numbering.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.tables import LOGINS, Array

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MISSING", "Codebook"]

MISSING = -1
"""Code of a value that is not there: text without a code, address or network 0."""


@dataclass(frozen=True, eq=False)
class Codebook:
    """The known values of some columns of the logins table; a value's code is its place.

    `values` has a pandas Index a column: texts, or numbers as uint64 (an IPv6 address is its upper
    64 bits, as everywhere in the package, so that a /64 network counts as one address).

    >>> book = Codebook.empty(("asn", "country"))
    >>> table = {"asn": np.array([7, 0, 9], np.uint32), "country": np.array([1, 0, -1], np.int16)}
    >>> book, codes = book.learn(table, {"country": ("NO", "US")})
    >>> codes.tolist()
    [[0, -1, 1], [1, 0, -1]]
    >>> book.codes({"asn": np.array([9, 8], np.uint32), "country": np.array([0, 1], np.int16)},
    ...            {"country": ("US", "SE")}).tolist()  # 8 and SE are new, codes past the end
    [[1, 2], [1, 2]]
    """

    columns: tuple[str, ...]
    values: tuple[pd.Index[Any], ...]

    @classmethod
    def empty(cls, columns: Sequence[str]) -> Codebook:
        """A book that knows no value yet."""
        import pandas as pd

        blank = [pd.Index([], dtype=object if _is_text(name) else np.uint64) for name in columns]
        return cls(tuple(columns), tuple(blank))

    @property
    def sizes(self) -> Array:
        """Known values by column, int64."""
        return np.array([len(values) for values in self.values], np.int64)

    def codes(self, table: Mapping[str, Array], vocabularies: Mapping[str, Sequence[str]]) -> Array:
        """Codes of a table's rows, int32, shape (columns, rows); -1 where missing.

        A value the book does not know gets a code of its own past the known ones, so that it can
        still be counted; such codes hold for this call only.
        """
        return self._read(table, vocabularies)[0]

    def learn(
        self, table: Mapping[str, Array], vocabularies: Mapping[str, Sequence[str]]
    ) -> tuple[Codebook, Array]:
        """The book with a table's values added, and the codes of its rows."""
        codes, new = self._read(table, vocabularies)
        values = tuple(
            a if not len(b) else a.append(b) for a, b in zip(self.values, new, strict=True)
        )
        return Codebook(self.columns, values), codes

    def code(self, column: int, value: object) -> int | None:
        """The code of one value: -1 for a missing one (None, empty, `-` or 0), None if unknown.

        `InputError` for what no such column can hold.
        """
        name = self.columns[column]
        if value is None or (value in ("", "-") if _is_text(name) else value == 0):
            return MISSING
        if not (isinstance(value, str) if _is_text(name) else _is_number(value)):
            want = "text" if _is_text(name) else "a whole number below 2 to the 64"
            raise InputError(f"{name} is {value!r}, not {want}")
        try:
            place: Any = self.values[column].get_loc(value)
        except KeyError:
            return None
        return int(place)

    def _read(
        self, table: Mapping[str, Array], vocabularies: Mapping[str, Sequence[str]]
    ) -> tuple[Array, list[pd.Index[Any]]]:
        import pandas as pd

        LOGINS.check(dict(table), self.columns)
        rows = len(table[self.columns[0]])
        codes = np.empty((len(self.columns), rows), np.int32)
        new: list[pd.Index[Any]] = []
        for at, (name, known) in enumerate(zip(self.columns, self.values, strict=True)):
            if _is_text(name):
                place, distinct = table[name], pd.Index(list(vocabularies[name]), dtype=object)
                gone = np.zeros(len(distinct), np.bool_)
            else:
                place, distinct = pd.factorize(pd.Index(table[name].astype(np.uint64)))
                gone = distinct == 0
            found = np.append(known.get_indexer(distinct), MISSING)
            unknown = np.append((found[:-1] < 0) & ~gone, False)
            found[unknown] = len(known) + np.arange(unknown.sum())
            if len(known) + int(unknown.sum()) > np.iinfo(np.int32).max:
                raise InputError(f"column {name!r} has too many distinct values to number")
            codes[at] = found.astype(np.int32)[place]
            new.append(distinct[unknown[:-1]])
        return codes, new


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return False
    return 0 < int(value) < 1 << 64


def _is_text(name: str) -> bool:
    return LOGINS.column(name).text
