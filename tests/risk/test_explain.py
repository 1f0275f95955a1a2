"""A decision in words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import policies
from twofa_lab.risk.explain import explain_decision
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.rules import signal_names
from twofa_lab.risk.signals import BITS

RISK = Policy.risk_based()


def explained(bits: int, failures: int, decision: str, **more: object) -> str:
    settings = {"policy": RISK, "trusted": False, "outcome": "verified"} | more
    return str(
        explain_decision(7, bits=bits, failures=failures, decision=decision, **settings)  # type: ignore[arg-type]
    )


def test_reasons_come_largest_first_with_their_points() -> None:
    assert explained(BITS["odd_hour"] | BITS["new_country"], 1, "challenge").splitlines() == [
        "risk-based challenged login 7: score 0.95 reaches 0.45; then verified",
        "  - +0.60 new_country: never logged in from this country before",
        "  - +0.20 odd_hour: an hour at which this account hardly ever logs in",
        "  - +0.15 failed_attempt: 1 failed password(s) in the last 30 minutes",
    ]


@pytest.mark.parametrize(
    ("decision", "more", "expected"),
    [
        ("allow", {}, "risk-based allowed login 7: score 0.20, below 0.45"),
        (
            "allow",
            {"policy": Policy.password_only()},
            "password-only allowed login 7: score 0.20, it never asks",
        ),
        ("allow", {"trusted": True}, "risk-based allowed login 7: score 0.20, on a trusted device"),
        (
            "deny",
            {"policy": RISK.model_copy(update={"deny_at": 0.2})},
            "risk-based denied login 7: score 0.20 reaches 0.2",
        ),
        (
            "none",
            {"outcome": "rate_limited"},
            "risk-based did not score login 7: it ended as rate_limited",
        ),
    ],
)
def test_each_decision_has_its_sentence(
    decision: str, more: dict[str, object], expected: str
) -> None:
    assert explained(BITS["odd_hour"], 0, decision, **more).splitlines()[0] == expected


def test_trust_that_lifted_a_challenge_is_a_reason() -> None:
    told = explained(BITS["new_region"], 0, "allow", trusted=True)
    assert "trusted device: lifts challenges below 0.6" in told


@given(policies(), st.integers(0, 31), st.integers(0, 32), st.sampled_from(["allow", "challenge"]))
def test_an_explanation_adds_up_and_is_json(
    policy: Policy, bits: int, failures: int, decision: str
) -> None:
    told = explain_decision(1, policy, bits, failures, decision, False, "verified")
    assert told.score == min(1.0, round(sum(told.points.values()), 9))
    assert list(told.signals) == signal_names(bits)
    assert len(told.reasons) == len(told.points)
    content = json.loads(json.dumps(told.to_dict()))
    assert set(content) >= {"login_id", "signals", "score", "decision", "reasons"}


def test_a_name_cannot_smuggle_markup_into_a_page() -> None:
    policy = RISK.model_copy(update={"name": "<script>alert(1)</script>"})
    told = explain_decision(1, policy, 1, 0, "challenge", False, "verified")
    assert "<script>" not in told._repr_html_()
