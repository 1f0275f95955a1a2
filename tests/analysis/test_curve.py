"""The exact curve against Fawcett's published example, scikit-learn and a count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from twofa_lab.analysis.curve import curve, curve_replicates
from twofa_lab.errors import InputError

# Fawcett (2006), An introduction to ROC analysis, figure 3: twenty scored instances
FAWCETT = (
    ("p", 0.9), ("p", 0.8), ("n", 0.7), ("p", 0.6), ("p", 0.55), ("p", 0.54), ("n", 0.53),
    ("n", 0.52), ("p", 0.51), ("n", 0.505), ("p", 0.4), ("n", 0.39), ("p", 0.38), ("n", 0.37),
    ("n", 0.36), ("n", 0.35), ("p", 0.34), ("n", 0.33), ("p", 0.30), ("n", 0.1),
)  # fmt: skip
TENTHS = st.integers(0, 10).map(lambda n: n / 10)
SCORES = st.one_of(TENTHS, st.just(float("nan")))
LOGINS = st.lists(st.tuples(SCORES, st.booleans(), st.integers(1, 4), st.integers(0, 3)),
                  min_size=1, max_size=40)  # fmt: skip


def test_the_published_example_comes_out():
    kinds, scores = zip(*FAWCETT, strict=True)
    found = curve(scores, np.array(kinds) == "p")
    rate, share = found.at(0.54)
    assert (float(rate), float(share)) == (0.1, 0.5)  # the paper's point of most accuracy
    assert len(found.threshold) == 20
    assert (found.challenged[-1], found.caught[-1]) == (10, 10)


def test_it_is_scikit_learns_curve_with_ties_and_weights():
    rng = np.random.default_rng(5)
    score, attack = rng.integers(0, 300, 5_000) / 300, rng.random(5_000) < 0.1
    score[attack] = np.minimum(score[attack] + 0.2, 1.0)
    for weight in (None, rng.random(5_000)):
        found = curve(score, attack, weight)
        fpr, tpr, at = roc_curve(attack, score, sample_weight=weight, drop_intermediate=False)
        np.testing.assert_array_equal(found.threshold, at[1:])
        np.testing.assert_allclose(found.challenge_rate, fpr[1:], atol=1e-12)
        np.testing.assert_allclose(found.caught_share, tpr[1:], atol=1e-12)
        assert found.area == pytest.approx(roc_auc_score(attack, score, sample_weight=weight))


@given(LOGINS)
def test_every_point_is_a_count(logins):
    score, attack, _, weight = map(np.array, zip(*logins, strict=True))
    found = curve(score, attack.astype(bool), weight)
    assert found.threshold.tolist() == sorted(set(score[~np.isnan(score)]), reverse=True)
    for k, threshold in enumerate(found.threshold):
        at_least = score >= threshold
        assert found.challenged[k] == weight[at_least & ~attack].sum()
        assert found.caught[k] == weight[at_least & attack].sum()
    assert found.legitimate == weight[~attack].sum()  # unscored ones too
    assert found.attacks == weight[attack].sum()


@given(LOGINS, st.floats(0, 1))
def test_a_threshold_for_a_rate_is_the_lowest_that_keeps_it(logins, rate):
    score, attack, _, _ = map(np.array, zip(*logins, strict=True))
    found = curve(score, attack.astype(bool))
    if not found.legitimate:
        assert np.isnan(found.challenge_rate).all()
        return
    chosen = found.threshold_at(rate)
    assert float(found.at(chosen)[0]) <= rate
    lower = found.threshold[found.threshold < chosen]
    assert not len(lower) or float(found.at(lower[0])[0]) > rate


@given(LOGINS, st.sampled_from([1, 2, 3]))
def test_replicates_weigh_whole_accounts(logins, workers):
    score, attack, user, weight = map(np.array, zip(*logins, strict=True))
    attack = attack.astype(bool)
    grid = np.array([0.0, 0.35, 0.8])
    found = curve_replicates(
        score, attack, user, grid, weight=weight, replicates=6, salt=3, workers=workers
    )
    # an account's weight in each replicate is what a login of its own would count
    one = {
        u: curve_replicates([1.0], [False], [u], [0.5], replicates=6, salt=3).legitimate
        for u in np.unique(user)
    }
    drawn = np.array([one[u] for u in user]) * weight[:, None]
    for k, threshold in enumerate(grid):
        reached = score >= threshold
        np.testing.assert_allclose(found.challenged[k], drawn[reached & ~attack].sum(axis=0))
        np.testing.assert_allclose(found.caught[k], drawn[reached & attack].sum(axis=0))
    np.testing.assert_allclose(found.legitimate, drawn[~attack].sum(axis=0))


def test_the_spread_of_replicates_is_that_of_accounts():
    rng = np.random.default_rng(8)
    user = np.repeat(np.arange(2_000), 5)
    risky = np.repeat(rng.random(2_000) < 0.2, 5)  # all of an account's logins, or none
    found = curve_replicates(risky * 1.0, np.zeros(10_000, bool), user, [0.5], replicates=400)
    expected = np.sqrt(0.2 * 0.8 / 2_000)  # of accounts, not of logins
    assert found.challenge_rate.std() == pytest.approx(expected, rel=0.15)
    assert found.challenge_rate.mean() == pytest.approx(risky.mean(), abs=4 * expected / 20)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([0.1][:0], np.zeros(0, bool)), "at least one login"),
        (([0.1], [1]), "true or false"),
        (([0.1, 0.2], [True]), "one value a login"),
        (([0.1], [True], [-1.0]), "weight"),
        (([0.1], [True], [float("nan")]), "weight"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        curve(*(np.array(a) for a in arguments))
