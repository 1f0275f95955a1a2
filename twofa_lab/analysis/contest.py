"""An honest contest between scorers: one set of logins and attackers, none of them learned from.

Scorers are fitted on some accounts before a cut in time and judged on others after it
(`contest_field` says how apart they are kept), against each kind of attack of the world and against
the field's four attacker models built from the log's own rows (`traffic.attack_models`), so that a
real log without a labelled attack can be judged too. `contest_marks` defines the measures.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twofa_lab.analysis.arguments import fraction
from twofa_lab.analysis.contest_cost import costs_of
from twofa_lab.analysis.contest_entrants import ENTRANTS, PROBABILITIES, Entrant, ScoresTables
from twofa_lab.analysis.contest_field import Field, Learn, lay_out_field
from twofa_lab.analysis.contest_marks import (
    Calibration,
    Goals,
    Mark,
    Scores,
    calibration_of,
    marks_of,
    median_asked,
)
from twofa_lab.analysis.curve import curve
from twofa_lab.analysis.estimates import Estimate, PolicyResult
from twofa_lab.analysis.picture import Figure
from twofa_lab.catalog.rba_results import LOGINS, MEDIANS
from twofa_lab.errors import InputError
from twofa_lab.sheet import Sheet, interval, money, number, percent
from twofa_lab.tables import Array
from twofa_lab.traffic.world import World, WorldFacts

__all__ = ["Contest", "contest"]

_FEWEST = 10  # attempts of a kind below which there is nothing to measure
_MODEL = "model: "


@dataclass(frozen=True, repr=False)
class Contest:
    """How scorers did; renders itself. Attackers go by the world's kinds of attack and, as `model:
    naive` and so on, by the field's models.

    `marks[scorer][attacker]`; `medians[scorer][model][share]`: re-authentications after each of
    `rba_results.LOGINS` logins, the threshold stopping that share of the model's attempts;
    `calibrations`: of scorers that give probabilities, on the world's own attacks; `costs`: closed
    loop, empty without people. `asked`: attempts wanted of a model. `too_few`: kinds left out.
    """

    facts: WorldFacts
    cut: int
    learn_from: Learn
    cookies: bool
    goals: Goals
    counts: dict[str, int]
    asked: int
    too_few: dict[str, int]
    marks: dict[str, dict[str, Mark]]
    medians: dict[str, dict[str, dict[float, list[Estimate]]]]
    calibrations: dict[str, Calibration]
    costs: tuple[PolicyResult, ...]

    @property
    def scorers(self) -> tuple[str, ...]:
        """Names in the order they were entered."""
        return tuple(self.marks)

    @property
    def attackers(self) -> tuple[str, ...]:
        """Names of those judged: the world's kinds, then the models."""
        return tuple(next(iter(self.marks.values())))

    def best(self, attacker: str) -> str:
        """The scorer that catches the most of an attacker within the budget.

        `InputError` for an attacker that was not judged.
        """
        if attacker not in self.attackers:
            raise InputError(
                f"no attacker {attacker!r} was judged: use one of {', '.join(self.attackers)}"
            )
        return max(self.scorers, key=lambda name: self.marks[name][attacker].caught.value)

    def sentence(self) -> str:
        """Who catches the most of whom, for a review."""
        told = []
        for attacker in self.attackers:
            name = self.best(attacker)
            caught = self.marks[name][attacker].caught.value
            told.append(f"{percent(caught, 0)} of {attacker}" + (f" ({name})" if caught else ""))
        return (
            f"With at most {percent(self.goals.budget, 0)} of legitimate logins challenged, the "
            f"most that a scorer catches is {', '.join(told)}."
        )

    def split(self) -> Sheet:
        """Who was learned from and who was judged."""
        rows = [(name, number(count)) for name, count in self.counts.items()]
        for attacker in self.attackers:
            mark = next(iter(self.marks.values()))[attacker]
            told = number(mark.attempts)
            if attacker.startswith(_MODEL):
                told += f" of {number(self.asked)} wanted"
            rows.append((f"attempts, {attacker}", f"{told}, on {number(mark.accounts)} accounts"))
        rows += [(f"attempts, {n}", f"{c}: too few to judge") for n, c in self.too_few.items()]
        learned = "the world's attacks" if self.learn_from == "attacks" else "the four models"
        known = "their ids in the log" if self.cookies else "user agents alone"
        day = np.datetime64(self.cut, "ms").astype("datetime64[D]")
        return Sheet(
            f"Split of {self.facts.name} at {day}",
            ("", "logins"),
            tuple(rows),
            f"learned: {learned}, before the cut, on other accounts; devices known by {known}",
        )

    def table(self) -> Sheet:
        """Every scorer against every attacker: area, caught within the budget."""
        return self._by_attacker(
            f"Caught while at most {percent(self.goals.budget, 0)} of legitimate logins are "
            "challenged",
            lambda mark: _share(mark.caught),
        )

    def areas(self) -> Sheet:
        """The area under the ROC curve."""
        return self._by_attacker("Area under the ROC curve", lambda mark: _plain(mark.area))

    def challenges(self) -> Sheet:
        """Challenges needed to catch most attempts."""
        return self._by_attacker(
            f"Legitimate logins challenged to catch {percent(self.goals.recall, 0)} of attempts",
            lambda mark: _share(mark.challenged),
        )

    def precisions(self) -> Sheet:
        """Average precision at the stated prevalence."""
        odds = 1.0 / self.goals.prevalence
        return self._by_attacker(
            f"Average precision, were one login in {number(odds)} an attempt",
            lambda mark: _plain(mark.precision),
        )

    def _by_attacker(self, title: str, told: object) -> Sheet:
        rows = [
            (attacker, *(told(self.marks[s][attacker]) for s in self.scorers))  # type: ignore[operator]
            for attacker in self.attackers
        ]
        note = "95 % intervals: bootstrap over accounts; password-only scores nothing: n/a"
        return Sheet(title, ("attacker", *self.scorers), tuple(rows), note)

    def calibration(self) -> Sheet:
        """Whether probabilities can be taken at their word, on the world's own attacks."""
        rows = [
            (
                name, f"{found.mean_predicted:.5f}", f"{found.mean_observed:.5f}",
                f"{found.brier:.3g}", f"{found.of_the_mean:.3g}",
            )
            for name, found in self.calibrations.items()
        ]  # fmt: skip
        return Sheet(
            "Calibration on the world's own attacks",
            ("scorer", "predicted", "observed", "Brier", "of predicting the mean"),
            tuple(rows),
            "means over the logins judged; other scores are no probabilities: n/a",
        )

    def cost(self) -> Sheet:
        """What each policy costs, closed loop."""
        rows = [
            (
                r.name, percent(r.challenge_rate.value), percent(r.conversion.value),
                _share(r.takeover_rate),
                money(r.cost.total.value),
                interval(money(r.cost.total.low), money(r.cost.total.high)),
            )
            for r in self.costs
        ]  # fmt: skip
        return Sheet(
            "Cost per 1,000 legitimate logins, closed loop after the cut, all accounts",
            ("policy", "challenged", "conversion", "takeovers", "cost", "95 %"),
            tuple(rows),
            f"threshold: {percent(self.goals.budget, 0)} challenges in the contest's open loop, to "
            "which the closed loop adds first logins; no trusted devices",
        )

    def beside_medians(self) -> Sheet:
        """Freeman's median re-authentications beside the authors'."""
        from twofa_lab.analysis.contest_published import medians_sheet

        return medians_sheet(self)

    def beside_benchmark(self) -> Sheet:
        """The measures beside a benchmark of others."""
        from twofa_lab.analysis.contest_published import benchmark_sheet

        return benchmark_sheet(self)

    def plot(self) -> Figure:
        """ROC curves, a panel for each attacker model."""
        from twofa_lab.analysis.contest_figures import plot_roc

        return plot_roc(self)

    def plot_precision(self) -> Figure:
        """Precision and recall, a panel for each attacker model."""
        from twofa_lab.analysis.contest_figures import plot_precision

        return plot_precision(self)

    def plot_medians(self) -> Figure:
        """Re-authentications after so many logins, ours beside the authors'."""
        from twofa_lab.analysis.contest_figures import plot_medians

        return plot_medians(self)

    def plot_calibration(self) -> Figure:
        """Predicted against observed."""
        from twofa_lab.analysis.contest_figures import plot_calibration

        return plot_calibration(self)

    def __str__(self) -> str:
        return f"{self.split()}\n\n{self.table()}\n\n{self.areas()}\n\n{self.sentence()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        tables = (self.split(), self.table(), self.areas())
        told = f"<p><b>{html.escape(self.sentence())}</b></p>"
        return told + "".join(table.to_html() for table in tables)


def contest(
    world: World,
    scorers: Sequence[str] | Mapping[str, Entrant] | None = None,
    *,
    learn_from: Learn | None = None,
    train_share: float = 0.6,
    held_out: float = 0.5,
    attempts: int = 1_000,
    cookies: bool = True,
    goals: Goals | None = None,
    with_costs: bool = True,
    seed: int = 0,
    replicates: int = 200,
    progress: bool | None = None,
) -> Contest:
    """Let scorers compete on a world, simulated or a real log, which is held in memory.

    `scorers`: names of `ENTRANTS` (default: all), or entrants of one's own by name. What is learned
    from comes from the first `train_share` of the window, what is judged from the rest, on the
    share `held_out` of the accounts. `learn_from`: "attacks" of the world or attackers built by the
    "models" (default: the former where there are at least 10). `attempts` are made of each attacker
    model. `cookies=False` hides device ids, as a log does that has none. `goals` say where the
    curves are read. `InputError` for unknown names, and where there is too little to judge.
    """
    entrants = _entrants(scorers)
    for name, share in {"train_share": train_share, "held_out": held_out}.items():
        fraction(name, share)
    if attempts < _FEWEST or replicates < 1:
        raise InputError(f"attempts must be at least {_FEWEST}, and replicates at least 1")
    field = lay_out_field(
        world, learn_from=learn_from, train_share=train_share, held_out=held_out,
        attempts=attempts, cookies=cookies, seed=seed,
    )  # fmt: skip
    aims = goals or Goals()
    tried = {n: a for n, a in field.attempts.items() if len(a.place) >= _FEWEST}
    if not tried:
        raise InputError("no attacker could be made of this log: it has too few accounts or days")
    fitted = {name: entrant(field.lesson) for name, entrant in entrants.items()}
    whole = {name: _scored(scorer, field) for name, scorer in fitted.items()}
    against = {
        name: {kind: _tried(scorer, field, kind) for kind in tried}
        for name, scorer in fitted.items()
    }
    people = {
        name: Scores(score[field.judged], field.table["user_id"][field.judged])
        for name, score in whole.items()
    }
    marks = {n: marks_of(people[n], against[n], aims, replicates) for n in fitted}
    costs: tuple[PolicyResult, ...] = ()
    if with_costs and cookies:
        at = {n: _threshold(people[n], against[n], aims.budget) for n in fitted}
        costs = costs_of(world, field.cut, fitted, at, replicates=replicates, progress=progress)
    training = field.lesson.training
    return Contest(
        facts=world.facts,
        cut=field.cut,
        learn_from=field.learn_from,
        cookies=cookies,
        goals=aims,
        counts={
            "learned from: legitimate": int((~training.attack).sum()),
            "learned from: attempts": int(training.attack.sum()),
            "judged: legitimate": int(field.judged.sum()),
        },
        asked=attempts,
        too_few={n: len(a.place) for n, a in field.attempts.items() if n not in tried},
        marks=marks,
        medians={n: _medians(whole[n], marks[n], field, replicates) for n in fitted},
        calibrations=_calibrations(people, against, field),
        costs=costs,
    )


def _entrants(scorers: Sequence[str] | Mapping[str, Entrant] | None) -> dict[str, Entrant]:
    if isinstance(scorers, Mapping):
        found = dict(scorers)
    else:
        unknown = [name for name in scorers or () if name not in ENTRANTS]
        if unknown:
            raise InputError(f"unknown scorer {unknown[0]!r}: use one of {', '.join(ENTRANTS)}")
        found = {name: ENTRANTS[name] for name in (scorers or ENTRANTS)}
    if not found:
        raise InputError("a contest needs at least one scorer")
    return found


def _scored(scorer: ScoresTables, field: Field) -> Array:
    return scorer.score(field.table, field.facts.vocabularies).score


def _tried(scorer: ScoresTables, field: Field, kind: str) -> Scores:
    judged = field.attempts[kind]
    found = scorer.score(judged.table, field.facts.vocabularies).score
    return Scores(found[judged.place], judged.victim)


def _threshold(people: Scores, against: Mapping[str, Scores], budget: float) -> float:
    """The lowest score met that keeps to the budget."""
    theirs = np.concatenate([scores.score for scores in against.values()])
    labels = np.arange(len(people.score) + len(theirs)) >= len(people.score)
    return curve(np.append(people.score, theirs), labels).threshold_at(budget)


def _medians(
    score: Array, marks: Mapping[str, Mark], field: Field, replicates: int
) -> dict[str, dict[float, list[Estimate]]]:
    """After so many logins of an account, its first ever included, which is never challenged."""
    score = np.where(field.has_past, score, np.nan)[field.people]
    account = field.table["user_id"][field.people]
    found: dict[str, dict[float, list[Estimate]]] = {}
    for model, shares in MEDIANS.items():
        mark = marks.get(_MODEL + model)
        if mark is None:
            continue
        found[model] = {}
        for share in shares:
            enough = np.flatnonzero(mark.curve.caught_share >= share)
            threshold = mark.curve.threshold[enough[0]] if len(enough) else -np.inf
            found[model][share] = median_asked(score >= threshold, account, LOGINS, replicates)
    return found


def _calibrations(
    people: Mapping[str, Scores], against: Mapping[str, Mapping[str, Scores]], field: Field
) -> dict[str, Calibration]:
    """On the world's own attacks, if those were learned: else a probability has no meaning here."""
    own = [name for name, found in field.attempts.items() if found.asked is None]
    if field.learn_from != "attacks" or not own:
        return {}
    found = {}
    for name in set(people) & set(PROBABILITIES):
        theirs = [against[name][kind].score for kind in own if kind in against[name]]
        score = np.concatenate([people[name].score, *theirs])
        found[name] = calibration_of(score, np.arange(len(score)) >= len(people[name].score))
    return {name: found[name] for name in PROBABILITIES if name in found}


def _share(found: Estimate) -> str:
    return f"{percent(found.value, 1)} ({interval(percent(found.low, 1), percent(found.high, 1))})"


def _plain(found: Estimate) -> str:
    return f"{found.value:.3f} ({interval(f'{found.low:.3f}', f'{found.high:.3f}')})"
