"""The baseline without labels: an isolation forest (Liu, Ting and Zhou 2008) over the same signals.

A login that random splits set apart soon is unlike the others. That says nothing of attacks: the
score measures what a scorer with labels must beat. The trees are scikit-learn's, laid out as plain
arrays, so that a file of them holds no foreign objects and one login is judged in microseconds.
It ranks logins of a table (open loop); no policy goes by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from twofa_lab.compiled import loop, part
from twofa_lab.errors import InputError
from twofa_lab.risk.learned import vectors_as_it_came
from twofa_lab.risk.model_card import ModelCard, card_of
from twofa_lab.risk.one_account import OneAccount, Seen
from twofa_lab.risk.scored import Scored, reasons_of
from twofa_lab.risk.signals import SignalRules
from twofa_lab.risk.told import as_html, as_text
from twofa_lab.risk.training import Training, fit_isolation
from twofa_lab.risk.vector import VECTOR, names
from twofa_lab.tables import Array

__all__ = ["Anomaly", "AnomalyExplanation", "Forest", "forest_is_sound", "forest_of"]

_TOLD = 0.01  # of the score: what lowers it by less is not told among the reasons
_ORDINARY = 0.5  # what scores no more is no anomaly (Liu, Ting and Zhou 2008, section 2)
_WRONG_PASSWORD = 1  # place in `UNSCORED`


class Forest(NamedTuple):
    """All trees' nodes in one row each, parents before children; `roots` are the trees'.

    A login goes `left` where its signal `feature` is at most `threshold`. A leaf has feature -1 and
    a `length`: its depth, and for several logins left in it the mean depth of a random tree of so
    many. `unit`, shape (1,): that mean depth for the sample a tree was made from.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    length: Array
    roots: Array
    unit: Array


@dataclass(frozen=True)
class AnomalyExplanation:
    """Why a login got its score; renders itself.

    `falls`: by how much the score falls where one signal alone is set to what is `typical`, the
    median of the logins fitted on. Signals act together, so that falls do not add up to the score.
    """

    score: float
    falls: dict[str, float]
    values: dict[str, float]
    typical: dict[str, float]
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return as_text(self._summary(), self.reasons)

    def _repr_html_(self) -> str:
        return as_html(self._summary(), self.reasons)

    def _summary(self) -> str:
        kind = "unlike most logins" if self.score > _ORDINARY else "an ordinary login"
        return f"anomaly score {self.score:.3f}: {kind}"


@dataclass(frozen=True, eq=False)
class Anomaly:
    """A fitted scorer: 0 to 1, higher for what is rarer, and no probability."""

    forest: Forest
    typical: Array
    card: ModelCard

    @classmethod
    def fit(
        cls,
        training: Training,
        *,
        data: Mapping[str, Any],
        history: str,
        labels: str = "all attacks, as only a simulator knows them",
        seed: int = 0,
        **settings: Any,
    ) -> Anomaly:
        """Fit on past logins, split by time as `training.SHARES` says; labels and weights serve for
        the card's error alone. `settings` are scikit-learn's of `IsolationForest`.

        >>> values = np.random.default_rng(0).random((500, len(VECTOR))).astype(np.float32)
        >>> past = Training(values, np.zeros(500, np.bool_), np.arange(500))
        >>> found = Anomaly.fit(past, data={"world": "made up"}, history="none")
        >>> bool(found.scores_of(3 * values)[0] > found.scores_of(values)[0])
        True
        """
        first, *_, last = training.parts().values()
        if not len(first.values) or not len(last.values):
            raise InputError("there are no logins to fit an anomaly scorer on: take more users")
        model = fit_isolation(first, seed, **settings)
        forest = forest_of(model)
        scores = np.zeros(len(last.values))
        _score_rows(forest, last.values, scores)
        card = card_of(
            "anomaly", names(), first, last, scores, data=data, history=history,
            labels=f"for the error alone: {labels}", seed=seed,
            settings={name: model.get_params()[name] for name in ("n_estimators", "max_samples")}
            | settings,
        )  # fmt: skip
        return cls(forest, np.median(first.values, axis=0).astype(np.float32), card)

    def score(
        self,
        table: Mapping[str, Array],
        vocabularies: Mapping[str, Sequence[str]],
        *,
        rules: SignalRules | None = None,
        advance: Callable[[float], object] | None = None,
    ) -> Scored:
        """Score each login with the right password of an account-major table, which has the columns
        `BESIDE`, against its account's rows before it (open loop). Reasons are told of scores above
        0.5.
        """
        right = table["password_ok"] | table["signup"]
        values = vectors_as_it_came(table, vocabularies, rules, advance=advance)
        score = self.scores_of(values)
        score[~right] = np.nan
        told = np.zeros(values.shape, np.bool_)
        rare = np.flatnonzero(score > _ORDINARY)
        told[rare] = self._falls(values[rare], score[rare]) > _TOLD
        reason, reasons = reasons_of(told, names())
        unscored = np.where(right, 0, _WRONG_PASSWORD).astype(np.uint8)
        return Scored(score, reason, reasons, unscored)

    def scores_of(self, values: Array) -> Array:
        """The scores of vectors (rows, signals), float32."""
        scores = np.zeros(len(values))
        _score_rows(self.forest, np.ascontiguousarray(values), scores)
        return scores

    def account(self) -> OneAccount:
        """A new account, to score its logins one at a time."""
        return OneAccount(self)

    def judge(self, seen: Seen) -> float:
        """The score of one login that was seen."""
        return float(_score_one(self.forest, seen.values))

    def explain(self, seen: Seen) -> AnomalyExplanation:
        """The score of one login, and which signals it hangs on."""
        score = self.judge(seen)
        falls = self._falls(seen.values[None, :], np.array([score]))[0].tolist()
        order = sorted(range(len(VECTOR)), key=lambda at: -falls[at])
        told = [
            f"-{falls[at]:.3f} with the usual {VECTOR[at].name} "
            f"({self.typical[at]:.4g}, not {seen.values[at]:.4g}): {VECTOR[at].meaning}"
            for at in order
            if falls[at] > _TOLD
        ]
        values, usual = seen.values.tolist(), self.typical.tolist()
        return AnomalyExplanation(
            score,
            dict(zip(names(), falls, strict=True)),
            dict(zip(names(), values, strict=True)),
            dict(zip(names(), usual, strict=True)),
            tuple(told),
        )

    def _falls(self, values: Array, scores: Array) -> Array:
        """What each signal at its typical value takes off the scores (rows, signals)."""
        found = np.zeros(values.shape)
        for at in range(len(VECTOR)):
            usual = values.copy()
            usual[:, at] = self.typical[at]
            found[:, at] = scores - self.scores_of(usual)
        return found


