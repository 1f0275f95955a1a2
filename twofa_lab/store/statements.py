"""Statements that are compiled once and then go straight to the driver.

`Connection.execute` walks a statement to find it in a cache, each time, and dresses up the result,
in ten times what SQLite takes to answer; a login has some thirty statements. What is compiled is
still SQLAlchemy's, so a column that does not exist cannot be named.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ClauseElement, Connection, Dialect, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import dml

__all__ = ["Insert", "Prepared", "lock_until_end"]

Insert = Callable[..., postgresql.Insert | sqlite.Insert]
"""The `insert` of a dialect: both can say what to do on a conflict, in the same words."""

_Values = Mapping[str, Any]
_Row = tuple[Any, ...]


class Prepared:
    """A statement that compiles once a dialect and runs in the connection's transaction.

    `statement` is a Core statement, or, where it needs `on_conflict`, a function that makes it from
    the dialect's own `insert`. An INSERT names its columns in `columns`. Rows come as the driver
    gives them: SQLite's Boolean is 0 or 1. No `in_`, which is written out only when it runs.

    >>> from sqlalchemy import bindparam, literal, select
    >>> from twofa_lab.store.engine import connect, write
    >>> doubled = Prepared(select(bindparam("number", 0) * literal(2)))
    >>> with write(connect("sqlite://")) as connection:
    ...     doubled.value(connection, {"number": 21})
    42
    """

    __slots__ = ("_columns", "_compiled", "_statement")

    def __init__(
        self,
        statement: ClauseElement | Callable[[Insert], ClauseElement],
        columns: Sequence[str] = (),
    ) -> None:
        self._statement = statement
        self._columns = list(columns) or None
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    def run(self, connection: Connection, values: _Values) -> int:
        """How many rows it changed."""
        return int(self._send(connection, values).rowcount)

    def one(self, connection: Connection, values: _Values) -> _Row | None:
        """Its first row, or None."""
        row: _Row | None = self._send(connection, values).fetchone()
        return row

    def value(self, connection: Connection, values: _Values) -> Any:
        """The first column of its first row, or None where there is no row."""
        row = self._send(connection, values).fetchone()
        return None if row is None else row[0]

    def all(self, connection: Connection, values: _Values) -> list[_Row]:
        """All its rows."""
        rows: list[_Row] = self._send(connection, values).fetchall()
        return rows

    def pieces(
        self, connection: Connection, values: _Values, rows: int
    ) -> Generator[list[_Row], None, None]:
        """Its rows, so many at a time, however many there are."""
        if connection.dialect.name == "postgresql":
            driver, text, fixed = self._ready(connection)
            cursor = driver.cursor(name="pieces")  # kept on the server, else all come at once
            cursor.execute(text, {**fixed, **values})
        else:
            cursor = self._send(connection, values)
        try:
            while piece := cursor.fetchmany(rows):
                yield piece
        finally:
            cursor.close()

    def many(self, connection: Connection, rows: Sequence[_Values]) -> None:
        """Run it once for each of the rows."""
        driver, text, fixed = self._ready(connection)
        driver.cursor().executemany(text, [{**fixed, **row} for row in rows])

    def _send(self, connection: Connection, values: _Values) -> Any:
        driver, text, fixed = self._ready(connection)
        return driver.execute(text, {**fixed, **values})

    def _ready(self, connection: Connection) -> tuple[Any, str, dict[str, Any]]:
        """The driver's connection, the text, and the values that are part of the statement."""
        if not connection.in_transaction():
            connection.begin()
        found = self._compiled.get(connection.dialect.name)
        if found is None:
            found = self._compiled[connection.dialect.name] = self._compile(connection.dialect)
        return connection.connection.dbapi_connection, *found

    def _compile(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        made = self._statement
        if not isinstance(made, ClauseElement):
            own = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
            made = made(own)
        if isinstance(made, dml.Insert):
            made = made.inline()  # else PostgreSQL's INSERT asks for the new row's key unbidden
        compiled = made.compile(dialect=dialect, column_keys=self._columns)
        return str(compiled), {k: v for k, v in compiled.params.items() if v is not None}


_LOCK = Prepared(select(func.pg_advisory_xact_lock(bindparam("number", type_=BigInteger))))


def lock_until_end(connection: Connection, number: int) -> None:
    """Take turns with every transaction that names this 64-bit number, until this one ends.

    For what one statement cannot decide on PostgreSQL. On SQLite there is one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        _LOCK.one(connection, {"number": number})
