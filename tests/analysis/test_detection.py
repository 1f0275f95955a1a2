"""Attackers' features taken away: rows against a plain reading, and what is left of detection."""

from __future__ import annotations

import numpy as np
import pytest

from twofa_lab.analysis.comparison import compare
from twofa_lab.analysis.detection import FEATURES, Detection, detection, disguised
from twofa_lab.errors import InputError
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.signals import local_hour
from twofa_lab.tables import Array
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.world import World

COPIED = [n for names in FEATURES.values() for n in names if n not in {
    "time", "utc_offset_min", "password_ok"
}]  # fmt: skip


@pytest.fixture(scope="module")
def found(world: World) -> Detection:
    return detection(world, replicates=40, progress=False)


def owners_row(logins: dict[str, Array], row: int) -> int | None:
    """The definition, read row by row."""
    same = [i for i in range(len(logins["time"])) if logins["user_id"][i] == logins["user_id"][row]]
    own = [
        i for i in same
        if logins["attack"][i] == 0 and (logins["password_ok"][i] or logins["signup"][i])
    ]  # fmt: skip
    before = [i for i in own if i <= row]
    return before[-1] if before else (own[0] if own else None)


def test_an_attackers_row_shows_what_the_owner_last_showed(world: World) -> None:
    gone = [name for name in FEATURES if name != "failed passwords"]
    for old, new in zip(world.shards(), disguised(world, gone).shards(), strict=True):
        for row in np.flatnonzero(old.logins["attack"] > 0)[:25].tolist():
            owner = owners_row(old.logins, row)
            if owner is None:
                assert all(new.logins[n][row] == old.logins[n][row] for n in old.logins)
                continue
            for name in COPIED:
                assert new.logins[name][row] == old.logins[name][owner], name
            hours = [
                local_hour(int(shard.logins["time"][at]), int(shard.logins["utc_offset_min"][at]))
                for shard, at in ((new, row), (old, owner))
            ]
            assert hours[0] == hours[1]
        people = old.logins["attack"] == 0
        for name, values in old.logins.items():
            assert np.array_equal(values[people], new.logins[name][people]), name
            assert values.dtype == new.logins[name].dtype


def test_attackers_wrong_passwords_are_left_out(world: World) -> None:
    for old, new in zip(
        world.shards(), disguised(world, ["failed passwords"]).shards(), strict=True
    ):
        kept = (old.logins["attack"] == 0) | old.logins["password_ok"]
        assert np.array_equal(new.logins["login_id"], old.logins["login_id"][kept])
        for a in range(len(new.starts) - 1):
            rows = slice(new.starts[a], new.starts[a + 1])
            assert set(new.logins["user_id"][rows]) <= {old.people["user_id"][a]}
        assert new.rows == kept.sum()


def test_the_first_row_is_the_policy_as_it_is(found: Detection, world: World) -> None:
    (result,) = compare(world, [Policy.risk_based()], progress=False).results
    first = found.rows[0]
    assert first.feature == "nothing"
    assert first.stopped.value == pytest.approx(1 - result.takeover_rate.value)
    assert found.attacks == result.attacks


def test_detection_falls_as_features_go(found: Detection) -> None:
    rows = {row.feature: row for row in found.rows}
    assert list(rows)[1] == "device"
    assert rows["device"].lost is not None
    assert rows["device"].lost.low > 0.0
    assert rows["everything"].stopped.value < rows["device"].stopped.value
    assert rows["device"].stopped_alone is not None
    assert rows["device"].stopped_alone.value > rows["everything"].stopped.value
    for name in ("network", "round-trip time", "address"):  # which the rules do not read
        assert rows[name].stopped.value == rows["nothing"].stopped.value
        stopped = rows[name].stopped_alone
        assert stopped is not None
        assert stopped.value == rows["everything"].stopped.value


def test_under_a_policy_that_asks_all_nothing_hangs_on_features(world: World) -> None:
    found = detection(world, Policy.universal(), replicates=8, progress=False)
    assert {row.challenged for row in found.rows if row.feature != "failed passwords"} <= {
        found.rows[0].challenged, found.rows[-1].challenged,
    }  # fmt: skip
    device = next(row for row in found.rows if row.feature == "device")
    assert device.lost is not None
    assert device.lost.value == 0.0


def test_it_shows_itself(found: Detection) -> None:
    assert found.sentence() in found._repr_html_()
    assert "it alone left" in str(found)
    assert found.plot()._repr_png_()[1:4] == b"PNG"
    assert set(found.to_dict()["stopped"]) == {"nothing", *FEATURES, "everything"}


def test_what_makes_no_sense_is_refused(world: World, attacked: Scenario) -> None:
    with pytest.raises(InputError, match="no feature 'shoes'"):
        disguised(world, ["shoes"])
    quiet = simulate(attacked.changed(attacks={}), users=20, days=9, seed=1, progress=False)
    with pytest.raises(InputError, match="no attacker"):
        detection(quiet, progress=False)
