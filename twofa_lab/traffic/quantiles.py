"""Draws by table: a uniform number picks a row of a distribution's quantiles.

A table of 4,096 equally likely values stands for the distribution, so that a compiled loop draws
from it with one look-up. Tests hold each table's mean and spread against theory.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from twofa_lab.tables import NEVER, Array

__all__ = ["NORMAL", "SIZE", "delay_table", "lognormal_table", "normal"]

SIZE = 4096
NORMAL: Array = ndtri((np.arange(SIZE) + 0.5) / SIZE).astype(np.float32)
"""Quantiles of the standard normal."""


def normal(uniform: Array) -> Array:
    """Standard normal values for uniforms in [0, 1); shape kept.

    >>> normal(np.array([0.5, 0.975], np.float32)).round(1).tolist()
    [0.0, 2.0]
    """
    values: Array = NORMAL[(uniform * SIZE).astype(np.int64)]
    return values


def lognormal_table(median: float, sigma: float) -> Array:
    """Quantiles of a log-normal, float64."""
    return median * np.exp(sigma * NORMAL.astype(np.float64))


def delay_table(loss: float, median_seconds: float, sigma: float) -> Array:
    """Deciseconds until a message arrives, uint16; the last `loss` of the table is `NEVER`.

    >>> table = delay_table(0.25, 2.0, 0.5)
    >>> float(np.mean(table == NEVER)), int(np.median(table[table != NEVER]))
    (0.25, 19)
    """
    arrives = round(SIZE * (1.0 - loss))
    table = np.full(SIZE, NEVER, np.uint16)
    if arrives:
        at = ndtri((np.arange(arrives) + 0.5) / arrives)
        table[:arrives] = np.clip(median_seconds * np.exp(sigma * at) * 10.0, 1, NEVER - 1)
    return table
