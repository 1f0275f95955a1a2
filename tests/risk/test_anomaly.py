"""The baseline without labels: scikit-learn's own scores, as a scorer like the others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from tests.risk.test_additive import TRAINING
from twofa_lab.errors import InputError
from twofa_lab.risk.anomaly import Anomaly, Forest, forest_is_sound, forest_of
from twofa_lab.risk.model_file import TRUSTED, load_scorer, save_scorer
from twofa_lab.risk.one_account import Seen
from twofa_lab.risk.training import fit_isolation
from twofa_lab.risk.vector import VECTOR, names

DAY, NOON = 86_400_000, 1_767_614_400_000


@pytest.fixture(scope="module")
def fitted() -> Anomaly:
    return Anomaly.fit(TRAINING, data={"world": "made up"}, history="none", seed=4)


@pytest.mark.parametrize(
    "settings",
    [{}, {"n_estimators": 7, "max_samples": 2}, {"max_samples": 1.0}, {"max_features": 0.4}],
)
def test_scores_are_scikit_learns_own(settings: dict[str, Any]) -> None:
    first, *_ = TRAINING.parts().values()
    found = Anomaly.fit(TRAINING, data={}, history="none", seed=4, **settings)
    model = fit_isolation(first, 4, **settings)
    for values in (TRAINING.values, -TRAINING.values, 1e9 * TRAINING.values):
        expected = -model.score_samples(values)
        np.testing.assert_allclose(found.scores_of(values), expected, rtol=0, atol=1e-12)


def test_labels_and_weights_serve_for_the_error_alone(fitted: Anomaly) -> None:
    nobody = np.zeros(len(TRAINING.attack), np.bool_)
    unlabelled = type(TRAINING)(TRAINING.values, nobody, TRAINING.time)
    again = Anomaly.fit(unlabelled, data={"world": "made up"}, history="none", seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(fitted.forest, again.forest, strict=True))
    assert fitted.card.labels.startswith("for the error alone")
    assert fitted.card.errors[0].auc is not None
    assert fitted.card.errors[0].predicted is None  # a score, no probability
    assert again.card.errors[0].auc is None
    assert fitted.card.settings == {"n_estimators": 100, "max_samples": 256}


def test_one_login_is_scored_and_explained_as_in_a_table(fitted: Anomaly) -> None:
    values = TRAINING.values[:40]
    scores = fitted.scores_of(values)
    for row in range(len(values)):
        seen = Seen(0, 0, values[row])
        assert fitted.judge(seen) == scores[row]
        told = fitted.explain(seen)
        for at, name in enumerate(names()):
            usual = values[row : row + 1].copy()
            usual[0, at] = np.median(next(iter(TRAINING.parts().values())).values[:, at])
            assert told.falls[name] == pytest.approx(scores[row] - fitted.scores_of(usual)[0])
        assert len(told.reasons) == sum(fall > 0.01 for fall in told.falls.values())
    assert "anomaly score" in str(told)
    assert "anomaly score" in told._repr_html_()


def test_an_account_grows_ordinary_as_it_is_known(fitted: Anomaly) -> None:
    account = fitted.account()
    login = {"time": NOON, "device_id": 7, "country": "US", "region": "VA", "asn": 3}
    before = account.explain(login)
    account.record(login)
    after = account.explain(login | {"time": NOON + DAY})
    assert before.values["new_device"] == 1.0
    assert after.values["new_device"] == 0.0


def test_it_comes_back_from_a_file(fitted: Anomaly, tmp_path: Path) -> None:
    found = load_scorer(save_scorer(fitted, tmp_path / "a.skops"))
    assert isinstance(found, Anomaly)
    assert found.card == fitted.card
    assert np.array_equal(found.typical, fitted.typical)
    assert np.array_equal(found.scores_of(TRAINING.values), fitted.scores_of(TRAINING.values))


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("left", lambda a: np.where(a >= 0, 0, a)),  # a walk that never ends
        ("right", lambda a: np.where(a >= 0, len(a), a)),
        ("feature", lambda a: np.where(a >= 0, len(VECTOR), a)),
        ("roots", lambda a: a - 1),
        ("roots", lambda a: a[:0]),
        ("length", lambda a: a[1:]),
        ("threshold", lambda a: a + np.nan),
        ("unit", lambda a: a * 0),
    ],
)
def test_a_file_whose_trees_lead_astray_is_refused(
    fitted: Anomaly, tmp_path: Path, part: str, change: Any
) -> None:
    broken = fitted.forest._replace(**{part: change(getattr(fitted.forest, part))})
    assert forest_is_sound(fitted.forest, fitted.typical)
    assert not forest_is_sound(broken, fitted.typical)
    path = tmp_path / "a.skops"
    content = skops.io.load(save_scorer(fitted, path), trusted=list(TRUSTED))
    skops.io.dump(content | {"forest": list(broken)}, path)
    with pytest.raises(InputError, match=r"a\.skops: its trees do not fit together"):
        load_scorer(path)


def test_a_forest_is_plain_arrays(fitted: Anomaly) -> None:
    first, *_ = TRAINING.parts().values()
    forest = forest_of(fit_isolation(first, 4))
    assert isinstance(forest, Forest)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **forest._asdict())
    assert len(forest.roots) == 100
