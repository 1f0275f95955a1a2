"""Fixtures: `lab` runs on SQLite in memory; `both` on that and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, delete, text

from tests.flow.forks import Forks
from tests.flow.lab import Lab, make_lab
from tests.flow.wired import PROVIDERS, Wired
from twofa_lab.delivery import local_provider
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
def forks() -> Iterator[Forks]:
    """Processes of their own, one at a time."""
    with Forks.serving() as serving:
        yield serving


@pytest.fixture(scope="session")
def fresh() -> Iterator[Callable[[], Lab]]:
    """Makes empty services in memory, for properties over many examples."""
    engine = connect("sqlite://")
    upgrade(engine)
    yield lambda: make_lab(_emptied(engine))
    engine.dispose()


@pytest.fixture
def wire(lab: Lab) -> Iterator[Callable[[str], Wired]]:
    with ExitStack() as stack:

        def make(name: str) -> Wired:
            local = local_provider.serve(lab.carrier, clock=lab.flow.clock)
            return Wired(lab, name, stack.enter_context(local), stack)

        yield make


@pytest.fixture(params=PROVIDERS)
def wired(request: pytest.FixtureRequest, wire: Callable[[str], Wired]) -> Wired:
    return wire(request.param)


@pytest.fixture
def vonage(wire: Callable[[str], Wired]) -> Wired:
    return wire("vonage")


@pytest.fixture
def twilio(wire: Callable[[str], Wired]) -> Wired:
    return wire("twilio")


@pytest.fixture
def verifynow(wire: Callable[[str], Wired]) -> Wired:
    return wire("verifynow")
