"""What the tests of this room share: one generated world."""

from __future__ import annotations

import pytest

from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.world import World


@pytest.fixture(scope="session")
def world() -> World:
    """A small world in which every kind of attack, slip and mistyped code is common."""
    scenario = Scenario.load("us-consumer")
    often = {
        f"attacks__{kind}__reach_per_year": 1.5
        for kind in scenario.attacks
        if kind not in ("credential_stuffing", "password_spray", "brute_force")
    }
    scenario = scenario.changed(
        **often,
        attacks__brute_force__reach_per_year=0.3,
        attacks__brute_force__password_right=0.3,
        attacks__credential_stuffing__password_right=0.3,
        people__factors={"totp": 0.15, "push": 0.15, "passkey": 0.15, "hardware_key": 0.05},
        people__slip_rate=0.15,
        challenge__wrong_code=0.4,
    )
    return simulate(scenario, users=300, days=60, seed=11, progress=False)
