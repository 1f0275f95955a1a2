"""What changes between two policies, against the outcomes of both."""

from __future__ import annotations

import json

import pytest

from twofa_lab.analysis.policy_diff import PolicyDiff, policy_diff
from twofa_lab.replay.run import outcomes
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.world import World

OLD = Policy.risk_based()
NEW = OLD.model_copy(update={"name": "new", "challenge_at": 0.15, "deny_at": 0.9})


@pytest.fixture(scope="module")
def found(world: World) -> PolicyDiff:
    return policy_diff(world, OLD, NEW, progress=False)


def test_changes_are_those_of_the_decisions(world: World, found: PolicyDiff):
    frame = world.logins(None).merge(outcomes(world, OLD, limit=None), on="login_id")
    after = outcomes(world, NEW, limit=None).set_index("login_id")["decision"]
    start = world.facts.window[0]
    times = frame["time"].dt.as_unit("ms").astype("int64")
    frame = frame[(times >= start) & frame["password_ok"] & ~frame["signup"]]
    before = frame["decision"].astype(object).where(frame["decision"].notna(), "not judged")
    other = after.loc[frame["login_id"]].astype(object)
    other = other.where(other.notna(), "not judged").to_numpy()
    own = frame["attack"] == "none"
    pairs = {(c.before, c.after): (c.legitimate, c.attacks) for c in found.changes}
    assert {("allow", "challenge"), ("challenge", "deny")} <= set(pairs)
    for (b, a), (legitimate, attacks) in pairs.items():
        hit = (before == b) & (other == a)
        assert (legitimate, attacks) == ((hit & own).sum(), (hit & ~own).sum())
    assert sum(map(sum, pairs.values())) == (before != other).sum()
    assert (found.legitimate, found.attacks) == (own.sum(), (~own).sum())


def test_segments_add_up_to_the_changes(found: PolicyDiff):
    newly = sum(c.legitimate for c in found.changes if c.after == "challenge")
    for kind in ("VPN", "account"):
        shares = [share for share in found.shares if share.kind == kind]
        assert sum(s.newly.value * s.legitimate for s in shares) == pytest.approx(newly)
        assert all(s.newly.low <= s.newly.value <= s.newly.high for s in shares)


def test_examples_are_explained_by_both(found: PolicyDiff):
    kinds = {(e.before.decision, e.after.decision) for e in found.examples}
    assert ("allow", "challenge") in kinds
    assert all(before != after for before, after in kinds)
    for example in found.examples:
        assert example.before.login_id == example.after.login_id
        assert (example.before.policy, example.after.policy) == ("risk-based", "new")
    assert {e.attack == "none" for e in found.examples} == {True, False}


def test_it_shows_itself_and_tells_the_settings(found: PolicyDiff):
    assert found.settings == {"challenge_at": (0.45, 0.15), "deny_at": (None, 0.9)}
    assert "challenge_at: 0.45 → 0.15" in repr(found)
    assert found._repr_html_().count("<table") == 3
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["old"] == "risk-based"


def test_a_policy_beside_itself_changes_nothing(world: World):
    found = policy_diff(world, OLD, OLD, progress=False)
    assert (found.changes, found.examples) == ((), ())
    assert found.lost[0] == found.lost[1]
    assert "0 more and 0 fewer" in found.sentence()
