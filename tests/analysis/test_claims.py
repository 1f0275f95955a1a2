"""The guide's claims: what is found is the study's figure, and the verdict follows the interval."""

from __future__ import annotations

from dataclasses import replace

import pytest

from twofa_lab.analysis.claims import Claim, claims_of, claims_sheet
from twofa_lab.analysis.comparison import Comparison, compare
from twofa_lab.analysis.estimates import Estimate
from twofa_lab.risk.policy import Policy
from twofa_lab.sheet import interval, number, percent
from twofa_lab.traffic.world import World


def claim(low: float, value: float, high: float) -> Claim:
    """A claim of 5 to 15 %, and what was found."""
    return Claim("q", "5 to 15 %", 0.05, 0.15, Estimate(value, low, high), "%", "nothing")


@pytest.mark.parametrize(
    ("low", "value", "high", "verdict"),
    [
        (0.07, 0.10, 0.12, "holds here"),
        (0.05, 0.10, 0.15, "holds here"),  # an end that only touches is on one side
        (0.01, 0.02, 0.03, "does not hold here: lower"),
        (0.01, 0.02, 0.05, "does not hold here: lower"),
        (0.20, 0.25, 0.30, "does not hold here: higher"),
        (0.15, 0.25, 0.30, "does not hold here: higher"),
        (0.04, 0.06, 0.08, "too close to call"),
        (0.03, 0.04, 0.06, "too close to call"),
        (0.14, 0.16, 0.18, "too close to call"),
        (0.01, 0.10, 0.30, "too close to call"),
    ],
)
def test_the_verdict_is_that_of_the_whole_interval(low, value, high, verdict):
    assert claim(low, value, high).verdict == verdict


def test_the_claims_are_about_the_figures_of_the_study(study: Comparison):
    challenged, risk_lost, universal_lost, seconds = study.claims()
    risk, universal = study["risk-based"], study["universal"]
    assert challenged.found == risk.challenge_rate
    for one, result in ((risk_lost, risk), (universal_lost, universal)):
        kept = result.conversion
        assert one.found == Estimate(1 - kept.value, 1 - kept.high, 1 - kept.low)
        assert one.found.low <= one.found.value <= one.found.high
    low, median, high = risk.friction
    assert seconds.found == Estimate(median, low, high)
    assert (challenged.low, challenged.high) == (0.0, 0.05)
    assert (universal_lost.low, universal_lost.high) == (0.05, 0.15)
    assert (seconds.low, seconds.high) == (10.0, 30.0)
    assert all(one.rests_on for one in study.claims())


def test_the_table_shows_claim_figure_interval_and_verdict(study: Comparison):
    sheet = study.claims_table()
    assert sheet.note == study.note
    for one, row in zip(study.claims(), sheet.rows, strict=True):
        cells = dict(zip(sheet.columns, row, strict=True))
        assert cells["claim of the guide"] == one.question
        assert (cells["claimed"], cells["rests on"]) == (one.claimed, one.rests_on)
        if one.unit == "%":
            assert cells["found"] == percent(one.found.value)
            assert cells["range"] == interval(percent(one.found.low), percent(one.found.high))
            assert cells["verdict"] == one.verdict
        else:
            assert cells["found"] == number(one.found.value, 1) + " s"
            assert cells["verdict"] == ("holds here" if one.holds else "does not hold here")


@pytest.mark.parametrize(("seconds", "verdict"), [(9.9, "does not hold"), (12.0, "holds here")])
def test_the_spread_of_seconds_is_of_people_and_no_doubt_about_the_median(seconds, verdict):
    one = Claim("q", "10 to 30 s", 10.0, 30.0, Estimate(seconds, 5.0, 60.0), "s", "nothing")
    assert claims_sheet([one], "").rows[0][4].startswith(verdict)


@pytest.mark.parametrize("unit", ["s", "%"])
def test_what_was_not_seen_neither_holds_nor_fails(unit: str):
    nan = float("nan")
    one = replace(claim(nan, nan, nan), unit=unit)
    assert one.verdict == claims_sheet([one], "").rows[0][4] == "not seen here"


def test_only_the_claims_that_the_policies_can_answer_are_tested(study: Comparison, world: World):
    assert claims_of([study["password-only"]]) == ()
    (lost, seconds) = claims_of([study["universal"]])
    assert "universal" in lost.question
    assert "universal" in seconds.question
    assert "risk-based" in claims_of([study["risk-based"]])[-1].question
    own = Policy.universal().model_copy(update={"name": "of my own"})
    assert compare(world, [own], progress=False).claims() == ()


def test_a_changed_figure_changes_the_verdict(study: Comparison):
    rare = replace(study["risk-based"], challenge_rate=Estimate(0.03, 0.02, 0.04))
    often = replace(rare, challenge_rate=Estimate(0.3, 0.2, 0.4))
    assert claims_of([rare])[0].verdict == "holds here"
    assert claims_of([often])[0].verdict == "does not hold here: higher"
