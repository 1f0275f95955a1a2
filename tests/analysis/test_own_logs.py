"""A policy over a log: each login with the right password is counted once, throttled ones too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.replay.oracle import DAY_MS
from tests.replay.shards import FACTS, ROW, START, shard_of
from twofa_lab.analysis.own_logs import LogReplay, replay_log
from twofa_lab.replay.run import outcomes
from twofa_lab.risk.policy import Policy
from twofa_lab.tables import SIGNALS
from twofa_lab.traffic.readers.log_world import read_logs
from twofa_lab.traffic.world import MemorySource, World

LOGS = Path(__file__).resolve().parents[2] / "data" / "logs"
SHOP = {
    "user_id": "account",
    "time": "ts",
    "password_ok": "ok",
    "user_agent": "agent",
    "device_id": "device",
    "rtt_ms": "latency_ms",
    "attack": "label",
}
RISK = Policy.risk_based()
SAMPLES = {
    "rba.csv": lambda: read_logs(LOGS / "rba.csv", "rba"),
    "auth.log": lambda: read_logs(LOGS / "auth.log", "openssh", year=2024),
    "shop.csv": lambda: read_logs(LOGS / "shop.csv", "generic", columns=SHOP),
}


def of_hand(*accounts: list[dict]) -> World:
    """A world without people of logins made by hand, its window from the first to the last."""
    times = [row["time"] for logins in accounts for row in logins]
    facts = replace(FACTS, human_side="none", window=(min(times), max(times) + 1))
    return World(facts, MemorySource((shard_of([({}, logins) for logins in accounts]),)))


def at(days: float, **changes: object) -> dict:
    return ROW | {"time": START + round(days * DAY_MS)} | changes


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("policy", [RISK, Policy.universal()], ids=lambda policy: policy.name)
def test_a_sample_is_told_as_its_rows_tell_it(sample: str, policy: Policy):
    world = SAMPLES[sample]()
    found = replay_log(world, policy)
    frame = world.logins(None)
    frame["login_id"] = np.arange(len(frame))
    told = outcomes(world, policy, limit=None)
    told["login_id"] = np.arange(len(told))
    rows = frame.merge(told, on="login_id")
    right = rows[rows["password_ok"] & ~rows["signup"]]
    counts = right["decision"].value_counts()
    assert found.decisions == {n: int(counts.get(n, 0)) for n in ("allow", "challenge", "deny")}
    assert found.judged == sum(found.decisions.values())
    assert found.judged + found.throttled == len(right)
    own = right[right["attack"] == "none"]
    assert found.challenge_rate == pytest.approx((own["decision"] == "challenge").mean())
    for bit, name in enumerate(SIGNALS):
        assert found.signals[name] == pytest.approx((own["signals"] & (1 << bit) != 0).mean())
    weeks = (own["time"] - rows["time"].min()) // pd.Timedelta(days=7)
    weekly = (own["decision"] == "challenge").groupby(weeks).mean()
    told_weekly = {n: rate for n, rate in enumerate(found.weekly) if not np.isnan(rate)}
    assert told_weekly == pytest.approx(weekly.to_dict())
    assert found.logins == len(rows) == world.reading.logins
    assert found.users == world.reading.users


def test_under_universal_every_login_of_a_log_is_asked():
    found = replay_log(SAMPLES["rba.csv"](), Policy.universal())
    assert found.decisions["challenge"] == found.judged > 0
    assert found.challenge_rate == 1.0


def test_a_week_is_seven_days_from_the_first_login():
    week = 7.0
    logins = [at(0), at(1), at(week - 1e-6), at(3 * week)]
    found = replay_log(of_hand(logins), RISK)
    # the account's first login is asked; the device is known after it
    first, *rest = found.weekly
    assert first == pytest.approx(1 / 3)
    assert np.isnan(rest[:2]).all()
    assert rest[2:] == [0.0]
    assert found.challenge_rate == 0.25


def test_a_log_of_one_week_and_a_millisecond_has_two_weeks():
    assert len(replay_log(of_hand([at(0), at(7)]), RISK).weekly) == 2
    exactly = of_hand([at(0), at(7) | {"time": START + 7 * DAY_MS - 1}])
    assert len(replay_log(exactly, RISK).weekly) == 1


def throttling() -> World:
    """Many wrong passwords in a row and then, within the wait, the right one; another is fine."""
    second = 1 / 86_400
    wrong = [at(n * second, password_ok=False) for n in range(30)]
    return of_hand([*wrong, at(31 * second)], [at(0), at(1)])


def test_a_right_password_that_was_throttled_is_counted_and_shown():
    found = replay_log(throttling(), RISK)
    assert (found.throttled, found.judged) == (1, 2)
    assert sum(found.decisions.values()) == 2
    table = found.table()
    assert "3 logins with the right password" in table.title
    shown = {row[0]: row[1:] for row in table.rows}
    assert shown["none: throttled or locked"] == ("1", "33.33 %")
    assert found.to_dict()["throttled"] == 1
    # the denominator of the challenge rate is that of a comparison: right passwords
    assert found.challenge_rate == pytest.approx(1 / 3)


def test_where_nobody_was_throttled_the_table_has_no_such_row():
    found = replay_log(of_hand([at(0), at(1)]), RISK)
    assert found.throttled == found.to_dict()["throttled"] == 0
    assert not any("throttled" in row[0] for row in found.table().rows)


def test_sign_ups_wrong_passwords_and_labelled_attacks_are_left_out_of_the_rate():
    logins = [
        at(0, signup=True),
        at(1),
        at(2, password_ok=False),
        at(3, attack=10, device_id=9, country=1),
    ]
    found = replay_log(of_hand(logins), RISK)
    assert (found.judged, found.throttled) == (2, 0)
    assert found.decisions == {"allow": 1, "challenge": 1, "deny": 0}
    assert found.challenge_rate == 0.0
    assert found.signals["new_country"] == 0.0


def test_a_log_without_a_right_password_has_no_rate():
    found = replay_log(of_hand([at(0, password_ok=False)]), RISK)
    assert found.judged == 0
    assert np.isnan(found.challenge_rate)
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["challenge_rate"] is None
    assert "n/a" in found.sentence()
    assert found.plot()._repr_png_()


def test_the_json_tells_of_the_reading():
    found = replay_log(SAMPLES["shop.csv"](), RISK)
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    reading = found.reading
    assert content["format"] == "generic"
    assert content["rows_read"] == reading.rows_read == 120
    assert content["rows_rejected"] == reading.rows_rejected == 2
    assert sum(one["rows"] for one in content["rejected"]) == 2
    assert content["users"] == 20
    assert content["notes"] == list(reading.notes)
    assert found.reading.path in str(found)


@pytest.mark.parametrize(
    ("lend", "said"), [(False, "everybody is taken to pass"), (True, "who passes a challenge is")]
)
def test_the_note_says_where_the_people_come_from(lend: bool, said: str):
    world = SAMPLES["rba.csv"]()
    found = replay_log(world.with_people("us-consumer", 1) if lend else world, RISK)
    assert said in found.note
    assert said in str(found)
    assert said in found.to_dict()["note"]


def test_a_hostile_policy_name_is_only_text():
    policy = RISK.model_copy(update={"name": "<script>$\\frac$"})
    found: LogReplay = replay_log(SAMPLES["auth.log"](), policy)
    assert "<script" not in found._repr_html_()
    assert "&lt;script" in found._repr_html_()
    assert found.plot()._repr_png_()
