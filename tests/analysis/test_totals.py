"""Sums over accounts against a plain recomputation in pandas, and the bootstrap's weights."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from tests.replay.shards import accounts_of
from twofa_lab.analysis.totals import SUMS, Totals, poisson_table, total_of, totals_of_shard
from twofa_lab.replay.run import outcomes
from twofa_lab.risk.policy import Policy
from twofa_lab.tables import ATTACKS, CHANNELS, DECISIONS, FACTORS, OUTCOME_NAMES, Array
from twofa_lab.traffic.world import Shard, World

POLICIES = [Policy.password_only(), Policy.universal(), Policy.risk_based()]
TABLES = ("sums", "replicates", "outcomes", "by_kind", "seconds", "channels")


def totals_of(world: World, policies: list[Policy], replicates: int = 8, salt: int = 1):
    """Totals of every policy, over all shards."""
    parts = [totals_of_shard(s, world.facts, policies, replicates, salt) for s in world.shards()]
    return [total_of([part[i] for part in parts]) for i in range(len(policies))]


@pytest.fixture(scope="module", params=POLICIES, ids=lambda policy: policy.name)
def both(world: World, request: pytest.FixtureRequest) -> tuple[Totals, pd.DataFrame]:
    """One policy's totals, and what happened to each login that counts as a plain frame."""
    (totals,) = totals_of(world, [request.param])
    frame = world.logins(None).merge(outcomes(world, request.param, limit=None), on="login_id")
    start = pd.Timestamp(world.facts.window[0], unit="ms", tz="UTC")
    early, signup = frame["time"] < start, frame["signup"]
    assert (early & ~signup).any()
    assert (signup & ~early).any()  # so that leaving either in would show
    frame = frame[~early & ~signup]
    frame["done"] = frame["outcome"].isin(["allowed", "verified"])
    frame["challenged"] = frame["decision"] == "challenge"
    return totals, frame


def test_the_sums_are_those_of_the_counted_rows(both):
    totals, frame = both
    right = frame[frame["password_ok"]]
    legitimate, attacks = right[right["attack"] == "none"], right[right["attack"] != "none"]
    assert len(attacks) > 100
    assert dict(zip(SUMS, totals.sums.tolist(), strict=True)) == {
        "legitimate": len(legitimate),
        "challenged": int(legitimate["challenged"].sum()),
        "completed": int(legitimate["done"].sum()),
        "microusd": int(frame["message_microusd"].sum()),  # whoever caused the messages
        "attacks": len(attacks),
        "takeovers": int(attacks["done"].sum()),
        "taken_over": int(attacks.loc[attacks["done"], "user_id"].nunique()),
    }
    assert totals.logins == len(frame)


def test_the_table_by_kind_counts_attempts_right_passwords_challenges_and_entries(both):
    totals, frame = both
    for kind, row in zip(ATTACKS, totals.by_kind.tolist(), strict=True):
        own = frame[frame["attack"] == kind]
        right = own[own["password_ok"]]
        assert row == [len(own), len(right), right["challenged"].sum(), right["done"].sum()], kind


def test_the_outcomes_are_those_of_legitimate_logins_with_the_right_password(both):
    totals, frame = both
    rows = frame[frame["password_ok"] & (frame["attack"] == "none")]
    decided = rows["decision"].astype(object).where(rows["decision"].notna(), "none taken")
    told = pd.crosstab(decided, rows["outcome"].astype(object))
    told = told.reindex(index=[*DECISIONS, "none taken"], columns=[*OUTCOME_NAMES], fill_value=0)
    np.testing.assert_array_equal(totals.outcomes, told.to_numpy())


def test_seconds_and_channels_are_those_of_completed_legitimate_challenges(both):
    totals, frame = both
    rows = frame[frame["password_ok"] & (frame["attack"] == "none")]
    rows = rows[rows["challenged"] & rows["done"]]
    bins = np.minimum(rows["seconds_ds"].to_numpy(), len(totals.seconds) - 1)
    told = np.bincount(bins, minlength=len(totals.seconds))
    np.testing.assert_array_equal(totals.seconds, told)
    counts = rows["channel"].value_counts()
    assert totals.channels.tolist() == [int(counts.get(name, 0)) for name in CHANNELS]


def test_the_last_bin_of_the_histogram_is_open(world: World):
    shard = next(world.shards())
    n = len(shard.people["user_id"])
    slow = replace(
        shard,
        logins=shard.logins | {"po_entry_ds": np.full(shard.rows, 60_000, np.uint16)},
        people=shard.people | {"factors": np.full(n, 1 << FACTORS.index("passkey"), np.uint8)},
    )
    (totals,) = totals_of_shard(slow, world.facts, [Policy.universal()], 4, 1)
    done = int(totals.outcomes[DECISIONS.index("challenge"), OUTCOME_NAMES.index("verified")])
    assert done > 0
    assert totals.seconds[-1] == totals.seconds.sum() == done


# --- the bootstrap


def counting_shard(shard: Shard, first_user: int) -> Shard:
    """The shard under other account numbers."""
    n = len(shard.people["user_id"])
    users = np.arange(first_user, first_user + n, dtype=np.int64)
    return replace(shard, people={**shard.people, "user_id": users})


