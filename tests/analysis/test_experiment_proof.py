"""The proofs themselves: few repeats, and that a wrong procedure would be caught."""

import numpy as np
import pytest

from twofa_lab.analysis import experiment_proof as proving
from twofa_lab.analysis.experiment_coverage import coverage, exact_coverage
from twofa_lab.analysis.experiment_proof import (
    Rate,
    false_positives,
    optional_stopping,
    realised_power,
)
from twofa_lab.analysis.sequential import peeking_error
from twofa_lab.traffic.signup import Arm, signup_world


@pytest.fixture(scope="module")
def world():
    return signup_world(visitors=30_000, seed=2)


def test_a_a_tests_err_as_often_as_they_say():
    found = false_positives(tests=60, visitors=3_000, workers=2)
    assert found.failed == ()
    assert {"sample ratio", "sign ups: score test", "net usd: CUPED"} <= {
        r.procedure for r in found.rates
    }
    peeking = next(r for r in found.rates if r.procedure.startswith("peeking"))
    assert peeking.found > 0.10  # what every other procedure would be caught for
    assert "holds" in repr(found)


def test_optional_stopping_errs_as_often_as_it_says():
    found = optional_stopping(repeats=4_000)
    assert found.failed == ()


def test_intervals_cover(world):
    found = coverage(world, Arm.phone_only(), Arm.forced("totp"), repeats=20, visitors=3_000,
                     replicates=200, workers=2)  # fmt: skip
    assert found.failed == ()
    assert {r.procedure for r in found.rates} >= {
        "sign ups: Newcombe", "sign ups: Miettinen-Nurminen", "sign ups: CUPED",
        "login success: delta method", "sign ups: clusters, bootstrap",
        "sign ups: confidence sequence, all days",
    }  # fmt: skip


def test_small_arms_are_covered_exactly():
    found = exact_coverage(n_a=6, n_b=5)
    assert found.failed == ()
    assert found.rates[0].found > 0.95


def test_power_is_what_was_planned(world):
    assert realised_power(world, Arm.phone_only(), Arm.forced("totp"), repeats=2_000).failed == ()


def test_a_wrong_procedure_is_caught(monkeypatch):
    monkeypatch.setattr(proving, "boundaries", lambda looks, kind: np.full(looks, 1.959964))
    failed = {rate.procedure for rate in optional_stopping(repeats=2_000).failed}
    assert {"lan-demets-obrien-fleming, 28 looks", "lan-demets-pocock, 4 looks"} <= failed
    assert not Rate("x", 0.05, peeking_error(5), 1_000).holds
    assert Rate("x", 0.05, 0.01, 1_000, "at most").holds
    assert not Rate("x", 0.95, 0.90, 1_000, "at least").holds
