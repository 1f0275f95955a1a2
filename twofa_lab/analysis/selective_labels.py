"""What training on late and selective labels does, against the truth that only a simulator knows.

Labels come for what was challenged or reported, and for nothing else. A challenge that was passed
is taken for the owner's; one that was not is looked into, and its label is then right. A takeover
that nobody challenged is known when its victim reports it, if ever, days later. So a scorer is
taught by the policy that ran: where the policy never asks, no label says that it should, and the
less it asks the worse that is.

Two remedies. *Hold-out*: a random share of the accounts is asked at every login, whatever the
score; a random sample of accounts is then labelled. *Inverse-propensity weighting* (Horvitz and
Thompson 1952) adds what the policy asked of all the others: a login that is asked anyhow counts
once, one that only the hold-out asks counts for 1 / share. Trusted devices are switched off, so
that the score alone says who is asked and each propensity is known.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twofa_lab.analysis.ablation import (
    TREES,
    Worth,
    password_only,
    thinned,
    worth_of,
)
from twofa_lab.analysis.arguments import fraction, positive
from twofa_lab.errors import InputError
from twofa_lab.replay.beside import with_beside
from twofa_lab.replay.fit import Observed, fit_scorer, observe
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.model_card import SegmentError, segment_errors
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.signals import MS_PER_DAY
from twofa_lab.sheet import Sheet, interval, number, percent
from twofa_lab.tables import DECISIONS, OUTCOME_NAMES, Array
from twofa_lab.traffic.world import World, WorldFacts

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure

__all__ = ["Labelling", "SelectiveLabels", "Taught", "known", "selective_labels", "with_hold_out"]

_CHALLENGE = DECISIONS.index("challenge")
_ALLOWED, _VERIFIED = OUTCOME_NAMES.index("allowed"), OUTCOME_NAMES.index("verified")
_TRUTH = "the truth"


@dataclass(frozen=True)
class Labelling:
    """How labels come. `reported_share`: of accounts whose owner reports a takeover (assumption).
    `report_days`: mean days until then, exponential (the Fraud Detection Handbook, Le Borgne et al.
    2022, takes a week until a transaction's label is known). `hold_out`: share of accounts asked at
    every login (assumption).
    """

    reported_share: float = 0.6
    report_days: float = 7.0
    hold_out: float = 0.05

    def __post_init__(self) -> None:
        fraction("reported_share", self.reported_share, ends=True)
        positive("report_days", self.report_days)
        fraction("hold_out", self.hold_out)


@dataclass(frozen=True)
class Taught:
    """A scorer by what it was taught from.

    `logins` and `attacks` count what it learnt from, by its labels. `believed`: its error by these
    labels on the last part of them; `true`: by the truth, on a world it never saw. `worth`: what it
    prevents there at the budget, closed loop.
    """

    name: str
    logins: int
    attacks: int
    believed: SegmentError
    true: SegmentError
    worth: Worth


@dataclass(frozen=True, repr=False)
class SelectiveLabels:
    """What each way of labelling teaches; renders itself. The first row is taught the truth.

    `known_share[w]`: share of attackers' completed logins of w weeks before the end of the period
    that are known at its end. `asked` and `asked_hold_out`: share of legitimate logins asked
    without and with the hold-out; `lost` and `lost_hold_out` likewise of logins lost.
    """

    taught: tuple[Taught, ...]
    labelling: Labelling
    policy: Policy
    budget: float
    facts: WorldFacts
    known_share: tuple[float, ...]
    asked: float
    asked_hold_out: float
    lost: float
    lost_hold_out: float

    def __getitem__(self, name: str) -> Taught:
        for one in self.taught:
            if one.name == name:
                return one
        raise InputError(f"no row {name!r}: use one of {', '.join(t.name for t in self.taught)}")

    @property
    def note(self) -> str:
        """How the figures came about."""
        f, by = self.facts, self.labelling
        return (
            f"Simulated ({f.name}); logins as {self.policy.name} shaped them, no trusted devices. "
            f"{percent(by.reported_share, 0)} of takeovers are reported, after {by.report_days:g} "
            f"days on average. Judged on another world ({f.users:,} accounts); prevented: closed "
            f"loop, {percent(self.budget, 1)} challenged, 95 % interval over accounts. Caught: "
            "above the score that 1 % of legitimate logins exceed."
        )

    def table(self) -> Sheet:
        """One row a way of labelling: what is believed of the scorer, and what is true."""
        rows = []
        for t in self.taught:
            p = t.worth.prevented
            rows.append((
                t.name, number(t.logins), number(t.attacks),
                _auc(t.believed), _auc(t.true), _share(t.believed.caught), _share(t.true.caught),
                _times(t.true), percent(p.value, 1),
                interval(percent(p.low, 1), percent(p.high, 1)),
            ))  # fmt: skip
        columns = (
            "taught from", "logins", "attacks", "AUC believed", "true", "caught believed", "true",
            "predicted / true share", "takeovers prevented", "95 % interval",
        )  # fmt: skip
        return Sheet("What selective labels teach", columns, tuple(rows), self.note)

    def sentence(self) -> str:
        """The finding in one sentence."""
        truth = self.taught[0].worth.prevented.value
        naive = self["challenged or reported alone"].worth.prevented.value
        best = max(self.taught[-2:], key=lambda t: t.worth.prevented.value)
        return (
            f"Taught the truth a scorer prevents {percent(truth, 0)} of takeovers, taught what was "
            f"challenged or reported {percent(naive, 0)}, with {best.name} "
            f"{percent(best.worth.prevented.value, 0)}; the hold-out asks "
            f"{percent(self.asked_hold_out)} of legitimate logins instead of "
            f"{percent(self.asked)} and loses {percent(self.lost_hold_out)} instead of "
            f"{percent(self.lost)}."
        )

    def plot(self) -> Figure:
        """Takeovers prevented by each way of labelling."""
        from twofa_lab.analysis.interval_figure import Series, interval_figure

        return interval_figure(
            f"Takeovers prevented by what was taught, {percent(self.budget, 1)} challenged",
            [t.name for t in self.taught],
            [Series("", [t.worth.prevented for t in self.taught])],
            "takeovers prevented (% of those with a password alone; line: 95 % interval)",
            f"{self.facts.name}, {self.facts.users:,} accounts, {self.facts.days} days",
            line=self.taught[0].worth.prevented.value,
        )

    def plot_late(self) -> Figure:
        """How many takeovers are known, by how long ago they were."""
        from twofa_lab.analysis.picture import Figure

        figure = Figure(figsize=(7.2, 3.6), dpi=110, layout="constrained")
        axes = figure.subplots()
        weeks = np.arange(len(self.known_share))
        axes.plot(weeks, 100 * np.array(self.known_share), marker="o", color="#0072B2")
        axes.axhline(100 * self.labelling.reported_share, color="#7F7F7F", linestyle="--")
        axes.set_title("Takeovers known at the end of the period", loc="left", fontsize=12)
        axes.set_xlabel("weeks before the end (dashed: share of owners who ever report)")
        axes.set_ylabel("known (% of attackers' logins\nthat were completed)")
        axes.set_ylim(0, 103)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        return figure

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "prevented": {t.name: t.worth.prevented.value for t in self.taught},
            "auc_believed": {t.name: t.believed.auc for t in self.taught},
            "auc_true": {t.name: t.true.auc for t in self.taught},
            "asked": self.asked,
            "asked_hold_out": self.asked_hold_out,
            "note": self.note,
        }

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


def selective_labels(
    fitted_on: World,
    world: World,
    budget: float = 0.05,
    labelling: Labelling | None = None,
    *,
    policy: Policy | None = None,
    seed: int = 0,
    replicates: int = 200,
    progress: bool | None = None,
) -> SelectiveLabels:
    """Teach one kind of scorer from each way of labelling, and judge all by the truth elsewhere.

    `policy` (default: risk-based, without trusted devices) ran while the labels came. `fitted_on`
    and `world` should hold the same scenario with different seeds. `InputError` where a way of
    labelling leaves too few attacks to learn from.
    """
    by = labelling or Labelling()
    limit = float(fraction("budget", budget))
    ran = (policy or Policy.risk_based()).model_copy(update={"trust_device_days": None})
    if ran.challenge_at is None:
        raise InputError("a policy that never asks gives no labels: set challenge_at")
    fitted_on, world = with_beside(fitted_on), with_beside(world)
    seen, mixed, held = with_hold_out(fitted_on, ran, by.hold_out, seed)
    test = observe(world, ran)
    alone = password_only(world, replicates, progress)
    ways = _ways(seen, mixed, held, by, ran.challenge_score, fitted_on.facts.window[1], seed)
    taught = []
    for name, (logins, attack, weights) in ways.items():
        counted = weights > 0
        rows, each = thinned(attack, counted, seed)
        scorer = fit_scorer(
            fitted_on, "learned", seen=logins, attack=attack, weights=each * weights, rows=rows,
            labels=name, seed=seed, **TREES,
        )  # fmt: skip
        if not isinstance(scorer, Learned):
            raise AssertionError
        true = segment_errors(
            scorer.probabilities(test.values), test.columns["attack"] > 0, {}, calibrated=True
        )[0]
        worth = worth_of(scorer, name, world, limit, alone, replicates, progress)
        taught.append(
            Taught(name, int(counted.sum()), int((attack & counted).sum()),
                   scorer.card.errors[0], true, worth)
        )  # fmt: skip
    late = _known_by_week(seen, by, fitted_on.facts, seed)
    return SelectiveLabels(
        tuple(taught), by, ran, limit, world.facts, late,
        _of_people(seen, seen.columns["decision"] == _CHALLENGE),
        _of_people(mixed, mixed.columns["decision"] == _CHALLENGE),
        _of_people(seen, ~_completed(seen)), _of_people(mixed, ~_completed(mixed)),
    )  # fmt: skip


def with_hold_out(
    world: World, policy: Policy, share: float, seed: int = 0
) -> tuple[Observed, Observed, Array]:
    """What is seen under a policy; what is seen where a random share of the accounts is asked at
    every login instead; and which rows of the latter are those accounts'. Closed loop, both.
    """
    seen = observe(world, policy)
    asks = policy.model_copy(update={"challenge_at": 0.0, "deny_at": None, "name": "hold-out"})
    asked = observe(world, asks)
    users = np.unique(np.concatenate([seen.columns["user_id"], asked.columns["user_id"]]))
    chosen = np.random.default_rng(seed).random(len(users)) < share

    def held(of: Observed) -> Array:
        return chosen[np.searchsorted(users, of.columns["user_id"])]

    kept, added = seen.rows(~held(seen)), asked.rows(held(asked))
    mixed = Observed(
        np.concatenate([kept.values, added.values]),
        {n: np.concatenate([kept.columns[n], added.columns[n]]) for n in kept.columns},
        {n: np.concatenate([kept.segments[n], added.segments[n]])
         for n in kept.segments if n in added.segments},
        policy,
    )  # fmt: skip
    return seen, mixed, np.arange(len(mixed)) >= len(kept)


def known(
    seen: Observed, at: float, labelling: Labelling, seed: int = 0
) -> tuple[Array, Array, Array]:
    """Three masks of the rows at a time (ms): those with a label, those labelled an attack, and
    those reported. An owner reports all takeovers of the account or none.
    """
    columns, truth = seen.columns, seen.columns["attack"] > 0
    users, account = np.unique(columns["user_id"], return_inverse=True)
    rng = np.random.default_rng((seed, 1))
    reports = rng.random(len(users)) < labelling.reported_share
    delay = rng.exponential(labelling.report_days * MS_PER_DAY, len(users))
    heard = columns["time"] + delay[account] <= at
    reported = truth & _completed(seen) & reports[account] & heard
    challenged = columns["decision"] == _CHALLENGE
    failed = challenged & (columns["outcome"] != _VERIFIED)
    return challenged | reported, reported | (failed & truth), reported


Way = tuple[Observed, Array, Array]


def _ways(
    seen: Observed,
    mixed: Observed,
    held: Array,
    by: Labelling,
    challenge_at: float,
    end: float,
    seed: int,
) -> dict[str, Way]:
    """Logins, labels and weights (0: not learnt from) of every way of labelling."""
    every = np.ones(len(seen))
    labelled, attack, _ = known(seen, end, by, seed)
    finally_attack = known(seen, np.inf, by, seed)[1]
    failed = (seen.columns["decision"] == _CHALLENGE) & (seen.columns["outcome"] != _VERIFIED)
    labelled_mixed, attack_mixed, _ = known(mixed, end, by, seed)
    asked_anyhow = mixed.columns["score"] >= challenge_at
    propensity = np.where(asked_anyhow, 1.0, np.where(held, by.hold_out, np.inf))
    in_sample = labelled_mixed & (asked_anyhow | held)
    return {
        _TRUTH: (seen, seen.columns["attack"] > 0, every),
        "challenged or reported alone": (seen, attack, labelled.astype(float)),
        "the same, giving up taken for attack": (seen, attack | failed, labelled.astype(float)),
        "all, unlabelled taken for legitimate": (seen, attack, every),
        "the same, once all reports are in": (seen, finally_attack, every),
        "hold-out accounts alone": (mixed, attack_mixed, held.astype(float)),
        "hold-out and inverse propensity": (mixed, attack_mixed, in_sample / propensity),
    }


def _known_by_week(
    seen: Observed, by: Labelling, facts: WorldFacts, seed: int
) -> tuple[float, ...]:
    """Share of attackers' completed logins that are known at the end, by weeks before it."""
    reported = known(seen, facts.window[1], by, seed)[2]
    rows = (seen.columns["attack"] > 0) & _completed(seen)
    week = (facts.window[1] - 1 - seen.columns["time"][rows]) // (7 * MS_PER_DAY)
    counts = np.bincount(week)
    shares = np.bincount(week, reported[rows]) / np.maximum(counts, 1)
    return tuple(float(s) if n else float("nan") for s, n in zip(shares, counts, strict=True))


def _completed(seen: Observed) -> Array:
    return np.isin(seen.columns["outcome"], (_ALLOWED, _VERIFIED))


def _of_people(seen: Observed, flag: Array) -> float:
    return float(flag[seen.columns["attack"] == 0].mean())


def _auc(error: SegmentError) -> str:
    return "n/a" if error.auc is None else f"{error.auc:.3f}"


def _share(value: float | None) -> str:
    return "n/a" if value is None else percent(value, 1)


def _times(error: SegmentError) -> str:
    if not error.predicted or not error.observed:
        return "n/a"
    return f"{error.predicted / error.observed:.2f}"
