"""One login explained: the account replayed up to it."""

from __future__ import annotations

import numpy as np
import pytest

from twofa_lab.errors import InputError
from twofa_lab.replay.explain import account_of, explain
from twofa_lab.replay.run import outcomes, replay_shard
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.world import World

RISK = Policy.risk_based()


def test_the_explanation_is_the_replays_own_row(world: World) -> None:
    frame = outcomes(world, RISK)
    for row in frame.iloc[:: max(1, len(frame) // 60)].itertuples():
        told = explain(world, row.login_id, RISK)
        assert told.outcome == row.outcome
        assert told.decision == (row.decision if isinstance(row.decision, str) else "none")
        if told.decision != "none":
            assert told.score == row.score
            assert min(1.0, round(sum(told.points.values()), 9)) == row.score


def test_a_login_that_is_not_there_is_refused(world: World) -> None:
    with pytest.raises(InputError, match="no login"):
        explain(world, -1, RISK)
    with pytest.raises(InputError, match="no login"):
        explain(world, 10**12, RISK)


def test_an_account_alone_is_all_its_rows(world: World) -> None:
    (shard,) = world.shards()
    whole = replay_shard(shard, world.facts, RISK)
    for row in (0, shard.rows // 2, shard.rows - 1):
        account = account_of(shard, row)
        user = shard.logins["user_id"][row]
        rows = np.flatnonzero(shard.logins["user_id"] == user)
        assert account.people["user_id"].tolist() == [user]
        assert account.logins["login_id"].tolist() == shard.logins["login_id"][rows].tolist()
        alone = replay_shard(account, world.facts, RISK)
        assert all(np.array_equal(whole[name][rows], alone[name]) for name in whole)
