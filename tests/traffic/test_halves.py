"""Halves of a world: every account once, its rows whole, and what is said of them true."""

import numpy as np
import pytest

import twofa_lab as lab
from twofa_lab.errors import InputError
from twofa_lab.replay.beside import with_beside
from twofa_lab.traffic.halves import halves


@pytest.fixture(scope="module")
def world():
    return lab.simulate("us-consumer", users=400, days=21, seed=5, progress=False)


def test_every_account_is_in_one_half_with_all_its_rows(world):
    whole = world.logins(None)
    parts = [half.logins(None) for half in halves(world)]
    assert not set(parts[0].user_id) & set(parts[1].user_id)
    together = np.sort(np.concatenate([part.login_id for part in parts]))
    assert (together == np.sort(whole.login_id)).all()
    for part in parts:
        mine = whole[whole.user_id.isin(set(part.user_id))].reset_index(drop=True)
        assert part.equals(mine)


def test_the_facts_are_those_of_the_half(world):
    both = halves(world)
    for name in ("users", "logins", "attacks"):
        counts = [getattr(half.facts, name) for half in both]
        assert sum(counts) == getattr(world.facts, name)
    assert 0.4 < both[0].facts.users / 400 < 0.6
    assert len({world.facts.fingerprint, *(half.facts.fingerprint for half in both)}) == 3


def test_policies_do_to_the_halves_what_they_do_to_the_whole(world):
    found = [lab.compare(part, [lab.Policy.risk_based()]) for part in (world, *halves(world))]
    asked = [study.results[0].totals.sums for study in found]
    assert asked[1] + asked[2] == pytest.approx(asked[0])


def test_an_address_is_judged_by_all_that_came_from_it(world):
    wide = with_beside(world)
    half = halves(wide)[0]
    assert with_beside(half) is half
    seen = {int(i): n for s in wide.shards() for i, n in zip(
        s.logins["login_id"], s.logins["ip_accounts"], strict=True)}  # fmt: skip
    for shard in half.shards():
        ids, counts = shard.logins["login_id"].tolist(), shard.logins["ip_accounts"].tolist()
        assert [seen[i] for i in ids] == counts


def test_too_few_accounts_are_refused():
    alone = lab.simulate("us-consumer", users=1, days=7, seed=1, progress=False)
    with pytest.raises(InputError, match="take more users"):
        halves(alone)
