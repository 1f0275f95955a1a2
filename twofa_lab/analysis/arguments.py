"""What the statistical functions share: checks of their arguments and the interval they return."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from twofa_lab.errors import InputError
from twofa_lab.tables import Array

__all__ = ["Interval", "arms", "finite", "fraction", "plain", "positive", "quotient"]


class Interval(NamedTuple):
    """Both ends of an interval: numbers, or arrays where the arguments were arrays."""

    low: Any
    high: Any


def plain(values: ArrayLike) -> Any:
    """A plain number for an array without dimensions; any other array as it is.

    >>> plain(np.array(0.5)), plain(np.array([0.5]))
    (0.5, array([0.5]))
    """
    found = np.asarray(values)
    return found.item() if found.ndim == 0 else found


def quotient(top: ArrayLike, bottom: ArrayLike, otherwise: ArrayLike) -> Array:
    """Top over bottom, and `otherwise` where the bottom is 0.

    >>> quotient([1.0, 1.0], [2.0, 0.0], np.inf)
    array([0.5, inf])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.equal(bottom, 0.0), otherwise, np.divide(top, bottom))


def finite(name: str, values: ArrayLike) -> Array:
    """The values as floats; refuses what is not a number, NaN and infinity."""
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a number or an array of numbers") from error
    if not np.isfinite(found).all():
        raise InputError(f"{name} holds NaN or infinity: leave out what is not known")
    return found


def fraction(name: str, values: ArrayLike, *, ends: bool = False) -> Array:
    """The values as floats strictly between 0 and 1; with `ends`, 0 and 1 are allowed too."""
    found = finite(name, values)
    inside = (found >= 0) & (found <= 1) if ends else (found > 0) & (found < 1)
    if not inside.all():
        between = "from 0 to 1" if ends else "between 0 and 1, both excluded"
        raise InputError(f"{name} must be {between}, not {_first(found, ~inside)}")
    return found


def positive(name: str, values: ArrayLike) -> Array:
    """The values as floats above 0."""
    found = finite(name, values)
    if not (found > 0).all():
        raise InputError(f"{name} must be above 0, not {_first(found, found <= 0)}")
    return found


def arms(
    count_a: ArrayLike, n_a: ArrayLike, count_b: ArrayLike, n_b: ArrayLike
) -> tuple[Array, Array, Array, Array]:
    """Successes and sizes of two arms as floats of one shape; refuses what cannot be a count.

    >>> arms(5, 10, 12, 10)
    Traceback (most recent call last):
    ...
    twofa_lab.errors.InputError: count_b must be from 0 to n_b (10), not 12
    """
    given = {"count_a": count_a, "n_a": n_a, "count_b": count_b, "n_b": n_b}
    found = {name: finite(name, values) for name, values in given.items()}
    for name, values in found.items():
        if (values != np.rint(values)).any():
            whole = _first(values, values != np.rint(values))
            raise InputError(f"{name} must be a whole number, not {whole}")
    try:
        # copies, since what broadcasts is read-only
        a, n, b, m = map(np.array, np.broadcast_arrays(*found.values()))
    except ValueError as error:
        raise InputError("counts and sizes of the arms differ in shape") from error
    for arm, count, size in (("a", a, n), ("b", b, m)):
        positive(f"n_{arm}", size)
        outside = (count < 0) | (count > size)
        if outside.any():
            raise InputError(
                f"count_{arm} must be from 0 to n_{arm} ({_first(size, outside)}), "
                f"not {_first(count, outside)}"
            )
    return a, n, b, m


def _first(values: Array, wrong: Array) -> str:
    return f"{np.atleast_1d(values)[np.atleast_1d(wrong)][0]:.10g}"
