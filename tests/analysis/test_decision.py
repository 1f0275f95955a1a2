"""The rule of a decision: what ships, what stops, what goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.analysis.decision import decide, state_of
from twofa_lab.analysis.experiment_checks import Check
from twofa_lab.analysis.experiment_data import Metric
from twofa_lab.analysis.experiment_estimates import Effect, MetricResult


def guard(value, half, margin=0.02, better="higher"):
    metric = Metric.binary("g", role="guardrail", margin=margin, better=better)
    return MetricResult(metric, 10, 10, 0, 0, Effect("m", value, value - half, value + half))


def goal(value, half):
    metric = Metric.binary("goal", role="goal")
    return MetricResult(metric, 10, 10, 0, 0, Effect("m", value, value - half, value + half))


FINE, BROKEN = (
    Check("sample ratio", "as planned", 0.6, True),
    Check("sample ratio", "x", 1e-9, False),
)


class TestDecision:
    @pytest.mark.parametrize(
        ("results", "information", "verdict", "binding"),
        [
            ([goal(0.1, 0.05), guard(0.0, 0.01)], 1.0, "ship", ("goal", "g")),
            ([goal(0.1, 0.05), guard(-0.01, 0.005)], 0.5, "ship", ("goal", "g")),
            ([goal(0.1, 0.05), guard(-0.05, 0.01)], 0.5, "stop", ("g",)),
            ([goal(-0.1, 0.05), guard(0.0, 0.01)], 0.5, "stop", ("goal",)),
            ([goal(0.1, 0.05), guard(-0.01, 0.02)], 0.5, "continue", ("g",)),
            ([goal(0.1, 0.05), guard(-0.01, 0.02)], 1.0, "stop", ("g",)),
            ([goal(0.0, 0.05), guard(0.0, 0.01)], 0.5, "continue", ("goal",)),
            ([goal(0.1, 0.05), guard(0.05, 0.01, better="lower")], 0.5, "stop", ("g",)),
        ],
    )
    def test_rule(self, results, information, verdict, binding):
        found = decide("x", results, FINE, information)
        assert (found.verdict, found.binding) == (verdict, binding)
        assert decide("x", results, BROKEN, information).verdict == "stop"

    @given(
        st.floats(-0.2, 0.2), st.floats(0, 0.2), st.floats(-0.2, 0.2), st.floats(0, 0.2),
        st.floats(0, 1),
    )  # fmt: skip
    def test_ships_only_what_is_shown(self, value, half, lost, half_lost, information):
        results = [goal(value, half), guard(lost, half_lost)]
        found = decide("x", results, FINE, information)
        shown = value - half > 0 and lost - half_lost > -0.02
        assert (found.verdict == "ship") == shown
        assert information < 1 or found.verdict != "continue"
        assert found.sentence.endswith(".")
        assert {state_of(r) for r in results} <= {"better", "worse", "within", "beyond", "open"}
