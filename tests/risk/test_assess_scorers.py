"""The real flow judges by the rules; other policies are refused before the first login."""

from __future__ import annotations

import pytest

from twofa_lab.errors import InputError
from twofa_lab.risk.assess import Assessor
from twofa_lab.risk.policy import Policy


@pytest.mark.parametrize("scorer", ["freeman", "learned"])
def test_a_fitted_scorer_is_refused(scorer: str) -> None:
    with pytest.raises(InputError, match=f"policy p: the real flow .* goes by {scorer}"):
        Assessor(Policy.model_validate({"name": "p", "scorer": scorer, "model": "m.skops"}))
