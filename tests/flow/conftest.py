"""A whole service in the process: a scripted carrier, a clock set by hand, an outbox that is read.

`lab` runs on SQLite in memory; `both` on that and on a real PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, delete, text

from twofa_lab.delivery.carrier import ScriptedCarrier
from twofa_lab.delivery.exchange import Exchange
from twofa_lab.delivery.phone import PhoneNumber, parse
from twofa_lab.delivery.providers.simulated import SimulatedProvider
from twofa_lab.factors.passkeys import RelyingParty
from twofa_lab.factors.recovery_codes import HashCost, RecoveryRules
from twofa_lab.flow.passwords import Argon2Passwords
from twofa_lab.flow.service import Flow, FlowRules
from twofa_lab.risk.policy import Policy
from twofa_lab.store import audit
from twofa_lab.store.engine import connect, read, write
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.migrations import upgrade
from twofa_lab.store.schema import audit as audit_table
from twofa_lab.store.schema import metadata
from twofa_lab.store.testing import postgresql_cluster

NOW = 1_767_614_400_000  # 5 January 2026, noon UTC
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
PHONE = "+447400123456"
ORIGIN = "https://example.com"
ARRIVES = {"whatsapp": 20, "sms": 35, "voice": 50}
PASSWORDS = Argon2Passwords(passes=1, memory_kib=8)


class Letter(NamedTuple):
    """Something the outbox sent: how, to whom, what about, in which words."""

    channel: str
    to: str
    kind: str
    text: str


@dataclass
class RecordingOutbox:
    """Keeps what was sent, and whether the store was within a transaction then."""

    letters: list[Letter] = field(default_factory=list)
    pushes: list[tuple[bytes, str]] = field(default_factory=list)

    def email(self, address: str, kind: str, text: str) -> None:
        self.letters.append(Letter("email", address, kind, text))

    def text_message(self, number: str, kind: str, text: str) -> None:
        self.letters.append(Letter("sms", number, kind, text))

    def push(self, token: bytes, request_id: str) -> None:
        self.pushes.append((token, request_id))


@dataclass
class Lab:
    """One service and the world around it."""

    flow: Flow
    carrier: ScriptedCarrier
    exchange: Exchange
    outbox: RecordingOutbox
    time: list[int]

    @property
    def now(self) -> int:
        return self.time[0]

    def wait(self, ms: int) -> int:
        """Let time pass; the time then."""
        self.time[0] += ms
        return self.time[0]

    def reachable(self, number: str, delays: dict[str, int | None] | None = None) -> PhoneNumber:
        """Messages to that number arrive, after `delays` in tenths of a second."""
        found = parse(number)
        self.carrier.script(found, ARRIVES if delays is None else delays)
        return found

    def code(self, number: str, wait_ms: int = 5_000) -> str:
        """The newest code on that phone, after a while."""
        self.wait(wait_ms)
        return self.exchange.inbox(parse(number))[-1].code

    def events(self, *names: str) -> list[tuple[str, str]]:
        """Audit rows in order, (event, detail), of these events or of all."""
        with read(self.flow.engine) as c:
            rows = c.execute(
                audit_table.select().with_only_columns(audit_table.c.event, audit_table.c.detail)
            ).all()
        return [(event, detail) for event, detail in rows if not names or event in names]

    def audit_holds(self) -> bool:
        with read(self.flow.engine) as c:
            return audit.verify(c).ok

    def with_rules(self, **changed: Any) -> Lab:
        """The same service under other values of `Flow`."""
        return replace(self, flow=replace(self.flow, **changed))


def make_lab(engine: Engine, **changed: Any) -> Lab:
    time = [NOW]
    carrier, outbox = ScriptedCarrier(), RecordingOutbox()
    exchange = Exchange(carrier, lambda: time[0])
    defaults: dict[str, Any] = {
        "policy": Policy.risk_based(),
        "relying_party": RelyingParty("example.com", "Example", (ORIGIN,)),
        "outbox": outbox,
        "passwords": PASSWORDS,
        "rules": FlowRules(recovery=RecoveryRules(cost=HashCost(memory_kib=8))),
        "prices": lambda _channel, _country: 8_300,
        "clock": lambda: time[0],
    }
    flow = Flow(engine, Keyring.generate(), SimulatedProvider(exchange), **{**defaults, **changed})
    lab = Lab(flow, carrier, exchange, outbox, time)
    lab.reachable(PHONE)
    return lab


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


@pytest.fixture
def fresh() -> Iterator[Callable[[], Lab]]:
    """Makes empty services in memory, for properties over many examples."""
    engine = connect("sqlite://")
    upgrade(engine)
    yield lambda: make_lab(_emptied(engine))
    engine.dispose()
