"""Statements that are compiled once and then sent as text.

`Connection.execute` looks a statement up in a cache by walking it, each time; sending the compiled
text takes a third of the time, which counts in a login of some thirty statements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ClauseElement, Connection, CursorResult, Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import dml

__all__ = ["Insert", "Prepared"]

Insert = Callable[..., postgresql.Insert | sqlite.Insert]
"""The `insert` of a dialect: both can say what to do on a conflict, in the same words."""


class Prepared:
    """A statement that compiles once a dialect. Call it with a connection and its values.

    `statement` is a Core statement, or, where it needs `on_conflict`, a function that makes it from
    the dialect's own `insert`. An INSERT names its columns in `columns`. Rows come as the driver
    gives them: SQLite's Boolean is 0 or 1. No `in_`, which is written out only when it runs.

    >>> from sqlalchemy import bindparam, create_engine, literal, select
    >>> doubled = Prepared(select(bindparam("number", 0) * literal(2)))
    >>> with create_engine("sqlite://", paramstyle="named").connect() as connection:
    ...     doubled(connection, {"number": 21}).scalar_one()
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

    def __call__(
        self, connection: Connection, values: Mapping[str, Any] | None = None
    ) -> CursorResult[*tuple[Any, ...]]:
        text, fixed = self._text(connection.dialect)
        return connection.exec_driver_sql(text, {**fixed, **(values or {})})

    def stream(
        self, connection: Connection, values: Mapping[str, Any], rows: int
    ) -> CursorResult[*tuple[Any, ...]]:
        """Run it and read the result piece by piece, so many rows at a time."""
        text, fixed = self._text(connection.dialect)
        options = {"stream_results": True, "max_row_buffer": rows}
        return connection.exec_driver_sql(text, {**fixed, **values}, execution_options=options)

    def many(
        self, connection: Connection, rows: Sequence[Mapping[str, Any]]
    ) -> CursorResult[*tuple[Any, ...]]:
        """Run it once for each of the rows, of which there is at least one."""
        text, fixed = self._text(connection.dialect)
        return connection.exec_driver_sql(text, [{**fixed, **row} for row in rows])

    def _text(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        """The text, and the values that are part of the statement itself."""
        found = self._compiled.get(dialect.name)
        if found is None:
            found = self._compiled[dialect.name] = self._compile(dialect)
        return found

    def _compile(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        made = self._statement
        if not isinstance(made, ClauseElement):
            own = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
            made = made(own)
        if isinstance(made, dml.Insert):
            made = made.inline()  # else PostgreSQL's INSERT asks for the new row's key unbidden
        compiled = made.compile(dialect=dialect, column_keys=self._columns)
        return str(compiled), {k: v for k, v in compiled.params.items() if v is not None}
