"""Trees folded into tables against scikit-learn's own probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofa_lab.errors import InputError, WorkError
from twofa_lab.risk.additive import Additive, contributions, fold, score_rows
from twofa_lab.risk.training import (
    SHARES,
    Training,
    fit_isolation,
    fit_trees,
    fit_unconstrained,
)
from twofa_lab.risk.vector import VECTOR
from twofa_lab.tables import Array

BINARY = [0, 1, 2, 3, 6, 7, 13]


def made_up(rows: int = 6_000, seed: int = 3) -> Training:
    """Vectors whose attacks hang on device, travel, and, against the grain, on failures."""
    rng = np.random.default_rng(seed)
    values = rng.exponential(3.0, (rows, len(VECTOR))).astype(np.float32)
    values[:, BINARY] = rng.random((rows, len(BINARY))) < 0.2
    values[:, 4] = rng.integers(0, 5, rows)
    odds = 2.0 * values[:, 0] + 0.4 * values[:, 5] - 0.5 * values[:, 4] - 3.0
    odds += 2.0 * values[:, 1] * values[:, 6]
    attack = rng.random(rows) < 1.0 / (1.0 + np.exp(-odds))
    return Training(values, attack, np.arange(rows, dtype=np.int64))


TRAINING = made_up()


@pytest.fixture(scope="module")
def trees() -> Any:
    return fit_trees(TRAINING.parts(), seed=0)


@pytest.fixture(scope="module")
def folded(trees: Any) -> Additive:
    return fold(trees, next(iter(TRAINING.parts().values())).values)


def scored(additive: Additive, values: Array) -> Array:
    scores = np.zeros(len(values))
    score_rows(additive, values, scores)
    return scores


def on_the_edges(additive: Additive) -> Array:
    """Rows whose every signal lies on, just below or just above an edge."""
    rng = np.random.default_rng(0)
    values = np.zeros((600, len(VECTOR)), np.float32)
    for at, size in enumerate(additive.sizes):
        if size:
            values[:, at] = rng.choice(additive.edges[at, :size], len(values))
    beyond = rng.choice(np.array([-np.inf, 0.0, np.inf], np.float32), values.shape)
    return np.where(beyond == 0.0, values, np.nextafter(values, beyond))


def test_the_tables_are_scikit_learns_own_probabilities(trees: Any, folded: Additive) -> None:
    for values in (TRAINING.values, on_the_edges(folded), -TRAINING.values, 1e9 * TRAINING.values):
        expected = trees.predict_proba(values)[:, 1]
        np.testing.assert_allclose(scored(folded, values), expected, rtol=0, atol=1e-12)


def test_contributions_add_up_to_the_score_and_average_to_nothing(folded: Additive) -> None:
    added = contributions(folded, TRAINING.values)
    odds = folded.intercept[0] + added.sum(axis=1)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), scored(folded, TRAINING.values))
    fitted = next(iter(TRAINING.parts().values())).values
    np.testing.assert_allclose(contributions(folded, fitted).mean(axis=0), 0.0, atol=1e-9)


@settings(max_examples=50)
@given(
    st.integers(0, len(TRAINING.values) - 1),
    st.integers(0, len(VECTOR) - 1),
    st.floats(0, 1e6, width=32),
)
def test_more_of_a_suspicious_signal_never_lowers_the_risk(
    folded: Additive, row: int, signal: int, more: float
) -> None:
    pair = np.stack([TRAINING.values[row]] * 2)
    pair[1, signal] += more
    low, high = scored(folded, pair)
    if VECTOR[signal].direction:
        assert high >= low


def test_failures_that_speak_for_a_login_are_not_believed(folded: Additive) -> None:
    failures = [signal.name for signal in VECTOR].index("failures")
    assert np.ptp(folded.points[failures, : folded.sizes[failures] + 1]) < 1e-9


def test_the_unconstrained_contrast_combines_signals_and_no_table_holds_it() -> None:
    free = fit_unconstrained(TRAINING.parts(), seed=0, max_iter=20)
    with pytest.raises(WorkError, match="combine signals"):
        fold(free, TRAINING.values)


def test_the_isolation_forest_sets_apart_what_is_rare() -> None:
    forest = fit_isolation(TRAINING, seed=0)
    rare = np.full((1, len(VECTOR)), 60.0, np.float32)
    usual = np.median(TRAINING.values, axis=0)[None, :]
    assert -forest.score_samples(rare)[0] > -forest.score_samples(usual)[0]


def test_a_calibration_that_turns_the_risk_round_is_refused() -> None:
    attack = TRAINING.attack.copy()
    later = TRAINING.time >= np.quantile(TRAINING.time, 0.6)
    attack[later] = ~attack[later]
    turned = Training(TRAINING.values, attack, TRAINING.time)
    with pytest.raises(WorkError, match="contradicts"):
        fold(fit_trees(turned.parts(), seed=0, max_iter=20), TRAINING.values)


def test_too_few_attacks_are_refused_and_counted() -> None:
    attack = np.zeros(len(TRAINING.attack), np.bool_)
    attack[:9] = True
    with pytest.raises(InputError, match="hold 9 attacks of 3600"):
        fit_trees(Training(TRAINING.values, attack, TRAINING.time).parts(), seed=0)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=200))
def test_parts_follow_each_other_in_time_and_lose_no_row(times: list[int]) -> None:
    rows = len(times)
    training = Training(np.zeros((rows, 1)), np.zeros(rows, bool), np.array(times))
    parts = list(training.parts().values())
    assert list(training.parts()) == list(SHARES)
    assert sorted(np.concatenate([part.time for part in parts]).tolist()) == sorted(times)
    latest = -1
    for part in parts:
        if len(part.time):
            assert part.time.min() > latest
            latest = int(part.time.max())


def test_weights_count_a_login_several_times() -> None:
    doubled = np.repeat(np.arange(len(TRAINING.attack)), 1 + TRAINING.attack)
    parts = {name: part.rows(np.arange(len(part.time))) for name, part in TRAINING.parts().items()}
    weighted = {
        name: Training(part.values, part.attack, part.time, 1.0 + part.attack)
        for name, part in parts.items()
    }
    more = made_up().rows(doubled)
    heavy = fit_trees(weighted, seed=0, max_iter=20).predict_proba(TRAINING.values)[:, 1]
    light = fit_trees(parts, seed=0, max_iter=20).predict_proba(TRAINING.values)[:, 1]
    assert heavy.mean() > light.mean()
    assert heavy.mean() == pytest.approx(more.attack.mean(), abs=0.05)
