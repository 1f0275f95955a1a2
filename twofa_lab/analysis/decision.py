"""Ship, stop or continue: the decision of an experiment, in one sentence made from its figures.

The rule. Stop where the sample ratio shows that the experiment is broken, where a guardrail is
worse by more than its margin, or where the goal got worse. Ship where every goal got better and
every guardrail is shown to be worse by less than its margin. Else continue, while planned visitors
are still to come; after that, stop. "Shown" means the whole interval at the
bound of the look, so that looking early costs nothing. That all guardrails must pass needs no
further adjustment (Berger 1982: an intersection of tests errs no more often than each).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from twofa_lab.analysis.experiment_checks import Check
from twofa_lab.analysis.experiment_estimates import MetricResult
from twofa_lab.sheet import percent

__all__ = ["Decision", "State", "decide", "state_of"]

Verdict = Literal["ship", "stop", "continue"]
State = Literal["better", "worse", "within", "beyond", "open"]
"""A goal is better, worse or open; a guardrail within its margin, beyond it, or open."""


@dataclass(frozen=True, repr=False)
class Decision:
    """The verdict, the metrics (or the check) that bind it, and the sentence that says why."""

    verdict: Verdict
    binding: tuple[str, ...]
    sentence: str

    def __repr__(self) -> str:
        return self.sentence


def state_of(result: MetricResult) -> State:
    """Where a goal's or guardrail's interval lies."""
    low, high = result.good
    if result.metric.role == "guardrail":
        if low > -result.metric.margin:
            return "within"
        return "beyond" if high < -result.metric.margin else "open"
    return "better" if low > 0 else "worse" if high < 0 else "open"


def decide(
    treatment: str, results: Sequence[MetricResult], ratio: Check, information: float
) -> Decision:
    """Decide from the results of goals and guardrails, whose intervals are at the look's bound.

    `information` is the share of the planned visitors that came.
    """
    judged = [r for r in results if r.metric.role != "other"]
    states = {r.metric.name: state_of(r) for r in judged}
    if not ratio.passed:
        text = f"Stop: the arms do not have their planned shares ({ratio.finding}), so that no"
        return Decision("stop", ("sample ratio",), f"{text} estimate is to be believed.")
    bad = [r for r in judged if states[r.metric.name] in ("worse", "beyond")]
    undecided = [r for r in judged if states[r.metric.name] == "open"]
    if bad:
        others = [r for r in judged if r not in bad]
        return _decision("stop", f"Stop {treatment}", bad, others)
    rest = [r for r in judged if r not in undecided]
    if not undecided:
        return _decision("ship", f"Ship {treatment}", judged, [])
    came = f"{percent(min(information, 1.0), 0)} of the planned visitors"
    if information < 1.0:
        return _decision("continue", f"Continue after {came}", undecided, rest)
    return _decision("stop", f"Stop {treatment}, with {came}", undecided, rest)


def _decision(
    verdict: Verdict, start: str, binding: Sequence[MetricResult], rest: Sequence[MetricResult]
) -> Decision:
    text = f"{start}: " + ", ".join(map(_clause, binding))
    if rest:
        text += "; " + ", ".join(map(_clause, rest))
    return Decision(verdict, tuple(r.metric.name for r in binding), text + ".")


def _clause(result: MetricResult) -> str:
    """What is known of one metric, in words and figures."""
    metric, state = result.metric, state_of(result)
    span = f"{metric.span(result.effect.low, result.effect.high)}"
    margin = metric.change(metric.margin).lstrip("+")
    says = {
        "better": "got better",
        "worse": "got worse",
        "within": f"stayed within the margin of {margin}",
        "beyond": f"lost more than the margin of {margin}",
        "open": f"may have lost more than the margin of {margin}"
        if metric.role == "guardrail"
        else "showed no clear effect",
    }[state]
    return f"{metric.title} {says} ({metric.change(result.effect.value)}, {span})"
