"""Points fitted to past logins, and the rules for one account at a time."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.risk.past import DAY, MINUTE, NOON
from twofa_lab.errors import InputError
from twofa_lab.risk.rule_scorer import RuleScorer, fit_points
from twofa_lab.risk.rules import RulePoints
from twofa_lab.risk.signals import BITS
from twofa_lab.tables import SIGNALS


def made_up(rows: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    shown = rng.random((rows, len(SIGNALS))) < [0.3, 0.1, 0.1, 0.2, 0.0]
    failures = rng.integers(0, 3, rows)
    odds = shown @ [2.0, 1.5, 0.0, 0.7, 0.0] + 0.5 * failures - 2.0
    attack = rng.random(rows) < 1.0 / (1.0 + np.exp(-odds))
    bits = shown @ np.array([BITS[name] for name in SIGNALS])
    return bits, failures, attack


def test_points_are_a_logistic_regressions_weights_to_a_factor() -> None:
    bits, failures, attack = made_up()
    points = fit_points(bits, failures, attack)
    design = np.column_stack([(bits >> at & 1) for at in range(4)] + [failures])
    peer = LogisticRegression(C=1.0).fit(design, attack).coef_[0]
    mine = [points.new_device, points.new_country, points.new_region, points.odd_hour,
            points.failed_attempt]  # fmt: skip
    kept = [0, 1, 3, 4]  # the region speaks for nothing, and is held at 0 or above
    np.testing.assert_allclose(
        np.array(mine)[kept] / mine[0], peer[kept] / peer[0], rtol=0.05, atol=0.02
    )
    assert points.new_region < 0.03
    assert points.failed_burst == 0.0  # was never seen


def test_the_most_suspicious_login_scores_one() -> None:
    points = fit_points(*made_up())
    every = BITS["new_device"] | BITS["new_country"] | BITS["odd_hour"]
    assert points.score(every, 2) == pytest.approx(1.0, abs=1e-3)


def test_a_signal_that_speaks_for_a_login_gets_no_points() -> None:
    bits, failures, attack = made_up()
    assert fit_points(bits, failures, ~attack & (failures == 0)).failed_attempt == 0.0


def test_weights_count_a_login_several_times() -> None:
    bits, failures, attack = made_up(3_000)
    times = np.random.default_rng(0).integers(1, 4, len(bits))
    again = np.repeat(np.arange(len(bits)), times)
    weighted = fit_points(bits, failures, attack, times.astype(float))
    repeated = fit_points(bits[again], failures[again], attack[again])
    for name in vars(weighted):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), abs=2e-3)


def test_logins_that_nothing_tells_apart_are_refused() -> None:
    nothing = np.zeros(50, np.int64)
    with pytest.raises(InputError, match="no signal"):
        fit_points(nothing, nothing, np.arange(50) < 5)


def test_one_account_shows_the_four_signals() -> None:
    account = RuleScorer(RulePoints()).account()
    login = {"time": NOON, "device_id": "a cookie", "country": "NO", "region": "Oslo"}
    assert account.score(login) == 0.5
    account.record(login)
    assert account.score(login | {"time": NOON + DAY}) == 0.0
    assert account.explain(login | {"country": "SE", "time": NOON + DAY}) == {"new_country": 0.6}
    for minute in range(3):
        account.failed(NOON + DAY + minute * MINUTE)
    assert account.score(login | {"time": NOON + DAY + 5 * MINUTE}) == 0.6
    assert account.score(login | {"time": NOON + 2 * DAY, "region": None}) == 0.0
    with pytest.raises(InputError, match="needs its time"):
        account.score({"device_id": 1})
