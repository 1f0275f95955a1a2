"""How much of a risk score's value the guide's four signals give, closed loop, at one budget.

*Value* is what a score prevents when it may challenge a set share of legitimate logins: the share
of the takeovers that happen when nobody is asked. Losses avoided, in US$, are told beside it.

One kind of scorer (`risk.learned`) is fitted several times, each time with other signals left, on
one world; every threshold is replayed on another world, whose accounts and campaigns it never saw.
So what differs between two rows is the signals alone. Trusted devices are switched off: they lift
challenges by the score's scale, which no two scorers share.

A score of few values cannot meet a budget exactly. Then a share of the accounts gets the next lower
threshold: accounts do not meet each other in a replay, so what such a mixture does is the weighted
mean of what both thresholds do, without approximation.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from twofa_lab.analysis.arguments import fraction, quotient
from twofa_lab.analysis.curve import Curve
from twofa_lab.analysis.estimates import Estimate, PolicyResult, cost_of
from twofa_lab.analysis.thresholds_sweep import at_threshold, logged_curve, sweep
from twofa_lab.analysis.totals import SUMS
from twofa_lab.errors import InputError
from twofa_lab.replay.beside import with_beside
from twofa_lab.replay.fit import fit_scorer, observe
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.model_file import save_scorer
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.rule_scorer import RuleScorer
from twofa_lab.risk.vector import names
from twofa_lab.sheet import Sheet, interval, money, percent
from twofa_lab.tables import Array
from twofa_lab.traffic.world import World, WorldFacts

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure

__all__ = [
    "FOUR",
    "GROUPS",
    "MOST",
    "TREES",
    "Ablation",
    "Worth",
    "ablation",
    "fitted_without",
    "password_only",
    "thinned",
    "worth_of",
]

GROUPS: dict[str, tuple[str, ...]] = {
    "device": ("new_device",),
    "place": ("new_country", "new_region"),
    "hour": ("odd_hour",),
    "failed passwords": ("failures",),
    "travel speed": ("travel_kmh",),
    "network": ("new_asn",),
    "browser": ("new_browser_family",),
    "round-trip time": ("rtt_deviation",),
    "account's age and pauses": ("age_days", "since_last_days"),
    "address activity": ("ip_accounts", "ip_failures"),
    "block list": ("ip_listed",),
}
"""The signals of `risk.vector.VECTOR` by what they look at."""

FOUR = ("device", "place", "hour", "failed passwords")
"""The guide's four signals, as groups."""

MOST = 20_000
"""Legitimate logins that a scorer is fitted on, standing for all, where many scorers are fitted."""

TREES: dict[str, Any] = {"max_iter": 60}
"""Settings of the trees then."""

_ALL, _THE_FOUR, _POINTS = "all signals", "the four signals", "the four, by the rules' points"
_SALT = 20_260_105  # of the bootstrap weights: that of a comparison
_GRID = 10  # thresholds replayed around the budget


@dataclass(frozen=True)
class Worth:
    """What one scorer is worth at the budget.

    `prevented`: share of the takeovers under a password alone; `avoided`: US$ of losses by takeover
    avoided, and `saved` the US$ left of it after messages, support and lost logins, each per 1,000
    legitimate logins. `thresholds` (the higher first) and `lower`, the share of accounts that
    get the lower. `replicates` are those of `prevented`.
    """

    name: str
    signals: tuple[str, ...]
    challenge_rate: float
    prevented: Estimate
    avoided: Estimate
    saved: Estimate
    thresholds: tuple[float | None, float | None]
    lower: float
    replicates: Array


