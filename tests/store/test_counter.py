"""Rate events: exact windows, hashed keys."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, text

from twofa_lab.delivery.limits import Counter, Refusal, SendGuard
from twofa_lab.delivery.phone import parse
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import read, write
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.schema import rate_events


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50))), st.integers(0, 50))
def test_counts_are_those_of_a_list(
    sqlite_engine: Engine, keyring: Keyring, events: list[tuple[str, int]], since: int
) -> None:
    with write(sqlite_engine) as c:
        counter: Counter = SqlCounter(c, keyring)
        for key, at in events:
            counter.add(key, at)
        for key in "abc":
            wanted = sum(k == key and at >= since for k, at in events)
            assert counter.count(key, since) == wanted
        c.execute(delete(rate_events))


def test_a_limit_is_never_passed(engine: Engine, keyring: Keyring) -> None:
    with write(engine) as c:
        counter = SqlCounter(c, keyring)
        assert [counter.add_within("k", at, at - 100, 2) for at in (0, 50, 99, 101, 150)] == [
            True,
            True,
            False,
            True,
            False,
        ]


def test_keys_are_not_stored(engine: Engine, keyring: Keyring) -> None:
    with write(engine) as c:
        SqlCounter(c, keyring).add("number:+15005550006", 1)
    with read(engine) as c:
        assert "5005550006" not in repr(c.execute(text("select * from rate_events")).all())
        assert SqlCounter(c, keyring).count("number:+15005550006", 0) == 1
        assert SqlCounter(c, Keyring.generate()).count("number:+15005550006", 0) == 0


def test_the_guard_of_sends_counts_in_the_database(
    engine: Engine, keyring: Keyring, now: int
) -> None:
    """Three a number in ten minutes, whoever counted: each request has a transaction of its own."""
    number = parse("+447400123456")
    answers = []
    for at in (0, 1, 2, 3, 600_000):
        with write(engine) as c:
            guard = SendGuard(SqlCounter(c, keyring))
            answers.append(guard.admit(number, "203.0.113.1", now + at))
    assert answers == [None, None, None, Refusal("number", 600), None]
