"""What a fitted scorer says of itself: data, period, signals, calibration, error by segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.risk.training import SHARES, Training
from twofa_lab.sheet import Sheet, number, percent
from twofa_lab.tables import Array

__all__ = ["ModelCard", "SegmentError", "area_under_curve", "card_of", "segment_errors"]


@dataclass(frozen=True)
class SegmentError:
    """A scorer on later logins of one segment that it was not fitted on.

    `auc`: the chance that an attack scores above a legitimate login (None without either).
    `caught`: share of the segment's attacks above the score that 1 % of all legitimate logins
    exceed, and `asked` the share of the segment's legitimate logins above it. `predicted`: mean
    probability (None: the score is none), beside the share `observed`; `brier`: its mean squared
    error.
    """

    segment: str
    logins: int
    attacks: int
    auc: float | None
    caught: float | None
    asked: float | None
    predicted: float | None
    observed: float
    brier: float | None


@dataclass(frozen=True)
class ModelCard:
    """The card of one scorer; renders itself. Times are ms since 1970 UTC.

    `data`: the world's name, fingerprint, users and where its human side comes from. `period`: the
    first and last login of each part, `counts` its logins and attacks. `history`: the policy whose
    closed loop shaped what was seen. `labels`: what was taken for an attack.
    """

    scorer: str
    data: dict[str, Any]
    period: dict[str, tuple[int, int]]
    counts: dict[str, tuple[int, int]]
    history: str
    labels: str
    signals: tuple[str, ...]
    calibration: str
    errors: tuple[SegmentError, ...]
    seed: int
    settings: dict[str, Any]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """For JSON and for the model file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ModelCard:
        """The card of `to_dict`; `InputError` if it is none."""
        try:
            given = dict(content)
            given["errors"] = tuple(SegmentError(**error) for error in given["errors"])
            given["signals"] = tuple(given["signals"])
            for name in ("period", "counts"):
                given[name] = {key: tuple(pair) for key, pair in given[name].items()}
            return cls(**given)
        except (TypeError, KeyError, ValueError, AttributeError):
            raise InputError("the model's card is not one of this version") from None

    def table(self) -> Sheet:
        """Where the scorer comes from."""
        rows = [("scorer", self.scorer), *((key, str(v)) for key, v in self.data.items())]
        for part, (first, last) in self.period.items():
            logins, attacks = self.counts[part]
            told = f"{_day(first)} to {_day(last)}: {number(logins)} logins, {number(attacks)}"
            rows.append((part, f"{told} attacks"))
        rows += [
            ("history shaped by", self.history),
            ("labels", self.labels),
            ("signals", ", ".join(self.signals)),
            ("calibration", self.calibration),
            *((key, str(value)) for key, value in self.settings.items()),
            ("seed", str(self.seed)),
            ("versions", ", ".join(f"{key} {value}" for key, value in self.versions.items())),
        ]
        return Sheet("Model card", ("", "is"), tuple(rows), prose=True)

    def error_table(self) -> Sheet:
        """The scorer's error by segment, on later logins than it was fitted on."""
        rows = [
            (
                error.segment, number(error.logins), number(error.attacks),
                "n/a" if error.auc is None else f"{error.auc:.3f}",
                _share(error.caught), _share(error.asked), _share(error.predicted),
                percent(error.observed), "n/a" if error.brier is None else f"{error.brier:.2g}",
            )
            for error in self.errors
        ]  # fmt: skip
        return Sheet(
            "Error on later logins",
            ("segment", "logins", "attacks", "AUC", "caught", "asked", "predicted", "observed",
             "Brier"),
            tuple(rows),
            "caught, asked: above the score that 1 % of all legitimate logins exceed",
        )  # fmt: skip

    def __str__(self) -> str:
        return f"{self.table()}\n\n{self.error_table()}"

    def _repr_html_(self) -> str:
        return self.table().to_html() + self.error_table().to_html()


