"""The rules over a table as it stands, against the documented rules asked anew at every login."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.risk.past import DAY, HOUR, MINUTE, NOON
from twofa_lab.risk.rules import RulePoints
from twofa_lab.risk.score_rules import score_by_rules
from twofa_lab.tables import LOGINS, Array

WORDS = {"country": ("AA", "BB"), "region": ("AA:1", "AA:2", "BB:1")}
COLUMNS = ("time", "utc_offset_min", "device_id", "country", "region", "password_ok", "signup")
Row = dict[str, Any]


def table_of(rows: list[Row]) -> dict[str, Array]:
    rows = sorted(rows, key=lambda row: (row["user_id"], row["time"]))
    return {
        name: np.array([row[name] for row in rows], LOGINS.column(name).dtype)
        for name in ("user_id", *COLUMNS)
    }


def expected(before: list[Row], row: Row) -> float:
    """The score by the rules' text: `before` are the account's earlier rows."""
    done = [r for r in before if r["password_ok"] or r["signup"]]
    wrong = [r["time"] for r in before if not (r["password_ok"] or r["signup"])]
    burst = sum(time >= row["time"] - 30 * MINUTE for time in wrong)
    recent = [r["device_id"] for r in done if row["time"] - r["time"] <= 30 * DAY]
    points = RulePoints()
    score = 0.0 if row["device_id"] and row["device_id"] in recent else points.new_device
    if done and row["country"] >= 0:
        if row["country"] not in {r["country"] for r in done}:
            score += points.new_country
        elif row["region"] >= 0 and row["region"] not in {r["region"] for r in done}:
            score += points.new_region
    hours = [(r["time"] // HOUR + r["utc_offset_min"] // 60) % 24 for r in done]
    hour = (row["time"] // HOUR + row["utc_offset_min"] // 60) % 24
    near = sum((h - hour) % 24 in (0, 1, 23) for h in hours)
    if len(done) >= 10 and near * 50 <= len(done):
        score += points.odd_hour
    score += points.failed_burst if burst >= 3 else burst * points.failed_attempt
    return min(1.0, score)


@st.composite
def logins(draw: st.DrawFn) -> list[Row]:
    steps = st.sampled_from([0, MINUTE, 29 * MINUTE, HOUR, 7 * HOUR, DAY, 29 * DAY])
    country = st.sampled_from([0, 0, 1, -1])
    rows, times = [], {1: NOON, 2: NOON}
    for _ in range(draw(st.integers(0, 30))):
        user = draw(st.sampled_from([1, 1, 1, 2]))
        times[user] += draw(steps)
        rows.append(
            {
                "user_id": user,
                "time": times[user],
                "utc_offset_min": draw(st.sampled_from([0, 60, -600])),
                "device_id": draw(st.sampled_from([1, 1, 2, 0])),
                "country": draw(country),
                "region": draw(st.sampled_from([0, 0, 1, 2, -1])),
                "password_ok": draw(st.integers(0, 3)) > 0,
                "signup": draw(st.integers(0, 20)) == 20,
            }
        )
    return rows


@settings(max_examples=60)
@given(logins())
def test_each_right_password_is_scored_against_its_past(rows: list[Row]) -> None:
    found = score_by_rules(table_of(rows), WORDS)
    rows = sorted(rows, key=lambda row: (row["user_id"], row["time"]))
    for at, row in enumerate(rows):
        before = [r for r in rows[:at] if r["user_id"] == row["user_id"]]
        if row["password_ok"] or row["signup"]:
            assert found.score[at] == pytest.approx(expected(before, row), abs=1e-9), at
            assert found.unscored[at] == 0
        else:
            assert np.isnan(found.score[at])
            assert found.unscored[at] == 1


def test_reasons_are_the_points_that_made_the_score() -> None:
    base = {"user_id": 1, "utc_offset_min": 0, "device_id": 1, "region": 0, "signup": False}
    rows = [
        {**base, "time": NOON, "country": 0, "password_ok": True},
        {**base, "time": NOON + 1, "country": 0, "password_ok": False},
        {**base, "time": NOON + 2, "country": 1, "password_ok": True},
    ]
    found = score_by_rules(table_of(rows), WORDS)
    told = [found.reasons[code] for code in found.reason]
    assert told[0] == "new_device +0.50"
    assert told[2] == "new_country +0.60; failed_attempt +0.15"


def test_nobody_is_throttled_or_locked_by_a_log_that_let_them_in() -> None:
    base = {"user_id": 1, "utc_offset_min": 0, "device_id": 1, "country": 0, "region": 0}
    rows = [
        {**base, "time": NOON + n, "password_ok": n == 200, "signup": False} for n in range(201)
    ]
    found = score_by_rules(table_of(rows), WORDS)
    assert np.isfinite(found.score).tolist() == [False] * 200 + [True]
    assert found.score[200] == 1.0


def test_progress_adds_up_to_the_rows() -> None:
    rows = [
        {
            "user_id": n % 7, "time": NOON + n, "utc_offset_min": 0, "device_id": 1, "country": 0,
            "region": 0, "password_ok": True, "signup": False,
        }
        for n in range(50)
    ]  # fmt: skip
    told: list[float] = []
    score_by_rules(table_of(rows), WORDS, advance=told.append)
    assert sum(told) == 50
