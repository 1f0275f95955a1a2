"""What the tests of this room share: no stale machine code, and one generated world."""

from __future__ import annotations

from pathlib import Path

import pytest

import twofa_lab
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.world import World


def forget_stale_machine_code() -> None:
    """Delete the loop's cached machine code where a source it was made from is newer.

    numba looks at the age of a function's own file only, so that after an edit of `challenge.py`
    the loop would go on with the challenge of yesterday, and these tests would test that.
    """
    package = Path(twofa_lab.__file__).parent
    sources = [package / "compiled.py", package / "tables.py"]
    for room in ("catalog", "risk", "replay"):
        sources += (package / room).glob("*.py")
    newest = max(source.stat().st_mtime for source in sources)
    for cached in (package / "replay" / "__pycache__").glob("*.nbc"):
        if cached.stat().st_mtime < newest:
            cached.unlink(missing_ok=True)


forget_stale_machine_code()


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
