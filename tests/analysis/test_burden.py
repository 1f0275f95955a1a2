"""Segments against a plain recomputation in pandas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from twofa_lab.analysis.burden import Burden, burden
from twofa_lab.analysis.comparison import compare
from twofa_lab.analysis.policy_diff import policy_diff
from twofa_lab.analysis.segments import told_groups
from twofa_lab.replay.run import outcomes
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.readers.log_world import read_logs
from twofa_lab.traffic.world import World

RISK = Policy.risk_based()
LOG = Path(__file__).resolve().parents[2] / "data" / "logs" / "rba.csv"


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


@pytest.mark.parametrize("lend", [False, True])
def test_what_a_real_log_cannot_tell_of_its_accounts_is_unknown(lend: bool):
    log = read_logs(LOG, "rba", progress=False)
    found = burden(log.with_people() if lend else log, RISK, progress=False)
    for kind in ("account", "VPN"):
        assert sum(group.legitimate for group in found.of(kind)) == found.overall.legitimate
        if not lend:
            assert [group.name for group in found.of(kind)] == ["unknown"]
    assert found.overall.legitimate > 0
    assert "are real" in found.note
    change = policy_diff(log, RISK, Policy.universal(), progress=False)
    assert {share.name for share in change.shares if share.kind == "VPN"} == {"unknown"}
    assert "taken to be passed" in repr(change)


def test_small_groups_go_together():
    kinds, names = ("week", *["place"] * 12), tuple("abcdefghijklm")
    sums = np.arange(13 * 2 * 3).reshape(13, 2, 3)
    told = told_groups(kinds, names, sums)
    assert [name for _, name, _ in told] == ["a", *"mlkjihgf", "4 others"]
    assert sum(part for _, _, part in told).tolist() == sums.sum(axis=0).tolist()


def test_it_shows_itself(found: Burden):
    assert "Who bears" in repr(found)
    assert found._repr_html_().startswith("<table")
