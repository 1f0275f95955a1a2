"""Columns of a table-like log to columns of the logins table, one block at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from twofa_lab.errors import InputError
from twofa_lab.tables import ATTACKS, Array
from twofa_lab.traffic.addresses import parse_ips
from twofa_lab.traffic.readers import values
from twofa_lab.traffic.readers.gather import Gather
from twofa_lab.traffic.readers.reading import counted
from twofa_lab.traffic.readers.times import NAIVE, TimeKinds, Times, read_times
from twofa_lab.traffic.readers.users import UserIds

__all__ = ["FIELDS", "REQUIRED", "FieldReader"]

REQUIRED = ("user_id", "time", "password_ok")
_TEXTS = ("country", "region", "city", "user_agent", "browser", "os", "device_type")
FIELDS = (*REQUIRED, "ip", "ip_listed", *_TEXTS, "asn", "device_id", "rtt_ms", "attack")
"""Columns of the logins table that a log may hold; those of `REQUIRED` it must."""

_MAX_RTT = 65_534
_HASH_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd, so multiplying by it loses nothing


class FieldReader:
    """Turns batches into accepted rows of a gatherer.

    `mapping` gives the file's column for each field it holds. `other` columns play no part but in
    telling duplicates from rows that only look alike. With `naive_only`, a time with an offset to
    UTC is no time of this format.
    """

    def __init__(
        self,
        gather: Gather,
        mapping: Mapping[str, str],
        users: UserIds,
        other: list[str],
        *,
        naive_only: bool = False,
    ) -> None:
        self._gather = gather
        self._mapping = mapping
        self._users = users
        self._other = other
        self._naive_only = naive_only
        self._clipped = 0
        self._kinds = TimeKinds(str(gather.path), mapping["time"], gather.tally.first_row)

    def add(self, batch: pa.RecordBatch, rows: Array) -> None:
        """Read one batch; `rows` are the numbers of its data rows, from 0."""
        problems: list[tuple[str, Array]] = []
        columns: dict[str, Array] = {}
        for name in self._mapping:
            if name != "time":
                texts = self._texts(batch, self._mapping[name])
                columns[name] = self._read(name, texts, problems)
        times = self._times(batch.column(self._mapping["time"]))
        usable = times.valid & (times.kind == NAIVE) if self._naive_only else times.valid
        columns["time"] = times.ms
        problems.append((f"{self._mapping['time']}: not a time between 1970 and 2200", ~usable))
        if not self._naive_only:
            self._kinds.add(times, rows)
        if self._other:
            columns["rest"] = self._hash_of_rest(batch)
        self._gather.add(rows, columns, problems)

    def notes(self) -> list[str]:
        """What there is to say once all batches are read."""
        notes = [] if self._naive_only else self._kinds.notes()
        if self._clipped:
            notes.append(
                f"{counted(self._clipped, 'row')} with a round-trip time over {_MAX_RTT:,} ms, cut "
                "to that"
            )
        if {"user_agent"} <= self._mapping.keys() and "device_id" not in self._mapping:
            notes.append("devices are told apart by their user agent: the log names none")
        return notes

    def _texts(self, batch: pa.RecordBatch, name: str) -> pa.DictionaryArray:
        column = batch.column(name)
        if pa.types.is_dictionary(column.type) and column.type.value_type == pa.string():
            return column
        try:
            return column.cast(pa.string()).dictionary_encode()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise InputError(
                f"{self._gather.path}: column {name!r} is {column.type}, which cannot be read as "
                "text, a number or a truth value"
            ) from None

    def _times(self, column: pa.Array) -> Times:
        try:
            return read_times(column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise InputError(
                f"{self._gather.path}: column {self._mapping['time']!r} is {column.type}, which "
                "cannot be read as times"
            ) from None

    def _read(
        self, name: str, texts: pa.DictionaryArray, problems: list[tuple[str, Array]]
    ) -> Array:
        """Values of one field; adds to `problems` the rows that have none that can be used."""
        if name in _TEXTS:
            return self._gather.vocabularies[name].codes(texts)
        if name == "user_id":
            column, valid = self._users.block(texts)
            what = "not an id"
        elif name == "ip":
            column, valid = parse_ips(texts)
            if not valid.all():
                valid |= values.missing_rows(texts)
            what = "not an IP address"
        elif name == "asn":
            column, valid = values.whole_numbers(texts, values.network_number, low=0, high=2**32)
            column = column.astype(np.uint32)
            what = "not an AS number"
        elif name == "device_id":
            column, valid = self._device(texts), np.ones(len(texts), np.bool_)
            what = ""
        elif name == "rtt_ms":
            column, valid = self._round_trip(texts)
            what = "not a time in milliseconds"
        elif name == "attack":
            column, valid = values.by_text(texts, values.attack_kind, np.uint8, 0)
            what = f"neither true, false nor one of {', '.join(ATTACKS)}"
        else:
            optional = name not in REQUIRED
            column, valid = values.by_text(
                texts, values.boolean, np.bool_, False, optional=optional
            )
            what = "neither true nor false"
        problems.append((f"{self._mapping[name]}: {what}", ~valid))
        return column

    def _round_trip(self, texts: pa.DictionaryArray) -> tuple[Array, Array]:
        exact, valid = values.by_text(texts, values.milliseconds, np.float64, 0.0)
        self._clipped += int((exact > _MAX_RTT).sum())
        # 0 stands for "not measured", so a measured time is at least 1 ms
        whole = np.clip(np.round(exact), 1, _MAX_RTT).astype(np.uint16)
        return np.where(exact > 0, whole, np.uint16(0)), valid

    def _device(self, texts: pa.DictionaryArray) -> Array:
        """A hash of each device's own id; 0 where missing."""
        distinct = tuple(text or "" for text in texts.dictionary.to_pylist())
        hashes = np.append(values.hash_texts(distinct), np.uint64(0))
        hashed = hashes[texts.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
        return np.where(values.missing_rows(texts), np.uint64(0), hashed)

    def _hash_of_rest(self, batch: pa.RecordBatch) -> Array:
        total = np.zeros(batch.num_rows, np.uint64)
        for name in self._other:
            column = batch.column(name)
            if pa.types.is_dictionary(column.type):
                hashes = np.append(_hashes(column.dictionary), np.uint64(0))
                hashes = hashes[column.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
            else:
                hashes = _hashes(column)
            total = total * _HASH_STEP + hashes
        return total


def _hashes(column: pa.Array) -> Array:
    return values.hash_texts(tuple(str(value) for value in column.to_pylist()))