def one_login_each(world: World, accounts: int) -> Shard:
    """Many accounts with one legitimate, completed login: their sums are the weights' sums."""
    shard = next(world.shards())
    rows = np.flatnonzero(
        (shard.logins["time"] >= world.facts.window[0])
        & shard.logins["password_ok"]
        & ~shard.logins["signup"]
        & (shard.logins["attack"] == 0)
    )[:1].repeat(accounts)
    return Shard(
        0,
        {name: values[rows] for name, values in shard.logins.items()},
        {name: values[:1].repeat(accounts) for name, values in shard.people.items()}
        | {"user_id": np.arange(accounts, dtype=np.int64)},
        np.arange(accounts + 1, dtype=np.int64),
    )


def test_weights_are_poisson_of_mean_and_variance_one(world: World):
    accounts, replicates = 4_000, 200
    shard = one_login_each(world, accounts)
    (totals,) = totals_of_shard(shard, world.facts, [Policy.password_only()], replicates, 5)
    assert totals.sums[SUMS.index("legitimate")] == accounts
    sums = totals.replicates[SUMS.index("legitimate")]
    # a sum of n Poisson(1) weights is Poisson(n)
    assert sums.mean() / accounts == pytest.approx(1.0, abs=4 / np.sqrt(accounts * replicates))
    assert sums.var(ddof=1) / accounts == pytest.approx(1.0, abs=4 * np.sqrt(2 / replicates))


def test_the_table_of_weights_is_poisson_of_mean_one():
    table = poisson_table().astype(float)
    assert table.mean() == pytest.approx(1.0, abs=1e-4)
    assert table.var() == pytest.approx(1.0, abs=1e-3)
    shares = np.bincount(poisson_table())[:4] / len(table)
    np.testing.assert_allclose(shares, np.exp(-1) / np.array([1, 1, 2, 6]), atol=2e-5)


def single_account(world: World, user: int, salt: int) -> Array:
    shard = counting_shard(accounts_of(one_login_each(world, 1), 0, 1), user)
    (totals,) = totals_of_shard(shard, world.facts, [Policy.password_only()], 4_000, salt)
    return totals.replicates[SUMS.index("legitimate")]


def test_weights_of_accounts_replicates_and_salts_are_unrelated(world: World):
    one, other, salted = (single_account(world, *at) for at in ((1, 5), (2, 5), (1, 6)))
    assert one.var() == pytest.approx(1.0, abs=0.12)
    bound = 4 / np.sqrt(len(one))
    assert abs(np.corrcoef(one, other)[0, 1]) < bound
    assert abs(np.corrcoef(one, salted)[0, 1]) < bound
    for lag in (1, 2, 3, 4):  # four weights come of one hash
        assert abs(np.corrcoef(one[lag:], one[:-lag])[0, 1]) < bound


def test_totals_do_not_depend_on_the_shards(world: World):
    shard = next(world.shards())
    whole = totals_of_shard(shard, world.facts, POLICIES, 50, 9)
    for edges in ([0, 1, 2, 40, 64], [0, 32, 64]):
        pieces = [
            totals_of_shard(accounts_of(shard, a, b), world.facts, POLICIES, 50, 9)
            for a, b in pairwise(edges)
        ]
        for i, one in enumerate(whole):
            joined = total_of([piece[i] for piece in pieces])
            assert joined.logins == one.logins
            for name in TABLES:
                np.testing.assert_array_equal(getattr(joined, name), getattr(one, name), name)


@pytest.mark.parametrize("replicates", [1, 3, 4, 6])
def test_a_replicate_does_not_depend_on_how_many_there_are(world: World, replicates: int):
    few = totals_of(world, POLICIES[2:], replicates)[0].replicates
    many = totals_of(world, POLICIES[2:], 40)[0].replicates
    np.testing.assert_array_equal(few, many[:, :replicates])


def test_every_policy_meets_the_same_resampled_accounts(world: World):
    totals = totals_of(world, POLICIES, 40)
    for name in ("legitimate", "attacks"):  # the same rows under every policy
        first, *others = (t.replicates[SUMS.index(name)] for t in totals)
        assert len(np.unique(first)) > 10
        for other in others:
            np.testing.assert_array_equal(first, other)
    # and alone a policy has the very replicates it has in company
    np.testing.assert_array_equal(
        totals_of(world, POLICIES[1:2], 40)[0].replicates, totals[1].replicates
    )


@pytest.mark.parametrize("policy", POLICIES[1:], ids=lambda policy: policy.name)
def test_the_standard_error_of_conversion_is_that_of_accounts_as_clusters(
    world: World, policy: Policy
):
    (totals,) = totals_of(world, [policy], 2_000)
    many = totals.replicates.astype(float)
    rates = many[SUMS.index("completed")] / many[SUMS.index("legitimate")]

    frame = world.logins(None).merge(outcomes(world, policy, limit=None), on="login_id")
    start = pd.Timestamp(world.facts.window[0], unit="ms", tz="UTC")
    frame = frame[
        (frame["time"] >= start)
        & frame["password_ok"]
        & ~frame["signup"]
        & (frame["attack"] == "none")
    ]
    frame["done"] = frame["outcome"].isin(["allowed", "verified"])
    own = frame.groupby("user_id")["done"].agg(["sum", "size"])
    rate = own["sum"].sum() / own["size"].sum()
    # the linearised variance of a ratio of sums over clusters
    residual = own["sum"] - rate * own["size"]
    n = len(own)
    analytic = np.sqrt(n / (n - 1) * (residual**2).sum()) / own["size"].sum()
    assert rates.std(ddof=1) == pytest.approx(analytic, rel=0.10)
