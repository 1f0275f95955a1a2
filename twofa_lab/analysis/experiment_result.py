"""What an experiment found: tables, figures, the decision, and how near the truth it came."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twofa_lab.analysis.bayes import beta_binomial
from twofa_lab.analysis.decision import Decision
from twofa_lab.analysis.experiment_checks import Checks
from twofa_lab.analysis.experiment_data import Columns, Metric, Sample, pvalue_text
from twofa_lab.analysis.experiment_estimates import MetricResult
from twofa_lab.analysis.experiment_looks import Looks, look_at
from twofa_lab.analysis.experiment_segments import Novelty, Segments, novelty, segments
from twofa_lab.errors import InputError
from twofa_lab.sheet import Sheet, interval, markdown_text, number, percent

if TYPE_CHECKING:
    from twofa_lab.analysis.experiments import Experiment
    from twofa_lab.analysis.picture import Figure

__all__ = ["Analysis", "Reveal"]


@dataclass(frozen=True, repr=False)
class Analysis:
    """An analysed experiment; renders itself, plots itself.

    `results` has every metric by every method at 95 %; `at_bound` goals and guardrails with the
    interval of the look's `bound`, which the decision goes by; `looks` the goal over time.
    """

    experiment: Experiment
    sample: Sample
    planned: int
    checks: Checks
    results: tuple[MetricResult, ...]
    at_bound: tuple[MetricResult, ...]
    bound: float
    looks: Looks
    decision: Decision

    def __getitem__(self, name: str) -> MetricResult:
        for result in self.results:
            if result.metric.name == name:
                return result
        raise InputError(
            f"no metric {name!r} here: {', '.join(r.metric.name for r in self.results)}"
        )

    def sentence(self) -> str:
        """The decision, in one sentence made from the figures."""
        return self.decision.sentence

    def table(self) -> Sheet:
        """The estimate to go by of each metric."""
        arms = self.experiment.control, self.experiment.treatment
        columns = ("metric", "role", *arms, "effect", "95 % interval", "relative", "p", "method")
        rows = tuple(
            (
                r.metric.title,
                r.metric.role,
                r.metric.text(r.value_b),
                r.metric.text(r.value_a),
                r.metric.change(r.effect.value),
                r.metric.span(r.effect.low, r.effect.high),
                percent(r.relative, 1),
                pvalue_text(r.effect.pvalue),
                r.effect.method,
            )
            for r in self.results
        )
        note = (
            f"{number(self.sample.n_b)} visitors in {arms[0]}, {number(self.sample.n_a)} in "
            f"{arms[1]}. Effect: {arms[1]} less {arms[0]}; p: no effect."
        )
        return Sheet("Effects", columns, rows, note)

    def methods(self, name: str) -> Sheet:
        """One metric by every method that applies."""
        found = self[name]
        rows = []
        for e in found.methods:
            if e.of_ratio:
                cells = number(e.value, 4), interval(number(e.low, 4), number(e.high, 4))
            else:
                cells = found.metric.change(e.value), found.metric.span(e.low, e.high)
            rows.append((e.method, *cells, pvalue_text(e.pvalue)))
        columns = ("method", "effect", "95 % interval", "p")
        note = "Ratio: treatment over control, all others treatment less control."
        return Sheet(f"{found.metric.title}, by every method", columns, tuple(rows), note)

    def margins(self) -> Sheet:
        """The guardrails: non-inferior by their margin? And are they worse at all?"""
        rows = []
        for r in self.results:
            if r.metric.role != "guardrail":
                continue
            low, high = r.good
            rows.append(
                (
                    r.metric.title,
                    r.metric.change(r.metric.margin).lstrip("+"),
                    r.metric.change(r.effect.value),
                    r.metric.span(r.effect.low, r.effect.high),
                    pvalue_text(r.worse_by_margin),
                    "yes" if low > -r.metric.margin else "not shown",
                    "yes" if high < 0 else "no",
                )
            )
        columns = (
            "guardrail", "margin", "effect", "95 % interval", "p: worse by the margin",
            "within the margin", "worse than no change",
        )  # fmt: skip
        note = (
            "One-sided p, to be held against 0.025. Both of the last columns can be yes: worse, "
            "but by less than the margin."
        )
        return Sheet("Non-inferiority", columns, tuple(rows), note)

    def bayes(self) -> Sheet:
        """Shares the Bayesian way, beside the frequentist p-value."""
        rows = []
        for r in self.results:
            if r.counts is None:
                continue
            p, up = beta_binomial(*r.counts), r.metric.better == "higher"
            loss = (p.loss_a, p.loss_b) if up else (p.loss_b, p.loss_a)
            rows.append(
                (
                    r.metric.title,
                    percent(p.a_better if up else 1.0 - p.a_better),
                    r.metric.change(p.difference),
                    r.metric.span(p.interval.low, p.interval.high),
                    f"{1e4 * loss[0]:.3f}",
                    f"{1e4 * loss[1]:.3f}",
                    pvalue_text(r.effect.pvalue),
                )
            )
        columns = (
            "metric", "chance that treatment is better", "effect", "95 % credible",
            "loss if treatment", "loss if control", "p (frequentist)",
        )  # fmt: skip
        note = (
            "Beta-binomial, uniform priors, visitors taken as independent. Loss: what a wrong "
            "choice is expected to cost, in visitors of 10,000."
        )
        return Sheet("Bayesian", columns, tuple(rows), note)

    def segments(self, name: str) -> Segments:
        """The effect on a metric by group."""
        return segments(self.sample, self.experiment.metric(name), self.experiment.groups)

    def novelty(self, name: str, width: int = 1) -> Novelty:
        """The effect on a metric by day of arrival, `width` days together."""
        return novelty(self.sample, self.experiment.metric(name), self.experiment.day, width)

    def look_at(self, name: str) -> Looks:
        """A metric watched over the days, with the experiment's looks and bounds."""
        ours = self.experiment
        return look_at(
            self.sample, ours.metric(name), day=ours.day, looks=ours.looks, planned=self.planned,
            kind=ours.spending,
        )  # fmt: skip

    def reveal(self, control: Columns, treatment: Columns) -> Reveal:
        """Hold the estimates against the truth: what all visitors would do under each arm."""
        truths = tuple(
            _value(r.metric, treatment) - _value(r.metric, control) for r in self.results
        )
        return Reveal(self, truths)

    def plot(self) -> Figure:
        """Every metric's effect with its interval, and its margin."""
        from twofa_lab.analysis.experiment_figures import plot_effects

        return plot_effects(self)

    def plot_looks(self, name: str = "") -> Figure:
        """A metric (default: the goal) over time: z against its bounds, and intervals."""
        from twofa_lab.analysis.experiment_figures import plot_looks

        return plot_looks(self.look_at(name) if name else self.looks)

    def plot_segments(self, name: str) -> Figure:
        """The effect on a metric by group."""
        from twofa_lab.analysis.experiment_figures import plot_segments

        return plot_segments(self.segments(name))

    def plot_novelty(self, name: str) -> Figure:
        """The effect on a metric by day of arrival."""
        from twofa_lab.analysis.experiment_figures import plot_novelty

        return plot_novelty(self.novelty(name))

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values, for JSON; unknown ones are None."""
        return {
            "verdict": self.decision.verdict,
            "binding": list(self.decision.binding),
            "sentence": self.decision.sentence,
            "visitors": {"treatment": self.sample.n_a, "control": self.sample.n_b},
            "checks_failed": [found.name for found in self.checks.failed],
            "metrics": {r.metric.name: _figures(r) for r in self.results},
        }

    def to_markdown(self) -> str:
        """The decision and all tables."""
        sheets = (
            self.table(), self.margins(), self.looks.sheet(), self.checks.sheet(), self.bayes(),
        )  # fmt: skip
        parts = [markdown_text(self.sentence()), *(sheet.to_markdown() for sheet in sheets)]
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


@dataclass(frozen=True, repr=False)
class Reveal:
    """An analysis beside the true effects, in the order of its results; renders and plots."""

    analysis: Analysis
    truths: tuple[float, ...]

    def sheet(self) -> Sheet:
        rows = []
        for r, truth in zip(self.analysis.results, self.truths, strict=True):
            inside = r.effect.low <= truth <= r.effect.high
            rows.append(
                (
                    r.metric.title,
                    r.metric.change(truth),
                    r.metric.change(r.effect.value),
                    r.metric.span(r.effect.low, r.effect.high),
                    "inside" if inside else "OUTSIDE",
                )
            )
        columns = ("metric", "true effect", "estimate", "95 % interval", "the truth is")
        note = (
            "True effect: the difference if every visitor met the one arm or the other. One in "
            "twenty intervals is expected to miss."
        )
        return Sheet("The truth", columns, tuple(rows), note)

    def plot(self) -> Figure:
        """The effects of the analysis, and the true ones."""
        from twofa_lab.analysis.experiment_figures import plot_effects

        return plot_effects(self.analysis, self.truths)

    def __repr__(self) -> str:
        return str(self.sheet())

    def _repr_html_(self) -> str:
        return self.sheet().to_html()


def _value(metric: Metric, table: Columns) -> float:
    """A metric over all visitors of a table."""
    top = float(np.sum(np.asarray(table[metric.column]), dtype=np.float64))
    bottom = np.asarray(table[metric.per]).sum() if metric.per else len(table[metric.column])
    return top / float(bottom)


def _figures(r: MetricResult) -> dict[str, Any]:
    e = r.effect
    found = {
        "treatment": r.value_a, "control": r.value_b, "effect": e.value, "low": e.low,
        "high": e.high, "pvalue": e.pvalue, "worse_by_margin_pvalue": r.worse_by_margin,
    }  # fmt: skip
    return {
        "role": r.metric.role,
        "method": e.method,
        **{key: None if np.isnan(value) else float(value) for key, value in found.items()},
    }
