"""Survival: Freireich's leukaemia trial, competing risks by hand, simulated hazards."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofa_lab.analysis.survival import cox, cumulative_incidence, kaplan_meier, logrank
from twofa_lab.errors import InputError, WorkError

# Freireich and others (1963): weeks of remission under 6-MP (+: still in remission) and placebo.
MP = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
MP_SEEN = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
WEEKS, SEEN = MP + PLACEBO, MP_SEEN + [1] * 21
IS_PLACEBO = [0] * 21 + [1] * 21

lives = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2)), min_size=2, max_size=60).map(
    lambda rows: (np.array([t for t, _ in rows]), np.array([k for _, k in rows]))
)


def test_kaplan_meier_as_published() -> None:
    curve = kaplan_meier(MP, MP_SEEN)
    assert curve.at([6, 10, 23]) == pytest.approx([0.8571, 0.7529, 0.4482], abs=5e-5)
    assert curve.at(5.9) == 1.0
    assert curve.at(100) == curve.at(23)
    assert curve.median == 23
    assert kaplan_meier(PLACEBO, np.ones(21)).median == 8
    assert curve.at_risk[:3].tolist() == [21, 17, 15]
    assert curve.events[:3].tolist() == [3, 1, 1]
    # log-log interval at 6 weeks from Greenwood: S = 6/7, error 0.0764
    width = 1.959964 * 0.0763604 / (6 / 7 * np.log(7 / 6))
    expected = ((6 / 7) ** np.exp(width), (6 / 7) ** np.exp(-width))
    assert (curve.low[0], curve.high[0]) == pytest.approx(expected, rel=1e-5)


def test_logrank_as_published() -> None:
    statistic, pvalue, degrees = logrank(WEEKS, SEEN, IS_PLACEBO)
    assert statistic == pytest.approx(16.793, abs=5e-4)
    assert pvalue == pytest.approx(4.17e-5, rel=2e-3)
    assert degrees == 1
    named = np.where(IS_PLACEBO, "placebo", "6-MP")
    assert logrank(WEEKS, SEEN, named).statistic == pytest.approx(statistic)


def test_cox_as_in_r() -> None:
    """R: coxph(Surv(time, cens) ~ treat, MASS::gehan), ties by Efron."""
    fit = cox(WEEKS, SEEN, {"placebo": IS_PLACEBO})
    assert fit.coefficient[0] == pytest.approx(1.5721, abs=5e-5)
    assert fit.standard_error[0] == pytest.approx(0.4124, abs=5e-5)
    assert fit.hazard_ratio[0] == pytest.approx(4.817, abs=5e-4)
    assert (fit.low[0], fit.high[0]) == pytest.approx((2.147, 10.81), abs=5e-3)
    assert fit.pvalue[0] == pytest.approx(0.000138, abs=5e-7)


def test_covariates_come_as_a_frame_or_an_array_as_well() -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"placebo": IS_PLACEBO, "age": rng.normal(size=42)})
    fits = [cox(WEEKS, SEEN, given) for given in (frame, frame.to_numpy())]
    assert fits[0].names == ("placebo", "age")
    assert fits[1].names == ("x1", "x2")
    assert fits[0].coefficient == pytest.approx(fits[1].coefficient)


@given(lives)
@settings(max_examples=50, deadline=None)
def test_curves_are_sound(given: tuple[np.ndarray, np.ndarray]) -> None:
    time, kind = given
    curve = kaplan_meier(time, kind > 0)
    assert (np.diff(curve.survival) < 1e-12).all()
    assert ((curve.survival >= 0) & (curve.survival < 1)).all()
    known = np.isfinite(curve.low)
    assert (curve.low[known] <= curve.survival[known]).all()
    assert (curve.high[known] >= curve.survival[known]).all()
    if not (kind > 0).any():
        assert curve.at(100) == 1.0
        return
    found = cumulative_incidence(time, kind)
    # whoever has had neither event is who Kaplan and Meier say has not
    assert 1 - found.incidence.sum(axis=0) == pytest.approx(curve.survival, abs=1e-9)
    known = np.isfinite(found.low)
    assert (found.low[known] <= found.incidence[known] + 1e-12).all()
    assert (found.high[known] >= found.incidence[known] - 1e-12).all()
    for cause in range(1, len(found.incidence) + 1):
        assert found.at(cause, 20) == pytest.approx(aalen_johansen(time, kind, cause), abs=1e-9)


def aalen_johansen(time: np.ndarray, kind: np.ndarray, cause: int) -> float:
    """By the definition: at each time, those still waiting times the hazard of the cause."""
    waiting, share = 1.0, 0.0
    for now in np.unique(time):
        at_risk = np.sum(time >= now)
        share += waiting * np.sum((time == now) & (kind == cause)) / at_risk
        waiting *= 1 - np.sum((time == now) & (kind > 0)) / at_risk
    return share


def test_with_nobody_censored_incidence_is_a_share_with_its_binomial_error() -> None:
    rng = np.random.default_rng(7)
    time, kind = rng.permutation(2_000) + 1.0, rng.integers(1, 4, 2_000)
    found = cumulative_incidence(time, kind)
    share = np.mean((time <= 900) & (kind == 2))
    column = int(np.searchsorted(found.times, 900))
    assert found.at(2, 900) == pytest.approx(share, abs=1e-12)
    error = np.sqrt(share * (1 - share) / 2_000)
    half = (found.high[1, column] - found.low[1, column]) / 2
    assert half == pytest.approx(1.959964 * error, rel=0.01)


def test_competing_events_are_not_censorings() -> None:
    """One less the curve that calls churn censored says too much."""
    rng = np.random.default_rng(2)
    enrol, leave = rng.exponential(50, 5_000), rng.exponential(30, 5_000)
    time, kind = np.minimum(enrol, leave), np.where(enrol < leave, 1, 2)
    truth = (1 / 50) / (1 / 50 + 1 / 30) * (1 - np.exp(-40 * (1 / 50 + 1 / 30)))
    found = cumulative_incidence(time, kind)
    error = np.sqrt(truth * (1 - truth) / 5_000)
    assert abs(found.at(1, 40.0) - truth) < 4 * error
    assert 1 - kaplan_meier(time, kind == 1).at(40.0) > truth + 0.1


def test_cox_finds_the_hazards_that_were_simulated() -> None:
    rng = np.random.default_rng(6)
    n = 4_000
    asked, age = rng.integers(0, 2, n), rng.normal(size=n)
    time = np.ceil(rng.exponential(40 * np.exp(-0.5 * asked + 0.2 * age)))
    fit = cox(np.minimum(time, 90), time <= 90, {"asked": asked, "age": age})
    assert (np.abs(fit.coefficient - [0.5, -0.2]) < 4 * fit.standard_error).all()
    assert (fit.low < np.exp([0.5, -0.2])).all()
    assert (fit.high > np.exp([0.5, -0.2])).all()


def test_false_positives_of_the_logrank_test() -> None:
    rng = np.random.default_rng(12)
    runs, wrong = 600, 0
    for _ in range(runs):
        time = rng.exponential(30, 120)
        wrong += logrank(np.minimum(time, 40), time < 40, rng.permutation(120) % 3).pvalue < 0.05
    assert abs(wrong / runs - 0.05) < 4 * np.sqrt(0.05 * 0.95 / runs)


def test_strata_are_compared_within() -> None:
    """Layers that differ much, groups that do not, unequally spread over the layers."""
    rng = np.random.default_rng(9)
    layer = rng.integers(0, 2, 2_000)
    group = rng.random(2_000) < np.where(layer, 0.8, 0.2)
    time = rng.exponential(np.where(layer, 10, 40))
    assert logrank(time, np.ones(2_000), group).pvalue < 1e-6
    assert logrank(time, np.ones(2_000), group, strata=layer).pvalue > 0.01
    fit = cox(np.ceil(time), np.ones(2_000), {"group": group}, strata=layer)
    assert fit.pvalue[0] > 0.01


def test_bad_input_is_refused() -> None:
    for wrong in (([1, 2], [1]), ([], []), ([[1]], [[1]]), ([-1, 2], [1, 1]), ([1, 2], [1, 2])):
        with pytest.raises(InputError):
            kaplan_meier(*wrong)
    with pytest.raises(InputError, match="durations holds NaN"):
        kaplan_meier([1, float("nan")], [1, 1])
    for cause in ([0, 0], [1, -1], [1, 0.5]):
        with pytest.raises(InputError, match="cause"):
            cumulative_incidence([1, 2], cause)
    with pytest.raises(InputError, match="cause must be from 1 to 1"):
        cumulative_incidence([1, 2], [1, 0]).at(2, 1.0)
    with pytest.raises(InputError, match="two labels"):
        logrank([1, 2], [1, 1], [0, 0])
    with pytest.raises(InputError, match="one label a person"):
        logrank([1, 2], [1, 1], [0, 1, 1])
    with pytest.raises(InputError, match="cannot be compared"):
        logrank([1, 2], [0, 0], [0, 1])
    with pytest.raises(InputError, match="no event"):
        cox([1, 2, 3], [0, 0, 0], {"x": [1, 2, 3]})
    with pytest.raises(InputError, match="constant or follows"):
        cox([1, 2, 3], [1, 1, 1], {"x": [1, 1, 1]})
    with pytest.raises(InputError, match="covariate x needs one value"):
        cox([1, 2, 3], [1, 1, 1], {"x": [1, 2]})
    with pytest.raises(InputError, match="at least one column"):
        cox([1, 2, 3], [1, 1, 1], {})


def test_a_covariate_that_separates_is_told() -> None:
    time = np.arange(1.0, 21.0)
    with pytest.raises(WorkError, match="did not converge"):
        cox(time, np.ones(20), {"early": time <= 10})
