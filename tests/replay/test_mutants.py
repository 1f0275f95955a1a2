"""One rule broken at a time: the comparison with the oracle must notice each.

A comparison that finds nothing proves little unless it would have found something.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.replay.mutants import MUTANTS
from tests.replay.oracle import Oracle
from tests.replay.shards import FACTS, adversarial, disagreements
from tests.replay.test_against_oracle import LENIENT, STRICT
from twofa_lab.risk.policy import Fallback, Limits, Policy
from twofa_lab.traffic.world import Shard

CHALLENGING = (
    Policy.universal(),
    STRICT,
    LENIENT.model_copy(update={"challenge_at": 0.0, "trust_below": 0.3}),
    Policy(
        name="impatient",
        challenge_at=0.0,
        deny_at=0.75,
        trust_device_days=10.0,
        fallback=Fallback(channels=("voice", "sms"), timeout_seconds=5.0),
        limits=Limits(throttle_after=1, longest_wait_seconds=10, lock_after=3),
    ),
    Policy.risk_based(),
)
"""Between them these policies bring every rule to bear."""


@cache
def shards() -> tuple[Shard, ...]:
    return tuple(adversarial(seed, accounts=40, most_rows=70) for seed in (1, 2))


def seen(mutant: type[Oracle]) -> bool:
    """Whether the comparison tells the mutant from the loop."""
    return any(
        disagreements(shard, FACTS, policy, mutant) for shard in shards() for policy in CHALLENGING
    )


@pytest.mark.parametrize("rule", MUTANTS)
def test_a_broken_rule_is_noticed(rule: str) -> None:
    assert seen(MUTANTS[rule])


def test_the_unbroken_rules_agree() -> None:
    """The control: what the mutants are told apart from."""
    assert not seen(Oracle)
