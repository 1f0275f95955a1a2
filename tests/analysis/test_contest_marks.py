"""A contest's measures against their definitions and scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from twofa_lab.analysis.contest_marks import (
    Goals,
    Scores,
    calibration_of,
    marks_of,
    median_asked,
)

GOALS = Goals(budget=0.05, recall=0.9, prevalence=0.002)


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(4)
    people = Scores(rng.normal(0, 1, 4_000).round(1), rng.integers(0, 300, 4_000))
    tried = Scores(rng.normal(1.5, 1, 250).round(1), rng.integers(0, 300, 250))
    return people, tried


@pytest.fixture(scope="module")
def mark(scored):
    return marks_of(scored[0], {"one": scored[1]}, GOALS, 400)["one"]


def joined(people, tried):
    score = np.append(people.score, tried.score)
    return score, np.arange(len(score)) >= len(people.score)


class TestMarks:
    def test_the_area_is_scikit_learns(self, scored, mark):
        score, attack = joined(*scored)
        assert mark.area.value == pytest.approx(roc_auc_score(attack, score), abs=1e-12)

    def test_precision_is_scikit_learns_with_attempts_weighed_down(self, scored, mark):
        score, attack = joined(*scored)
        share = GOALS.prevalence
        weight = np.where(attack, share / attack.sum(), (1 - share) / (~attack).sum())
        want = average_precision_score(attack, score, sample_weight=weight)
        assert mark.precision.value == pytest.approx(want, abs=1e-12)

    def test_caught_and_challenged_are_the_best_over_every_threshold(self, scored, mark):
        people, tried = scored
        every = np.unique(np.append(people.score, tried.score))
        rates = [((people.score >= t).mean(), (tried.score >= t).mean()) for t in every]
        assert mark.caught.value == max(y for x, y in rates if x <= GOALS.budget)
        assert mark.challenged.value == min(x for x, y in rates if y >= GOALS.recall)
        assert (people.score >= mark.threshold).mean() <= GOALS.budget

    def test_intervals_are_about_as_wide_as_theory_says(self, scored, mark):
        """Independent rows: the share caught at a fixed threshold is nearly binomial."""
        for found in (mark.area, mark.caught, mark.challenged, mark.precision):
            assert found.low < found.value < found.high
        caught = mark.caught.value
        theory = 2 * 1.96 * np.sqrt(caught * (1 - caught) / 250)
        assert 0.8 * theory < mark.caught.high - mark.caught.low < 1.8 * theory

    def test_logins_of_one_account_are_no_independent_evidence(self, scored):
        people, tried = scored
        again = Scores(np.repeat(tried.score, 4), np.repeat(tried.account, 4))
        once, four = (
            marks_of(people, {"one": some}, GOALS, 400)["one"].area for some in (tried, again)
        )
        assert four.value == pytest.approx(once.value)
        assert four.high - four.low == pytest.approx(once.high - once.low, rel=0.1)

    def test_what_has_no_score_is_never_caught(self, scored):
        people, tried = scored
        half = Scores(np.where(np.arange(250) % 2, tried.score, np.nan), tried.account)
        found = marks_of(people, {"one": half}, GOALS, 50)["one"]
        assert found.unscored == 125
        assert found.challenged.value == 1.0
        assert found.caught.value <= 0.5

    def test_one_score_for_all_catches_nobody_within_a_budget(self, scored):
        people, tried = (Scores(np.zeros(len(some.score)), some.account) for some in scored)
        found = marks_of(people, {"one": tried}, GOALS, 50)["one"]
        assert (found.area.value, found.caught.value, found.challenged.value) == (0.5, 0.0, 1.0)
        assert found.precision.value == pytest.approx(GOALS.prevalence)
        assert found.threshold == np.inf


class TestMedianAsked:
    def test_it_counts_the_first_logins_of_accounts_that_have_so_many(self):
        rng = np.random.default_rng(1)
        account = np.sort(rng.integers(0, 60, 900))
        asked = rng.random(900) < 0.4
        for n, found in zip((3, 10, 15), median_asked(asked, account, (3, 10, 15), 200),
                            strict=True):  # fmt: skip
            counts = [asked[account == a][:n].sum() for a in range(60) if (account == a).sum() >= n]
            assert found.value == np.median(counts)
            assert found.low <= found.value <= found.high

    def test_without_such_accounts_there_is_no_median(self):
        (found,) = median_asked(np.array([True]), np.array([1]), (2,), 8)
        assert np.isnan(found.value)


class TestCalibration:
    def test_true_probabilities_are_calibrated(self):
        rng = np.random.default_rng(2)
        chance = rng.beta(0.5, 8, 60_000)
        found = calibration_of(chance, rng.random(60_000) < chance)
        assert found.observed == pytest.approx(found.predicted, abs=0.01)
        assert found.mean_predicted == pytest.approx(found.mean_observed, abs=0.003)
        assert found.brier < found.of_the_mean
        assert found.logins.sum() == 60_000

    def test_doubled_odds_are_seen(self):
        rng = np.random.default_rng(2)
        chance = rng.beta(1, 20, 60_000)
        found = calibration_of(2 * chance, rng.random(60_000) < chance)
        assert found.mean_predicted == pytest.approx(2 * found.mean_observed, rel=0.05)

    def test_logins_without_a_score_are_left_out(self):
        found = calibration_of(np.array([np.nan, 0.5]), np.array([True, False]))
        assert found.mean_observed == 0.0
        assert found.logins.tolist() == [1]
