"""Drift: the measures against hand and SciPy, chance against trials, rates against comparisons."""

from __future__ import annotations

import io
import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from twofa_lab.analysis.comparison import compare
from twofa_lab.analysis.drift import Drift, drift
from twofa_lab.analysis.drift_measures import Judged, Shift, ks, psi, shift_of
from twofa_lab.analysis.thresholds_sweep import at_threshold
from twofa_lab.errors import InputError
from twofa_lab.replay.fit import fit_scorer
from twofa_lab.risk.model_file import save_scorer
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.world import World

RISK = Policy.risk_based()
counts = st.lists(st.integers(0, 1000), min_size=1, max_size=12)
samples = st.lists(st.integers(-5, 5) | st.floats(-1e6, 1e6), min_size=1, max_size=60)


@pytest.fixture(scope="module")
def moved(attacked: Scenario) -> World:
    """Another world, in which people travel and hide far more."""
    changed = attacked.changed(people__vpn_people=0.5, people__trips_per_year=20.0)
    return simulate(changed, users=600, days=60, seed=4, progress=False)


@pytest.fixture(scope="module")
def found(world: World, moved: World) -> Drift:
    return drift(world, now=moved, progress=False)


class TestIndex:
    def test_by_hand(self):
        # before 10, 20, 70 %; now 20, 20, 60 %
        expected = 0.1 * math.log(2.0) + 0.0 - 0.1 * math.log(6 / 7)
        assert psi([10, 20, 70], [40, 40, 120]) == pytest.approx(expected)

    def test_an_empty_bin_counts_as_half_a_login(self):
        expected = (0.5 - 0.5 / 10.5) * math.log(0.5 / (0.5 / 10.5))
        expected += (0.5 - 10 / 10.5) * math.log(0.5 / (10 / 10.5))
        assert psi([0, 10], [5, 5]) == pytest.approx(expected)

    @given(counts)
    def test_nothing_moved_is_zero(self, one: list[int]):
        assert psi(one, one) == 0.0

    @given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)), min_size=1, max_size=12))
    def test_it_is_never_negative_and_the_same_both_ways(self, pairs: list[tuple[int, int]]):
        one, other = zip(*pairs, strict=True)
        assert psi(one, other) >= -1e-12
        assert psi(one, other) == pytest.approx(psi(other, one))

    def test_other_bins_are_refused(self):
        with pytest.raises(InputError, match="same bins"):
            psi([1, 2], [1, 2, 3])


