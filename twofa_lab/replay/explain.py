"""Explain one login of a world: replay its account up to it, and put the decision into words."""

from __future__ import annotations

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.replay.loop import NO_DECISION
from twofa_lab.replay.run import prepare, ready_for, replay_and_note, replay_shard
from twofa_lab.risk.explain import Explanation, explain_decision
from twofa_lab.risk.freeman_model import Freeman, login_of
from twofa_lab.risk.model_file import scorer_of
from twofa_lab.risk.one_account import Seen
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.signals import SignalRules
from twofa_lab.tables import DECISIONS, OUTCOME_NAMES, Array
from twofa_lab.traffic.world import Shard, World

__all__ = ["account_of", "explain"]


def explain(world: World, login_id: int, policy: Policy) -> Explanation:
    """Why a policy decided as it did about one login, given everything its account did before.

    >>> import twofa_lab as lab
    >>> world = lab.simulate("us-consumer", users=50, days=7, seed=1)
    >>> lab.explain(world, 0, Policy.universal()).decision
    'challenge'
    """
    shard, row = ready_for(world, [policy]).find_login(login_id)
    account = account_of(shard, row)
    at = row - int(shard.starts[int(np.searchsorted(shard.starts, row, side="right")) - 1])
    written, told = _replay(world, account, at, policy)
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
        score=None if told is None else float(written["score"][at]),
        told=told,
    )


def _replay(
    world: World, account: Shard, at: int, policy: Policy
) -> tuple[dict[str, Array], tuple[dict[str, float], tuple[str, ...]] | None]:
    """The account replayed, and a fitted scorer's own account of its row `at`."""
    scorer = scorer_of(policy)
    if scorer is None:
        return replay_shard(account, world.facts, policy), None
    if isinstance(scorer, Freeman):
        written = replay_shard(account, world.facts, policy)
        return written, _freeman_told(world, account, at, scorer, written["outcome"])
    prepared = prepare(account, world.facts)
    written, values = replay_and_note(prepared, world.facts, policy, SignalRules())
    if written["decision"][at] == NO_DECISION:
        return written, ({}, ())
    found = scorer.explain(Seen(0, 0, values[at]))
    return written, (found.contributions, found.reasons)


def _freeman_told(
    world: World, account: Shard, at: int, scorer: Freeman, outcome: Array
) -> tuple[dict[str, float], tuple[str, ...]]:
    words, one = world.facts.vocabularies, scorer.account()
    for row in range(at):
        if OUTCOME_NAMES[int(outcome[row])] in {"allowed", "verified"}:
            one.record(login_of(account.logins, words, row))
    try:
        found = one.explain(login_of(account.logins, words, at))
    except InputError as error:  # no score: no past, or a value is missing
        return {}, (f"unscored: {error}",)
    return found.contributions, found.reasons


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
