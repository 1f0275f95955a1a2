"""Looking more than once: published bounds, simulated error, intervals under optional stopping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from twofa_lab.analysis.sequential import (
    KINDS,
    boundaries,
    confidence_sequence,
    crossing,
    peeking_error,
)
from twofa_lab.errors import InputError

fractions = st.lists(st.floats(0.02, 1.0), min_size=1, max_size=6, unique=True).map(
    lambda looks: [*sorted(look for look in looks if look < 0.99), 1.0]
)


def apart(looks: list[float]) -> bool:
    return min(np.diff(looks), default=1.0) > 1e-3


@pytest.mark.parametrize(
    ("kind", "alpha", "looks", "constant"),
    [  # Jennison and Turnbull (2000), tables 2.1 and 2.3: the last bound
        ("pocock", 0.05, 1, 1.960),
        ("pocock", 0.05, 2, 2.178),
        ("pocock", 0.05, 3, 2.289),
        ("pocock", 0.05, 4, 2.361),
        ("pocock", 0.05, 5, 2.413),
        ("pocock", 0.05, 10, 2.555),
        ("pocock", 0.05, 20, 2.672),
        ("pocock", 0.01, 2, 2.772),
        ("pocock", 0.01, 5, 2.986),
        ("obrien-fleming", 0.05, 2, 1.977),
        ("obrien-fleming", 0.05, 3, 2.004),
        ("obrien-fleming", 0.05, 4, 2.024),
        ("obrien-fleming", 0.05, 5, 2.040),
        ("obrien-fleming", 0.05, 10, 2.087),
        ("obrien-fleming", 0.01, 2, 2.580),
    ],
)
def test_classical_bounds_as_published(
    kind: str, alpha: float, looks: int, constant: float
) -> None:
    found = boundaries(looks, alpha, kind)
    assert found[-1] == pytest.approx(constant, abs=6e-4)
    assert crossing(looks, found).sum() == pytest.approx(alpha, abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "bounds"),
    [
        ("obrien-fleming", [4.562, 3.226, 2.634, 2.281, 2.040]),
        ("pocock", [2.413] * 5),
        # Reboussin, DeMets, Kim and Lan (2000), .025 spent on each side
        ("lan-demets-obrien-fleming", [4.877, 3.357, 2.680, 2.290, 2.031]),
        ("lan-demets-pocock", [2.438, 2.427, 2.410, 2.397, 2.386]),
    ],
)
def test_five_looks(kind: str, bounds: list[float]) -> None:
    assert boundaries(5, kind=kind) == pytest.approx(bounds, abs=6e-4)


@given(fractions.filter(apart), st.sampled_from(KINDS), st.sampled_from([0.01, 0.05, 0.2]))
@settings(max_examples=25, deadline=None)
def test_all_error_is_spent_and_no_more(looks: list[float], kind: str, alpha: float) -> None:
    found = boundaries(looks, alpha, kind)
    assert crossing(looks, found).sum() == pytest.approx(alpha, abs=1e-7)
    assert found[-1] >= stats.norm.isf(alpha / 2) - 1e-7
    stricter = boundaries(looks, alpha / 2, kind)
    assert (stricter > found - 1e-9).all()


def test_a_plan_so_far_has_the_bounds_of_the_whole() -> None:
    """What a Lan-DeMets look allows does not depend on looks to come."""
    for kind in KINDS[2:]:
        whole = boundaries([0.2, 0.45, 0.8, 1.0], kind=kind)
        assert boundaries([0.2, 0.45], kind=kind) == pytest.approx(whole[:2], rel=1e-7)


def test_a_look_too_early_to_stop_at() -> None:
    found = boundaries([1e-4, 0.5, 1.0], kind="lan-demets-obrien-fleming")
    assert found[0] == np.inf
    assert found[1:] == pytest.approx(boundaries(2, kind="lan-demets-obrien-fleming"), abs=1e-6)


def walks(rng: np.random.Generator, times: np.ndarray, runs: int, drift: float) -> np.ndarray:
    """z at each look of many experiments: Brownian motion over the root of its time."""
    steps = np.diff(times, prepend=0.0)
    moves = rng.normal(drift * steps, np.sqrt(steps), (runs, len(times)))
    return moves.cumsum(axis=1) / np.sqrt(times)


@pytest.mark.parametrize("kind", KINDS)
def test_error_and_power_under_optional_stopping(kind: str) -> None:
    times = np.array([0.25, 0.4, 0.75, 1.0])
    bounds = boundaries(times, kind=kind)
    rng = np.random.default_rng(8)
    for drift in (0.0, 2.8):
        z = walks(rng, times, 40_000, drift)
        stopped = np.abs(z) >= bounds
        first = np.where(stopped.any(axis=1), stopped.argmax(axis=1), -1)
        found = np.array([np.mean(first == look) for look in range(4)])
        expected = crossing(times, bounds, drift)
        error = np.sqrt(expected * (1 - expected) / 40_000)
        assert (np.abs(found - expected) <= 4.5 * error + 1e-4).all()


def test_peeking_as_published() -> None:
    """Armitage, McPherson and Rowe (1969), table 2: the 5 % level."""
    published = {1: 0.050, 2: 0.083, 3: 0.107, 4: 0.126, 5: 0.142, 10: 0.193, 20: 0.248, 50: 0.320}
    for looks, error in published.items():
        assert peeking_error(looks) == pytest.approx(error, abs=6e-4)


def test_power_of_one_look() -> None:
    z = stats.norm.isf(0.025)
    drift = z + stats.norm.isf(0.2)
    both = 0.8 + stats.norm.cdf(-z - drift)
    assert crossing(1, [z], drift).item() == pytest.approx(both, rel=1e-9)
    assert crossing(1, [z], -drift).item() == pytest.approx(both, rel=1e-9)


@given(
    st.floats(-5, 5),
    st.floats(0.01, 9),
    st.integers(1, 10**7),
    st.floats(1, 1e6),
    st.floats(0.001, 0.5),
)
def test_at_its_ends_the_mixture_likelihood_ratio_is_one_over_alpha(
    mean: float, variance: float, n: int, tuning: float, alpha: float
) -> None:
    """Robbins' normal mixture: exp(S^2 rho^2 / (2 (n rho^2 + 1))) / sqrt(n rho^2 + 1)."""
    low, high = confidence_sequence(mean, variance, n, tuning, alpha)
    assert (low + high) / 2 == pytest.approx(mean, abs=1e-6)
    rho2 = (-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha))) / tuning
    total = n * (high - low) / 2 / np.sqrt(variance)
    log_ratio = total**2 * rho2 / (2 * (n * rho2 + 1)) - np.log(n * rho2 + 1) / 2
    assert log_ratio == pytest.approx(-np.log(alpha), rel=1e-6)