class TestDistance:
    @settings(max_examples=60)
    @given(samples, samples)
    def test_it_is_scipys(self, one: list[float], other: list[float]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of its p-value, not used here
            expected = ks_2samp(one, other, method="exact").statistic
        assert ks(one, other) == pytest.approx(expected)

    def test_nothing_to_compare_is_refused(self):
        with pytest.raises(InputError, match="at least one value"):
            ks([], [1.0])


def judged(values: np.ndarray, account: np.ndarray, accounts: int, salt: int = 1) -> Judged:
    flags = np.ones(len(values), bool)
    return Judged(values[:, None], values, flags, flags, account, accounts, salt)


def shift_between(before: Judged, now: Judged) -> Shift:
    return shift_of("now", "x", 0, before, now, 100)


class TestChance:
    @pytest.mark.parametrize("kind", ["few values", "many values"])
    def test_it_is_exceeded_in_about_one_of_twenty(self, kind: str):
        """Accounts with habits of their own, in both periods: no drift, and logins far from
        independent, which a textbook test would call drift.
        """
        rng = np.random.default_rng(5)
        trials, beyond = 200, np.zeros(2)
        for _ in range(trials):
            account = np.repeat(np.arange(150), 6)
            habit = rng.normal(size=150)[account]
            parts = []
            for _ in range(2):
                values = habit + rng.normal(size=900)
                parts.append(judged(np.rint(values) if kind == "few values" else values,
                                    account, 150))  # fmt: skip
            s = shift_between(*parts)
            beyond += (s.psi > s.psi_chance, s.ks > s.ks_chance)
        assert (beyond / trials < 0.12).all()
        assert (beyond / trials > 0.005).all()

    def test_a_value_that_only_the_later_period_has_is_seen(self):
        account = np.arange(200)
        zero, one = np.zeros(200), np.r_[np.zeros(100), np.ones(100)]
        s = shift_between(judged(zero, account, 200), judged(one, account, 200))
        assert s.psi == pytest.approx(psi([200, 0], [100, 100]))
        assert s.ks == 0.5
        assert s.reading == "large"

    def test_a_value_that_most_logins_share_does_not_hide_the_rest(self):
        rng = np.random.default_rng(1)
        before = np.r_[np.zeros(950), rng.random(50)]
        now = np.r_[np.zeros(700), rng.random(300)]
        account = np.arange(1000)
        s = shift_between(judged(before, account, 1000), judged(now, account, 1000))
        assert s.psi == pytest.approx(psi([950, 50], [700, 300]))
        assert s.reading == "large"

    def test_the_usual_words(self):
        words = [
            Shift("", "", 0, 0, value, 0.01, 0.3, 0.5).reading for value in (0.005, 0.05, 0.2, 0.3)
        ]
        assert words == ["within chance", "stable", "moderate", "large"]


def test_what_was_changed_is_what_moved(found: Drift):
    shifts = {shift.name: shift for shift in found.last()}
    for name in ("travel_kmh", "new_region", "new_asn"):
        assert shifts[name].psi > 2 * shifts[name].psi_chance, name
        assert shifts[name].now > shifts[name].before
    assert shifts["new_device"].reading in ("within chance", "stable")
    assert found.last()[0].psi == max(s.psi for s in found.shifts)
    assert "travel_kmh" in found.sentence() or "age_days" in found.sentence()


def test_a_world_beside_itself_has_not_moved(world: World):
    same = drift(world, now=world, progress=False)
    assert {s.psi for s in same.shifts} == {0.0}
    assert {s.ks for s in same.shifts} == {0.0}
    assert {s.reading for s in same.shifts} == {"within chance"}
    assert same.retune is not None
    assert same.retune.suggested == RISK.challenge_at
    assert "within chance: leave the threshold at 0.45" in same.sentence()


def test_rates_are_those_of_a_comparison(world: World, moved: World, found: Drift):
    for period, place in zip(found.periods, (world, moved), strict=True):
        result = compare(place, [RISK], progress=False).results[0]
        assert period.challenge_rate == pytest.approx(result.challenge_rate.value)


def test_the_threshold_that_keeps_the_rate_is_replayed(world: World, moved: World, tmp_path):
    """With a scorer of many values there is a threshold near the rate there was."""
    model = str(save_scorer(fit_scorer(world, "learned"), tmp_path / "fitted.skops"))
    policy = Policy(name="learned", scorer="learned", challenge_at=0.05, model=model)
    told = drift(world, policy, moved, points=60, progress=False)
    assert told.retune is not None
    r = told.retune
    assert abs(r.rate_now - r.rate_before) > r.chance
    assert abs(r.rate_suggested - r.rate_before) < 0.3 * abs(r.rate_now - r.rate_before)
    again = compare(moved, [at_threshold(policy, r.suggested)], progress=False).results[0]
    assert again.challenge_rate.value == pytest.approx(r.rate_suggested)
    assert f"challenge at {r.suggested:.6g} rather than 0.05" in told.sentence()
    told.plot().savefig(io.BytesIO())


def test_periods_of_one_world(world: World):
    told = drift(world, period_days=14, progress=False)
    assert [p.name for p in told.periods] == [
        "days 1 to 14", "days 15 to 28", "days 29 to 42", "days 43 to 56",
    ]  # fmt: skip
    assert len(told.shifts) == 3 * 15
    age = next(s for s in told.last() if s.name == "age_days")
    assert age.now > age.before  # accounts grow older
    assert len(told.over_time().rows) == 16
    whole = drift(world, period_days=60, now=world, progress=False)
    judged_logins = sum(p.logins for p in told.periods)
    assert 0.7 * whole.periods[0].logins < judged_logins < whole.periods[0].logins


def test_a_policy_that_never_asks_has_no_threshold_to_tune(world: World):
    told = drift(world, Policy.password_only(), period_days=30, progress=False)
    assert told.retune is None
    assert "never asks" in told.sentence()
    told.plot().savefig(io.BytesIO())


def test_it_shows_itself(found: Drift):
    assert found.plot()._repr_png_()[1:4] == b"PNG"
    assert "Siddiqi 2006" in repr(found)
    assert found._repr_html_().count("<table") == 1
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["policy"] == "risk-based"


@pytest.mark.parametrize(
    ("days", "said"), [(61, "no two periods of 61"), (31, "no two periods"), (0, "period_days")]
)
def test_periods_that_do_not_fit_are_refused(world: World, days: int, said: str):
    with pytest.raises(InputError, match=said):
        drift(world, period_days=days, progress=False)
