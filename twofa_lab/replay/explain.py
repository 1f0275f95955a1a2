"""Explain one login of a world: replay its account up to it, and put the decision into words."""

from __future__ import annotations

import numpy as np

from twofa_lab.replay.loop import NO_DECISION
from twofa_lab.replay.run import replay_shard
from twofa_lab.risk.explain import Explanation, explain_decision
from twofa_lab.risk.policy import Policy
from twofa_lab.tables import DECISIONS, OUTCOME_NAMES
from twofa_lab.traffic.world import Shard, World

__all__ = ["account_of", "explain"]


def explain(world: World, login_id: int, policy: Policy) -> Explanation:
    """Why a policy decided as it did about one login, given everything its account did before.

    >>> import twofa_lab as lab
    >>> world = lab.simulate("us-consumer", users=50, days=7, seed=1)
    >>> lab.explain(world, 0, Policy.universal()).decision
    'challenge'
    """
    shard, row = world.find_login(login_id)
    account = account_of(shard, row)
    at = row - int(shard.starts[int(np.searchsorted(shard.starts, row, side="right")) - 1])
    written = replay_shard(account, world.facts, policy)
    decision = int(written["decision"][at])
    outcome = OUTCOME_NAMES[int(written["outcome"][at])]
    if outcome == "verified" and not world.has_people:
        outcome = "taken to pass"  # a log cannot tell what its people would have done
    return explain_decision(
        login_id,
        policy,
        bits=int(written["signals"][at]),
        failures=int(written["failures"][at]),
        decision="none" if decision == NO_DECISION else DECISIONS[decision],
        trusted=bool(written["trusted"][at]),
        outcome=outcome,
    )


def account_of(shard: Shard, row: int) -> Shard:
    """The account of one row, alone, as a shard."""
    a = int(np.searchsorted(shard.starts, row, side="right")) - 1
    first, last = int(shard.starts[a]), int(shard.starts[a + 1])
    return Shard(
        shard.index,
        {name: values[first:last] for name, values in shard.logins.items()},
        {name: values[a : a + 1] for name, values in shard.people.items()},
        np.array([0, last - first], np.int64),
    )
