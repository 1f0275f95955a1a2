"""Which thresholds keep the challenge rate within a budget, with a stated risk of being wrong.

Learn then Test (Angelopoulos, Bates, Candes, Jordan and Lei 2021): each threshold's null, "its
challenge rate exceeds the budget", gets a p-value that holds for any number of accounts; they are
tested from the highest threshold down, and the first that cannot be rejected ends it. The chance
that *any* threshold passed wrongly is then at most the level, so one is free to pick among them.

The unit is the account, since one account's logins are not independent. With c challenges among its
n legitimate logins and a budget R, the rate over all logins exceeds R just if the sum of c - R n is
expected to be above 0. Row by row, or by Hoeffding and Bentkus over accounts, the p-value would be
wrong or useless: n has a long tail. So it comes from betting (Waudby-Smith and Ramdas 2024): wealth
multiplied by 1 - lambda (c - R n) at each account does not grow in expectation under the null,
whatever the accounts' distributions; one over the wealth is a p-value (Markov). Stakes are spread
over several lambda beforehand ("diversified Kelly"), so the result depends on no order of accounts,
and the logarithms add up over shards.

No wealth may be lost to one account alone, so that c - R n is cut at a `cap`: what a few accounts
are challenged beyond it is left out of what is guaranteed. Callers show how much that was, and ask
for the plain rate to be within the budget as well. The guarantee speaks of accounts like these in
times like these: not of drift, nor of assumptions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.tables import Array

__all__ = ["STAKES", "Evidence", "evidence", "pvalues", "within_budget"]

STAKES = 0.9 * 2.0 ** -np.arange(8)
"""Bets, as shares of what an account could lose. Half of the wealth is on the first, which is best
for few accounts; the rest is spread evenly.
"""

_SHARES = np.array([0.5, *[0.5 / (len(STAKES) - 1)] * (len(STAKES) - 1)])


class Evidence(NamedTuple):
    """What the bets made of some accounts, as logarithms, shape (thresholds, stakes); and the
    challenges left out by the cap, shape (thresholds,). Both add up over shards.
    """

    wealth: Array
    cut: Array


def evidence(challenged: Array, legitimate: Array, budget: float, cap: float) -> Evidence:
    """`challenged`: shape (thresholds, accounts); `legitimate`: (accounts,); `cap` above 0."""
    excess = challenged - budget * legitimate
    kept = np.minimum(excess, cap) / cap
    wealth = np.stack([np.log1p(-stake * kept).sum(axis=1) for stake in STAKES], axis=1)
    return Evidence(wealth, np.maximum(excess - cap, 0.0).sum(axis=1))


def pvalues(wealth: Array) -> Array:
    """One p-value a threshold, of "the challenge rate exceeds the budget".

    >>> nobody_asked = evidence(np.zeros((1, 500)), np.full(500, 10), 0.05, 4)
    >>> pvalues(nobody_asked.wealth).round(9).tolist()
    [0.0]
    >>> everybody_asked = evidence(np.full((1, 500), 10), np.full(500, 10), 0.05, 4)
    >>> pvalues(everybody_asked.wealth).tolist(), everybody_asked.cut.tolist()
    ([1.0], [2750.0])
    """
    total = np.logaddexp.reduce(wealth + np.log(_SHARES), axis=1)
    return np.exp(-np.maximum(total, 0.0))


def within_budget(pvalue: Array, level: float) -> Array:
    """Which thresholds pass, given in order from the highest threshold down; shape (thresholds,).

    >>> within_budget(np.array([0.0, 0.01, 0.2, 0.0]), 0.05).tolist()
    [True, True, False, False]
    """
    from mapie.risk_control import control_fwer

    passed = np.zeros(len(pvalue), bool)
    passed[control_fwer(pvalue, level, "fixed_sequence")] = True
    return passed
