"""Freeman and the learned scorer inside the closed loop, against one account at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import twofa_lab as lab
from twofa_lab.replay.beside import places_of, with_beside
from twofa_lab.replay.fit import Observed, fit_scorer, observe
from twofa_lab.replay.run import needed, outcomes, prepare, replay_and_note, replay_prepared
from twofa_lab.risk.freeman import LEVELS
from twofa_lab.risk.freeman_model import Freeman, login_of
from twofa_lab.risk.learned import Learned, vectors_as_it_came
from twofa_lab.risk.model_file import save_scorer
from twofa_lab.risk.one_account import login_with_signals
from twofa_lab.risk.policy import Limits, Policy
from twofa_lab.risk.signals import SignalRules
from twofa_lab.tables import OUTCOME_NAMES, Array
from twofa_lab.traffic.storage import RunWriter, open_run, write_shard
from twofa_lab.traffic.world import MemorySource, Shard, World

RULES = SignalRules()
IN = [OUTCOME_NAMES.index(name) for name in ("allowed", "verified")]
WRONG = OUTCOME_NAMES.index("wrong_password")


@pytest.fixture(scope="module")
def wide(world: World) -> World:
    return with_beside(world)


@pytest.fixture(scope="module")
def seen(world: World) -> Observed:
    return observe(world)


@pytest.fixture(scope="module")
def learned(world: World, seen: Observed) -> Learned:
    found = fit_scorer(world, "learned", seen=seen, max_iter=60)
    assert isinstance(found, Learned)
    return found


@pytest.fixture(scope="module")
def freeman(world: World, seen: Observed) -> Freeman:
    found = fit_scorer(world, "freeman", seen=seen, attack_term=True)
    assert isinstance(found, Freeman)
    return found


def policy_of(scorer: Freeman | Learned, **changes: Any) -> Policy:
    kind, at = ("freeman", 0.3) if isinstance(scorer, Freeman) else ("learned", 0.02)
    changes = {"name": kind, "scorer": kind, "model": "in memory", "challenge_at": at} | changes
    return Policy.model_validate(changes)


def replayed(world: World, policy: Policy, scorer: Any) -> tuple[Shard, dict[str, Array]]:
    (shard,) = world.shards()
    return shard, replay_prepared(prepare(shard, world.facts), world.facts, policy, RULES, scorer)


def scored_rows(written: dict[str, Array]) -> Array:
    return np.flatnonzero(written["decision"] != 255)


def test_learned_in_the_loop_is_one_account_after_the_other(wide: World, learned: Learned) -> None:
    policy = policy_of(learned)
    shard, written = replayed(wide, policy, learned)
    words, checked = wide.facts.vocabularies, 0
    for a in range(0, len(shard.starts) - 1, 3):
        account = learned.account()
        for row in range(shard.starts[a], shard.starts[a + 1]):
            login = login_with_signals(shard.logins, words, row)
            if written["decision"][row] != 255:
                assert account.score(login) == pytest.approx(written["score"][row], abs=1e-12)
                checked += 1
            if written["outcome"][row] in IN:
                account.record(login)
            elif written["outcome"][row] == WRONG:
                account.failed(int(shard.logins["time"][row]))
    assert checked > 300
    assert len(set(written["decision"].tolist())) == 3


def test_freeman_in_the_loop_is_one_account_after_the_other(world: World, freeman: Freeman) -> None:
    (shard,) = world.shards()
    gone = np.random.default_rng(0).random(shard.rows) < 0.05
    asn = np.where(gone, 0, shard.logins["asn"]).astype(np.uint32)
    holes = World(world.facts, MemorySource((replace(shard, logins=shard.logins | {"asn": asn}),)))
    for unscored, expected in (("challenge", 1.0), ("allow", 0.0)):
        shard, written = replayed(holes, policy_of(freeman, unscored=unscored), freeman)
        words, checked, without = world.facts.vocabularies, 0, 0
        for a in range(0, len(shard.starts) - 1, 3):
            account = freeman.account()
            for row in range(shard.starts[a], shard.starts[a + 1]):
                login = login_of(shard.logins, words, row)
                if written["decision"][row] != 255:
                    score = account.score(login)
                    risk = expected if score is None else score / (1.0 + score)
                    assert written["score"][row] == pytest.approx(risk, abs=1e-12)
                    checked, without = checked + 1, without + (score is None)
                if written["outcome"][row] in IN:
                    account.record(login)
        assert checked > 300
        assert without > 10


def test_a_login_without_a_score_is_never_denied_and_trust_does_not_lift_it(
    world: World, freeman: Freeman
) -> None:
    (shard,) = world.shards()
    none = World(world.facts, MemorySource((
        replace(shard, logins=shard.logins | {"asn": np.zeros_like(shard.logins["asn"])}),
    )))  # fmt: skip
    shut = policy_of(freeman, challenge_at=1.0, deny_at=1.0, trust_below=1.0)
    _, written = replayed(none, shut, freeman)
    assert set(written["decision"].tolist()) == {1, 255}
    _, written = replayed(none, shut.model_copy(update={"unscored": "allow"}), freeman)
    assert set(written["decision"].tolist()) == {0, 255}


def test_the_learned_score_is_scikit_learns_own(wide: World, learned: Learned) -> None:
    (shard,) = wide.shards()
    prepared, policy = prepare(shard, wide.facts), policy_of(learned)
    written, values = replay_and_note(prepared, wide.facts, policy, RULES, learned)
    rows = scored_rows(written)
    expected = learned.estimator.predict_proba(values[rows])[:, 1]
    np.testing.assert_allclose(written["score"][rows], expected, rtol=0, atol=1e-9)
    plain = replay_prepared(prepared, wide.facts, policy, RULES, learned)
    for name, column in written.items():
        assert np.array_equal(column, plain[name]), name


def test_noting_what_was_seen_changes_nothing(wide: World, freeman: Freeman) -> None:
    (shard,) = wide.shards()
    prepared = prepare(shard, wide.facts)
    for policy, scorer in ((Policy.risk_based(), None), (policy_of(freeman), freeman)):
        plain = replay_prepared(prepared, wide.facts, policy, RULES, scorer)
        noted, values = replay_and_note(prepared, wide.facts, policy, RULES, scorer)
        for name, column in plain.items():
            assert np.array_equal(column, noted[name]), name
        rows = scored_rows(plain)
        assert np.array_equal(values[rows, 0] == 1, plain["signals"][rows] & 1 == 1)
        assert np.array_equal(values[rows, 4], plain["failures"][rows])
        assert not values[plain["decision"] == 255].any()


def test_where_everybody_gets_in_the_loop_sees_what_the_log_shows(wide: World) -> None:
    (shard,) = wide.shards()
    never = Policy.password_only().model_copy(update={"limits": Limits(throttle_after=100)})
    written, values = replay_and_note(prepare(shard, wide.facts), wide.facts, never, RULES)
    rows = scored_rows(written)
    log = vectors_as_it_came(shard.logins, wide.facts.vocabularies)
    assert np.array_equal(values[rows], log[rows])
    assert len(rows) > 1_000


def test_the_loop_is_closed_for_a_scorer_too(wide: World, learned: Learned) -> None:
    """What is stopped leaves nothing behind: later scores differ from those of an open door."""
    _, open_door = replayed(wide, policy_of(learned, challenge_at=None), learned)
    _, asked = replayed(wide, policy_of(learned, challenge_at=0.0), learned)
    both = (open_door["decision"] != 255) & (asked["decision"] != 255)
    assert (open_door["score"][both] != asked["score"][both]).any()


def test_a_much_higher_threshold_asks_less(wide: World, learned: Learned, freeman: Freeman) -> None:
    for scorer in (learned, freeman):
        asked = [
            (replayed(wide, policy_of(scorer, challenge_at=at), scorer)[1]["decision"] == 1).sum()
            for at in (0.02, 0.5, 1.0)
        ]
        assert asked == sorted(asked, reverse=True)
        assert asked[0] > asked[-1]


def test_a_policy_reads_its_model_wherever_it_is_replayed(
    world: World, learned: Learned, freeman: Freeman, tmp_path: Path
) -> None:
    (shard,) = world.shards()
    with RunWriter(tmp_path / "run") as writer:
        write_shard(writer.folder, shard, world.facts.vocabularies)
        writer.finish(world.facts, 1)
    saved = open_run(tmp_path / "run")
    for scorer in (learned, freeman):
        path = save_scorer(scorer, tmp_path / f"{policy_of(scorer).name}.skops")
        policy = policy_of(scorer, model=str(path), challenge_at=0.02)
        _, expected = replayed(with_beside(world), policy, scorer)
        frame = outcomes(saved, policy)
        assert np.array_equal(frame["score"], expected["score"])
        result = lab.compare(saved, [policy, Policy.risk_based()]).results[0]
        assert result.logins > 0
        login = int(np.flatnonzero(expected["decision"] == 1)[-1])
        told = lab.explain(saved, int(shard.logins["login_id"][login]), policy)
        assert told.score == expected["score"][login]
        assert told.decision == "challenge"
        assert told.points
        other = policy.model_copy(update={"scorer": "freeman" if scorer is learned else "learned"})
        with pytest.raises(lab.InputError, match=r"not (freeman|learned)"):
            outcomes(saved, other)


def test_explained_log_odds_add_up_to_the_score(wide: World, learned: Learned) -> None:
    account = learned.account()
    (shard,) = wide.shards()
    found = account.explain(login_with_signals(shard.logins, wide.facts.vocabularies, 0))
    odds = found.intercept + sum(found.contributions.values())
    assert found.score == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-12)
    assert found.to_dict()["reasons"] == found.reasons
    assert "probability of an attack" in found._repr_html_()


def test_columns_beside_are_asked_for_by_name(world: World, learned: Learned) -> None:
    assert {"ip_accounts", "latitude"} <= set(needed([policy_of(learned)]))
    assert set(LEVELS) <= set(needed([Policy(name="f", scorer="freeman", model="m")]))
    with pytest.raises(lab.InputError, match="lack the column 'latitude'"):
        replayed(world, policy_of(learned), learned)


def test_columns_beside_are_the_same_however_a_world_is_cut(wide: World, world: World) -> None:
    (shard,) = world.shards()
    at = int(shard.starts[150])
    halves = MemorySource((
        Shard(0, {n: c[:at] for n, c in shard.logins.items()},
              {n: c[:150] for n, c in shard.people.items()}, shard.starts[:151]),
        Shard(1, {n: c[at:] for n, c in shard.logins.items()},
              {n: c[150:] for n, c in shard.people.items()}, shard.starts[150:] - at),
    ))  # fmt: skip
    parts = [part.logins for part in with_beside(World(world.facts, halves)).shards()]
    whole = next(wide.shards()).logins
    for name in ("ip_accounts", "ip_failures", "latitude", "longitude"):
        assert np.array_equal(np.concatenate([part[name] for part in parts]), whole[name])
    assert with_beside(wide) is wide


def test_cities_are_where_they_are() -> None:
    words = {"country": ("NO", "US"), "region": ("NO-12", "somewhere"),
             "city": ("Oslo", "Springfield", "Atlantis")}  # fmt: skip
    table = {
        "country": np.array([0, 0, 0, 1, -1, 0], np.int16),
        "region": np.array([0, 1, -1, 1, 0, 0], np.int32),
        "city": np.array([0, 0, 0, 1, 0, 2], np.int32),
    }
    latitude, longitude = places_of(table, words)
    assert latitude[:3] == pytest.approx([59.91] * 3, abs=0.1)
    assert longitude[:3] == pytest.approx([10.75] * 3, abs=0.1)
    assert not np.isnan(latitude[3])
    assert np.isnan(latitude[4:]).all()
    assert np.isnan(longitude[4:]).all()
