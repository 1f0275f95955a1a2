"""Time stamps of a log: ISO 8601 with or without an offset to UTC, or seconds or ms since 1970."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from twofa_lab.errors import InputError
from twofa_lab.tables import Array

__all__ = ["EPOCH_MS", "EPOCH_S", "KINDS", "NAIVE", "OFFSET", "TimeKinds", "Times", "read_times"]

NAIVE, OFFSET, EPOCH_S, EPOCH_MS = range(4)
KINDS = (
    "without an offset to UTC",
    "with an offset to UTC",
    "in seconds since 1970",
    "in milliseconds since 1970",
)

_ISO = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?"
_ZONE = r"(Z|[+-]\d{2}(:?\d{2})?)$"
_LATEST = 7_258_118_400_000  # 2200-01-01: later stamps are damage, and so are those before 1970
# Seconds below, milliseconds from here on: as seconds the year 5138, as milliseconds 1973.
_EPOCH_MS_FROM = 1e11
_EPOCH_FROM = 1e8  # 1973 in seconds: a smaller number is something else than a time


@dataclass(frozen=True, eq=False)
class Times:
    """A block of times: ms since 1970 UTC, whether each could be read, and how it was written."""

    ms: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_]
    kind: npt.NDArray[np.uint8]


def read_times(column: pa.Array) -> Times:
    """Times of a block, from text, from Arrow time stamps or from numbers.

    >>> times = read_times(pa.array(["1970-01-01T01:00:01+01:00", "soon"]))
    >>> times.ms.tolist(), times.valid.tolist()
    ([1000, 0], [True, False])
    """
    if pa.types.is_timestamp(column.type):
        kind = NAIVE if column.type.tz is None else OFFSET
        ms = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
        return _checked(ms.fill_null(-1).to_numpy(zero_copy_only=False), kind)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        column = column.cast(pa.float64(), safe=False)  # rounds what is no time anyway
        return _epoch(column.fill_null(-1).to_numpy(zero_copy_only=False))
    texts = column.cast(pa.string()).fill_null("")
    if len(texts) and pc.min(pc.binary_length(texts)).as_py() >= len("2026-01-01T00:00"):
        # a whole block of one kind, which is the rule, is read at once
        for kind, zone in ((NAIVE, None), (OFFSET, "UTC")):
            try:
                ns = texts.cast(pa.timestamp("ns", zone)).cast(pa.int64())
            except pa.ArrowInvalid:
                continue
            return _checked(ns.to_numpy(zero_copy_only=False) // 1_000_000, kind)
    return _each(texts)


def _checked(ms: Array, kind: int) -> Times:
    valid = (ms >= 0) & (ms < _LATEST)
    return Times(np.where(valid, ms, 0), valid, np.full(len(ms), kind, np.uint8))


def _epoch(number: Array) -> Times:
    number = np.nan_to_num(number, nan=-1.0, posinf=-1.0, neginf=-1.0)
    seconds = number < _EPOCH_MS_FROM
    ms = np.where(seconds, np.round(np.where(seconds, number, 0) * 1000), number)
    valid = (number >= _EPOCH_FROM) & (ms < _LATEST)
    kind = np.where(seconds, EPOCH_S, EPOCH_MS).astype(np.uint8)
    return Times(np.where(valid, ms, 0).astype(np.int64), valid, kind)


def _each(texts: pa.StringArray) -> Times:
    """Row by row, for a block of several kinds or with damage in it."""
    ms = np.zeros(len(texts), np.int64)
    valid = np.zeros(len(texts), np.bool_)
    kind = np.zeros(len(texts), np.uint8)
    for which, pattern in (
        (NAIVE, _ISO + "$"),
        (OFFSET, _ISO + _ZONE),
        (EPOCH_S, r"^\d+(\.\d+)?$"),
    ):
        rows = np.flatnonzero(pc.match_substring_regex(texts, pattern).to_numpy(False))
        if not len(rows):
            continue
        found = texts.take(pa.array(rows))
        if which == EPOCH_S:
            part = _epoch(found.cast(pa.float64()).to_numpy(zero_copy_only=False))
        else:
            stamps = pd.to_datetime(
                pd.Series(found.to_pylist(), dtype=object),
                format="ISO8601",
                errors="coerce",
                utc=True,
            )
            read = stamps.notna().to_numpy()
            whole = stamps.dt.as_unit("ms").astype("int64").to_numpy()
            part = _checked(np.where(read, whole, -1), which)
        ms[rows], valid[rows], kind[rows] = part.ms, part.valid, part.kind
    return Times(ms, valid, kind)


class TimeKinds:
    """Sees that a file's times are of one kind: a clock without a zone is not mixed with UTC.

    A file with both would be put in a wrong order without anybody noticing, so it is refused.
    """

    def __init__(self, path: str, column: str, first_row: int) -> None:
        self._where = f"{path}: column {column!r}"
        self._first_row = first_row
        self._seen: dict[int, int] = {}

    def add(self, times: Times, rows: Array) -> None:
        """Note the first row of each kind; `InputError` once two of them do not go together."""
        for kind in range(len(KINDS)):
            if kind not in self._seen:
                here = rows[times.valid & (times.kind == kind)]
                if len(here):
                    self._seen[kind] = int(here[0]) + self._first_row
        absolute = [kind for kind in self._seen if kind != NAIVE]
        if NAIVE in self._seen and absolute:
            pair = sorted((NAIVE, absolute[0]), key=lambda kind: self._seen[kind])
            raise InputError(
                f"{self._where} mixes times: row {self._seen[pair[1]]:,} is {KINDS[pair[1]]}, "
                f"row {self._seen[pair[0]]:,} {KINDS[pair[0]]}; write all of them in one way"
            )

    def notes(self) -> list[str]:
        """What was understood, for the notes of a reading."""
        said = {
            NAIVE: "times carry no offset to UTC and were taken as UTC",
            EPOCH_S: "times were taken as seconds since 1970, by their size",
            EPOCH_MS: "times were taken as milliseconds since 1970, by their size",
        }
        return [said[kind] for kind in sorted(self._seen) if kind in said]
