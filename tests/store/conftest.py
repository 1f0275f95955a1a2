"""Databases for the store's tests: each test runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, delete, text

from twofa_lab.store.accounts import add_account
from twofa_lab.store.engine import connect, write
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.migrations import upgrade
from twofa_lab.store.schema import metadata
from twofa_lab.store.testing import postgresql_cluster

HASH = "not a password's"

NOW = 1_750_000_000_000
_numbers = itertools.count()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "store.db"
    engine = connect(str(path), create=True)
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with postgresql_cluster(durable=False) as url:
        if url is None:
            pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
        yield url


def _admin(url: str, statement: str) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def _postgresql_store(postgresql: str) -> str:
    """One upgraded database for all tests: making one each costs more than most tests."""
    _admin(postgresql, "create database store")
    url = postgresql.replace("/postgres", "/store")
    engine = connect(url)
    upgrade(engine)
    engine.dispose()
    return url


@pytest.fixture
def sqlite_engine(sqlite_template: Path, tmp_path: Path) -> Iterator[Engine]:
    shutil.copy(sqlite_template, tmp_path / "store.db")
    engine = connect(str(tmp_path / "store.db"))
    yield engine
    engine.dispose()


@pytest.fixture
def postgresql_engine(_postgresql_store: str) -> Iterator[Engine]:
    engine = connect(_postgresql_store)
    with write(engine) as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without tables, for tests that spoil it."""
    if request.param == "sqlite":
        engine = connect(str(tmp_path / "empty.db"), create=True)
    else:
        url, name = request.getfixturevalue("postgresql"), f"empty_{next(_numbers)}"
        _admin(url, f"create database {name}")
        engine = connect(url.replace("/postgres", f"/{name}"))
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found = request.getfixturevalue(f"{request.param}_engine")
    assert isinstance(found, Engine)
    return found


@pytest.fixture
def keyring() -> Keyring:
    return Keyring.generate()


@pytest.fixture
def now() -> int:
    return NOW


@pytest.fixture
def user(engine: Engine, keyring: Keyring) -> int:
    """An active account."""
    with write(engine) as connection:
        add_account(
            connection,
            keyring,
            user_id=7,
            name="ada",
            password_hash=HASH,
            created=NOW,
            home_zone="Europe/London",
            phone="+15005550006",
            status="active",
        )
    return 7