def test_it_is_about_tightest_where_it_was_tuned() -> None:
    widths = {
        tuning: np.diff(confidence_sequence(0.0, 1.0, 10_000, tuning))[0]
        for tuning in np.geomspace(100, 1e6, 81)
    }
    best = min(widths, key=widths.get)
    assert 7_000 < best < 14_000
    fixed = 2 * stats.norm.isf(0.025) / 100
    assert 1.3 < widths[best] / fixed < 1.7  # what looking at any time costs


def test_it_holds_at_all_looks_at_once() -> None:
    rng = np.random.default_rng(3)
    runs, most = 2_000, 1_000
    x = rng.binomial(1, 0.3, (runs, most)).astype(float)
    n = np.arange(1, most + 1)
    mean = x.cumsum(axis=1) / n
    late = slice(99, None)  # "from a sufficiently large n on"
    low, high = confidence_sequence(
        mean[:, late], (mean * (1 - mean))[:, late], n[late], tuning=300
    )
    ever_missed = ((low > 0.3) | (high < 0.3)).any(axis=1).mean()
    error = np.sqrt(0.05 * 0.95 / runs)
    assert ever_missed < 0.05 + 3 * error
    # the ordinary interval fails far oftener
    half = 1.96 * np.sqrt((mean * (1 - mean))[:, late] / n[late])
    assert (np.abs(mean[:, late] - 0.3) > half).any(axis=1).mean() > 0.2


def test_bad_input_is_refused() -> None:
    for looks in (0, 2.5, -1, [], [0.5, 0.4], [0.0, 1.0], [0.5, 1.1], [0.5, 0.50001], float("nan")):
        with pytest.raises(InputError, match="looks"):
            boundaries(looks)
    with pytest.raises(InputError, match="kind must be one of"):
        boundaries(5, kind="haybittle-peto")
    with pytest.raises(InputError, match="end at 1"):
        boundaries([0.2, 0.5], kind="pocock")
    for alpha in (0, 1, float("nan")):
        with pytest.raises(InputError, match="alpha"):
            boundaries(5, alpha)
        with pytest.raises(InputError, match="alpha"):
            confidence_sequence(0, 1, 10, 10, alpha)
        with pytest.raises(InputError, match="alpha"):
            peeking_error(5, alpha)
    with pytest.raises(InputError, match="bounds must be 3"):
        crossing(3, [2.0, 2.0])
    for wrong in ((0, -1, 10, 10), (0, 1, 0, 10), (0, 1, 10, 0), (float("nan"), 1, 10, 10)):
        with pytest.raises(InputError):
            confidence_sequence(*wrong)
