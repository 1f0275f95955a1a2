"""Experiments: named metrics in one object, one verb, results that render and plot themselves.

    experiment = signup_experiment(planned=200_000)
    analysis = experiment.analyse(table)
    analysis
    analysis.plot()

The pieces are public functions of their own: `proportions`, `estimators`, `sequential`, `bayes`,
`power`, and what joins them in `experiment_estimates`, `experiment_checks`, `experiment_looks`,
`experiment_segments`, `experiment_design` and `decision`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from twofa_lab.analysis.decision import decide
from twofa_lab.analysis.experiment_checks import check
from twofa_lab.analysis.experiment_data import Columns, Metric, Sample
from twofa_lab.analysis.experiment_design import Design, plan
from twofa_lab.analysis.experiment_estimates import estimate, measure
from twofa_lab.analysis.experiment_looks import Looks, look_at
from twofa_lab.analysis.experiment_result import Analysis
from twofa_lab.errors import InputError

__all__ = ["Experiment", "Metric", "signup_experiment"]

_FARTHEST = 6.0  # an interval at a bound beyond it (an error of 2e-9) is as good as endless


@dataclass(frozen=True)
class Experiment:
    """What is compared, and by which metrics.

    `shares` are the planned shares of all arms (default: two equal ones), `planned` the visitors at
    which the experiment ends (default: those of the table), `looks` how often it is looked at and
    `spending` how the error is shared among the looks. Columns of the table: `arm`, `day` of
    arrival, `cluster` where whole clusters were assigned ("": single visitors), `covariates`
    (numbers), `groups` (text) and `flag` (taken for a script) from before the arms part.
    """

    metrics: tuple[Metric, ...]
    treatment: str = "treatment"
    control: str = "control"
    shares: Mapping[str, float] = field(default_factory=dict)
    planned: int | None = None
    looks: int = 4
    spending: str = "lan-demets-obrien-fleming"
    arm: str = "arm"
    day: str = "day"
    cluster: str = ""
    covariates: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    flag: str = ""
    replicates: int = 200

    def __post_init__(self) -> None:
        names = [metric.name for metric in self.metrics]
        if not names or len(set(names)) != len(names):
            raise InputError("an experiment needs metrics of different names")
        if not any(metric.role == "goal" for metric in self.metrics):
            raise InputError("one metric must be the goal: role='goal'")
        if self.treatment == self.control:
            raise InputError("treatment and control are one arm: nothing to compare")
        if not {self.treatment, self.control} <= set(self.planned_shares):
            raise InputError(f"shares must name {self.treatment!r} and {self.control!r}")
        if self.planned is not None and self.planned < 4:
            raise InputError(f"planned must be 4 visitors or more, not {self.planned}")

    @property
    def planned_shares(self) -> dict[str, float]:
        """The planned share of each arm."""
        return dict(self.shares) or {self.control: 0.5, self.treatment: 0.5}

    @property
    def goal(self) -> Metric:
        """The first goal: the metric that is looked at."""
        return next(metric for metric in self.metrics if metric.role == "goal")

    def metric(self, name: str) -> Metric:
        """The metric of that name."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        names = ", ".join(metric.name for metric in self.metrics)
        raise InputError(f"no metric {name!r} in this experiment: {names}")

    def design(
        self,
        pilot: Columns,
        *,
        effects: Mapping[str, float],
        visitors_per_day: float,
        power: float = 0.8,
        alpha: float = 0.05,
    ) -> Design:
        """Visitors and days needed; see `experiment_design.plan`. `pilot`: visitors of one arm."""
        rows = np.arange(len(np.asarray(pilot[self.metrics[0].column])))
        sample = Sample(pilot, rows[::2], rows[1::2], self.cluster)
        ours, other = (self.planned_shares[name] for name in (self.treatment, self.control))
        return plan(
            sample,
            self.metrics,
            effects=effects,
            visitors_per_day=visitors_per_day,
            share_a=ours / (ours + other),
            alpha=alpha,
            power=power,
        )

    def analyse(self, table: Columns, *, through_day: int | None = None, seed: int = 1) -> Analysis:
        """Check, estimate every metric by every method, look at the goal, and decide.

        With `through_day`, on what had arrived by the end of that day: an interim analysis, whose
        decision uses the bound of that look. `seed` is that of the bootstrap and of A/A splits.
        """
        whole = Sample.of(table, self.arm, self.treatment, self.control, self.cluster)
        planned = self.planned or whole.n_a + whole.n_b
        sample = self._through(whole, through_day)
        rng = np.random.default_rng(seed)
        looks = self._look(sample, self.goal, planned)
        level = 1.0 - 2.0 * float(stats.norm.sf(min(looks.last.bound, _FARTHEST)))
        at_bound = tuple(estimate(sample, m, level) for m in self.metrics if m.role != "other")
        checks = check(
            sample,
            [m for m in self.metrics if m.role != "other"],
            counts=self._counts(table, through_day),
            shares=self.planned_shares,
            covariates=self.covariates,
            groups=self.groups,
            flag=self.flag,
            rng=rng,
        )
        return Analysis(
            experiment=self,
            sample=sample,
            planned=planned,
            checks=checks,
            results=tuple(measure(sample, m, rng, self.replicates) for m in self.metrics),
            at_bound=at_bound,
            bound=looks.last.bound,
            looks=looks,
            decision=decide(self.treatment, at_bound, checks.mismatch, looks.last.information),
        )

    def _look(self, sample: Sample, metric: Metric, planned: int) -> Looks:
        return look_at(
            sample, metric, day=self.day, looks=self.looks, planned=planned, kind=self.spending
        )

    def _through(self, sample: Sample, day: int | None) -> Sample:
        if day is None:
            return sample
        a, b = sample.column(self.day)
        if min((a <= day).sum(), (b <= day).sum()) < 2:
            raise InputError(f"fewer than two visitors in an arm by day {day}")
        return sample.part(a <= day, b <= day)

    def _counts(self, table: Columns, day: int | None) -> dict[str, int]:
        """Units that were assigned to each arm: visitors, or clusters."""
        labels = np.asarray(table[self.arm])
        here = np.ones(len(labels), bool) if day is None else np.asarray(table[self.day]) <= day
        units = np.asarray(table[self.cluster]) if self.cluster else None
        found = {}
        for name in self.planned_shares:
            inside = here & (labels == name)
            found[name] = int(inside.sum() if units is None else len(np.unique(units[inside])))
        return found


