"""What the tests of this room share: one attacked world in several shards, and its comparison."""

from __future__ import annotations

import pytest

from twofa_lab.analysis.comparison import Comparison, compare
from twofa_lab.traffic import simulate as simulating
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.world import World


@pytest.fixture(scope="session")
def attacked() -> Scenario:
    """The default scenario, with every kind of attack so often that each is met."""
    scenario = Scenario.load("us-consumer")
    reach = {f"attacks__{kind}__reach_per_year": 1.5 for kind in scenario.attacks}
    attempts = {f"attacks__{kind}__attempts": 2.0 for kind in scenario.attacks}
    return scenario.changed(**reach, **attempts, people__slip_rate=0.15)


@pytest.fixture(scope="session")
def world(attacked: Scenario) -> World:
    """600 accounts in shards of 64."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulating, "_TARGET_ROWS", 1)
        made = simulate(attacked, users=600, days=60, seed=3, progress=False)
    assert len(made.source) == 10
    return made


@pytest.fixture(scope="session")
def study(world: World) -> Comparison:
    """The three built-in policies on that world."""
    return compare(world, progress=False)
