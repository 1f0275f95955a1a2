"""The card of a scorer: its error against counts made by hand and scikit-learn's, and its form."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from twofa_lab.errors import InputError
from twofa_lab.risk.model_card import ModelCard, area_under_curve, card_of, segment_errors
from twofa_lab.risk.training import Training


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=60))
def test_the_area_is_scikit_learns(rows: list[tuple[int, bool]]) -> None:
    scores, attack = np.array([s for s, _ in rows], float), np.array([a for _, a in rows])
    found = area_under_curve(scores, attack)
    if attack.all() or not attack.any():
        assert found is None
    else:
        assert found == pytest.approx(roc_auc_score(attack, scores))


def test_errors_by_hand() -> None:
    scores = np.append(np.arange(200) / 200, [0.999, 0.5])  # 198, 199 of 200 above 1 %
    attack = np.arange(202) >= 200
    first = np.arange(202) < 100
    whole, part = segment_errors(scores, attack, {"first": first, "no row": attack & ~attack},
                                 calibrated=True)  # fmt: skip
    assert (whole.logins, whole.attacks, whole.caught, whole.asked) == (202, 2, 0.5, 0.01)
    assert whole.predicted == pytest.approx(scores.mean())
    assert whole.observed == pytest.approx(2 / 202)
    assert whole.brier == pytest.approx(((scores - attack) ** 2).mean())
    assert (part.segment, part.logins, part.caught, part.asked) == ("first", 100, None, 0.0)


def test_weights_stand_for_that_many_logins() -> None:
    rng = np.random.default_rng(1)
    scores, attack = rng.random(300), rng.random(300) < 0.2
    times = rng.integers(1, 4, 300)
    again = np.repeat(np.arange(300), times)
    weighted = segment_errors(scores, attack, {}, calibrated=True, weights=times.astype(float))[0]
    repeated = segment_errors(scores[again], attack[again], {}, calibrated=True)[0]
    for name in ("caught", "asked", "predicted", "observed", "brier"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name))


def card(calibrated: bool = True) -> ModelCard:
    rows = Training(np.zeros((4, 1)), np.array([True, False, False, False]), np.arange(4))
    return card_of(
        "learned",
        ("new_device",),
        rows,
        rows,
        np.array([0.9, 0.1, 0.2, 0.1]),
        data={"world": "<b>"},
        history="risk-based",
        labels="truth",
        seed=7,
        calibrated=rows if calibrated else None,
    )


def test_a_card_goes_through_json_and_comes_back() -> None:
    assert ModelCard.from_dict(json.loads(json.dumps(card().to_dict()))) == card()
    with pytest.raises(InputError, match="card"):
        ModelCard.from_dict({"scorer": "learned"})


def test_a_card_renders_and_its_text_is_no_markup() -> None:
    html = card()._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    for told in ("1970-01-01", "risk-based", "new_device", "scikit-learn", "calibrated on"):
        assert told in str(card())
    assert "calibrated on" not in str(card(calibrated=False))
    assert card(calibrated=False).errors[0].brier is None
