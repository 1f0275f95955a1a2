"""What a scorer says of a table of logins: a score a row, in words why, or why there is none."""

from __future__ import annotations

from typing import NamedTuple

from twofa_lab.tables import Array

__all__ = ["UNSCORED", "Scored"]

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
