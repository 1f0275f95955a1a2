"""Have signals and scores moved between two periods, and which threshold would keep the rate?

What moved is told by PSI and KS (`drift_measures`), each beside what chance would show.
Where the challenge rate has moved by more than chance, a threshold is sought in the closed loop:
every candidate is replayed, and the one whose rate in the last period is nearest to that of the
first is suggested.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from twofa_lab.analysis.arguments import quotient
from twofa_lab.analysis.curve import curve
from twofa_lab.analysis.drift_measures import MARKS, Judged, Shift, rate_chance, shift_of
from twofa_lab.analysis.thresholds_sweep import (
    at_threshold,
    counted,
    operating_grid,
    threshold_word,
)
from twofa_lab.errors import InputError
from twofa_lab.replay.fit import observe
from twofa_lab.replay.run import needed, prepare, ready_for, replay_prepared
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.signals import MS_PER_DAY, SignalRules
from twofa_lab.risk.vector import VECTOR
from twofa_lab.sheet import Sheet, number, percent
from twofa_lab.tables import DECISIONS, Array
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.world import ShardSource, World, WorldFacts

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure

__all__ = ["Drift", "Period", "Retune", "drift"]

_CHALLENGE = DECISIONS.index("challenge")
_SALTS = (20_260_105, 20_260_106)  # of the bootstrap weights: two worlds' accounts are strangers


class Period(NamedTuple):
    """A stretch of time: its judged logins, and the challenge rate of its legitimate ones."""

    name: str
    logins: int
    challenge_rate: float


class Retune(NamedTuple):
    """The threshold as it is, and the one that would keep the first period's challenge rate: the
    same where the rate has changed by no more than `chance` would in 1 of 20 comparisons.
    """

    threshold: float
    rate_before: float
    rate_now: float
    chance: float
    suggested: float
    rate_suggested: float


@dataclass(frozen=True, repr=False)
class Drift:
    """Changes since the first of some periods; renders itself. `scores`: share of the judged logins
    of the first and of the last period at or above each of `levels`, shape (2, levels).
    """

    policy: Policy
    periods: tuple[Period, ...]
    shifts: tuple[Shift, ...]
    retune: Retune | None
    levels: Array
    scores: Array
    note: str

    def last(self) -> tuple[Shift, ...]:
        """The shifts of the last period, the largest PSI first."""
        own = [shift for shift in self.shifts if shift.period == self.periods[-1].name]
        return tuple(sorted(own, key=lambda shift: -shift.psi))

    def table(self) -> Sheet:
        """The last period beside the first, one row a signal."""
        rows = tuple(
            (
                s.name, f"{s.before:.4g}", f"{s.now:.4g}", number(s.psi, 4),
                number(s.psi_chance, 4), number(s.ks, 4), number(s.ks_chance, 4), s.reading,
            )
            for s in self.last()
        )  # fmt: skip
        columns = (
            "", "mean before", "mean now", "PSI", "by chance", "KS", "by chance", "reading",
        )  # fmt: skip
        title = f"Drift under {self.policy.name}: {self.periods[0].name} to {self.periods[-1].name}"
        return Sheet(title, columns, rows, self.note)

    def over_time(self) -> Sheet:
        """PSI of every signal in every period, and the challenge rate."""
        names = [shift.name for shift in self.last()]
        psi_of = {(s.name, s.period): s.psi for s in self.shifts}
        later = self.periods[1:]
        rows = [(name, "", *(number(psi_of[name, p.name], 4) for p in later)) for name in names]
        rows.append(("challenge rate", *(percent(p.challenge_rate) for p in self.periods)))
        title = f"PSI against {self.periods[0].name} under {self.policy.name}"
        return Sheet(title, ("", *(p.name for p in self.periods)), tuple(rows), self.note)

    def sentence(self) -> str:
        """What moved and what to do, in one sentence made from the figures."""
        moved = [s for s in self.last() if s.reading != "within chance"]
        told = ", ".join(f"{s.name} (PSI {s.psi:.3f}, {s.reading})" for s in moved[:3])
        text = f"{len(moved)} of {len(self.last())} moved by more than chance"
        text += f", most of all {told}" if told else ""
        if self.retune is None:
            return f"{text}; the policy never asks, so there is no threshold to tune."
        r = self.retune
        text += f"; the challenge rate went from {percent(r.rate_before)} to {percent(r.rate_now)}"
        if abs(r.rate_now - r.rate_before) <= r.chance:
            return f"{text}, within chance: leave the threshold at {threshold_word(r.threshold)}."
        if r.suggested == r.threshold:
            return f"{text}, and no other threshold comes nearer to what it was."
        return (
            f"{text}: challenge at {threshold_word(r.suggested)} rather than "
            f"{threshold_word(r.threshold)} to come to {percent(r.rate_suggested)}."
        )

    def plot(self) -> Figure:
        """PSI of each signal beside its marks, and the scores of both periods."""
        from twofa_lab.analysis.drift_figure import plot_drift

        return plot_drift(self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "policy": self.policy.name,
            "periods": [period._asdict() for period in self.periods],
            "shifts": [shift._asdict() | {"reading": shift.reading} for shift in self.shifts],
            "retune": None if self.retune is None else self.retune._asdict(),
        }

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


def drift(
    world: World,
    policy: Policy | None = None,
    now: World | None = None,
    *,
    period_days: int = 28,
    replicates: int = 200,
    points: int = 40,
    workers: int | None = None,
    progress: bool | None = None,
) -> Drift:
    """What moved under a policy (default: risk-based) between periods of a world, or from one
    world to another, `now`; and the threshold that would keep the challenge rate.

    Signals and scores are those of every judged login, attackers' among them, since nobody knows
    them yet; the challenge rate is that of legitimate logins, as everywhere. A last part of a world
    shorter than `period_days` is left out. At most `points` thresholds are tried. Held in memory:
    14 numbers a login. `InputError` for a world of fewer than two periods.

    >>> import twofa_lab as lab
    >>> found = drift(lab.simulate("us-consumer", users=300, days=56, seed=1))
    >>> [period.name for period in found.periods], len(found.last())
    (['days 1 to 28', 'days 29 to 56'], 15)
    """
    ran = policy or Policy.risk_based()
    stretches = [_Stretches.of(w, period_days if now is None else None)
                 for w in (world, now) if w is not None]  # fmt: skip
    names = [name for s in stretches for name in s.names] if now is None else ["before", "now"]
    if len(names) < 2:
        raise InputError(
            f"{world.facts.days} days hold no two periods of {period_days}: take more days, a "
            "smaller period_days, or a second world"
        )
    parts = [part for s, salt in zip(stretches, _SALTS, strict=False)
             for part in s.observed(ran, salt)]  # fmt: skip
    for name, part in zip(names, parts, strict=True):
        if not len(part.values):
            raise InputError(f"no login was judged in {name}: take more users or longer periods")
    run = (workers, progress)
    rates = [rate for s in stretches for rate in s.rates([ran], *run)[0]]
    shifts = tuple(
        shift_of(name, signal, column, parts[0], part, replicates)
        for name, part in zip(names[1:], parts[1:], strict=True)
        for column, signal in enumerate((*(signal.name for signal in VECTOR), "score"))
    )
    levels = np.unique(np.quantile(np.concatenate([parts[0].score, parts[-1].score]),
                                   np.linspace(0, 1, 400)))  # fmt: skip
    above = [1.0 - np.searchsorted(np.sort(part.score), levels, "left") / len(part.score)
             for part in (parts[0], parts[-1])]  # fmt: skip
    periods = [Period(n, len(p.values), float(r)) for n, p, r in zip(names, parts, rates,
                                                                     strict=True)]  # fmt: skip
    return Drift(
        ran, tuple(periods), shifts,
        _retune(ran, periods, parts, stretches[-1], points, replicates, run),
        levels, np.array(above), _note(stretches),
    )  # fmt: skip


class _Stretches(NamedTuple):
    """A world and the periods it is cut into: `starts` has one entry more than there are periods,
    in ms.
    """

    world: World
    starts: Array
    names: tuple[str, ...]

    @classmethod
    def of(cls, world: World, days: int | None) -> _Stretches:
        first, last = world.facts.window
        if days is None:
            return cls(world, np.array([first, last]), ("all",))
        if days < 1:
            raise InputError(f"period_days is {days}: take a day or more")
        starts = np.arange(first, last + 1, days * MS_PER_DAY)
        names = (f"days {1 + k * days} to {(k + 1) * days}" for k in range(len(starts) - 1))
        return cls(world, starts, tuple(names))

    def observed(self, policy: Policy, salt: int) -> list[Judged]:
        seen = observe(self.world, policy)
        c = seen.columns
        users, account = np.unique(c["user_id"], return_inverse=True)
        period = np.searchsorted(self.starts, c["time"], "right") - 1
        columns = (seen.values, c["score"], c["attack"] == 0, c["decision"] == _CHALLENGE, account)
        return [
            Judged._make([*(column[period == k] for column in columns), len(users), salt])
            for k in range(len(self.names))
        ]

    def rates(
        self, policies: Sequence[Policy], workers: int | None, progress: bool | None
    ) -> Array:
        """Challenge rate of every policy in every period, each policy replayed."""
        source = ready_for(self.world, policies).source
        tasks = [
            (_count, (source, i, self.world.facts, policies, self.starts))
            for i in range(len(source))
        ]
        counts = np.sum(run_shards(tasks, "challenge rates", None, workers, progress), axis=0)
        return quotient(counts[..., 0], counts[..., 1], np.nan)


def _count(
    source: ShardSource, index: int, facts: WorldFacts, policies: Iterable[Policy], starts: Array
) -> Array:
    """Legitimate logins challenged and all of them: shape (policies, periods, 2)."""
    prepared = prepare(source.load(index, needed(policies)), facts)
    own = counted(prepared, facts) & (prepared.rows.attack == 0)
    period = np.searchsorted(starts, prepared.rows.time, "right") - 1
    own &= (period >= 0) & (period < len(starts) - 1)
    found = []
    for policy in policies:
        decision = replay_prepared(prepared, facts, policy, SignalRules())["decision"]
        rows = (period[own & (decision == _CHALLENGE)], period[own])
        found.append([np.bincount(r, minlength=len(starts) - 1) for r in rows])
    return np.array(found).transpose(0, 2, 1)


def _retune(
    policy: Policy,
    periods: Sequence[Period],
    parts: Sequence[Judged],
    stretches: _Stretches,
    points: int,
    replicates: int,
    run: tuple[int | None, bool | None],
) -> Retune | None:
    if policy.challenge_at is None:
        return None
    before, now = periods[0].challenge_rate, periods[-1].challenge_rate
    chance = rate_chance(parts[0], parts[-1], replicates)
    stay = Retune(policy.challenge_at, before, now, chance, policy.challenge_at, now)
    if abs(now - before) <= chance:
        return stay
    scores = curve(parts[-1].score, np.zeros(len(parts[-1].score), bool))
    grid = operating_grid(scores, points, min(policy.deny_score, 1.0))
    rates = stretches.rates([at_threshold(policy, value) for value in grid], *run)[:, -1]
    best = int(np.argmin(np.abs(rates - before)))
    if abs(rates[best] - before) >= abs(now - before):
        return stay
    return stay._replace(suggested=grid[best], rate_suggested=float(rates[best]))


def _note(stretches: Sequence[_Stretches]) -> str:
    facts = [s.world.facts for s in stretches]
    side = {"simulated": "simulated traffic", "lent": "real logins, simulated people",
            "none": "real logins, of which each passes its challenge"}  # fmt: skip
    told = "; ".join(f"{f.name}, {f.users:,} accounts ({side[f.human_side]})" for f in facts)
    return (
        f"{told}. Chance: exceeded in 1 of 20 by a bootstrap over accounts. Reading of PSI: under "
        f"{MARKS['stable']:g} stable, under {MARKS['moderate']:g} moderate, else large "
        "(Siddiqi 2006)."
    )
