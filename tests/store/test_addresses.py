"""What an address has been up to: counted as the world's own column, kept hashed, for an hour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, func, select

from twofa_lab.risk.address_activity import WINDOW_MS, address_activity
from twofa_lab.store import addresses
from twofa_lab.store.addresses import AddressSeen, count_attempt
from twofa_lab.store.engine import write
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.schema import address_attempts, metadata

ADDRESS = "203.0.113.9"


def counted(
    engine: Engine, keyring: Keyring, attempts: list[tuple[int, int, int, bool]], window_ms: int
) -> list[AddressSeen]:
    """Each of (address, account, time, wrong) in order; address 0 is unknown."""
    with write(engine) as c:
        return [
            count_attempt(
                c, keyring, f"10.0.0.{ip}" if ip else "", f"user{account}", at,
                wrong=wrong, window_ms=window_ms,
            )
            for ip, account, at, wrong in attempts
        ]  # fmt: skip


def defined(attempts: list[tuple[int, int, int, bool]], window_ms: int) -> list[AddressSeen]:
    """The same by the definition, `risk.address_activity`."""
    ip, account, at, wrong = (np.array(column) for column in zip(*attempts, strict=True))
    found = address_activity(ip.astype(np.uint64), account, at, ~wrong, window_ms)
    return [AddressSeen(*map(int, pair)) for pair in zip(*found, strict=True)]


attempt = st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 30), st.booleans())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(attempt, min_size=1, max_size=25), st.integers(1, 100))
def test_attempts_are_counted_as_the_definition_says(
    sqlite_engine: Engine, keyring: Keyring, steps: list[tuple[int, int, int, bool]], window: int
) -> None:
    at = np.cumsum([step for _, _, step, _ in steps]).tolist()
    attempts = [(ip, who, t, wrong) for (ip, who, _, wrong), t in zip(steps, at, strict=True)]
    with write(sqlite_engine) as c:
        c.execute(delete(address_attempts))
    assert counted(sqlite_engine, keyring, attempts, window) == defined(attempts, window)


def test_a_busy_hour_is_counted_on_both_databases(engine: Engine, keyring: Keyring) -> None:
    rng = np.random.default_rng(5)
    at = np.cumsum(rng.integers(1, 120_000, 400)).tolist()
    attempts = [
        (int(rng.integers(0, 4)), int(rng.integers(0, 30)), t, bool(rng.random() < 0.6)) for t in at
    ]
    found = counted(engine, keyring, attempts, WINDOW_MS)
    assert found == defined(attempts, WINDOW_MS)
    assert max(seen.accounts for seen in found) > 10
    assert max(seen.failures for seen in found) > 5


def test_of_one_millisecond_the_wrong_passwords_do_not_count_yet(
    engine: Engine, keyring: Keyring
) -> None:
    found = counted(engine, keyring, [(1, 1, 5, True), (1, 2, 5, True), (1, 2, 6, True)], 10)
    assert found == [AddressSeen(1, 0), AddressSeen(2, 0), AddressSeen(2, 2)]


def test_an_attempt_is_gone_after_the_window(engine: Engine, keyring: Keyring) -> None:
    counted(engine, keyring, [(1, who, who, True) for who in range(1, 30)], WINDOW_MS)
    later = [(2, 1, 2 * WINDOW_MS + n, False) for n in range(10)]
    counted(engine, keyring, later, WINDOW_MS)
    with write(engine) as c:
        kept = c.execute(select(func.count(), func.min(address_attempts.c.at))).one()
    assert tuple(kept) == (10, 2 * WINDOW_MS), "each attempt drops more than it adds"


def test_neither_address_nor_name_can_be_read(engine: Engine, keyring: Keyring) -> None:
    with write(engine) as c:
        for one in (keyring, Keyring.generate()):
            count_attempt(c, one, ADDRESS, "ann", 1, wrong=True, window_ms=10)
        rows = c.execute(select(address_attempts)).all()
    assert len({row.address_hash for row in rows}) == len({row.name_hash for row in rows}) == 2
    assert all(len(row.address_hash) == len(row.name_hash) == 32 for row in rows)
    text = repr(rows)
    assert ADDRESS not in text
    assert "ann" not in text


def test_a_flood_is_counted_up_to_a_bound(
    engine: Engine, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert addresses.MOST_COUNTED >= 1_000
    bounded = addresses.Prepared(addresses.counting(5))
    monkeypatch.setattr(addresses, "_COUNT", bounded)
    attempts = [(1, who, who, True) for who in range(1, 20)]
    assert counted(engine, keyring, attempts, WINDOW_MS)[-1] == AddressSeen(5, 4)


def test_the_table_belongs_to_no_account() -> None:
    assert not metadata.tables["address_attempts"].foreign_keys
