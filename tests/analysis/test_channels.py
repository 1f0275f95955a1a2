"""Channel plans side by side: the frontier is what nothing beats, and moves the right way."""

from __future__ import annotations

import html
import itertools
import json

import numpy as np
import pytest

from twofa_lab.analysis.channels import ALL_ORDERS, ChannelStudy, channels
from twofa_lab.analysis.comparison import compare
from twofa_lab.errors import InputError
from twofa_lab.replay.run import outcomes
from twofa_lab.risk.policy import Fallback, Policy
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.world import World

OUTAGE = {
    "kind": "carrier_outage", "channel": "whatsapp", "day": 10, "hour": 0, "hours": 72,
    "loss": 1.0, "slower": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def mobile() -> World:
    scenario = Scenario.load("mobile-first-whatsapp").changed(incidents=[OUTAGE])
    return simulate(scenario, users=900, days=30, seed=5, progress=False)


@pytest.fixture(scope="module")
def study(mobile: World) -> ChannelStudy:
    return channels(mobile, Policy.universal(), timeouts=(10, 60), incident=(240, 72))


def test_every_order_is_tried_with_every_timeout(study: ChannelStudy) -> None:
    assert len(ALL_ORDERS) == 15
    assert len(study["everywhere"]) == 30
    assert len({choice.name for choice in study["everywhere"]}) == 30


def test_figures_are_those_of_the_outcomes(mobile: World) -> None:
    plan = Fallback(channels=("sms", "voice"), timeout_seconds=20)
    policy = Policy.universal().model_copy(update={"fallback": plan})
    found = channels(mobile, policy, orders=[plan.channels], timeouts=[20])["everywhere"][0]
    frame, logins = outcomes(mobile, policy, limit=None), mobile.logins(None)
    ms = logins["time"].dt.as_unit("ms").astype("int64")
    own = (logins["attack"] == "none") & (ms >= mobile.facts.window[0])
    rows = frame[own.to_numpy() & (frame["factor"] == "otp").to_numpy()]
    assert found.challenges == len(rows)
    assert found.completed == (rows["outcome"] == "verified").mean()
    assert found.cents == pytest.approx(rows["message_microusd"].mean() / 1e4)
    took = np.sort(rows["seconds_ds"][rows["outcome"] == "verified"])
    assert found.seconds[0] == took[int(np.ceil(len(rows) / 2)) - 1] / 10
    accounts = logins["user_id"].to_numpy()[rows.index]
    done = (rows["outcome"] == "verified").to_numpy() - found.completed
    by_account = np.bincount(accounts, done)
    assert found.error == pytest.approx(np.sqrt(by_account @ by_account) / len(rows))


def test_the_guide_s_plan_agrees_with_the_comparison(mobile: World) -> None:
    """Under the universal policy all own challenges are counted; those by code are the rest of
    what other factors verify.
    """
    policy = Policy.universal()
    found = channels(mobile, policy, orders=[Fallback().channels], timeouts=[30])["everywhere"][0]
    result = compare(mobile, [policy], replicates=4, progress=False).results[0]
    assert found.challenges < result.legitimate
    assert found.challenges * found.completed < result.asked_and_completed


def test_nothing_beats_the_frontier_and_all_else_is_beaten(study: ChannelStudy) -> None:
    for group in study.groups:
        edge = study.frontier(group)
        for one, other in itertools.permutations(edge, 2):
            assert not one.beats(other)
        for one in study[group]:
            assert one in edge or any(other.beats(one) for other in edge)
        assert study.cheapest(group).total == min(choice.total for choice in study[group])


def test_a_fallback_costs_more_and_completes_more(study: ChannelStudy) -> None:
    by_name = {choice.name: choice for choice in study["everywhere"]}
    alone, helped = by_name["sms, 10 s"], by_name["sms > voice, 10 s"]
    patient = by_name["sms > voice, 60 s"]
    assert helped.completed > alone.completed
    assert helped.cents > alone.cents
    assert patient.messages < helped.messages
    assert patient.completed < helped.completed


def test_an_outage_moves_the_best_plan_away_from_the_channel(study: ChannelStudy) -> None:
    assert study.cheapest().fallback.channels[0] == "whatsapp"
    assert study.cheapest("the incident").fallback.channels[0] == "sms"
    whatsapp = study["the incident"][0]
    assert whatsapp.fallback.channels == ("whatsapp",)
    assert whatsapp.completed < 0.02
    assert whatsapp.seconds[0] == float("inf")


def test_countries_are_told_apart(study: ChannelStudy) -> None:
    assert {"BR", "IN", "ID", "MX"} <= set(study.groups)
    parts = [study[name][3].challenges for name in ("BR", "IN", "ID", "MX")]
    assert sum(parts) == study["everywhere"][3].challenges


def test_it_shows_itself(study: ChannelStudy) -> None:
    assert html.escape(study.sentence()) in study._repr_html_()
    assert "Frontier everywhere" in str(study)
    assert "In the incident" in study.sentence("the incident")
    assert len(study.by_group().rows) == len(study.groups)
    assert study.plot("the incident").axes
    assert json.dumps(study.to_dict(), allow_nan=False)


def test_wrong_calls_are_refused(mobile: World, study: ChannelStudy) -> None:
    with pytest.raises(InputError, match="no group 'FR'"):
        study.table("FR")
    with pytest.raises(InputError, match="at least one order"):
        channels(mobile, orders=[])
    with pytest.raises(InputError, match="by code"):
        channels(mobile, Policy.password_only())