def forest_of(model: Any) -> Forest:
    """The trees of a fitted `IsolationForest` as arrays; scores equal `-score_samples` to 1e-12."""
    columns: list[list[Array]] = [[] for _ in range(5)]
    roots, before = [], 0
    for estimator, chosen in zip(model.estimators_, model.estimators_features_, strict=True):
        tree = estimator.tree_
        inner = tree.children_left >= 0
        depth = tree.compute_node_depths() - 1.0  # scikit-learn's root has depth 1
        for column, values in zip(
            columns,
            (
                np.where(inner, chosen[np.maximum(tree.feature, 0)], -1),
                np.where(inner, tree.threshold, 0.0),
                np.where(inner, tree.children_left + before, -1),
                np.where(inner, tree.children_right + before, -1),
                depth + _mean_depth(tree.n_node_samples),
            ),
            strict=True,
        ):
            column.append(values)
        roots.append(before)
        before += tree.node_count
    feature, threshold, left, right, length = map(np.concatenate, columns)
    unit = _mean_depth(np.array([model.max_samples_]))
    return Forest(feature, threshold, left, right, length, np.array(roots), unit)


def _mean_depth(logins: Array) -> Array:
    """The mean depth at which a random tree of so many logins ends (equation 1 of the source)."""
    n = np.maximum(logins, 3).astype(np.float64)
    many = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.where(logins <= 1, 0.0, np.where(logins == 2, 1.0, many))


def forest_is_sound(forest: Forest, typical: Array) -> bool:
    """Whether compiled code may walk these arrays: it does not look at bounds."""
    feature, threshold, left, right, length, roots, unit = forest
    nodes, at = len(feature), np.arange(len(feature))
    if any(a.shape != (nodes,) for a in (threshold, left, right, length)):
        return False
    if typical.shape != (len(VECTOR),) or unit.shape != (1,) or roots.ndim != 1 or not len(roots):
        return False
    inner = feature >= 0
    children = np.concatenate([left[inner], right[inner]])
    return bool(
        (feature < len(VECTOR)).all()
        and (children > np.tile(at[inner], 2)).all()  # so that every walk ends
        and (children < nodes).all()
        and (roots >= 0).all()
        and (roots < nodes).all()
        and all(np.isfinite(a).all() for a in (threshold, length, typical))
        and np.isfinite(unit[0])
        and unit[0] > 0
    )


@part
def _walk(forest, values):  # type: ignore[no-untyped-def]
    """The score of one vector."""
    total = 0.0
    for root in forest.roots:
        node = root
        while forest.feature[node] >= 0:
            if values[forest.feature[node]] <= forest.threshold[node]:
                node = forest.left[node]
            else:
                node = forest.right[node]
        total += forest.length[node]
    return 2.0 ** (-total / (len(forest.roots) * forest.unit[0]))


@loop
def _score_one(forest: Forest, values: Array) -> float:
    return _walk(forest, values)


@loop
def _score_rows(forest: Forest, values: Array, scores: Array) -> None:
    for i in range(len(values)):
        scores[i] = _walk(forest, values[i])
