"""The compiled loop against the oracle: the same outcomes, column by column, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.replay.shards import (
    FACTS,
    GAPS,
    PEOPLE_POOLS,
    POOLS,
    START,
    Row,
    accounts_of,
    adversarial,
    disagreements,
    shard_of,
)
from tests.strategies import cells, policies
from twofa_lab.replay.run import replay_shard
from twofa_lab.risk.policy import BUILT_IN, Fallback, Limits, Policy
from twofa_lab.tables import ATTACKS, CHANNELS, DECISIONS, FACTORS, OUTCOME_NAMES, SIGNALS
from twofa_lab.traffic.world import Shard, World

STRICT = Policy(
    name="strict",
    challenge_at=0.2,
    deny_at=0.9,
    trust_device_days=2.0,
    fallback=Fallback(channels=("sms", "voice", "whatsapp"), timeout_seconds=10.0),
    max_attempts=3,
    allow_weaker_factor=False,
    limits=Limits(throttle_after=2, first_wait_seconds=30, longest_wait_seconds=240, lock_after=6),
)
LENIENT = Policy(
    name="lenient",
    challenge_at=0.5,
    trust_device_days=60.0,
    trust_below=1.0,
    fallback=Fallback(channels=("whatsapp",), timeout_seconds=60.0),
)
POLICIES = {policy.name: policy for policy in (*BUILT_IN.values(), STRICT, LENIENT)}


@pytest.mark.parametrize("name", POLICIES)
def test_generated_logins(world: World, name: str) -> None:
    for shard in world.shards():
        assert disagreements(shard, world.facts, POLICIES[name])[:3] == []


def test_the_generated_logins_reach_what_they_should(world: World) -> None:
    """Without this, the agreement above could be about nothing."""
    (shard,) = world.shards()
    assert shard.rows > 3_000
    assert set(np.unique(shard.logins["attack"])) >= set(range(1, len(ATTACKS) - 1))
    universal, strict = (
        replay_shard(shard, world.facts, policy) for policy in (Policy.universal(), STRICT)
    )
    done = (universal["outcome"] == OUTCOME_NAMES.index("verified")) & (shard.logins["attack"] > 0)
    assert done.sum() > 30
    assert set(range(1, 6)) <= set(universal["factor"])
    assert set(range(len(DECISIONS))) <= set(strict["decision"])
    assert {OUTCOME_NAMES[code] for code in strict["outcome"]} >= {
        *("allowed", "verified", "failed", "abandoned", "undelivered", "rate_limited"),
        *("denied", "locked", "wrong_password"),
    }


@given(policy=policies(), first=st.integers(0, 260))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_generated_logins_under_any_policy(world: World, policy: Policy, first: int) -> None:
    (shard,) = world.shards()
    some = accounts_of(shard, first, first + 40)
    assert disagreements(some, world.facts, policy)[:3] == []


@given(policy=policies(), seed=st.integers(0, 2**32))
@settings(max_examples=100)
def test_logins_unlike_any_traffic(policy: Policy, seed: int) -> None:
    assert disagreements(adversarial(seed, accounts=6, most_rows=50), FACTS, policy)[:3] == []


@st.composite
def accounts(draw: st.DrawFn) -> tuple[Row, list[Row]]:
    """One account with a few rows, every cell drawn by itself: what shrinks to a plain example."""
    rows: list[dict[str, Any]] = draw(st.lists(cells(POOLS), min_size=1, max_size=6))
    time = START
    for row in rows:
        time += draw(st.sampled_from(sorted(set(GAPS))))
        row["time"] = time
    return draw(cells(PEOPLE_POOLS)), rows


@given(policy=policies(), made=st.lists(accounts(), min_size=1, max_size=2))
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
def test_any_few_logins(policy: Policy, made: list[tuple[Row, list[Row]]]) -> None:
    assert disagreements(shard_of(made), FACTS, policy) == []


def test_the_adversarial_rows_reach_every_code() -> None:
    seen: dict[str, set[int]] = {name: set() for name in ("decision", "factor", "channel")}
    outcomes, signals = set(), 0
    shard: Shard = adversarial(3, accounts=60, most_rows=80)
    for policy in POLICIES.values():
        written = replay_shard(shard, FACTS, policy)
        for name, codes in seen.items():
            codes |= set(written[name].tolist())
        outcomes |= set(written["outcome"].tolist())
        signals |= int(np.bitwise_or.reduce(written["signals"]))
    assert outcomes == set(range(len(OUTCOME_NAMES)))
    assert signals == (1 << len(SIGNALS)) - 1
    assert seen["decision"] == {0, 1, 2, 255}
    assert seen["channel"] == set(range(len(CHANNELS)))
    assert seen["factor"] == set(range(len(FACTORS) - 1))  # recovery codes are not asked for
