"""The guide's numbers: verdicts follow the figures, and measures are what they say."""

from __future__ import annotations

import html
import json
import math

import numpy as np
import pandas as pd
import pytest

from twofa_lab.analysis import guide_measures as measure
from twofa_lab.analysis.comparison import compare
from twofa_lab.analysis.estimates import Estimate
from twofa_lab.analysis.guide_claims import Answer, GuideClaims, claim, guide_claims
from twofa_lab.errors import InputError
from twofa_lab.replay.run import outcomes
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate


def answer(value: float, *moved: float, unit: str = "%") -> Answer:
    told = claim("q", "5 to 15 %", (0.05, 0.15), value, unit, "nothing")
    return Answer(told, {f"case {k}": v for k, v in enumerate(moved)}, "made up")


@pytest.mark.parametrize(
    ("value", "moved", "verdict"),
    [
        (0.1, (), "holds here"),
        (0.1, (0.06, 0.14), "holds here, whatever was moved"),
        (0.1, (0.06, 0.2), "holds here; holds in 1 of 2 moved cases"),
        (0.2, (0.3, 0.4), "does not hold here: higher, whatever was moved"),
        (0.2, (0.3, 0.1), "does not hold here: higher; holds in 1 of 2 moved cases"),
        (0.01, (math.nan,), "does not hold here: lower, whatever was moved"),
    ],
)
def test_the_verdict_says_whether_moving_assumptions_changes_it(
    value: float, moved: tuple[float, ...], verdict: str
) -> None:
    assert answer(value, *moved).verdict == verdict


def test_what_is_too_close_to_call_is_never_firm() -> None:
    told = claim("q", "5 to 15 %", (0.05, 0.15), Estimate(0.06, 0.04, 0.08), "%", "nothing")
    found = Answer(told, {"one": 0.1, "two": 0.12}, "made up")
    assert found.verdict == "too close to call; holds in 2 of 2 moved cases"


def test_the_range_is_of_all_cases() -> None:
    assert answer(0.1, 0.06, math.nan, 0.2).range == (0.06, 0.2)
    assert answer(0.1, math.inf).range == (0.1, math.inf)


@pytest.fixture(scope="module")
def conversion() -> tuple[Answer, ...]:
    return measure.conversion(500, 30, 3)


def test_conversion_is_a_comparisons_own(conversion: tuple[Answer, ...]) -> None:
    name, changes = next(iter(measure.MOVED.items()))
    scenario = Scenario.load("us-consumer")
    for case, given in (("as it is", {}), (name, changes)):
        world = simulate(scenario.changed(**given), users=500, days=30, seed=3, progress=False)
        study = compare(world, [Policy.universal(), Policy.risk_based()], progress=False)
        universal, risk = study.results
        expected = (
            risk.challenge_rate.value, 1 - risk.conversion.value, 1 - universal.conversion.value,
            risk.friction[1],
        )  # fmt: skip
        for told, value in zip(conversion, expected, strict=True):
            found = told.claim.found.value if case == "as it is" else told.moved[name]
            assert found == pytest.approx(value)
    rare = conversion[0].moved["people sign in half as often"]
    often = conversion[0].moved["people sign in four times as often"]
    assert often < conversion[0].claim.found.value < rare
    assert all(len(told.moved) == len(measure.MOVED) for told in conversion)


def test_a_longer_memory_of_devices_asks_less() -> None:
    memory, night = measure.rules_as_told(500, 30, 3)
    assert memory.moved["7 days"] > memory.claim.found.value > memory.moved["90 days"] > 0
    world = simulate(
        Scenario.load("us-consumer").changed(warmup_days=90), users=500, days=30, seed=3,
        progress=False,
    )  # fmt: skip
    (risk,) = compare(world, [Policy.risk_based()], progress=False).results
    assert memory.claim.found.value == pytest.approx(risk.challenge_rate.value)
    assert night.claim.found.value == Policy.risk_based().points.odd_hour
    assert night.verdict == "holds here"


def test_a_price_is_what_the_messages_cost() -> None:
    told = measure.message_price(500, 30, 3)
    prices = Scenario.load("us-consumer").costs.message
    assert prices["whatsapp"] < told.moved["everybody has WhatsApp"] < told.claim.found.value
    assert told.claim.found.value < told.moved["nobody has WhatsApp"]
    world = simulate("us-consumer", users=500, days=30, seed=3, progress=False)
    rows, logins = outcomes(world, Policy.universal()), world.logins()
    start = pd.Timestamp(world.facts.window[0], unit="ms", tz="UTC")
    inside = (logins["time"] >= start) & ~logins["signup"]
    by_code = (rows["channel"] != "none") & (rows["outcome"] == "verified")
    completed = (inside & by_code & (logins["attack"] == "none")).sum()
    usd = rows["message_microusd"][inside].sum() / 1e6
    assert told.claim.found.value == pytest.approx(usd / completed)


def test_sign_ups_are_lost_for_those_who_would_have_come() -> None:
    lost, kept_out = measure.signup(20_000, 3)
    assert lost.claim.found.low < lost.claim.found.value < lost.claim.found.high
    assert lost.claim.found.value < lost.moved["passkey forced"] < lost.moved["totp forced"]
    assert 0.0 <= kept_out.claim.found.value < kept_out.moved["passkey forced"]


def test_guessing_is_arithmetic() -> None:
    told = measure.guessing()
    assert told.claim.found.value == 5e-6
    assert told.moved["4 digits"] == 5e-4


def test_prompts_and_the_road_to_passkeys() -> None:
    window, arc = measure.enrolling(600, 3)
    assert window.claim.found.value > 0
    assert arc.moved["passkeys at good moments"] < arc.claim.found.value
    assert arc.claim.high == math.inf


def test_the_cheapest_timeout_is_one_of_those_tried() -> None:
    told = measure.fallback(500, 30, 3)
    assert {told.claim.found.value, *told.moved.values()} <= {10, 15, 20, 30, 45, 60}
    dear = told.moved["a lost login costs 10 times as much"]
    assert dear <= told.moved["a lost login costs 0.1 times as much"]


def test_tables_and_figure_show_themselves(conversion: tuple[Answer, ...]) -> None:
    others = (answer(0.1, 0.2), answer(math.inf, 71.0, unit="days"), measure.guessing())
    found = GuideClaims((*conversion, *others), "made up")
    text = str(found)
    for said in ("never", "0.00050 %", "whatever was moved", "claimed"):
        assert said in text
    assert html.escape(found.sentence()) in found._repr_html_()
    question = conversion[2].claim.question
    assert len(found.moved_table(question).rows) == 1 + len(measure.MOVED)
    assert len(found.unanswered().rows) > 3
    assert len(found.sources().rows) == len(found.answers)
    assert found.plot()._repr_png_()[1:4] == b"PNG"
    json.dumps(found.to_dict(), allow_nan=False)
    with pytest.raises(InputError, match="no claim 'moon'"):
        found["moon"]


def test_worlds_too_small_to_measure_on_are_refused() -> None:
    with pytest.raises(InputError, match="500 users and 30 days"):
        guide_claims(users=10)


def test_the_four_signals_share_is_of_what_all_prevent() -> None:
    told = measure.four_signals(1_000, 30, 3)
    assert isinstance(told.claim.found, Estimate)
    assert 0.5 < told.claim.found.value < 1.2
    assert set(told.moved) == {
        "2 % of logins challenged", "10 % of logins challenged", "20 % of logins challenged",
    }  # fmt: skip
    assert np.isfinite([*told.moved.values()]).all()