def card_of(
    scorer: str,
    signals: tuple[str, ...],
    fitted: Training,
    judged: Training,
    scores: Array,
    *,
    data: Mapping[str, Any],
    history: str,
    labels: str,
    seed: int,
    calibrated: Training | None = None,
    calibration: str = "none: a score, no probability",
    settings: Mapping[str, Any] | None = None,
) -> ModelCard:
    """The card of a scorer that gave `scores` to the logins `judged`; with `calibrated` they are
    probabilities.
    """
    parts = dict(zip(SHARES, (fitted, calibrated, judged), strict=True))
    told = {name: part for name, part in parts.items() if part is not None and len(part.time)}
    return ModelCard(
        scorer=scorer,
        data=dict(data),
        period={n: (int(p.time.min()), int(p.time.max())) for n, p in told.items()},
        counts={n: (len(p.attack), int(p.attack.sum())) for n, p in told.items()},
        history=history,
        labels=labels,
        signals=signals,
        calibration=calibration,
        errors=segment_errors(
            scores, judged.attack, judged.segments,
            calibrated=calibrated is not None, weights=judged.weights,
        ),
        seed=seed,
        settings=dict(settings or {}),
        versions=_versions(),
    )  # fmt: skip


def _versions() -> dict[str, str]:
    """The versions that a fit depends on."""
    return {name: version(name) for name in ("twofa-lab", "scikit-learn", "numpy")}


def segment_errors(
    scores: Array,
    attack: Array,
    segments: Mapping[str, Array],
    *,
    calibrated: bool,
    weights: Array | None = None,
) -> tuple[SegmentError, ...]:
    """A scorer's error overall and by segment; `segments` maps a name to a mask of the rows.

    `calibrated`: the scores are probabilities. `weights` weigh the rows in means and shares, where
    they are a sample of what they stand for.
    """
    weight = np.ones(len(scores)) if weights is None else weights
    legitimate = ~attack
    limit = _limit(scores[legitimate], weight[legitimate], 0.01)
    return tuple(
        _segment_error(name, scores[rows], attack[rows], weight[rows], limit, calibrated)
        for name, rows in {"all": np.ones(len(scores), np.bool_), **segments}.items()
        if rows.any()
    )


def _segment_error(
    name: str, scores: Array, attack: Array, weight: Array, limit: float, calibrated: bool
) -> SegmentError:
    def share(of: Array, rows: Array) -> float | None:
        total = weight[rows].sum()
        return float((of[rows] * weight[rows]).sum() / total) if total else None

    every = np.ones(len(scores), np.bool_)
    above = scores > limit
    return SegmentError(
        segment=name,
        logins=len(scores),
        attacks=int(attack.sum()),
        auc=area_under_curve(scores, attack),
        caught=share(above, attack),
        asked=share(above, ~attack),
        predicted=share(scores, every) if calibrated else None,
        observed=share(attack.astype(float), every) or 0.0,
        brier=share((scores - attack) ** 2, every) if calibrated else None,
    )


def _limit(scores: Array, weight: Array, share: float) -> float:
    """The lowest score that at most this share of the rows exceed."""
    if not len(scores):
        return np.inf
    order = np.argsort(-scores, kind="stable")
    over = np.cumsum(weight[order]) > share * weight.sum()
    return float(scores[order][np.argmax(over)])


def area_under_curve(scores: Array, attack: Array) -> float | None:
    """The chance that an attack scores above a legitimate login, ties counting half (the rank-sum
    statistic of Mann and Whitney); None without either.

    >>> area_under_curve(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True]))
    0.875
    """
    from scipy.stats import rankdata

    attacks = int(attack.sum())
    others = len(attack) - attacks
    if not attacks or not others:
        return None
    ranks = rankdata(scores)[attack].sum()
    return float((ranks - attacks * (attacks + 1) / 2) / (attacks * others))


def _share(value: float | None) -> str:
    return "n/a" if value is None else percent(value)


def _day(time: int) -> str:
    return str(np.datetime64(time, "ms").astype("datetime64[D]"))
