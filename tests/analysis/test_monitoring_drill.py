"""Drills: incidents differ from their calm twin where they should, and what notices them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from twofa_lab.analysis.monitoring_drill import Drill, Sizes, calm, drill, pumped
from twofa_lab.analysis.monitoring_limits import LimitRules
from twofa_lab.analysis.monitoring_tallies import COUNTS, MEASURES, Tallies
from twofa_lab.errors import InputError
from twofa_lab.traffic.scenario import Scenario


@pytest.fixture(scope="module")
def drilled() -> Drill:
    return drill(users=2_500, days=10, worlds=2, rules=LimitRules(learn_days=14))


def test_a_calm_scenario_keeps_its_attackers_but_no_campaigns() -> None:
    given = Scenario.load("us-consumer")
    found = calm(given)
    assert given.incidents
    assert not found.incidents
    for name, attack in found.attacks.items():
        assert (attack.campaigns_per_year, attack.wave_days) == (0, ())
        assert attack.reach_per_year == given.attacks[name].reach_per_year


def test_pumpers_add_challenges_nobody_passes() -> None:
    before = Tallies(0, np.ones((48, len(COUNTS))))
    after = pumped(before, 10, 5, 30.0, 1.2, np.random.default_rng(1))
    added = (after.overall - before.overall).sum(axis=0)
    sums = dict(zip(COUNTS, added, strict=True))
    assert sums["challenged"] == sums["lost"] == sums["messages"] > 100
    assert sums["cents"] == pytest.approx(1.2 * sums["messages"])
    assert sums["verified"] == sums["wrong"] == 0
    hours = np.flatnonzero((after.overall - before.overall).any(axis=1))
    assert (hours.min(), hours.max()) == (10, 14)
    assert after.by["channel"]["sms"].sum() == pytest.approx(added.sum())


def test_incidents_are_noticed_and_the_whole_repeats_to_the_bit(drilled: Drill) -> None:
    again = drill(users=2_500, days=10, worlds=2, rules=LimitRules(learn_days=14), workers=1)
    assert again.to_dict() == drilled.to_dict()
    assert np.isfinite(drilled.delays["stuffing wave"]).all()
    assert np.isfinite(drilled.delays["bad roll-out"]).all()
    assert drilled.first["stuffing wave"] == {"wrong_passwords": 2}
    assert drilled.first["bad roll-out"] == {"challenge_rate": 2}
    for found in drilled.delays.values():
        assert (found[np.isfinite(found)] >= 1).all()


def test_an_incident_without_force_is_not_noticed() -> None:
    none = Sizes(outage_loss=0.0, rollout_challenge_at=0.45, pump_share=0.0)
    found = drill(users=600, days=10, worlds=2, rules=LimitRules(learn_days=14), sizes=none)
    for name in ("carrier outage", "bad roll-out", "SMS pumping"):
        assert np.isnan(found.delays[name]).all()


def test_a_drill_shows_itself(drilled: Drill) -> None:
    assert "in four weeks" in str(drilled)
    assert "of 2" in str(drilled.table())
    assert len(drilled.false_table().rows) == 10
    assert json.dumps(drilled.to_dict(), allow_nan=False)
    assert len(drilled.plot().axes) == 2
    assert drilled.sentence() in drilled._repr_html_()


def test_no_false_alarm_seen_is_not_none_possible() -> None:
    """Garwood's interval: 3.689 for none, 0.025 to 5.572 for one, over 56 days."""
    false = np.zeros((2, len(MEASURES)))
    false[0, 0] = 1
    found = Drill("us-consumer", "risk-based", 10, 28, LimitRules(), false, {}, {})
    rate, low, high = found.false_alarms()
    assert (rate[0], rate[1], rate[-1]) == (0.5, 0.0, 0.5)
    assert (2 * low[[0, 1]]).tolist() == pytest.approx([0.025318, 0.0], abs=1e-6)
    assert (2 * high[[0, 1, -1]]).tolist() == pytest.approx([5.571643, 3.688879, 5.571643])
    assert found.false_table().rows[-1] == ("all", "1", "0.50", "0.01 to 2.79")


def test_a_drill_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="two worlds"):
        drill(worlds=1)
