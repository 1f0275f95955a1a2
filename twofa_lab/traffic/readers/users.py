"""User ids of a log to account numbers: ids that are numbers, ids a spreadsheet spoilt, names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from twofa_lab.tables import Array
from twofa_lab.traffic.readers import values

__all__ = ["NamedUsers", "NumberedUsers", "Settled", "UserIds"]

_PLAIN_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")


@dataclass(frozen=True, eq=False)
class Settled:
    """Final ids of all accepted rows; names by id, where ids are names; ids not to be trusted."""

    ids: Array
    names: tuple[str, ...] | None = None
    untrusted_ids: int = 0
    untrusted_rows: int = 0


class UserIds(Protocol):
    """How a format's user ids become numbers: block by block, then once for all accepted rows."""

    def block(self, texts: pa.DictionaryArray) -> tuple[Array, Array]:
        """Provisional ids (int64) of a block, and which rows' ids can be used."""
        ...

    def settle(self, ids: Array) -> Settled:
        """Final ids for the provisional ones of all accepted rows."""
        ...


class NumberedUsers:
    """Ids that are 64-bit integers. Ids that a spreadsheet rounded are taken, and counted."""

    def __init__(self) -> None:
        self._rounded: set[int] = set()

    def block(self, texts: pa.DictionaryArray) -> tuple[Array, Array]:
        return values.whole_numbers(texts, self._mended, optional=False)

    def _mended(self, text: str) -> int | None:
        number = values.whole_number(text)
        if number is None:
            number = values.rounded_id(text)
            if number is not None:
                self._rounded.add(number)
        return number

    def settle(self, ids: Array) -> Settled:
        if not self._rounded:
            return Settled(ids)
        doubtful = ids[np.isin(ids, list(self._rounded))]
        return Settled(ids, None, len(np.unique(doubtful)), len(doubtful))


class NamedUsers:
    """Ids of any form, numbered as they appear.

    With `keep_integers`, ids that are plain integers throughout stay themselves and have no names.
    """

    def __init__(self, *, keep_integers: bool, missing: Iterable[str] = ("",)) -> None:
        self.vocabulary = values.Vocabulary("user_id", "int64", missing)
        self._keep_integers = keep_integers

    def block(self, texts: pa.DictionaryArray) -> tuple[Array, Array]:
        codes = self.vocabulary.codes(texts)
        return codes, codes >= 0

    def settle(self, ids: Array) -> Settled:
        used, place, rows = np.unique(ids, return_inverse=True, return_counts=True)
        all_names = self.vocabulary.texts
        names = tuple(all_names[code] for code in used)  # without those only rejected rows had
        rounded = np.array([values.rounded_id(name) is not None for name in names], np.bool_)
        untrusted = int(rounded.sum()), int(rows[rounded].sum())
        if self._keep_integers and all(map(_is_plain_integer, names)):
            return Settled(np.array([int(name) for name in names], np.int64)[place])
        return Settled(place.astype(np.int64), names, *untrusted)


def _is_plain_integer(text: str) -> bool:
    return bool(_PLAIN_INTEGER.fullmatch(text)) and -(2**63) <= int(text) < 2**63
