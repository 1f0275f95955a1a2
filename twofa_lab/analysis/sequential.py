"""Looking at an experiment more than once: group-sequential bounds and confidence sequences.

With a known maximum of visitors, `boundaries` gives the z value each look must exceed; that has
the highest power. For open-ended monitoring, `confidence_sequence` gives an interval that holds at
all looks at once, however many.

The test statistic at information t behaves like Brownian motion B(t), z = B(t) / sqrt(t). Its
density among experiments not yet stopped goes from look to look by numerical integration
(Armitage, McPherson and Rowe 1969; Jennison and Turnbull 2000, chapter 19).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from twofa_lab.analysis.arguments import Interval, finite, fraction, plain, positive
from twofa_lab.errors import InputError
from twofa_lab.tables import Array

__all__ = ["KINDS", "boundaries", "confidence_sequence", "crossing", "peeking_error"]

KINDS = ("obrien-fleming", "pocock", "lan-demets-obrien-fleming", "lan-demets-pocock")
"""Ways to share the error among looks, for `boundaries`."""

_FAR = 8.5  # standard deviations beyond which a path is not followed (1e-17 of them)
_MOST_LOOKS = 1_000
_CLOSEST = 1e-4  # nearer looks would need a grid of thousands of points, and tell nothing new


def boundaries(
    looks: int | Sequence[float] | Array, alpha: float = 0.05, kind: str = "obrien-fleming"
) -> Array:
    """Two-sided z values, one a look: stop once |z| reaches its look's value.

    `looks` is a number of equally spaced looks, or the rising shares of the planned information
    (visitors) at them. "obrien-fleming" and "pocock" are the classical bounds, for which the looks
    are fixed beforehand and end at 1. The "lan-demets-" kinds spend the error along a function of
    information (Lan and DeMets 1983), alpha / 2 on each side, so that looks may come when they
    come and a plan may be evaluated so far. A bound is infinite where a look is so early that
    nothing can be spent.

    >>> boundaries(5).round(3)
    array([4.562, 3.226, 2.634, 2.281, 2.04 ])
    >>> boundaries([0.3, 0.7, 1.0], kind="lan-demets-pocock").round(3)
    array([2.312, 2.258, 2.306])
    """
    times = _times(looks)
    level = float(fraction("alpha", alpha))
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if kind.startswith("lan-demets-"):
        spent = _spending(kind)(times, level)
        return _spend(times, np.diff(spent, prepend=0.0))
    if times[-1] != 1.0:
        raise InputError(f"the classical bounds need looks that end at 1, not {times[-1]:.10g}")
    shape = 1.0 / np.sqrt(times) if kind == "obrien-fleming" else np.ones_like(times)

    def excess(constant: float) -> float:
        return float(_exits(times, constant * shape).sum()) - level

    lowest, highest = stats.norm.isf(level / 2.0), stats.norm.isf(level / 2.0 / len(times))
    if len(times) == 1:
        return np.array([lowest])
    return optimize.brentq(excess, lowest, highest + 0.1, xtol=1e-10) * shape


def crossing(looks: int | Sequence[float] | Array, bounds: ArrayLike, drift: float = 0.0) -> Array:
    """The chance to stop at each look, |z| having reached its bound there for the first time.

    `drift` is the mean of z at full information: 0 under the null, about 2.8 where a single look
    would have 80 % power. The sum is the false-positive rate, or the power.

    >>> crossing(5, boundaries(5)).cumsum().round(4)
    array([0.    , 0.0013, 0.0089, 0.0256, 0.05  ])
    >>> float(crossing(5, boundaries(5), drift=2.8016).sum().round(3))
    0.789
    """
    times = _times(looks)
    found = np.asarray(bounds, np.float64)
    if found.shape != times.shape or not (found > 0).all():
        raise InputError(f"bounds must be {len(times)} z values above 0, one a look")
    return _exits(times, found, float(finite("drift", drift)))


def peeking_error(looks: int | Sequence[float] | Array, alpha: float = 0.05) -> float:
    """The real false-positive rate of testing at level `alpha` at every look, as if it were one.

    >>> [round(peeking_error(k), 3) for k in (1, 2, 5, 10)]
    [0.05, 0.083, 0.142, 0.193]
    """
    times = _times(looks)
    z = stats.norm.isf(float(fraction("alpha", alpha)) / 2.0)
    return float(_exits(times, np.full_like(times, z)).sum())


def confidence_sequence(
    mean: ArrayLike,
    variance: ArrayLike,
    n: ArrayLike,
    tuning: float,
    alpha: float = 0.05,
) -> Interval:
    """An interval for a mean that may be looked at after every observation; broadcasts.

    Asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, theorem
    2.2): with probability 1 - `alpha` the true mean lies in the intervals of all n at once, from
    some sufficiently large n on. `variance` is that of one observation. `tuning` is the n at which
    the interval shall be about tightest relative to a fixed one (the paper's rule for rho);
    choose it beforehand.

    For a difference between arms, n is n_a + n_b and `variance` n times the squared standard error
    of the difference: n * (variance_a / n_a + variance_b / n_b).

    >>> low, high = confidence_sequence(0.30, 0.21, 5_000, tuning=5_000)
    >>> round(low, 4), round(high, 4)  # a single look would give 0.2873 to 0.3127
    (0.2803, 0.3197)
    """
    spread, size = finite("variance", variance), positive("n", n)
    if (spread < 0).any():
        raise InputError("variance must be 0 or more")
    level = float(fraction("alpha", alpha))
    # equation for the best rho at a given n, in its closed approximation
    squared = -2.0 * np.log(level)
    rho2 = (squared + np.log(squared + 1.0)) / float(positive("tuning", tuning))
    grown = size * rho2 + 1.0
    # 2 log(sqrt(grown) / alpha) = log(grown) - 2 log(alpha)
    half = np.sqrt(spread * grown * (np.log(grown) + squared) / (size**2 * rho2))
    middle = finite("mean", mean)
    return Interval(plain(middle - half), plain(middle + half))


class _Paths(NamedTuple):
    """Experiments still running: their density at points of B(t), with the rule's weights."""

    points: Array
    mass: Array
    time: float


def _times(looks: int | Sequence[float] | Array) -> Array:
    found = finite("looks", looks)
    if found.ndim == 0:
        if found < 1 or found > _MOST_LOOKS or found != np.rint(found):
            raise InputError(f"looks must be a whole number from 1 to 1000, not {found:.10g}")
        return np.arange(1.0, float(found) + 1.0) / float(found)
    rising = found.ndim == 1 and len(found) and bool((np.diff(found, prepend=0.0) > 0).all())
    if not rising or found[-1] > 1.0 or len(found) > _MOST_LOOKS:
        raise InputError("looks must be rising shares of the information, above 0 and up to 1")
    if (np.diff(found) < _CLOSEST).any():
        raise InputError(f"looks must be at least {_CLOSEST:g} of the information apart")
    return found


def _spending(kind: str) -> Callable[[Array, float], Array]:
    """Two-sided error spent by information t, alpha / 2 a side."""
    if kind == "lan-demets-pocock":
        return lambda t, alpha: alpha * np.log(1.0 + (np.e - 1.0) * t)
    return lambda t, alpha: np.asarray(
        4.0 * stats.norm.sf(stats.norm.isf(alpha / 4.0) / np.sqrt(t))
    )


def _exit(paths: _Paths, time: float, bound: float, drift: float) -> float:
    """The chance that running experiments are beyond +-`bound` (of z) at `time`."""
    step, edge = np.sqrt(time - paths.time), bound * np.sqrt(time)
    moved = paths.points + drift * (time - paths.time)
    outside = stats.norm.sf((edge - moved) / step) + stats.norm.sf((edge + moved) / step)
    return float(paths.mass @ outside)


def _go_on(paths: _Paths, time: float, bound: float, drift: float, next_step: float) -> _Paths:
    """Those within the bound at `time`, on a grid fine enough for this step and the next."""
    step = np.sqrt(time - paths.time)
    reach, center = _FAR * np.sqrt(time), drift * time
    edge = bound * np.sqrt(time)
    low, high = max(-edge, center - reach), min(edge, center + reach)
    if low >= high:
        return _Paths(np.zeros(1), np.zeros(1), time)
    half = 0.5 * (high - low)
    # 2.5 points a standard deviation of the narrower step: errors below 1e-9
    x, weights = _rule(int(5.0 * half / min(step, np.sqrt(next_step))) // 32 + 2)
    points = low + half * (x + 1.0)
    moved = paths.points + drift * (time - paths.time)
    density = np.exp(-0.5 * ((points[:, None] - moved) / step) ** 2) @ paths.mass
    return _Paths(points, weights * half * density / (step * np.sqrt(2.0 * np.pi)), time)


@cache
def _rule(blocks: int) -> tuple[Array, Array]:
    """Gauss-Legendre points and weights, 32 a block: the rule itself costs more than a look."""
    return np.polynomial.legendre.leggauss(32 * blocks)


def _exits(times: Array, bounds: Array, drift: float = 0.0) -> Array:
    """The chance of each look to be the first beyond its bound."""
    paths = _Paths(np.zeros(1), np.ones(1), 0.0)
    gaps = np.diff(times, append=2.0)
    found = np.zeros(len(times))
    for look, (time, bound) in enumerate(zip(times.tolist(), bounds.tolist(), strict=True)):
        found[look] = _exit(paths, time, bound, drift)
        if look + 1 < len(times):
            paths = _go_on(paths, time, bound, drift, float(gaps[look]))
    return found


def _spend(times: Array, errors: Array) -> Array:
    """The bound of each look that spends just its error."""
    paths = _Paths(np.zeros(1), np.ones(1), 0.0)
    gaps = np.diff(times, append=2.0)
    found = np.zeros(len(times))
    for look, (time, error) in enumerate(zip(times.tolist(), errors.tolist(), strict=True)):
        found[look] = _bound(paths, time, error)
        if look + 1 < len(times):
            paths = _go_on(paths, time, float(found[look]), 0.0, float(gaps[look]))
    return found


def _bound(paths: _Paths, time: float, error: float) -> float:
    if paths.time == 0.0:
        return float(stats.norm.isf(error / 2.0))

    def excess(bound: float) -> float:
        return _exit(paths, time, bound, 0.0) - error

    return float(optimize.brentq(excess, 0.0, 40.0, xtol=1e-10))
