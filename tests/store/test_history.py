"""History: what completed logins leave, in two queries."""

from __future__ import annotations

import math
from collections import Counter as Tally
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from twofa_lab.compiled import loop
from twofa_lab.risk.features import new_feature_past, record_features, start_feature_past
from twofa_lab.store.accounts import add_account, erase_account
from twofa_lab.store.engine import read, write
from twofa_lab.store.history import (
    Device,
    Origin,
    Place,
    RoundTrips,
    load_history,
    record_failed_password,
    record_login,
)
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


def logged(engine: Engine, user: int, origins: list[Origin], at: list[int]) -> None:
    with write(engine) as c:
        for origin, time in zip(origins, at, strict=True):
            record_login(c, user, time, device="", country="", region="", hour=0, origin=origin)


def test_origins_are_kept_for_a_scorer_that_reads_them(engine: Engine, user: int) -> None:
    oslo, bergen = (59.9139, 10.7522), (60.3913, 5.3221)
    origins = [
        Origin("2119", "Firefox", oslo, 40),
        Origin(),
        Origin("15659", "Firefox", bergen, 0),
        Origin("2119", "Safari", None, 80),
    ]
    logged(engine, user, origins, [10, 20, 30, 40])
    with read(engine) as c:
        found = load_history(c, user, 0)
    assert found.networks == {"2119", "15659"}
    assert found.browsers == {"Firefox", "Safari"}
    assert found.place == Place(30, *bergen)
    assert found.round_trips.measured == 2
    assert (found.completed_logins, found.first_login, found.last_login) == (4, 10, 40)


def test_an_unknown_origin_leaves_no_row(engine: Engine, user: int) -> None:
    logged(engine, user, [Origin()], [10])
    with read(engine) as c:
        found = load_history(c, user, 0)
    assert found.networks == found.browsers == frozenset()
    assert found.place is None
    assert found.round_trips == RoundTrips(0, 0.0, 0.0)


def test_the_last_place_is_the_latest_though_it_is_entered_first(engine: Engine, user: int) -> None:
    places = [Origin(place=(n, n)) for n in (1.0, 2.0, 3.0)]
    logged(engine, user, places, [20, 10, 20])  # of one moment, what is entered last
    with read(engine) as c:
        assert load_history(c, user, 0).place == Place(20, 3.0, 3.0)


def test_round_trip_times_are_summed_up_to_the_bit_as_in_the_replay(
    engine: Engine, user: int
) -> None:
    past = new_feature_past(1, 1)
    measured = np.random.default_rng(3).integers(1, 65_536, 200).tolist()
    start_feature_past(past)
    for rtt_ms in measured:
        record_features(past, 0, -1, -1, np.nan, np.nan, rtt_ms)
    logged(engine, user, [Origin(rtt_ms=rtt) for rtt in measured], list(range(200)))
    with read(engine) as c:
        found = load_history(c, user, 0).round_trips
    assert found.measured == 200
    assert (found.mean, found.squares) == tuple(past.floats[2:])
    assert found.mean == pytest.approx(np.log(measured).mean())
    assert found.squares == pytest.approx(np.log(measured).var() * 200)


@loop
def _logs(out: np.ndarray) -> None:
    for rtt_ms in range(1, len(out)):
        out[rtt_ms] = math.log(rtt_ms)


def test_the_logarithm_is_the_same_compiled_and_not() -> None:
    out = np.zeros(65_536)
    _logs(out)
    assert out[1:].tolist() == [math.log(rtt_ms) for rtt_ms in range(1, 65_536)]
