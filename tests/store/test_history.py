"""History: what completed logins leave, in two queries."""

from __future__ import annotations

from collections import Counter as Tally
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from twofa_lab.store.accounts import add_account, erase_account
from twofa_lab.store.engine import read, write
from twofa_lab.store.history import Device, load_history, record_failed_password, record_login
from twofa_lab.store.keyring import Keyring


def test_a_new_account_has_an_empty_history(engine: Engine, user: int) -> None:
    with read(engine) as c:
        found = load_history(c, user, 0)
    assert (found.completed_logins, found.first_login, found.last_login) == (0, None, None)
    assert found.devices == {}
    assert found.countries == found.regions == frozenset()
    assert found.hours == (0,) * 24
    assert found.failed_at == ()


login = st.tuples(
    st.integers(0, 1_000),
    st.sampled_from(["", "7", str(2**64 - 1)]),
    st.sampled_from(["", "GB", "NO"]),
    st.sampled_from(["", "GB-LND"]),
    st.integers(0, 23),
)

HASH = "not a password's"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(login, max_size=15))
def test_a_history_is_what_its_logins_say(
    sqlite_engine: Engine, keyring: Keyring, logins: list[tuple[int, str, str, str, int]]
) -> None:
    """Times in any order: a clock that steps back never makes a device look older."""
    with write(sqlite_engine) as c:
        add_account(c, keyring, user_id=1, name="a", password_hash=HASH, created=0, home_zone="UTC")
        for at, device, country, region, hour in logins:
            record_login(c, 1, at, device=device, country=country, region=region, hour=hour)
        found = load_history(c, 1, 0)
        erase_account(c, 1)
    assert found.completed_logins == len(logins)
    assert found.countries == {x[2] for x in logins if x[2]}
    assert found.regions == {x[3] for x in logins if x[3]}
    hours = Tally(x[4] for x in logins)
    assert found.hours == tuple(hours[h] for h in range(24))
    assert found.last_login == max((x[0] for x in logins), default=None)
    for device in {x[1] for x in logins} - {""}:
        times = [x[0] for x in logins if x[1] == device]
        assert found.devices[device] == Device(times[0], max(times), 0)
    assert set(found.devices) == {x[1] for x in logins} - {""}


def test_wrong_passwords_are_remembered_for_a_while(engine: Engine, user: int) -> None:
    with write(engine) as c:
        for at in (100, 200, 200, 300):
            record_failed_password(c, user, at, forget=0)
        assert load_history(c, user, 200).failed_at == (200, 200, 300)
        record_failed_password(c, user, 400, forget=300)
        assert load_history(c, user, 0).failed_at == (300, 400)


def test_loading_takes_two_queries(sqlite_engine: Engine) -> None:
    statements: list[str] = []
    with read(sqlite_engine) as c:
        driver: Any = c.connection.dbapi_connection
        driver.set_trace_callback(statements.append)
        load_history(c, 7, 0)
        driver.set_trace_callback(None)
    assert [statement.split()[0] for statement in statements] == ["SELECT", "SELECT"]


def test_an_accounts_history_is_its_own(engine: Engine, user: int, keyring: Keyring) -> None:
    with write(engine) as c:
        add_account(c, keyring, user_id=8, name="b", password_hash=HASH, created=0, home_zone="UTC")
        record_login(c, 8, 5, device="1", country="NO", region="", hour=0)
        record_failed_password(c, 8, 5, forget=0)
        assert load_history(c, user, 0).completed_logins == 0
        assert load_history(c, user, 0).failed_at == ()
