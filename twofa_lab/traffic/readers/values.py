"""Text of a log to values, a block of rows at a time: every distinct text is parsed once.

Each parser gives the values and a mask of the rows whose text it could read. A missing text (null,
empty or `-`) is `valid` where the column may be empty; the caller decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from twofa_lab.errors import InputError
from twofa_lab.tables import ATTACKS, Array

__all__ = [
    "Vocabulary",
    "attack_kind",
    "boolean",
    "by_text",
    "hash_texts",
    "milliseconds",
    "missing_rows",
    "network_number",
    "rounded_id",
    "whole_number",
    "whole_numbers",
]

Mask = npt.NDArray[np.bool_]
T = TypeVar("T")

MISSING = frozenset({"", "-"})

_PLAIN = r"^-?[0-9]{1,19}$"
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_WHOLE_FLOAT = re.compile(r"([+-]?[0-9]{1,19})\.0*")
_ROUNDED = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]{1,3}|[+-]?[0-9]+\.[0-9]+")
_TRUTH = {
    **dict.fromkeys(("true", "t", "yes", "y", "1", "1.0"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0", "0.0"), False),
}
_INT64 = range(-(2**63), 2**63)


class _Codes(dict[str | None, int]):
    """Texts with their codes; asking for a new one adds it. Missing texts have -1."""

    def __init__(self, missing: Iterable[str]) -> None:
        super().__init__(dict.fromkeys((None, *missing), -1))
        self.without = len(self)

    def __missing__(self, text: str | None) -> int:
        self[text] = code = len(self) - self.without
        return code


class Vocabulary:
    """A growing list of distinct texts; a text's code is its place in order of appearance.

    >>> words = Vocabulary("country", "int16")
    >>> words.codes(pa.array(["NO", "-", "US", "NO", None]).dictionary_encode()).tolist()
    [0, -1, 1, 0, -1]
    >>> words.texts
    ('NO', 'US')
    """

    def __init__(self, name: str, dtype: str, missing: Iterable[str] = MISSING) -> None:
        self._name = name
        self._dtype = np.dtype(dtype)
        self._codes = _Codes(missing)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(text for text, code in self._codes.items() if text is not None and code >= 0)

    def code(self, text: str) -> int:
        """The code of one text, new or known; -1 where missing."""
        return self._codes[text]

    def codes(self, texts: pa.DictionaryArray) -> Array:
        """The codes of a block, in the column's own type."""
        block = [*map(self._codes.__getitem__, texts.dictionary.to_pylist()), -1]
        most = int(np.iinfo(self._dtype).max) + 1
        if len(self._codes) - self._codes.without > most:
            raise InputError(
                f"column {self._name} holds more than {most:,} distinct texts; "
                "is the right column read as it?"
            )
        return np.array(block, self._dtype)[_indices(texts)]


def by_text(
    texts: pa.DictionaryArray,
    parse: Callable[[str], T | None],
    dtype: npt.DTypeLike,
    missing: T,
    *,
    optional: bool = True,
) -> tuple[Array, Mask]:
    """Apply `parse` to each distinct text; None from it marks a text it cannot read.

    A missing text gives `missing`, and is valid if `optional`.

    >>> texts = pa.array(["2.5", "x", "-"]).dictionary_encode()
    >>> [column.tolist() for column in by_text(texts, milliseconds, float, 0.0)]
    [[2.5, 0.0, 0.0], [True, False, True]]
    """
    gone = missing if optional else None
    parsed = [
        gone if text is None or text in MISSING else parse(text)
        for text in texts.dictionary.to_pylist()
    ]
    values = np.array([*(missing if value is None else value for value in parsed), missing], dtype)
    valid = np.array([*(value is not None for value in parsed), optional], np.bool_)
    index = _indices(texts)
    return values[index], valid[index]


def whole_numbers(
    texts: pa.DictionaryArray,
    parse: Callable[[str], int | None] | None = None,
    *,
    low: int = -(2**63),
    high: int = 2**63,
    optional: bool = True,
) -> tuple[npt.NDArray[np.int64], Mask]:
    """64-bit integers from `low` up to but not `high`, 0 where missing.

    Arrow reads the plain ones at once; `parse` has a try at the others (`whole_number` if None).

    >>> texts = pa.array(["7", "70000", "-", "7.0"]).dictionary_encode()
    >>> [column.tolist() for column in whole_numbers(texts, high=70_000)]
    [[7, 0, 0, 7], [True, False, True, True]]
    """
    words = texts.dictionary.fill_null("")
    plain = pc.match_substring_regex(words, _PLAIN)
    try:
        numbers = pc.if_else(plain, words, "0").cast(pa.int64()).to_numpy(zero_copy_only=False)
        fits = plain.to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # one of 19 digits is too large
        numbers, fits = np.zeros(len(words), np.int64), np.zeros(len(words), np.bool_)
    inside = fits & (numbers >= low) & (numbers <= high - 1)
    values, valid = np.append(np.where(inside, numbers, 0), 0), np.append(inside, optional)
    for place in np.flatnonzero(~fits).tolist():
        text = words[place].as_py()
        absent = 0 if optional else None
        number = absent if text in MISSING else (parse or whole_number)(text)
        if number is not None and low <= number < high:
            values[place], valid[place] = number, True
    index = _indices(texts)
    return values[index], valid[index]


def missing_rows(texts: pa.DictionaryArray) -> Mask:
    """Which rows of a block are null, empty or `-`."""
    words = texts.dictionary.to_pylist()
    return np.array([*(text is None or text in MISSING for text in words), True])[_indices(texts)]


def _indices(texts: pa.DictionaryArray) -> Array:
    # a null row has index -1 and so takes the extra last entry of the callers' tables
    indices = texts.indices if texts.indices.null_count == 0 else texts.indices.fill_null(-1)
    places: Array = indices.to_numpy(zero_copy_only=False)
    return places


def whole_number(text: str) -> int | None:
    """A 64-bit signed integer; `12.0`, which pandas makes of integers with gaps, counts as one."""
    match = _WHOLE_FLOAT.fullmatch(text)
    if match is None and not _WHOLE.fullmatch(text):
        return None
    number = int(match[1] if match else text)
    return number if number in _INT64 else None


def rounded_id(text: str) -> int | None:
    """An id that a spreadsheet turned into a rounded number; None if it does not look so.

    >>> rounded_id("-4.32e+18"), rounded_id("17")
    (-4320000000000000000, None)
    """
    if not _ROUNDED.fullmatch(text):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if number.adjusted() > 19:  # before int(), which would write out every digit
        return None
    return int(number) if int(number) in _INT64 else None


def network_number(text: str) -> int | None:
    """An AS number, written `15169`, `AS15169` or `15169.0`."""
    return whole_number(text.removeprefix("AS"))


def milliseconds(text: str) -> float | None:
    """A duration of zero or more, in milliseconds."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def boolean(text: str) -> bool | None:
    """`True`, `yes`, `1` and their opposites, in any case."""
    return _TRUTH.get(text.strip().lower())


def attack_kind(text: str) -> int | None:
    """A kind of `ATTACKS` by name, or a plain label: true is `reported`, false `none`.

    >>> ATTACKS[attack_kind("True")], ATTACKS[attack_kind("sim_swap")]
    ('reported', 'sim_swap')
    """
    label = boolean(text)
    if label is not None:
        return ATTACKS.index("reported") if label else 0
    return ATTACKS.index(text) if text in ATTACKS else None


def hash_texts(texts: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each text, the same on every machine and in every process."""
    return pd.util.hash_array(np.array(texts, object), categorize=False)
