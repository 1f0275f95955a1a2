"""The scorers of a contest: how each is fitted on the lesson, and what it says of a table.

An entrant is a function from a `Lesson` to anything with `score(table, vocabularies) -> Scored`,
the interface of every scorer of `twofa_lab.risk`. A password alone scores nothing, so it does not
take part; what it costs stands in the contest's table of costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # it has none

from twofa_lab.analysis.contest_field import Lesson
from twofa_lab.risk.anomaly import Anomaly
from twofa_lab.risk.freeman import LEVELS
from twofa_lab.risk.freeman_model import Freeman
from twofa_lab.risk.learned import Learned, vectors_as_it_came
from twofa_lab.risk.model_card import card_of
from twofa_lab.risk.rule_scorer import RuleScorer, fit_points
from twofa_lab.risk.scored import Scored
from twofa_lab.risk.signals import BITS, SignalRules
from twofa_lab.risk.training import fit_unconstrained
from twofa_lab.risk.vector import names
from twofa_lab.tables import Array

__all__ = ["ENTRANTS", "PROBABILITIES", "ByVector", "Entrant", "ScoresTables"]


class ScoresTables(Protocol):
    """What a contest asks of a scorer."""

    def score(
        self, table: Mapping[str, Array], vocabularies: Mapping[str, Sequence[str]]
    ) -> Scored:
        """A score a row of an account-major table, NaN where there is none."""
        ...


Entrant = Callable[[Lesson], ScoresTables]


@dataclass(frozen=True, eq=False)
class ByVector:
    """A scorer that is a function of vectors (rows, signals) and gives no reasons: an estimator of
    scikit-learn's, or one whose reasons cost more than its scores.
    """

    scores_of: Callable[[Array], Array]

    def score(
        self, table: Mapping[str, Array], vocabularies: Mapping[str, Sequence[str]]
    ) -> Scored:
        """A score for each login with the right password."""
        right = table["password_ok"] | table["signup"]
        score = np.full(len(right), np.nan)
        if right.any():
            score[right] = self.scores_of(vectors_as_it_came(table, vocabularies)[right])
        none = np.zeros(len(right), np.int32)
        return Scored(score, none, ("",), np.where(right, 0, 1).astype(np.uint8))


def _fitted_rules(lesson: Lesson) -> RuleScorer:
    values, at = lesson.training.values, names().index
    rules = SignalRules()
    failures = values[:, at("failures")].astype(np.int64)
    bits = np.where(failures >= rules.burst_count, BITS["failed_burst"], 0)
    for name in ("new_device", "new_country", "new_region", "odd_hour"):
        bits |= np.where(values[:, at(name)] > 0, BITS[name], 0)
    return RuleScorer(fit_points(bits, failures, lesson.training.attack, rules=rules))


def _freeman(lesson: Lesson) -> Freeman:
    training = lesson.training
    nobody = training.rows(np.zeros(len(training.time), np.bool_))  # the contest is what judges it
    card = card_of("freeman", LEVELS, training, nobody, np.empty(0), **lesson.about)
    return replace(Freeman.fit([lesson.past], lesson.words), card=card)


def _unconstrained(lesson: Lesson) -> ByVector:
    """The contrast to the learned scorer: trees free to combine signals and to turn them round."""
    found = fit_unconstrained(lesson.training.parts(), int(lesson.about["seed"]))

    def scores_of(values: Array) -> Array:
        with threadpool_limits(1):  # as in fitting (`training`)
            chances: Array = found.predict_proba(values)[:, 1]
        return chances

    return ByVector(scores_of)


def _anomaly(lesson: Lesson) -> ByVector:
    first = next(iter(lesson.training.parts().values()))
    most = max(1, min(256, len(first.time)))  # a small log has no 256 logins to draw
    found = Anomaly.fit(lesson.training, **lesson.about, max_samples=most)
    return ByVector(found.scores_of)


ENTRANTS: dict[str, Entrant] = {
    "rules": lambda _: RuleScorer(),
    "rules, fitted": _fitted_rules,
    "freeman": _freeman,
    "learned": lambda lesson: Learned.fit(lesson.training, **lesson.about),
    "unconstrained": _unconstrained,
    "anomaly": _anomaly,
}
"""By name: the guide's rules; their points fitted; Freeman et al.; boosted trees that are additive
and monotone; the same trees unconstrained; an isolation forest, which needs no labels."""

PROBABILITIES = ("learned", "unconstrained")
"""Entrants whose score is a probability."""
