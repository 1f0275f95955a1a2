"""Watching a policy: what is counted, from a replay and from the real flow's audit alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.analysis.monitoring import Monitoring, monitor, monitor_audit
from twofa_lab.analysis.monitoring_audit import tally_audit
from twofa_lab.analysis.monitoring_tallies import COUNTS, HOUR_MS, Tallies, first_of, tally_world
from twofa_lab.errors import InputError
from twofa_lab.replay.parity import parity
from twofa_lab.replay.run import outcomes
from twofa_lab.risk.policy import Policy
from twofa_lab.store.archive import export
from twofa_lab.store.engine import connect, read
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.world import World

DAY = 24 * HOUR_MS


def column(tallies: Tallies, name: str) -> Any:
    return tallies.overall[:, COUNTS.index(name)]


@pytest.fixture(scope="module")
def watched(world: World) -> Monitoring:
    return monitor(world, Policy.universal())


def test_counts_are_those_of_the_outcomes_table(world: World) -> None:
    policy = Policy.universal()
    frame = outcomes(world, policy, limit=None)
    logins = world.logins(None)
    counted = ~logins["signup"] & (
        logins["time"].dt.as_unit("ms").astype("int64") >= world.facts.window[0]
    )
    kept = frame[counted.to_numpy()]
    sums = dict(zip(COUNTS, tally_world(world, policy).overall.sum(axis=0), strict=True))
    assert sums["attempts"] == counted.sum()
    assert sums["challenged"] == (kept["decision"] == "challenge").sum()
    assert sums["verified"] == (kept["outcome"] == "verified").sum()
    assert sums["lost"] == sums["challenged"] - sums["verified"]
    assert sums["wrong"] == (kept["outcome"] == "wrong_password").sum()
    assert sums["messages"] == kept["messages"].sum()
    assert sums["cents"] == pytest.approx(kept["message_microusd"].sum() / 1e4)
    assert 0 < sums["held"] <= kept["outcome"].isin(["locked", "rate_limited"]).sum()


def test_a_code_is_used_no_sooner_than_it_came(world: World) -> None:
    """Typing takes time, so the wait is less than the challenge, and more than nothing."""
    policy = Policy.universal()
    frame = outcomes(world, policy, limit=None)
    found = tally_world(world, policy)
    by_code = frame[(frame["outcome"] == "verified") & (frame["factor"] == "otp")]
    assert 0 < column(found, "wait").sum() < by_code["seconds_ds"].sum() / 10
    assert column(found, "delivered").sum() <= len(by_code)


def test_the_parts_of_a_dimension_add_up(watched: Monitoring) -> None:
    tallies = watched.tallies
    for name, count in (("country", "attempts"), ("channel", "coded"), ("factor", "challenged")):
        parts = sum(tallies.by[name].values())
        assert np.allclose(parts[:, COUNTS.index(count)], column(tallies, count))


def test_the_flow_s_audit_is_counted_like_the_replay(tmp_path: Path) -> None:
    """The same world, played through the real flow and replayed: every hour's counts agree."""
    world = simulate("us-consumer", users=50, days=15, seed=4, progress=False)
    policy = Policy.universal()
    database, audit = tmp_path / "played.db", tmp_path / "audit.parquet"
    assert parity(world, policy, 10**6, seed=7, database=database).mismatches == 0
    engine = connect(str(database), read_only=True)
    with read(engine) as connection:
        export(connection, audit)
    engine.dispose()
    found, wanted = tally_audit(audit, since=world.facts.window[0]), tally_world(world, policy)
    by_receipts = [COUNTS.index("delivered"), COUNTS.index("wait")]  # the simulated carrier's say
    for counted, replayed in [
        (found.overall, wanted.overall),  # only of messages that were lost
        *(
            (found.by[name][value], wanted.by[name][value])
            for name in ("country", "channel", "factor")
            for value in wanted.by[name]
        ),
    ]:
        hours = len(counted)
        assert not np.delete(replayed[hours:], by_receipts, axis=1).any()
        same = np.delete(counted - replayed[:hours], by_receipts, axis=1)
        assert np.allclose(same, 0.0, atol=1e-9)
    assert found.overall[:, COUNTS.index("challenged")].sum() > 60
    assert list(found.by["provider"]) == ["simulated"]
    assert monitor_audit(audit).by("provider").rows


def audit_of(path: Path, *rows: tuple[int, int | None, str, object]) -> Path:
    columns = list(zip(*rows, strict=True))
    table = pa.table(
        {
            "seq": pa.array(range(1, len(rows) + 1), pa.int64()),
            "at": pa.array(columns[0], pa.timestamp("ms", "UTC")),
            "user_id": pa.array(columns[1], pa.int64()),
            "event": columns[2],
            "detail": [d if isinstance(d, str) else json.dumps(d) for d in columns[3]],
            "hash": [b""] * len(rows),
        }
    )
    pq.write_table(table, path)
    return path


ASKED = ("login", {"decision": "challenge", "country": "US"})
OPENED = ("challenge", {"challenge": "a", "factor": "otp", "purpose": "login"})


def sent(channel: str, result: str = "sent") -> tuple[str, object]:
    detail = {"challenge": "a", "channel": channel, "provider": "p", "result": result}
    return "send", detail | {"microusd": 12_000}


