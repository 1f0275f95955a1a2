"""The learned scorer's state inside a closed loop."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.risk.additive import Additive
from twofa_lab.risk.features import FeaturePast
from twofa_lab.risk.vector import VECTOR, SignalColumns, feature_past_of
from twofa_lab.tables import Array

__all__ = ["LearnedState", "deciding", "noting"]


class LearnedState(NamedTuple):
    """`columns`: what is read of the rows. `past`: a workspace. `additive`: the model, which the
    policy goes by if it `decides`. `values` takes the vector of row i in row `i & mask`, float32:
    a mask of 0 keeps the last, one of all bits each of them.
    """

    columns: SignalColumns
    past: FeaturePast
    additive: Additive
    values: Array
    mask: int
    decides: bool


def deciding(columns: SignalColumns, additive: Additive) -> LearnedState:
    """A state for a policy that goes by the model."""
    values = np.zeros((1, len(VECTOR)), np.float32)
    return LearnedState(columns, feature_past_of(columns), additive, values, 0, decides=True)


def noting(columns: SignalColumns, additive: Additive | None = None) -> LearnedState:
    """A state that notes the vector of every login judged, in `values`; without a model the policy
    goes by something else.
    """
    values = np.zeros((len(columns.asn), len(VECTOR)), np.float32)
    nothing = Additive(np.zeros((1, 1)), np.zeros(0, np.int64), np.zeros((1, 1)), np.zeros(1))
    return LearnedState(
        columns, feature_past_of(columns), additive or nothing, values, -1, additive is not None
    )
