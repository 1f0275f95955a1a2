"""Worlds that several test modules look at: made once, never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from twofa_lab.tables import ATTACKS, Array
from twofa_lab.traffic import simulate as simulating
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.world import World

KINDS = ATTACKS[1:-1]


@dataclass(frozen=True)
class Rows:
    """All logins and people of a world as columns, with each row's place in `people`."""

    world: World
    logins: dict[str, Array]
    people: dict[str, Array]
    account: Array

    def of_kind(self, *kinds: str) -> Array:
        """Which rows are attacks of these kinds."""
        return np.isin(self.logins["attack"], [ATTACKS.index(kind) for kind in kinds])

    def words(self, column: str) -> Array:
        """A text column as text."""
        return np.array(self.world.facts.vocabularies[column])[self.logins[column]]

    @property
    def legitimate(self) -> Array:
        return self.logins["attack"] == 0


def rows_of(world: World) -> Rows:
    shards = list(world.shards())
    logins = {n: np.concatenate([s.logins[n] for s in shards]) for n in shards[0].logins}
    people = {n: np.concatenate([s.people[n] for s in shards]) for n in shards[0].people}
    account = np.searchsorted(people["user_id"], logins["user_id"])
    return Rows(world, logins, people, account)


def loud(scenario: Scenario, hits_a_year: float = 0.8) -> Scenario:
    """The same scenario with so many hits of every kind that each can be measured."""
    content = scenario.model_dump(mode="json")
    for kind, attack in content["attacks"].items():
        attack["reach_per_year"] = hits_a_year * (3.0 if kind == "push_bombing" else 1.0)
        attack["attempts"] = min(attack["attempts"], 3.0)
    content["people"]["factors"]["push"] = 0.3
    return Scenario.model_validate(content)


@pytest.fixture(scope="session")
def consumer() -> Scenario:
    return Scenario.load("us-consumer")


@pytest.fixture(scope="session")
def plain(consumer: Scenario) -> Rows:
    """The default scenario across an outage, a wave and the change to summer time."""
    return rows_of(simulate(consumer, users=5_000, days=90, seed=11))


@pytest.fixture(scope="session")
def attacked(consumer: Scenario) -> Rows:
    """The default scenario with every kind of attack in numbers."""
    return rows_of(simulate(loud(consumer), users=6_000, days=60, seed=12))


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> int:
    """Shards of 64 accounts, so that a small world has several; the accounts of each."""
    monkeypatch.setattr(simulating, "_TARGET_ROWS", 1)
    return 64


@pytest.fixture(scope="session")
def same() -> Callable[[World, World], None]:
    """Asserts that two worlds hold the same bits."""

    def check(a: World, b: World) -> None:
        assert a.facts == b.facts
        assert len(a.source) == len(b.source)
        for one, other in zip(a.shards(), b.shards(), strict=True):
            assert one.index == other.index
            np.testing.assert_array_equal(one.starts, other.starts)
            for table in ("logins", "people"):
                left, right = getattr(one, table), getattr(other, table)
                assert set(left) == set(right)
                for name in left:
                    assert left[name].dtype == right[name].dtype, name
                    np.testing.assert_array_equal(left[name], right[name], err_msg=name)

    return check