@dataclass(frozen=True, repr=False)
class Ablation:
    """The scorers' worth beside each other; renders itself. The first row has all signals."""

    worths: tuple[Worth, ...]
    budget: float
    fitted_on: WorldFacts
    facts: WorldFacts
    takeovers: int

    def __getitem__(self, name: str) -> Worth:
        for worth in self.worths:
            if worth.name == name:
                return worth
        raise InputError(f"no row {name!r}: use one of {', '.join(w.name for w in self.worths)}")

    def share(self, name: str = _THE_FOUR) -> Estimate:
        """What one row prevents, as a share of what all signals prevent; paired."""
        one, every = self[name], self.worths[0]
        return Estimate.of(
            float(quotient(one.prevented.value, every.prevented.value, np.nan)),
            quotient(one.replicates, every.replicates, np.nan),
        )

    @property
    def note(self) -> str:
        """How the figures came about."""
        f = self.facts
        return (
            f"Closed loop on simulated traffic ({f.name}, {f.users:,} accounts, {f.days} days, "
            f"{self.takeovers:,} takeovers with a password alone), each row challenging "
            f"{percent(self.budget, 1)} of legitimate logins, no trusted devices. Fitted on "
            f"another world ({self.fitted_on.users:,} accounts). Intervals: 95 %, bootstrap over "
            "accounts."
        )

    def table(self) -> Sheet:
        """One row a scorer."""
        rows = []
        for w in self.worths:
            share = self.share(w.name)
            rows.append((
                w.name, percent(w.challenge_rate), percent(w.prevented.value, 1),
                interval(percent(w.prevented.low, 1), percent(w.prevented.high, 1)),
                percent(share.value, 1), interval(percent(share.low, 1), percent(share.high, 1)),
                money(w.avoided.value), money(w.saved.value),
            ))  # fmt: skip
        columns = (
            "signals", "challenged", "takeovers prevented", "95 % interval", "of all signals'",
            "95 % interval", "losses avoided, US$ per 1,000", "left after costs",
        )  # fmt: skip
        return Sheet("What the signals are worth", columns, tuple(rows), self.note)

    def sentence(self) -> str:
        """The answer in one sentence."""
        share, four = self.share(), self[_THE_FOUR].prevented
        return (
            f"With {percent(self.budget, 1)} of legitimate logins challenged, the four signals "
            f"prevent {percent(four.value, 0)} of takeovers, all signals "
            f"{percent(self.worths[0].prevented.value, 0)}: the four give "
            f"{percent(share.value, 0)} of the value "
            f"({interval(percent(share.low, 0), percent(share.high, 0))})."
        )

    def plot(self) -> Figure:
        """Takeovers prevented by each row."""
        from twofa_lab.analysis.interval_figure import Series, interval_figure

        return interval_figure(
            f"Takeovers prevented, {percent(self.budget, 1)} of logins challenged",
            [w.name for w in self.worths],
            [Series("", [w.prevented for w in self.worths])],
            "takeovers prevented (% of those with a password alone; line: 95 % interval)",
            f"{self.facts.name}, {self.facts.users:,} accounts, {self.facts.days} days",
            line=self.worths[0].prevented.value,
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        share = self.share()
        return {
            "budget": self.budget,
            "share_of_value": share.value,
            "share_of_value_ci": [share.low, share.high],
            "prevented": {w.name: w.prevented.value for w in self.worths},
            "note": self.note,
        }

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


def ablation(
    fitted_on: World,
    world: World,
    budget: float = 0.05,
    *,
    remove: bool = True,
    add: bool = True,
    seed: int = 0,
    replicates: int = 200,
    progress: bool | None = None,
) -> Ablation:
    """What all signals, and the guide's four, are worth at a budget of challenges.

    `remove`: also the four less each one. `add`: also the four and each further group of `GROUPS`.
    The rules' own points are always beside them. `fitted_on` and `world` should hold the same
    scenario with different seeds. `InputError` where there are too few attacks to learn from.
    """
    limit = float(fraction("budget", budget))
    world = with_beside(world)  # once for all replays
    kept: dict[str, Sequence[str]] = {_ALL: tuple(GROUPS), _THE_FOUR: FOUR}
    if remove:
        kept |= {f"the four but {name}": [f for f in FOUR if f != name] for name in FOUR}
    if add:
        kept |= {f"the four and {name}": (*FOUR, name) for name in GROUPS if name not in FOUR}
    scorers: dict[str, RuleScorer | Learned] = {_POINTS: RuleScorer()}
    scorers |= fitted_without(fitted_on, kept, seed)
    signals = {name: _signals(groups) for name, groups in ({_POINTS: FOUR} | kept).items()}
    alone = password_only(world, replicates, progress)
    worths = [
        replace(
            worth_of(scorers[name], name, world, limit, alone, replicates, progress),
            signals=signals[name],
        )
        for name in (_ALL, _THE_FOUR, _POINTS, *list(kept)[2:])
    ]
    return Ablation(tuple(worths), limit, fitted_on.facts, world.facts, alone.takeovers)


def fitted_without(
    world: World, kept: Mapping[str, Sequence[str]], seed: int = 0
) -> dict[str, Learned]:
    """A scorer for each entry, fitted to a world on nothing but the signals of these `GROUPS`."""
    seen = observe(world)
    rows, weights = thinned(seen.columns["attack"] > 0, np.ones(len(seen), np.bool_), seed)
    found = {}
    for name, groups in kept.items():
        told = replace(seen, values=_only(seen.values, _signals(groups)))
        scorer = fit_scorer(
            world, "learned", seen=told, weights=weights, rows=rows, seed=seed, **TREES
        )
        if isinstance(scorer, Learned):
            found[name] = scorer
    return found


def thinned(attack: Array, taken: Array, seed: int = 0) -> tuple[Array, Array]:
    """Which of the logins `taken` (a mask) to learn from, and how many each stands for: all
    (labelled) attacks, and of the others `MOST` at random. Both have an entry a login.

    >>> rows, weights = thinned(np.array([True, False, False]), np.array([True, True, False]))
    >>> rows.tolist(), weights.tolist()
    ([True, True, False], [1.0, 1.0, 1.0])
    """
    others = int((taken & ~attack).sum())
    share = min(1.0, MOST / max(others, 1))
    rows = taken & (attack | (np.random.default_rng(seed).random(len(attack)) < share))
    return rows, np.where(attack, 1.0, 1.0 / share)


def worth_of(
    scorer: RuleScorer | Learned,
    name: str,
    world: World,
    budget: float,
    alone: PolicyResult,
    replicates: int = 200,
    progress: bool | None = None,
) -> Worth:
    """What a policy by this scorer prevents on a world when it challenges the budget's share, each
    threshold around it replayed. `alone` is the password-only policy's result on the same world.
    """
    with TemporaryDirectory() as folder:
        base = Policy(name=name[:60], trust_device_days=None)
        if isinstance(scorer, Learned):
            bare = replace(scorer, estimator=None)  # a replay reads the tables alone
            path = save_scorer(bare, Path(folder) / "scorer.skops")
            base = base.model_copy(update={"scorer": "learned", "model": str(path)})
        open_loop = logged_curve(world, at_threshold(base, None), progress=progress)
        policies = [at_threshold(base, t) for t in (None, *_around(open_loop, budget))]
        results = sweep(
            world, policies, None, 0.0, replicates, _SALT, progress=progress
        ).results  # fmt: skip
    return _mixed(name, results, budget, alone, world)


def _around(open_loop: Curve, budget: float) -> list[float]:
    """Thresholds whose open-loop challenge rates lie about the budget, falling."""
    rates = np.geomspace(budget / 4.0, min(4.0 * budget, 1.0), _GRID)
    at = np.searchsorted(open_loop.challenge_rate, rates, side="right") - 1
    last = len(open_loop.threshold) - 1
    at = np.unique(np.clip([*at, at[-1] + 1], 0, last))
    return [float(t) for t in open_loop.threshold[at]]


def _mixed(
    name: str, results: Sequence[PolicyResult], budget: float, alone: PolicyResult, world: World
) -> Worth:
    """The mixture of two neighbouring thresholds that meets the budget."""
    rates = np.array([r.challenge_rate.value for r in results])
    within = np.flatnonzero(rates <= budget)
    high = int(within[-1])  # never asking is always within
    low = min(high + 1, len(results) - 1)
    lower = float(quotient(budget - rates[high], rates[low] - rates[high], 0.0))

    def of(sums: tuple[Array, Array]) -> Array:
        return (1.0 - lower) * sums[0] + lower * sums[1]

    pair = (results[high].totals, results[low].totals)
    sums, many = of((pair[0].sums, pair[1].sums)), of((pair[0].replicates, pair[1].replicates))
    before, before_many = alone.totals.sums, alone.totals.replicates
    takeovers = SUMS.index("takeovers")
    spread = 1.0 - quotient(many[takeovers], before_many[takeovers], np.nan)
    costs = world.facts.costs

    def fall(part: str) -> Estimate:
        value, replicates = (
            cost_of(a, costs)[part] - cost_of(b, costs)[part]
            for a, b in ((before, sums), (before_many, many))
        )
        return Estimate.of(float(value), replicates)

    value = 1.0 - float(quotient(sums[takeovers], before[takeovers], np.nan))
    rate = sums[SUMS.index("challenged")] / sums[SUMS.index("legitimate")]
    return Worth(
        name, (), float(rate), Estimate.of(value, spread), fall("takeovers"), fall("total"),
        (results[high].policy.challenge_at, results[low].policy.challenge_at), lower, spread,
    )  # fmt: skip


def password_only(
    world: World, replicates: int = 200, progress: bool | None = None
) -> PolicyResult:
    """What happens on a world where nobody is asked, with the replicates of `worth_of`."""
    policy = Policy.password_only()
    return sweep(world, [policy], None, 0.0, replicates, _SALT, progress=progress).results[0]


def _signals(groups: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for group in groups for name in GROUPS[group])


def _only(values: Array, signals: Sequence[str]) -> Array:
    """Vectors whose other signals say nothing: constant, so that no tree looks at them."""
    kept = np.isin(names(), list(signals))
    return np.where(kept, values, np.float32(0.0)).astype(np.float32)


def _checked(groups: Mapping[str, tuple[str, ...]]) -> None:
    if sorted(name for group in groups.values() for name in group) != sorted(names()):
        raise AssertionError("the groups are out of step with the vector's signals")


_checked(GROUPS)
