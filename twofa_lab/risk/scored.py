"""What a scorer says of a table of logins: a score a row, in words why, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from twofa_lab.tables import Array

__all__ = ["UNSCORED", "Scored", "reasons_of"]

UNSCORED = ("", "wrong password", "a value is missing", "the account's first login")
"""Why a row has no score, by the code in `Scored.unscored`; 0 where it has one."""


class Scored(NamedTuple):
    """One entry a row of the logins table. `score`: float64, NaN where there is none. `reason`: a
    code into the texts `reasons`. `unscored`: uint8, a code into `UNSCORED`.
    """

    score: Array
    reason: Array
    reasons: tuple[str, ...]
    unscored: Array


def reasons_of(told: Array, names: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    """`Scored.reason` and `Scored.reasons` of a mask (rows, names): the names told of each row.

    >>> reasons_of(np.array([[True, True], [False, True]]), ("new_device", "odd_hour"))
    (array([1, 0], dtype=int32), ('odd_hour', 'new_device; odd_hour'))
    """
    masks, reason = np.unique(
        told @ (1 << np.arange(len(names), dtype=np.int32)), return_inverse=True
    )
    reasons = tuple(
        "; ".join(name for at, name in enumerate(names) if mask >> at & 1)
        for mask in masks.tolist()
    )
    return reason.astype(np.int32), reasons
