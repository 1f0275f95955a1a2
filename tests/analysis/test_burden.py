"""Segments against a plain recomputation in pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from twofa_lab.analysis.burden import Burden, burden
from twofa_lab.analysis.comparison import compare
from twofa_lab.replay.run import outcomes
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.world import World

RISK = Policy.risk_based()


@pytest.fixture(scope="module")
def found(world: World) -> Burden:
    return burden(world, RISK, replicates=400, progress=False)


@pytest.fixture(scope="module")
def rows(world: World) -> pd.DataFrame:
    frame = world.logins(None).merge(outcomes(world, RISK, limit=None), on="login_id")
    people = world.people(None)[["user_id", "country", "created", "uses_vpn"]]
    frame = frame.merge(people.rename(columns={"country": "home"}), on="user_id")
    start = pd.Timestamp(world.facts.window[0], unit="ms", tz="UTC")
    frame = frame[(frame["time"] >= start) & frame["password_ok"] & ~frame["signup"]]
    frame["week"] = ((frame["time"] - start) // pd.Timedelta(days=7) + 1).astype(str)
    young = frame["time"] - frame["created"] < pd.Timedelta(days=30)
    frame["age"] = np.where(young, "under 30 days old", "older")
    frame["vpn"] = np.where(frame["uses_vpn"], "uses one often", "does not")
    return frame


def test_the_whole_is_a_comparisons(world: World, found: Burden):
    result = compare(world, [RISK], progress=False).results[0]
    assert found.overall.legitimate == result.legitimate
    assert found.overall.challenge_rate == result.challenge_rate  # the interval too
    assert found.overall.lost.value == pytest.approx(1.0 - result.conversion.value)
    assert (found.overall.takeovers, found.overall.attacks) == (result.takeovers, result.attacks)


@pytest.mark.parametrize(
    ("kind", "column"),
    [("week", "week"), ("home country", "home"), ("device type", "device_type"),
     ("account", "age"), ("VPN", "vpn")],
)  # fmt: skip
def test_each_group_is_counted_right(found: Burden, rows: pd.DataFrame, kind: str, column: str):
    groups = [group for group in found.of(kind) if not group.name.endswith(" others")]
    assert groups
    own, challenged = rows["attack"] == "none", rows["decision"] == "challenge"
    for group in groups:
        mine = rows[column].astype(str) == group.name
        assert group.legitimate == (mine & own).sum()
        assert group.challenge_rate.value == pytest.approx(challenged[mine & own].mean())
        assert group.bears == pytest.approx(
            (challenged & own & mine).sum() / (challenged & own).sum()
        )
        assert group.attacks == (mine & ~own).sum()
    assert sum(g.legitimate for g in found.of(kind)) == own.sum()
    assert sum(g.bears for g in found.of(kind)) == pytest.approx(1.0)


def test_it_shows_itself(found: Burden):
    assert "Who bears" in repr(found)
    assert found._repr_html_().startswith("<table")
