"""Connecting, durability settings, and failures that refuse with one clear line."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, event, insert, select, text
from sqlalchemy.exc import OperationalError

from twofa_lab.errors import InputError, WorkError
from twofa_lab.store.engine import connect, read, write
from twofa_lab.store.schema import rate_events
from twofa_lab.store.statements import Prepared

ADD = Prepared(insert(rate_events), ("key", "at"))
ROW = {"key": b"\x07secret-value\x07", "at": 1}


def add(engine: Engine) -> None:
    with write(engine) as connection:
        connection.execute(insert(rate_events), ROW)


def count(engine: Engine) -> int:
    with read(engine) as connection:
        return len(connection.execute(select(rate_events)).all())


def add_prepared(engine: Engine) -> None:
    """The same straight through the driver, whose errors SQLAlchemy does not see."""
    with write(engine) as connection:
        ADD.run(connection, ROW)


def refused(engine: Engine, message: str, act: Callable[[Engine], None] = add) -> None:
    with pytest.raises(WorkError, match=message) as caught:
        act(engine)
    assert "\n" not in str(caught.value)
    assert "secret-value" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_sqlite_is_durable(sqlite_engine: Engine) -> None:
    with read(sqlite_engine) as connection:
        got = {
            name: connection.execute(text(f"pragma {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert got == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


def test_postgresql_is_durable(postgresql_engine: Engine) -> None:
    with read(postgresql_engine) as connection:
        got = {
            name: connection.execute(text(f"show {name}")).scalar_one()
            for name in ("synchronous_commit", "transaction_isolation", "lock_timeout")
        }
    assert got == {
        "synchronous_commit": "on",
        "transaction_isolation": "read committed",
        "lock_timeout": "5s",
    }


def test_an_error_rolls_back_and_passes_through(engine: Engine) -> None:
    def work() -> None:
        with write(engine) as connection:
            connection.execute(insert(rate_events), ROW)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        work()
    assert count(engine) == 0


def test_a_commit_that_fails_leaves_no_transaction_open(engine: Engine) -> None:
    """The connection goes back to the pool: the next user must not inherit the rows."""

    def fail(_connection: object) -> None:
        raise KeyboardInterrupt

    event.listen(engine, "commit", fail)
    with pytest.raises(KeyboardInterrupt):
        add(engine)
    event.remove(engine, "commit", fail)
    assert count(engine) == 0
    add(engine)
    assert count(engine) == 1


def test_reading_commits_nothing(engine: Engine) -> None:
    with read(engine) as connection:
        connection.execute(insert(rate_events), ROW)
    assert count(engine) == 0


def test_a_reader_does_not_wait_for_a_writer(engine: Engine) -> None:
    with write(engine) as connection:
        connection.execute(insert(rate_events), ROW)
        assert count(engine) == 0
    assert count(engine) == 1


def test_locked(sqlite_engine: Engine, postgresql_engine: Engine, tmp_path: Path) -> None:
    quick = connect(str(tmp_path / "store.db"), busy_timeout_ms=20)
    with write(sqlite_engine):
        refused(quick, "is locked by another process: try again")
        refused(quick, "is locked by another process: try again", add_prepared)
    add(quick)
    quick.dispose()
    impatient = connect(
        postgresql_engine.url.render_as_string(hide_password=False), busy_timeout_ms=20
    )
    with write(postgresql_engine) as connection:
        connection.execute(text("lock table rate_events in exclusive mode"))
        refused(impatient, "is locked by another transaction: try again")
        refused(impatient, "is locked by another transaction: try again", add_prepared)
    add(impatient)
    impatient.dispose()


def test_read_only(engine: Engine) -> None:
    def switch(on: bool) -> None:
        if engine.dialect.name == "sqlite":
            statement = f"pragma query_only={'on' if on else 'off'}"
        else:
            word = "read only" if on else "read write"
            statement = f"set session characteristics as transaction {word}"
        with read(engine) as connection:
            connection.execute(text(statement))
            connection.commit()

    switch(True)
    refused(engine, "is read-only")
    refused(engine, "is read-only", add_prepared)
    switch(False)
    add(engine)
    assert count(engine) == 1


def test_a_full_sqlite_database(sqlite_engine: Engine) -> None:
    with write(sqlite_engine) as connection:
        pages = connection.execute(text("pragma page_count")).scalar_one()
        connection.execute(text(f"pragma max_page_count={pages}"))
    with pytest.raises(WorkError, match="its disk is full"), write(sqlite_engine) as connection:
        connection.execute(insert(rate_events), [ROW] * 5_000)
    assert count(sqlite_engine) == 0
    with write(sqlite_engine) as connection:
        connection.execute(text("pragma max_page_count=1000000"))
    add(sqlite_engine)


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (psycopg.errors.DiskFull, "out of disk, memory or connections"),
        (psycopg.errors.TooManyConnections, "out of disk, memory or connections"),
        (psycopg.errors.DeadlockDetected, "locked by another transaction"),
        (psycopg.errors.AdminShutdown, "is gone: the server stopped"),
        (psycopg.errors.InsufficientPrivilege, "does not let this user"),
        (psycopg.errors.UniqueViolation, "refused the row"),
        (psycopg.errors.InternalError_, "failed: InternalError_"),
    ],
)
def test_what_postgresql_cannot_be_made_to_do_here(
    sqlite_engine: Engine, raised: type[psycopg.Error], message: str
) -> None:
    with pytest.raises(WorkError, match=message), write(sqlite_engine):
        raise OperationalError("insert secret", {"a": "secret"}, raised("secret"))


def test_a_sqlite_file_that_is_gone_and_back(sqlite_engine: Engine, tmp_path: Path) -> None:
    add(sqlite_engine)
    path = tmp_path / "store.db"
    (tmp_path / "away").mkdir()
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (tmp_path / name).rename(tmp_path / "away" / name)
    for _ in range(2):
        refused(sqlite_engine, "removed or replaced|cannot be opened")
    assert not path.exists(), "a missing database must not be made anew"
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (tmp_path / "away" / name).rename(tmp_path / name)
    assert count(sqlite_engine) == 1
    add(sqlite_engine)


def test_a_replaced_sqlite_file_is_noticed(sqlite_engine: Engine, tmp_path: Path) -> None:
    add(sqlite_engine)
    backup = tmp_path / "backup.db"
    with sqlite3.connect(tmp_path / "store.db") as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    backup.replace(tmp_path / "store.db")
    refused(sqlite_engine, "removed or replaced while in use")


@pytest.mark.parametrize("act", [add, add_prepared])
def test_a_postgresql_that_is_gone_and_back(
    postgresql_engine: Engine, act: Callable[[Engine], None]
) -> None:
    act(postgresql_engine)
    killer = create_engine(postgresql_engine.url)
    with killer.connect() as connection:
        connection.execute(
            text(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        )
    killer.dispose()
    refused(postgresql_engine, "is gone", act)
    act(postgresql_engine)
    assert count(postgresql_engine) == 2


def test_an_engine_for_reading_only(engine: Engine, tmp_path: Path) -> None:
    add(engine)
    url = engine.url.render_as_string(hide_password=False)
    reader = connect(str(tmp_path / "store.db") if "sqlite" in url else url, read_only=True)
    with read(reader) as connection:
        assert connection.execute(text("select count(*) from rate_events")).scalar_one() == 1
    refused(reader, "is read-only")
    refused(reader, "is read-only", add_prepared)
    reader.dispose()
    add(engine)


def test_nobody_listens() -> None:
    engine = connect("postgresql://lab:hidden@127.0.0.1:1/store")
    with pytest.raises(WorkError, match=r"store on 127\.0\.0\.1 is gone") as caught:
        add(engine)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://host/name", "SQLite or PostgreSQL, not mysql"),
        ("sqlite:///a.db?mode=ro", "takes no options"),
        ("://", "not a path or a URL"),
        ("postgresql://host:port/name", "not a path or a URL"),
    ],
)
def test_other_databases_are_refused(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        connect(url)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database" * 100)
    with pytest.raises(WorkError, match="is not a SQLite file"):
        add(connect(str(tmp_path / "text.db")))
    with pytest.raises(WorkError, match="cannot be opened"):
        add(connect(str(tmp_path / "missing.db")))
    assert not (tmp_path / "missing.db").exists()
    with pytest.raises(InputError, match="cannot create the database"):
        connect(str(tmp_path / "no" / "folder.db"), create=True)


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    engine = connect(str(path), create=True)
    with write(engine) as connection:
        connection.execute(text("create table t (a integer)"))
        modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()}
    engine.dispose()
    assert modes == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}


def test_odd_file_names(tmp_path: Path) -> None:
    path = tmp_path / "a b?c#d%41.db"
    engine = connect(str(path), create=True)
    with write(engine) as connection:
        connection.execute(text("create table t (a integer)"))
    engine.dispose()
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208 - names as the system has them


def test_no_tables_yet(tmp_path: Path) -> None:
    engine = connect(str(tmp_path / "new.db"), create=True)
    refused(engine, "has no tables of this program: run the upgrade")
    refused(engine, "has no tables of this program: run the upgrade", add_prepared)
    engine.dispose()
