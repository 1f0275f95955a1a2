"""Connect to the database and run transactions that fail closed, with one clear line.

SQLite runs in WAL mode with `synchronous=FULL`: what a transaction acknowledged survives a crash.
Every transaction of `write` starts with BEGIN IMMEDIATE, so that its reads hold until it commits.
PostgreSQL runs at READ COMMITTED, where a conditional UPDATE waits for the row and judges its
newest version: that is all the operations here rely on.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from twofa_lab.errors import InputError, WorkError

__all__ = ["BUSY_TIMEOUT_MS", "connect", "read", "write"]

BUSY_TIMEOUT_MS = 5_000
"""How long a transaction waits for another before it gives up."""

_POOL_SIZE = 8
"""Connections kept; as many again when busy. PostgreSQL accepts 100 in all by default."""

_PRAGMAS = ("foreign_keys=ON", "synchronous=FULL", "trusted_schema=OFF", "temp_store=MEMORY")


def connect(
    url: str,
    *,
    create: bool = False,
    read_only: bool = False,
    busy_timeout_ms: int = BUSY_TIMEOUT_MS,
) -> Engine:
    """An engine for a database: `sqlite:///file`, a bare path, `sqlite://` (in memory, one
    thread) or `postgresql://user@host/name`.

    Nothing is opened yet. `create` makes a missing SQLite file (mode 0600); without it a missing
    file is an error, never a new empty database. With `read_only` the database itself refuses every
    change. `InputError` for another kind of URL.

    >>> engine = connect("sqlite://")
    >>> with write(engine) as connection:
    ...     connection.exec_driver_sql("select 1").scalar_one()
    1
    """
    try:
        parsed = make_url(url) if "://" in url else URL.create("sqlite", database=url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise InputError(
            "the database is not a path or a URL like postgresql://host/name"
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite(parsed, create, read_only, busy_timeout_ms)
        case "postgresql":
            return _postgresql(parsed, read_only, busy_timeout_ms)
        case other:
            raise InputError(f"the database must be SQLite or PostgreSQL, not {other}")


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """A transaction that commits at the end of the block, durable when the block is left.

    Any error rolls it back. A database that is locked, read-only, full or gone raises `WorkError`;
    nothing was done then, except that a connection lost *during* the commit leaves it unknown, and
    the text says so. The error never carries a statement's values.
    """
    # `begin` also rolls back when the commit itself fails, which closing a connection does not
    with _explained(engine), engine.begin() as connection:
        yield connection


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """A transaction for reading only, on SQLite without the writer's lock. It never commits."""
    with _explained(engine), engine.connect() as connection:
        connection.execution_options(reads_only=True).begin()
        yield connection


@contextmanager
def _explained(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeoutError, engine.dialect.loaded_dbapi.Error) as error:
        raise _explain(error, engine.url) from None


def _sqlite(url: URL, create: bool, read_only: bool, busy_timeout_ms: int) -> Engine:
    path = url.database or ":memory:"
    if url.query:
        raise InputError("a SQLite database takes no options in its URL")
    if path != ":memory:":
        if create:
            _create_file(Path(path))
        quoted = Path(path).absolute().as_uri()
        mode = "ro" if read_only else "rw"
        url = url.set(database=quoted, query={"mode": mode, "uri": "true"})
        sizes = {"pool_size": _POOL_SIZE, "max_overflow": _POOL_SIZE}
    else:
        url, sizes = make_url("sqlite://"), {}
    engine = create_engine(url, hide_parameters=True, paramstyle="named", **sizes)

    @event.listens_for(engine, "connect")
    def _prepare(dbapi: sqlite3.Connection, record: Any) -> None:
        dbapi.isolation_level = None  # the driver begins nothing by itself
        dbapi.execute(f"PRAGMA busy_timeout={int(busy_timeout_ms)}")
        for pragma in _PRAGMAS:
            dbapi.execute(f"PRAGMA {pragma}")
        if path != ":memory:":
            if not read_only:
                dbapi.execute("PRAGMA journal_mode=WAL")
            record.info["file"] = _identity(path)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads_only = connection.get_execution_options().get("reads_only")
        if path != ":memory:" and connection.connection.info.get("file") != _identity(path):
            # Rows written to a file that was deleted or replaced would vanish with it.
            connection.invalidate()
            raise WorkError(f"the database {path} was removed or replaced while in use")
        dbapi: Any = connection.connection.dbapi_connection
        dbapi.execute("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return engine


def _create_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise InputError(f"cannot create the database {path}: {error.strerror}") from None


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - runs at every transaction; Path costs more
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _postgresql(url: URL, read_only: bool, busy_timeout_ms: int) -> Engine:
    options = (
        f"-c default_transaction_read_only={'on' if read_only else 'off'}"
        f" -c lock_timeout={int(busy_timeout_ms)} -c synchronous_commit=on"
        " -c idle_in_transaction_session_timeout=60000"
    )
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_size=_POOL_SIZE,
        max_overflow=_POOL_SIZE,
        connect_args={"options": options, "connect_timeout": 5},
    )


_SQLITE_REASONS = {
    sqlite3.SQLITE_BUSY: "is locked by another process: try again",
    sqlite3.SQLITE_LOCKED: "is locked by another process: try again",
    sqlite3.SQLITE_READONLY: "is read-only",
    sqlite3.SQLITE_FULL: "or its disk is full",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: is the path right?",
    sqlite3.SQLITE_NOTADB: "is not a SQLite file",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore a backup",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk failed",
}

_STATE_REASONS = {
    "55P03": "is locked by another transaction: try again",
    "40P01": "is locked by another transaction: try again",
    "40001": "was changed by another transaction: try again",
    "57014": "took too long to answer",
    "25006": "is read-only",
    "42501": "does not let this user do that",
    "42P01": "has no tables of this program: run the upgrade",
    "3D000": "does not exist",
    "53": "is out of disk, memory or connections",
    "23": "refused the row: it breaks a rule of the table",
    "28": "refused the user or password",
    "08": "is gone: the connection failed; a commit under way may or may not have happened",
    "57P": "is gone: the server stopped; a commit under way may or may not have happened",
}


def _explain(error: Exception, url: URL) -> WorkError:
    """The database's error in one line, whether it came through SQLAlchemy or from the driver."""
    name = _name(url)
    if isinstance(error, PoolTimeoutError):
        return WorkError(f"the database {name} is busy: no connection became free, try again")
    origin = getattr(error, "orig", None) or error
    reason = _sqlite_reason(origin) if isinstance(origin, sqlite3.Error) else _state_reason(origin)
    return WorkError(f"the database {name} {reason or 'failed: ' + type(origin).__name__}")


def _sqlite_reason(origin: sqlite3.Error) -> str | None:
    # the low byte is the primary code; a missing table has none of its own
    code = getattr(origin, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_CONSTRAINT:
        return _STATE_REASONS["23"]
    if "no such table" in str(origin):
        return _STATE_REASONS["42P01"]
    return _SQLITE_REASONS.get(code)


def _state_reason(origin: BaseException) -> str | None:
    state = getattr(origin, "sqlstate", None)
    if state is None:  # a connection that was lost or never made has none
        lost = type(origin).__name__ in {"OperationalError", "InterfaceError"}
        return _STATE_REASONS["08"] if lost else None
    found = (_STATE_REASONS.get(part) for part in (state, state[:3], state[:2]))
    return next((reason for reason in found if reason), None)


def _name(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return unquote((url.database or "in memory").removeprefix("file://"))
    return f"{url.database} on {url.host or 'the local socket'}"
