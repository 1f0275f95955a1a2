"""Fixtures: `lab` runs on SQLite in memory; `both` on that and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, delete, text

from tests.flow.lab import Lab, make_lab
from twofa_lab.store.engine import connect, write
from twofa_lab.store.migrations import upgrade
from twofa_lab.store.schema import metadata
from twofa_lab.store.testing import postgresql_cluster


@pytest.fixture(scope="session")
def _in_memory() -> Iterator[Engine]:
    engine = connect("sqlite://")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def _postgresql() -> Iterator[Engine]:
    with postgresql_cluster(durable=False) as url:
        if url is None:
            pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
        engine = connect(url)
        upgrade(engine)
        yield engine
        engine.dispose()


def _emptied(engine: Engine) -> Engine:
    with write(engine) as c:
        if engine.dialect.name == "postgresql":
            names = ", ".join(table.name for table in metadata.sorted_tables)
            c.execute(text(f"truncate {names}"))
        else:
            for table in reversed(metadata.sorted_tables):
                c.execute(delete(table))
    return engine


@pytest.fixture
def lab(_in_memory: Engine) -> Lab:
    return make_lab(_emptied(_in_memory))


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request: pytest.FixtureRequest) -> Lab:
    name = "_in_memory" if request.param == "sqlite" else "_postgresql"
    return make_lab(_emptied(request.getfixturevalue(name)))


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Lab:
    """On PostgreSQL, where transactions really run side by side."""
    return make_lab(_emptied(request.getfixturevalue("_postgresql")))


@pytest.fixture(scope="session")
def fresh() -> Iterator[Callable[[], Lab]]:
    """Makes empty services in memory, for properties over many examples."""
    engine = connect("sqlite://")
    upgrade(engine)
    yield lambda: make_lab(_emptied(engine))
    engine.dispose()
