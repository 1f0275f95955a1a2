"""Freeman's scorer inside a closed loop: the global part is columns, the account's part is state.

The score s is a likelihood ratio without a bound; a policy's thresholds lie in [0, 1], so a policy
sees the risk s / (1 + s), which orders logins alike: 0.5 is a login as likely of this account as of
anybody.
"""

from __future__ import annotations

from typing import NamedTuple

from twofa_lab.compiled import part
from twofa_lab.risk.codebook import MISSING
from twofa_lab.risk.freeman import (
    AccountCounts,
    account_shares,
    record_account,
    score_of,
)
from twofa_lab.tables import Array

__all__ = ["FreemanState", "freeman_risk", "record_freeman", "risk_of"]


class FreemanState(NamedTuple):
    """`codes` and `shares`: `Freeman.columns` of the rows, read-only. `account`: a workspace for
    accounts of no more than `values` distinct values.
    """

    codes: Array
    shares: Array
    account: AccountCounts
    values: int


@part
def risk_of(score: float) -> float:
    """The risk in [0, 1) of a Freeman score.

    >>> risk_of(1.0), risk_of(4.0)
    (0.5, 0.8)
    """
    return score / (1.0 + score)


@part
def _is_whole(codes, i):  # type: ignore[no-untyped-def]
    """Whether row `i` has a value on every level."""
    for level in range(7):  # noqa: SIM110 - compiled
        if codes[level, i] == MISSING:
            return False
    return True


@part
def freeman_risk(state, i):  # type: ignore[no-untyped-def]
    """The risk of row `i`; -1 where it has none: a value is missing, or the account has no past."""
    if not _is_whole(state.codes, i):
        return -1.0
    address, client, completed, _ = account_shares(state.account, state.codes, i)
    if completed == 0:
        return -1.0
    shares = state.shares
    return risk_of(score_of(shares[0, i], shares[1, i], shares[2, i], address, client, completed))


@part
def record_freeman(state, i):  # type: ignore[no-untyped-def]
    """Enter row `i`, a completed login; one with a missing value leaves nothing behind."""
    if _is_whole(state.codes, i):
        record_account(state.account, state.codes, i)
