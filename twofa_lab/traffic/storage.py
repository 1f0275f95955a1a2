"""A run on disk: a directory of Parquet shards, closed by a manifest.

Everything is written to a hidden directory beside the target and renamed when the manifest is in
place, so a run that looks whole is whole. Opening checks the manifest, the format's version and
every file's size.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from twofa_lab.errors import InputError, LabError, WorkError
from twofa_lab.risk.policy import input_error
from twofa_lab.tables import ATTACKS, CHANNELS, FACTORS, LINE_TYPES, LOGINS, PEOPLE, Array, Table
from twofa_lab.traffic.scenario import Costs
from twofa_lab.traffic.world import Shard, Vocabularies, World, WorldFacts

__all__ = ["DiskSource", "RunWriter", "open_run", "write_shard"]

FORMAT = "twofa-lab run 1"
_MANIFEST = "manifest.json"
_MAX_MANIFEST = 64_000_000
_MOST_ROWS_A_BYTE = 8
_MOST_UNPACKED = 200
"""Bounds of a shard's file. What is written here has several bytes a row and unpacks to less than
ten times its size; the rest is room."""

_LATEST = 7_258_118_400_000  # the year 2200
_MOST = {
    "time": _LATEST,
    "attack": len(ATTACKS),
    "line_type": len(LINE_TYPES),
    "factors": 1 << len(FACTORS),
}
"""Columns that code indexes by, and what their values stay below."""


@dataclass(frozen=True)
class DiskSource:
    """Shards of a run directory."""

    folder: str
    shards: int
    vocabularies: Vocabularies = field(repr=False)

    def __len__(self) -> int:
        return self.shards

    def load(self, index: int, columns: Iterable[str] | None) -> Shard:
        """Read one shard; `columns` of the logins table or all of them."""
        folder = Path(self.folder)
        path, words = folder / _name(LOGINS, index), self.vocabularies
        people = _read(folder / _name(PEOPLE, index), PEOPLE, None, words)
        ids = people["user_id"]
        if not len(ids):
            raise InputError(f"{folder / _name(PEOPLE, index)}: holds no accounts")
        wanted = None if columns is None else ["user_id", *columns]
        logins = _read(path, LOGINS, wanted, words)
        starts = np.append(np.searchsorted(logins["user_id"], ids), len(logins["user_id"]))
        if not _account_major(logins, ids, starts):
            raise InputError(
                f"{path}: its rows do not lie by account and time, or are of others than the people"
            )
        return Shard(index, logins, people, starts.astype(np.int64))


class RunWriter:
    """Writes a run beside its target and moves it into place when `finish` was called.

    Use as a context manager: leaving it without `finish` removes what was written.
    """

    def __init__(self, target: Path, *, overwrite: bool = False) -> None:
        self.target = Path(os.path.abspath(target))  # noqa: PTH100 - keeps a link a link
        if self.target.exists() or self.target.is_symlink():
            if not overwrite:
                raise InputError(f"{target}: exists already; choose another or say overwrite")
            if not _may_be_replaced(self.target):
                raise InputError(f"{target}: is not a run, so it will not be overwritten")
        self.folder = self._beside("partial")

    def _beside(self, ending: str) -> Path:
        return self.target.with_name(f".{self.target.name}.{secrets.token_hex(4)}.{ending}")

    def __enter__(self) -> RunWriter:
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise _work_error(self.target, error) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, LabError):
            raise _work_error(self.target, error) from None

    def finish(self, facts: WorldFacts, shards: int) -> None:
        """Write the manifest and put the run in its place."""
        names = [_name(table, i) for table in (LOGINS, PEOPLE) for i in range(shards)]
        manifest = {
            "format": FORMAT,
            "shards": shards,
            "facts": _facts_to_json(facts),
            "files": {name: (self.folder / name).stat().st_size for name in names},
        }
        path = self.folder / _MANIFEST
        path.write_text(json.dumps(manifest), encoding="utf-8")
        with path.open("rb") as file:
            os.fsync(file.fileno())
        old = self._beside("old")
        if self.target.exists():
            self.target.rename(old)
        try:
            self.folder.rename(self.target)
        except OSError:
            if old.exists():
                old.rename(self.target)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _may_be_replaced(target: Path) -> bool:
    """Whether a directory is a run or empty: nothing else is ever deleted."""
    if target.is_symlink() or not target.is_dir() or not target.name:
        return False
    return (target / _MANIFEST).is_file() or not any(target.iterdir())


def _work_error(target: Path, error: OSError) -> WorkError:
    what = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
    return WorkError(f"{target}: {what}; nothing was left behind")


def _name(table: Table, index: int) -> str:
    return f"{table.name}-{index:05d}.parquet"


def write_shard(folder: Path, shard: Shard, vocabularies: dict[str, tuple[str, ...]]) -> None:
    """Write a shard's logins and people into a run's directory."""
    for table, columns in ((LOGINS, shard.logins), (PEOPLE, shard.people)):
        arrow = to_arrow(table, columns, vocabularies)
        pq.write_table(
            arrow,
            folder / _name(table, shard.index),
            compression="zstd",
            compression_level=1,
            use_dictionary=[column.name for column in table.columns if column.text],
            write_statistics=False,
            store_schema=True,
        )


def to_arrow(
    table: Table, columns: dict[str, Array], vocabularies: dict[str, tuple[str, ...]]
) -> pa.Table:
    """Columns as an Arrow table: text dictionary-encoded, times as timestamps."""
    arrays: dict[str, pa.Array] = {}
    for column in table.columns:
        if column.name not in columns:
            continue
        values = columns[column.name]
        if column.text:
            words = pa.array(vocabularies[column.name], pa.string())
            mask = values < 0
            codes = pa.array(values, mask=mask if mask.any() else None)
            arrays[column.name] = pa.DictionaryArray.from_arrays(codes, words)
        elif column.name in ("time", "created"):
            arrays[column.name] = pa.array(values).view(pa.timestamp("ms", "UTC"))
        else:
            arrays[column.name] = pa.array(values)
    return pa.table(arrays)


def _read(
    path: Path, table: Table, names: list[str] | None, words: Vocabularies
) -> dict[str, Array]:
    """Columns of one Parquet file as the in-memory table; `InputError` when it is not one.

    The file may be anybody's, and compiled code indexes by what is in it without looking: so codes
    and counts are checked here.
    """
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            _refuse_swollen(file.metadata, path.stat().st_size)
            arrow = file.read(columns=names, use_threads=False)
        arrow.validate(full=True)
        columns = {
            name: _from_arrow(arrow.column(name), table, name, words) for name in arrow.column_names
        }
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read as a {table.name} table ({first})") from None
    try:
        table.check(columns, names)
        _check_values(columns)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return columns


def _refuse_swollen(found: pq.FileMetaData, size: int) -> None:
    """Refuse a file that would unpack to far more than any table of ours of that size."""
    parts = [found.row_group(i) for i in range(found.num_row_groups)]
    if found.num_rows > _MOST_ROWS_A_BYTE * size or any(part.num_rows < 0 for part in parts):
        raise ValueError(f"{found.num_rows:,} rows in {size:,} bytes: more than can be")
    unpacked = sum(part.total_byte_size for part in parts)
    if unpacked > _MOST_UNPACKED * size + (1 << 24):
        raise ValueError(f"{size:,} bytes that unpack to {unpacked:,}: more than can be")


def _check_values(columns: dict[str, Array]) -> None:
    for name, most in _MOST.items():
        values = columns.get(name)
        if values is not None and len(values) and not (0 <= values.min() <= values.max() < most):
            raise InputError(f"column {name!r} holds values that it cannot: they end at {most - 1}")
    for name, values in columns.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError(f"column {name!r} holds values that are no numbers")


def _account_major(logins: dict[str, Array], ids: Array, starts: Array) -> bool:
    """Whether the logins are those of these accounts, one account after the other, in time."""
    users, rows = logins["user_id"], np.diff(starts)
    if (ids[1:] <= ids[:-1]).any() or starts[0] or (rows < 0).any():
        return False
    if not np.array_equal(users, np.repeat(ids, rows)):
        return False
    time = logins.get("time")
    return time is None or bool(((time[1:] >= time[:-1]) | (users[1:] != users[:-1])).all())


def _from_arrow(
    chunks: pa.ChunkedArray, table: Table, name: str, vocabularies: Vocabularies
) -> Array:
    column = table.column(name)
    if column.text is not pa.types.is_dictionary(chunks.type):
        raise ValueError(f"column {name} is {chunks.type}")
    if chunks.null_count and not column.text:
        raise ValueError(f"column {name} has gaps")
    array = chunks.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    if column.text:
        words = pa.array(vocabularies[name][: len(array.dictionary)], pa.string())
        if not array.dictionary.equals(words):
            raise ValueError(f"column {name} has other words than the manifest")
        codes = array.indices
        return codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(column.dtype)
    if column.name in ("time", "created"):
        array = array.cast(pa.timestamp("ms", "UTC")).view(pa.int64())
    elif array.type != pa.from_numpy_dtype(column.dtype):
        raise ValueError(f"column {name} is {array.type}, not {column.dtype}")
    return array.to_numpy(zero_copy_only=False).astype(column.dtype, copy=False)


def open_run(path: str | Path) -> World:
    """Open a run written by `simulate` or the command line; `InputError` says what is wrong."""
    folder = Path(path)
    manifest = _manifest(folder)
    for name, size in manifest["files"].items():
        file = folder / name
        if not file.is_file():
            raise InputError(f"{folder}: incomplete, {name} is missing; simulate it again")
        if file.stat().st_size != size:
            raise InputError(f"{folder}: damaged, {name} is not {size:,} bytes; simulate it again")
    facts = _facts_from_json(folder, manifest.get("facts"))
    return World(facts, DiskSource(str(folder), int(manifest["shards"]), facts.vocabularies))


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not folder.is_dir():
        raise InputError(f"{folder}: no such run directory")
    if not path.is_file():
        raise InputError(f"{folder}: not a run, or one cut short: it has no {_MANIFEST}")
    if path.stat().st_size > _MAX_MANIFEST:
        raise InputError(f"{path}: too large to be a manifest")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found = manifest.get("format")
    except (ValueError, AttributeError, RecursionError):
        raise InputError(f"{path}: damaged; simulate the run again") from None
    if found != FORMAT:
        raise InputError(f"{folder}: written as {found!r}, this version reads {FORMAT!r}")
    if not _names_its_files(manifest):
        raise InputError(f"{path}: damaged; simulate the run again")
    return dict(manifest)


def _names_its_files(manifest: dict[str, Any]) -> bool:
    """Whether a manifest lists just the files its shards have, with sizes: no other is opened."""
    files, shards = manifest.get("files"), manifest.get("shards")
    if not isinstance(files, dict) or type(shards) is not int or len(files) != 2 * shards:
        return False
    names = {_name(table, index) for table in (LOGINS, PEOPLE) for index in range(shards)}
    return set(files) == names and all(type(size) is int for size in files.values())


def _facts_to_json(facts: WorldFacts) -> dict[str, Any]:
    content = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
    return content | {"costs": facts.costs.model_dump(mode="json")}


def _facts_from_json(folder: Path, content: Any) -> WorldFacts:
    try:
        fields = dict(content)
        fields["costs"] = Costs.model_validate(fields["costs"])
        start, end = fields["window"]
        fields["window"] = (start, end)
        fields["assumptions"] = tuple(map(str, fields["assumptions"]))
        fields["vocabularies"] = {
            str(name): tuple(map(str, words)) for name, words in fields["vocabularies"].items()
        }
        facts = WorldFacts(**fields)
    except ValidationError as error:
        raise input_error(folder / _MANIFEST, error) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{folder}: its manifest lacks or spoils {error}") from None
    if not _plausible(facts):
        raise InputError(f"{folder / _MANIFEST}: damaged; simulate the run again")
    return facts


def _plausible(facts: WorldFacts) -> bool:
    """Whether facts read from a file have the types and words that all code relies on."""
    numbers = (facts.seed, facts.users, facts.days, facts.logins, facts.attacks, *facts.window)
    names = (facts.name, facts.fingerprint)
    texts = {c.name for table in (LOGINS, PEOPLE) for c in table.columns if c.text}
    return (
        all(type(value) is int for value in numbers)
        and all(isinstance(name, str) for name in names)
        and set(CHANNELS[1:]) == set(facts.costs.message)
        and facts.human_side in ("simulated", "lent", "none")
        and 0 <= facts.window[0] < facts.window[1] < _LATEST
        and 0 < facts.users < 1 << 40
        and 0 < facts.days < 100_000
        and 0 <= facts.attacks <= facts.logins < 1 << 60
        and 0 <= facts.seed < 1 << 64
        and texts <= set(facts.vocabularies)
    )
