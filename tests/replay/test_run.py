"""A world under a policy: the outcomes table, its checks, and rows without people."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.replay.oracle import DAY_MS
from tests.replay.shards import FACTS, ROW, START, accounts_of, adversarial, shard_of
from twofa_lab.errors import InputError
from twofa_lab.factors.push import PushRules
from twofa_lab.replay.run import NEEDED, outcomes, replay_shard, settings_of
from twofa_lab.risk.policy import Fallback, Policy
from twofa_lab.risk.signals import SignalRules
from twofa_lab.tables import (
    CHANNELS,
    DECISIONS,
    OUTCOME_NAMES,
    OUTCOMES,
    POTENTIAL_OUTCOMES,
)
from twofa_lab.traffic.storage import RunWriter, open_run, write_shard
from twofa_lab.traffic.world import MemorySource, Shard, World

RISK = Policy.risk_based()


def test_the_frame_is_the_outcomes_table_with_names_for_codes(world: World) -> None:
    frame = outcomes(world, RISK)
    (shard,) = world.shards()
    codes = replay_shard(shard, world.facts, RISK)
    assert tuple(frame.columns) == OUTCOMES.names
    assert frame["login_id"].tolist() == shard.logins["login_id"].tolist()
    for name, words in (("outcome", OUTCOME_NAMES), ("channel", CHANNELS)):
        assert frame[name].tolist() == [words[code] for code in codes[name]]
    scored = codes["decision"] != 255
    assert frame["decision"].notna().to_numpy().tolist() == scored.tolist()
    assert frame["decision"][scored].tolist() == [DECISIONS[c] for c in codes["decision"][scored]]
    for name in ("signals", "failures", "score", "trusted", "seconds_ds", "message_microusd"):
        assert np.array_equal(frame[name], codes[name])


def split(shard: Shard, parts: int) -> tuple[Shard, ...]:
    edges = np.linspace(0, len(shard.starts) - 1, parts + 1).astype(int)
    return tuple(accounts_of(shard, a, b) for a, b in pairwise(edges))


def test_a_world_of_many_shards_is_the_same_world(world: World) -> None:
    (shard,) = world.shards()
    whole = outcomes(world, RISK)
    parts = outcomes(World(world.facts, MemorySource(split(shard, 7))), RISK)
    pd.testing.assert_frame_equal(whole, parts)


def test_a_run_on_disk_is_the_world_in_memory(world: World, tmp_path: Path) -> None:
    """Its arrays come straight from the file and must not be written to."""
    with RunWriter(tmp_path / "run") as writer:
        for index, shard in enumerate(split(next(world.shards()), 2)):
            write_shard(writer.folder, replace(shard, index=index), world.facts.vocabularies)
        writer.finish(world.facts, 2)
    saved = open_run(tmp_path / "run")
    pd.testing.assert_frame_equal(outcomes(saved, RISK), outcomes(world, RISK))


@pytest.mark.parametrize("limit", [1, 100, 1_500])
def test_a_limit_cuts_the_frame_and_no_more(world: World, limit: int) -> None:
    (shard,) = world.shards()
    many = World(world.facts, MemorySource(split(shard, 7)))
    pd.testing.assert_frame_equal(outcomes(many, RISK, limit=limit), outcomes(world, RISK)[:limit])
    assert len(outcomes(many, RISK, limit=None)) == shard.rows


def test_a_world_without_accounts_is_refused() -> None:
    with pytest.raises(InputError, match="no accounts"):
        outcomes(World(FACTS, MemorySource(())), RISK)


@pytest.mark.parametrize("name", [name for name in NEEDED if not name.startswith("po_")])
def test_a_missing_or_mistyped_column_is_named(name: str) -> None:
    shard = shard_of([({}, [{}])])
    without = {key: values for key, values in shard.logins.items() if key != name}
    with pytest.raises(InputError, match=name):
        replay_shard(replace(shard, logins=without), FACTS, RISK)
    mistyped = shard.logins | {name: shard.logins[name].astype(np.float32)}
    with pytest.raises(InputError, match=f"{name}.*float32"):
        replay_shard(replace(shard, logins=mistyped), FACTS, RISK)


def test_columns_of_different_length_are_refused() -> None:
    shard = shard_of([({}, [{}, {}])])
    uneven = shard.logins | {"country": shard.logins["country"][:1]}
    with pytest.raises(InputError, match="length"):
        replay_shard(replace(shard, logins=uneven), FACTS, RISK)


# A real log has no potential outcomes.


def without_potential_outcomes(shard: Shard) -> Shard:
    logins = {name: values for name, values in shard.logins.items() if name[:3] != "po_"}
    return replace(shard, logins=logins)


@pytest.mark.parametrize("policy", [Policy.universal(), RISK], ids=lambda policy: policy.name)
def test_rows_without_people_pass_every_challenge_at_no_cost(policy: Policy) -> None:
    """Whoever the accounts are lent to, attackers included, whatever the plan."""
    plan = Fallback(channels=("sms",))
    policy = policy.model_copy(update={"fallback": plan, "allow_weaker_factor": False})
    shard = without_potential_outcomes(adversarial(3, accounts=40, most_rows=40))
    written = replay_shard(shard, FACTS, policy)
    challenged = written["decision"] == DECISIONS.index("challenge")
    assert challenged.sum() > 100
    assert shard.logins["attack"][challenged].any()
    assert set(written["outcome"][challenged]) == {OUTCOME_NAMES.index("verified")}
    for name in ("messages", "message_microusd", "seconds_ds"):
        assert not written[name].any()


def test_rows_without_people_are_scored_like_those_of_people_who_always_pass() -> None:
    rows: list[dict[str, Any]] = [
        {"time": START + n * DAY_MS, "device_id": 1 + n % 3, "region": n % 2} for n in range(60)
    ]
    with_people = shard_of([({}, [row | {"po_trusts_device": True} for row in rows])])
    without = without_potential_outcomes(with_people)
    for name in ("signals", "failures", "score", "decision", "trusted", "outcome"):
        assert np.array_equal(
            replay_shard(with_people, FACTS, RISK)[name], replay_shard(without, FACTS, RISK)[name]
        )


def test_replay_leaves_its_input_alone() -> None:
    shard = adversarial(5, accounts=5, most_rows=20)
    before = {name: values.copy() for name, values in shard.logins.items()}
    replay_shard(shard, FACTS, RISK)
    assert all(np.array_equal(before[name], shard.logins[name]) for name in before)


def test_the_rules_numbers_can_be_changed() -> None:
    rows = [{"time": START}, {"time": START + 8 * DAY_MS}]
    week = SignalRules(device_memory_ms=7 * DAY_MS)
    shard = shard_of([({}, rows)])
    assert replay_shard(shard, FACTS, RISK)["signals"].tolist() == [1, 0]
    assert replay_shard(shard, FACTS, RISK, week)["signals"].tolist() == [1, 1]


def test_settings_carry_a_policys_numbers() -> None:
    policy = Policy(name="p", trust_device_days=1.5, fallback=Fallback(channels=("voice", "sms")))
    settings = settings_of(policy, SignalRules(), FACTS.costs, ("AA", "BB"))
    assert settings.channels.tolist() == [3, 2]
    assert settings.trust_ms == round(1.5 * DAY_MS)
    assert settings.timeout_ds == 300
    assert settings.prices.tolist() == [
        [0, 9_000, 11_800, 30_000],
        [0, 1_400, 11_800, 100_000],
        [0, 9_000, 11_800, 30_000],  # the last row serves accounts of no country
    ]
    push = PushRules()
    assert settings.push_since_success == push.max_since_success
    assert (settings.push_in_window, settings.push_window_ms) == (push.max_in_window, 600_000)
    never = settings_of(Policy.password_only(), SignalRules(), FACTS.costs, ())
    assert (never.challenge_at, never.deny_at, never.trust_ms) == (np.inf, np.inf, 0)


def test_every_potential_outcome_has_a_place_in_the_hand_made_rows() -> None:
    assert {column.name for column in POTENTIAL_OUTCOMES} == {n for n in ROW if n[:3] == "po_"}
    assert set(ROW) == set(NEEDED)
