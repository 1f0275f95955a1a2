"""One rule broken at a time: the comparison with the oracle must notice each.

A comparison that finds nothing proves little unless it would have found something.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import pytest

from tests.replay.code_oracle import Person
from tests.replay.mutants import MUTANTS
from tests.replay.oracle import Oracle
from tests.replay.second_factor_mutants import SECOND_FACTOR
from tests.replay.shards import FACTS, Row, adversarial, lives
from tests.replay.test_against_oracle import LENIENT, STRICT
from tests.replay.timeline_mutants import TIMELINE
from twofa_lab.replay.run import replay_shard
from twofa_lab.risk.policy import Fallback, Limits, Policy

BROKEN = MUTANTS | SECOND_FACTOR | TIMELINE
CHALLENGING = (
    Policy.universal(),
    STRICT,
    LENIENT.model_copy(
        update={"challenge_at": 0.0, "trust_below": 0.3, "limits": Limits(lock_after=7)}
    ),
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
def cases() -> list[tuple[Policy, list[Row], Person, list[Row]]]:
    """A policy, an account's rows and person, and what the loop made of them."""
    found = []
    for seed, policy in product((1, 2), CHALLENGING):
        shard = adversarial(seed, accounts=50, most_rows=70)
        written = replay_shard(shard, FACTS, policy)
        columns = [values.tolist() for values in written.values()]
        told = [dict(zip(written, row, strict=True)) for row in zip(*columns, strict=True)]
        at = 0
        for rows, person in lives(shard, FACTS):
            found.append((policy, rows, person, told[at : at + len(rows)]))
            at += len(rows)
    return found


def seen(mutant: type[Oracle]) -> bool:
    """Whether the comparison tells the mutant from the loop."""
    for policy, rows, person, told in cases():
        by_hand = mutant(policy, FACTS.costs).account([dict(row) for row in rows], person)
        if any(
            {name: row[name] for name in loop} != loop
            for row, loop in zip(by_hand, told, strict=True)
        ):
            return True
    return False


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_noticed(rule: str) -> None:
    assert seen(BROKEN[rule])


def test_no_rule_is_broken_twice() -> None:
    assert len(BROKEN) == sum(map(len, (MUTANTS, SECOND_FACTOR, TIMELINE)))


def test_the_unbroken_rules_agree() -> None:
    """The control: what the mutants are told apart from."""
    assert not seen(Oracle)