def test_receipts_tell_the_wait_and_a_step_up_is_no_login(tmp_path: Path) -> None:
    found = tally_audit(
        audit_of(
            tmp_path / "a.parquet",
            (DAY + 1_000, 1, *ASKED),
            (DAY + 1_000, 1, *OPENED),
            (DAY + 2_000, 1, *sent("sms", "refused")),
            (DAY + 3_000, 1, *sent("sms")),
            (DAY + 33_000, 1, *sent("voice", "maybe sent")),
            (DAY + 41_000, 1, "delivery", {"challenge": "a", "channel": "voice", "arrived": True}),
            (DAY + 42_000, 1, "delivery", {"challenge": "a", "channel": "sms", "arrived": True}),
            (DAY + 50_000, 1, "outcome", {"outcome": "verified"}),
            (
                DAY + 60_000,
                1,
                "challenge",
                {"challenge": "b", "factor": "totp", "purpose": "step_up"},
            ),
            (DAY + 70_000, 1, "outcome", {"outcome": "abandoned", "challenge": "b"}),
            (DAY + HOUR_MS, None, "login", {"decision": None, "country": ""}),
            (DAY + HOUR_MS, None, "outcome", {"outcome": "wrong_password"}),
        )
    )
    assert (found.start, found.hours) == (DAY, 2)
    sums = dict(zip(COUNTS, found.overall.sum(axis=0), strict=True))
    assert (sums["attempts"], sums["judged"], sums["challenged"]) == (2, 1, 1)
    assert (sums["verified"], sums["abandoned"], sums["lost"], sums["wrong"]) == (1, 0, 0, 1)
    assert (sums["messages"], sums["again"], sums["cents"]) == (2, 1, 2.4)
    assert (sums["delivered"], sums["wait"]) == (1, 38.0)
    assert list(found.by["channel"]) == ["sms"]


def test_a_challenge_still_open_is_not_lost(tmp_path: Path) -> None:
    path = audit_of(tmp_path / "a.parquet", (DAY, 1, *ASKED), (DAY, 1, *OPENED))
    sums = dict(zip(COUNTS, tally_audit(path).overall.sum(axis=0), strict=True))
    assert (sums["challenged"], sums["lost"]) == (1, 0)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0, 1, "signup", {})], "no login in it"),
        ([(0, 1, "login", "[1")], "row 1 is no audit row"),
        ([(0, 1, "login", "7")], "row 1 is no audit row"),
    ],
)
def test_a_file_that_is_no_audit_is_refused(tmp_path: Path, rows: Any, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        tally_audit(audit_of(tmp_path / "a.parquet", *rows))


def test_a_file_that_is_no_parquet_and_a_strange_zone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("no")
    with pytest.raises(InputError, match="not an exported audit"):
        tally_audit(path)
    with pytest.raises(InputError, match="no time zone"):
        tally_audit(path, zone="Mars/Base")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["login", "challenge", "send", "delivery", "outcome"]),
            st.dictionaries(
                st.sampled_from(
                    ["decision", "challenge", "purpose", "outcome", "microusd", "result"]
                ),
                st.one_of(
                    st.none(), st.integers(), st.sampled_from(["challenge", "login", "sent"])
                ),
            ),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_stands_in_an_audit_counts_stay_within_logins(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, dict[str, object]]]
) -> None:
    path = tmp_path_factory.mktemp("audit") / "a.parquet"
    logins = sum(event == "login" for event, _ in events)
    audit_of(path, *((i, 1, event, detail) for i, (event, detail) in enumerate(events)))
    if not logins:
        return
    sums = dict(zip(COUNTS, tally_audit(path).overall.sum(axis=0), strict=True))
    assert sums["attempts"] == logins
    for name in ("judged", "challenged", "verified", "wrong", "held", "coded"):
        assert sums[name] <= logins


def test_an_account_is_held_once_an_hour() -> None:
    rows, account = np.array([1, 1, 1, 1, 0], bool), np.array([1, 1, 2, 1, 1])
    assert first_of(rows, account, np.array([3, 3, 3, 4, 4])).tolist() == [1, 0, 1, 1, 0]


def test_the_result_shows_itself(watched: Monitoring) -> None:
    assert "challenges passed" in str(watched)
    passkeys = watched.by("factor").to_pandas().loc["passkey"]
    assert passkeys["seconds to a code"] == "n/a"
    assert "<table" in watched._repr_html_()
    assert watched.tallies.hours == 24 * 59
    daily = watched.daily()
    assert len(daily) == 59
    assert daily["attempts"].sum() == column(watched.tallies, "attempts").sum()
    assert len(watched.plot().axes) == 9
    content = json.loads(json.dumps(watched.to_dict(), allow_nan=False))
    assert content["totals"]["success_rate"] == pytest.approx(
        content["totals"]["verified"] / content["totals"]["challenged"]
    )
    with pytest.raises(InputError, match="no parts by 'provider'"):
        watched.by("provider")


def test_tallies_of_other_hours_are_not_added(watched: Monitoring) -> None:
    with pytest.raises(InputError, match="different hours"):
        watched.tallies + watched.tallies.until(24)
