"""Log files as Arrow record batches, streamed: only one block of text is in memory at a time."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from tqdm import tqdm

from twofa_lab.errors import InputError
from twofa_lab.tables import Array
from twofa_lab.traffic.readers.reading import Tally, positions_without

__all__ = ["CsvBlocks", "ParquetBlocks", "open_bytes"]

Blocks = Iterator[tuple[pa.RecordBatch, Array]]
"""Batches with the numbers (from 0) of their data rows."""

_BLOCK_BYTES = 4 << 20
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())


@contextlib.contextmanager
def open_bytes(path: Path, *, progress: bool) -> Iterator[tuple[io.BufferedReader, Any]]:
    """A file's bytes and a progress bar to update, which shows once reading takes over a second."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no file; write what comes from a pipe or device to one first")
    try:
        size = path.stat().st_size
        raw = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror or error}") from error
    if not size:
        raw.close()
        raise InputError(f"{path}: the file is empty")
    with (
        raw,
        tqdm(
            total=size,
            unit="B",
            unit_scale=True,
            desc=f"reading {path.name}",
            delay=1,
            leave=False,
            disable=not progress,
            file=sys.stderr,
        ) as bar,
    ):
        yield raw, bar


class CheckedBytes(io.RawIOBase):
    """Passes a file's bytes on; refuses what is not UTF-8 text, and remembers how the file ends."""

    def __init__(self, raw: io.BufferedReader, path: Path, bar: Any) -> None:
        self._raw = raw
        self._path = path
        self._bar = bar
        self._lines = 0
        self._partial = b""
        self.quotes = 0
        self.ends_with_newline = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, whole as they are; `InputError` naming the line that is not UTF-8."""
        data = self._raw.read(size)
        self._bar.update(len(data))
        if data:
            self.quotes += data.count(b'"')
            self.ends_with_newline = data.endswith(b"\n")
        self._check(self._partial + data, final=not data)
        return data

    def _check(self, data: bytes, *, final: bool) -> None:
        self._partial = b""
        if b"\0" in data:
            line = self._lines + data[: data.index(b"\0")].count(b"\n") + 1
            raise InputError(f"{self._path}: not a text file: line {line:,} holds a zero byte")
        try:
            data.decode()
        except UnicodeDecodeError as error:
            if not final and error.end == len(data) and len(data) - error.start < 4:
                self._partial = data[error.start :]  # a character cut by the block's end
                data = data[: error.start]
            else:
                line = self._lines + data[: error.start].count(b"\n") + 1
                raise InputError(
                    f"{self._path}: line {line:,} is not UTF-8 text; convert the file to UTF-8"
                ) from None
        self._lines += data.count(b"\n")


class CsvBlocks:
    """A CSV file with a header, its fields as text.

    `header` holds the column names. `blocks(tally)` yields the rows; a row with another number of
    fields than the header is counted in `tally` and passed over.
    """

    FIRST_ROW = 2
    """Number of the first data row in the file, after the header."""

    def __init__(self, path: Path, *, progress: bool) -> None:
        self.path = path
        self.notes: list[str] = []
        self.rows_read = 0
        self._progress = progress
        self.header = self._read_header()

    def _read_header(self) -> list[str]:
        with open_bytes(self.path, progress=False) as (raw, bar):
            head = CheckedBytes(raw, self.path, bar).read(_BLOCK_BYTES)
        text = io.StringIO(head.decode(errors="ignore").removeprefix("\ufeff"), newline="")
        try:
            header = next((row for row in csv.reader(text) if row), [])
        except csv.Error as error:
            raise InputError(f"{self.path}: the header cannot be read: {error}") from None
        twice = {name for name in header if header.count(name) > 1}
        if twice:
            raise InputError(f"{self.path}: the header names {sorted(twice)[0]!r} twice")
        return header

    def blocks(self, tally: Tally, columns: list[str], plain: str) -> Blocks:
        """The given columns, dictionary-encoded, but `plain`, whose texts are nearly all distinct.

        Raises `InputError` for text that is not UTF-8 and for a quote that never closes.
        """
        skipped: list[int] = []

        def skip(row: pacsv.InvalidRow) -> str:
            skipped.append(row.number - 1 - 1)  # Arrow counts from 1 and counts the header
            reason = f"{row.actual_columns} fields instead of {row.expected_columns}"
            tally.add(reason, skipped[-1:])
            return "skip"

        with open_bytes(self.path, progress=self._progress) as (raw, bar):
            source = CheckedBytes(raw, self.path, bar)
            try:
                yield from self._batches(source, skip, columns, plain, skipped)
            except pa.ArrowException as error:
                raise InputError(self._explain(str(error))) from None
            self.rows_read += len(skipped)
            if source.quotes % 2:
                self.notes.append(
                    "the file holds an odd number of quotes: one may be left open, and the row "
                    "with it have swallowed what follows"
                )
            if not source.ends_with_newline:
                self.notes.append(
                    "the file does not end with a line end: its last row may be cut short"
                )

    def _batches(
        self,
        source: CheckedBytes,
        skip: Any,
        columns: list[str],
        plain: str,
        skipped: list[int],
    ) -> Blocks:
        types = {name: pa.string() if name == plain else _DICTIONARY for name in columns}
        # without its own threads, because only then does Arrow number the rows it cannot parse
        reader = pacsv.open_csv(
            source,
            read_options=pacsv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
            convert_options=pacsv.ConvertOptions(
                column_types=types,
                include_columns=columns,
                check_utf8=False,  # `CheckedBytes` has seen to it
                strings_can_be_null=False,
            ),
        )
        position = 0
        for batch in _ahead(reader):
            ahead = [row for row in skipped if row >= position]
            rows = positions_without(position, batch.num_rows, ahead)
            position = int(rows[-1]) + 1 if len(rows) else position
            self.rows_read += batch.num_rows
            yield batch, rows

    def _explain(self, error: str) -> str:
        if "straddling" in error:
            return (
                f"{self.path}: a row after row {self.rows_read + 1:,} is longer than "
                f"{_BLOCK_BYTES >> 20} MiB: a quote in it is probably never closed"
            )
        if "Empty CSV" in error:
            return f"{self.path}: the file holds a header and no rows"
        return f"{self.path}: not a CSV file that can be read: {error.splitlines()[0]}"


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, the next one read in a second thread while this one is worked on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


class ParquetBlocks:
    """A Parquet file, read batch by batch; the counterpart of `CsvBlocks`."""

    FIRST_ROW = 1

    def __init__(self, path: Path, *, progress: bool) -> None:
        self.path = path
        self.notes: list[str] = []
        self.rows_read = 0
        self._progress = progress
        try:
            self._file = pq.ParquetFile(path)
        except FileNotFoundError as error:
            raise InputError(f"{path}: cannot be opened: no such file") from error
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: not a whole Parquet file: {reason}") from error
        self.header = list(self._file.schema_arrow.names)

    def blocks(self, tally: Tally, columns: list[str], plain: str) -> Blocks:  # noqa: ARG002
        """The given columns as they are stored; `tally` and `plain` serve the CSV counterpart."""
        with tqdm(
            total=self._file.metadata.num_rows,
            unit="row",
            unit_scale=True,
            desc=f"reading {self.path.name}",
            delay=1,
            leave=False,
            disable=not self._progress,
            file=sys.stderr,
        ) as bar:
            try:
                batches = self._file.iter_batches(batch_size=1 << 16, columns=columns)
                for batch in _ahead(batches):
                    batch.validate(full=True)  # damaged text would raise later, and elsewhere
                    rows = positions_without(self.rows_read, batch.num_rows, [])
                    self.rows_read += batch.num_rows
                    bar.update(batch.num_rows)
                    yield batch, rows
            except (OSError, pa.ArrowException) as error:
                reason = str(error).splitlines()[0]
                raise InputError(
                    f"{self.path}: damaged after row {self.rows_read:,}: {reason}"
                ) from error