def signup_experiment(
    *,
    treatment: str = "treatment",
    control: str = "control",
    shares: Mapping[str, float] | None = None,
    planned: int | None = None,
    looks: int = 4,
    cluster: str = "",
    lost_sign_ups: float = 0.03,
    lost_activations: float = 0.02,
    more_tickets: float = 0.01,
) -> Experiment:
    """The experiment of a sign-up page: fewer takeovers, and not too much lost for it.

    The margins say what may be lost, of all visitors: sign-ups and activations (shares) and support
    tickets (a visitor). They are the reader's to choose; the defaults are assumptions.
    """
    before = "earlier_visits"
    return Experiment(
        metrics=(
            Metric.binary("taken_over", name="takeovers", role="goal", better="lower"),
            Metric.binary(
                "signed_up",
                name="sign_ups",
                role="guardrail",
                margin=lost_sign_ups,
                covariate=before,
            ),
            Metric.binary(
                "activated",
                name="activation",
                role="guardrail",
                margin=lost_activations,
                covariate=before,
            ),
            Metric.mean("tickets", role="guardrail", better="lower", margin=more_tickets),
            Metric.binary("retained_90", name="retention_90", covariate=before),
            Metric.binary("enrolled", name="enrolment"),
            Metric.ratio("login_success", "completed", "logins"),
            Metric.mean("message_usd", better="lower"),
            Metric.mean("net_usd", covariate=before),
        ),
        treatment=treatment,
        control=control,
        shares=dict(shares or {}),
        planned=planned,
        looks=looks,
        cluster=cluster,
        covariates=(before,),
        groups=("device", "channel"),
        flag="flagged",
    )
