"""The learned scorer: boosted trees, monotone and additive, folded into a table a signal.

What it says is a probability that a login with the right password is an attack, calibrated on a
later period than it was fitted on. It is the sum of one entry a signal (on the log-odds), so that
an explanation is exact, and more of a suspicious signal never lowers it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from twofa_lab.compiled import loop
from twofa_lab.risk.additive import (
    Additive,
    contributions,
    fold,
    log_odds_of,
    probability,
    score_rows,
)
from twofa_lab.risk.features import FeaturePast, start_feature_past
from twofa_lab.risk.history import (
    History,
    new_history,
    record_completed,
    record_failed_password,
    start_account,
)
from twofa_lab.risk.model_card import ModelCard, card_of
from twofa_lab.risk.one_account import OneAccount, Seen
from twofa_lab.risk.scored import Scored, reasons_of
from twofa_lab.risk.signals import SignalRules, local_hour, read_signals
from twofa_lab.risk.told import as_html, as_text
from twofa_lab.risk.training import TREES, Training, fit_trees
from twofa_lab.risk.vector import (
    VECTOR,
    SignalColumns,
    feature_past_of,
    names,
    read_vector,
    record_row,
    signal_columns,
)
from twofa_lab.tables import Array

__all__ = ["Learned", "LearnedExplanation", "vectors_as_it_came"]

_TOLD = 0.05  # log-odds: what adds less is not told among the reasons
_WRONG_PASSWORD = 1  # place in `UNSCORED`
_CHUNK = 1 << 18


@dataclass(frozen=True)
class LearnedExplanation:
    """Why a login got its probability; renders itself. `contributions` are log-odds against the
    average login; with `intercept` they add up to the score's. `reasons`: the largest in words.
    """

    score: float
    intercept: float
    contributions: dict[str, float]
    values: dict[str, float]
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return as_text(self._summary(), self.reasons)

    def _repr_html_(self) -> str:
        return as_html(self._summary(), self.reasons)

    def _summary(self) -> str:
        return f"probability of an attack {self.score:.3g}"


@dataclass(frozen=True, eq=False)
class Learned:
    """A fitted scorer. `estimator` is scikit-learn's own, kept to check the tables against."""

    additive: Additive
    estimator: Any
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
    ) -> Learned:
        """Fit on past logins, split by time as `training.SHARES` says.

        `data`, `history` and `labels` go into the card. `settings` are scikit-learn's of
        `HistGradientBoostingClassifier`. `InputError` where there are too few attacks.
        """
        parts = training.parts()
        estimator = fit_trees(parts, seed, **settings)
        first, second, last = parts.values()
        additive = fold(estimator, first.values, first.weights)
        scores = np.zeros(len(last.values))
        score_rows(additive, last.values, scores)
        card = card_of(
            "learned", names(), first, last, scores, data=data, history=history, labels=labels,
            seed=seed, calibrated=second, calibration="sigmoid (Platt 1999)",
            settings=TREES | settings,
        )  # fmt: skip
        return cls(additive, estimator, card)

    def score(
        self,
        table: Mapping[str, Array],
        vocabularies: Mapping[str, Sequence[str]],
        *,
        rules: SignalRules | None = None,
        advance: Callable[[float], object] | None = None,
    ) -> Scored:
        """Score each login with the right password of an account-major table, which has the columns
        `BESIDE`, against its account's rows before it (open loop).
        """
        right = table["password_ok"] | table["signup"]
        values = vectors_as_it_came(table, vocabularies, rules, advance=advance)
        score = self.probabilities(values)
        score[~right] = np.nan
        added = contributions(self.additive, values) > _TOLD
        reason, reasons = reasons_of(added, names())
        unscored = np.where(right, 0, _WRONG_PASSWORD).astype(np.uint8)
        return Scored(score, reason, reasons, unscored)

    def probabilities(self, values: Array) -> Array:
        """The probability of an attack for vectors (rows, signals), float32."""
        scores = np.zeros(len(values))
        score_rows(self.additive, values, scores)
        return scores

    def account(self) -> OneAccount:
        """A new account, to score its logins one at a time."""
        return OneAccount(self)

    def judge(self, seen: Seen) -> float:
        """The score of one login that was seen."""
        return float(_score_one(self.additive, seen.values))

    def explain(self, seen: Seen) -> LearnedExplanation:
        """The score of one login taken apart, exactly."""
        added = contributions(self.additive, seen.values[None, :])[0].tolist()
        values = dict(zip(names(), seen.values.tolist(), strict=True))
        order = sorted(range(len(VECTOR)), key=lambda at: -added[at])
        told = [
            f"{added[at]:+.2f} {VECTOR[at].name} {seen.values[at]:.4g}: {VECTOR[at].meaning}"
            for at in order
            if abs(added[at]) > _TOLD
        ]
        return LearnedExplanation(
            self.judge(seen),
            float(self.additive.intercept[0]),
            dict(zip(names(), added, strict=True)),
            values,
            tuple(told),
        )


@loop
def _score_one(additive: Additive, values: Array) -> float:
    return probability(log_odds_of(additive, values))


def vectors_as_it_came(
    table: Mapping[str, Array],
    vocabularies: Mapping[str, Sequence[str]],
    rules: SignalRules | None = None,
    *,
    advance: Callable[[float], object] | None = None,
) -> Array:
    """The vector of every row of an account-major table with the columns `BESIDE`, float32 (rows,
    signals). Open loop: every login with the right password counts as completed.
    """
    columns = signal_columns(table, vocabularies)
    basic = [
        np.ascontiguousarray(table[name])
        for name in ("time", "utc_offset_min", "device_id", "country", "region")
    ]
    right, rows, user = table["password_ok"] | table["signup"], len(table["time"]), table["user_id"]
    starts = np.append(np.flatnonzero(np.append(True, user[1:] != user[:-1])[:rows]), rows)
    completed = np.diff(np.append(0, np.cumsum(right))[starts])
    places = (len(vocabularies["country"]), len(vocabularies["region"]))
    history = new_history(int(completed.max(initial=1)), *places)
    past, values = feature_past_of(columns), np.zeros((rows, len(VECTOR)), np.float32)
    a = 0
    while a < len(completed):
        b = max(int(np.searchsorted(starts, starts[a] + _CHUNK, side="right")) - 1, a + 1)
        _walk(
            starts[a : b + 1], completed[a:b], *basic, right, columns, rules or SignalRules(),
            history, past, values,
        )  # fmt: skip
        if advance:
            advance(float(starts[b] - starts[a]))
        a = b
    return values


@loop
def _walk(
    starts: Array,
    completed: Array,
    time: Array,
    offset: Array,
    device_id: Array,
    country: Array,
    region: Array,
    right: Array,
    columns: SignalColumns,
    rules: SignalRules,
    history: History,
    past: FeaturePast,
    values: Array,
) -> None:
    for a in range(len(completed)):
        start_account(history, completed[a])
        start_feature_past(past)
        for i in range(starts[a], starts[a + 1]):
            hour = local_hour(time[i], offset[i])
            device = np.int64(device_id[i])
            bits, failures, slot, known = read_signals(
                history, rules, time[i], hour, device, country[i], region[i]
            )
            read_vector(columns, i, past, time[i], bits, failures, values[i])
            if right[i]:
                record_completed(
                    history, slot, known, time[i], hour, device, country[i], region[i], False
                )
                record_row(columns, i, past, time[i])
            else:
                record_failed_password(history, time[i])
