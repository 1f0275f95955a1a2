"""Enrolment: shares by day are those of the people, tests hold their level, plans choose."""

from __future__ import annotations

import html
import json

import numpy as np
import pytest

from twofa_lab.analysis.enrolment import EnrolmentStudy, enrolment
from twofa_lab.analysis.enrolment_lives import daily_of, lives_of
from twofa_lab.analysis.enrolment_plan import Plan, plan
from twofa_lab.errors import InputError
from twofa_lab.flow.prompts import PromptRules
from twofa_lab.traffic.enrolment import EnrolmentPeople, Schedule, enrolment_people

PASSKEY = PromptRules(ladder=("passkey",))
SCHEDULES = (
    Schedule("never"),
    Schedule("any login", PASSKEY),
    Schedule("moments", PASSKEY, moments=True, trigger=0.3),
)


@pytest.fixture(scope="module")
def people() -> EnrolmentPeople:
    return enrolment_people(existing=1_500, signups=1_000, days=400, seed=2)


@pytest.fixture(scope="module")
def study(people: EnrolmentPeople) -> EnrolmentStudy:
    return enrolment(people, SCHEDULES)


@pytest.fixture(scope="module")
def planned(people: EnrolmentPeople) -> Plan:
    return plan(people, 0.3, 300)


def test_everybody_enrols_leaves_or_is_still_waiting(
    people: EnrolmentPeople, study: EnrolmentStudy
) -> None:
    lives = lives_of(people, study["moments"], "passkey", "existing")
    assert set(np.unique(lives.cause)) == {0, 1, 2}
    reached = study["moments"].enrolled[3, lives.who]
    assert np.array_equal(lives.days[lives.enrolled], reached[lives.enrolled])
    waiting = lives.cause == 0
    assert (lives.days[waiting] == people.days).all()  # from the first day to the last


def test_shares_by_day_are_those_of_the_people(
    people: EnrolmentPeople, study: EnrolmentStudy
) -> None:
    """Nobody there from the start is censored early, so the estimate is the plain share."""
    lives = lives_of(people, study["moments"], "passkey", "existing")
    found = study.incidence("moments", "passkey", "existing")
    for day in (30, 200, 399):
        plain = (lives.enrolled & (lives.days <= day)).mean()
        assert found.at(1, day) == pytest.approx(plain)
        left = ((lives.cause == 2) & (lives.days <= day)).mean()
        assert found.at(2, day) == pytest.approx(left)


def test_calling_leavers_censored_says_too_much(study: EnrolmentStudy) -> None:
    curve = study.curve("moments", "passkey", "existing")
    found = study.incidence("moments", "passkey", "existing")
    assert 1.0 - curve.at(399) > found.at(1, 399)


def test_in_an_experiment_each_person_is_seen_once(study: EnrolmentStudy) -> None:
    _, _, people, arm = study._split_lives("passkey", "existing")
    assert len(np.unique(people)) == len(people)
    assert np.bincount(arm).min() > 0.25 * len(people)


def test_the_log_rank_test_holds_its_level_where_schedules_are_the_same() -> None:
    """Two names for one schedule, in 40 worlds: at 5 % at most 6 rejections (chance 0.003 more)."""
    twins = [Schedule("a", PASSKEY, moments=True), Schedule("b", PASSKEY, moments=True)]
    rejected = 0
    for seed in range(40):
        made = enrolment_people(existing=200, days=60, seed=seed)
        rejected += enrolment(made, twins).logrank("passkey", "existing").pvalue < 0.05
    assert rejected <= 6


def test_the_log_rank_test_and_cox_see_what_works(study: EnrolmentStudy) -> None:
    assert study.logrank("passkey", "existing").pvalue < 1e-6
    fit = study.cox("passkey", "existing")
    ratio = dict(zip(fit.names, fit.hazard_ratio, strict=True))
    assert ratio["moments against any login"] > 2.0
    assert ratio["logins a year, doubled"] > 1.05
    assert "Log-rank over 3 schedules" in study.cox_table("passkey", "existing").note


def test_what_a_mix_means_is_the_sum_over_rungs(
    people: EnrolmentPeople, study: EnrolmentStudy
) -> None:
    history = study["moments"]
    daily = daily_of(people, history)
    after, scenario = people.settings.afterwards, people.scenario
    price = scenario.costs.message["sms"]
    assert daily.messages_usd[50] == history.logins[50, 1] * after.challenged * price
    logins = history.logins[50, 1:]
    wanted = logins @ [after.succeeds[name] for name in ("sms", "totp", "passkey")] / logins.sum()
    assert daily.passed[50] == pytest.approx(wanted)
    never = daily_of(people, study["never"])
    assert daily.takeovers[-30:].sum() < never.takeovers[-30:].sum()
    assert daily.messages_usd[-30:].sum() < never.messages_usd[-30:].sum()


def test_tables_name_everything_and_figures_are_drawn(study: EnrolmentStudy) -> None:
    assert len(study.table().rows) == 3
    assert len(study.arc("moments").rows) == 4
    assert study.cohorts("moments").rows[0][0] == "there before"
    assert study.fatigue("never").rows == ()
    shown = [int(row[1].replace(",", "")) for row in study.fatigue("any login").rows]
    assert sum(shown) == study["any login"].shown.sum()
    assert shown == sorted(shown, reverse=True)
    assert study.time_table("passkey", "existing").rows[0][1] == "0.0 %"
    assert html.escape(study.sentence()) in study._repr_html_()
    assert len(study.plot_time("passkey", "existing").axes) == 2
    assert len(study.plot_arc("moments").axes) == 4
    assert json.dumps(study.to_dict(), allow_nan=False)


def test_sms_only_accounts_left_are_those_of_the_mix(study: EnrolmentStudy) -> None:
    row = study.arc("moments").rows[0]
    assert row[6] == f"{study['moments'].active[90, 1]:,}"


def test_the_plan_takes_the_fewest_lost_of_those_in_time(planned: Plan) -> None:
    best = planned.best
    assert best is not None
    in_time = [o for o in planned.options if o.day is not None and o.day <= 300]
    assert best.left == min(o.left for o in in_time)
    assert best.share >= 0.3 or best.day < 300
    assert best.schedule.name in planned.sentence()
    assert len(planned.table().rows) == len(planned.options) == 8
    assert planned.plot().axes
    assert json.loads(json.dumps(planned.to_dict()))["best"] == best.schedule.name


def test_a_target_out_of_reach_is_said(people: EnrolmentPeople) -> None:
    found = plan(people, 0.9, 100, SCHEDULES[1:])
    assert found.best is None
    assert "No schedule here brings 90 %" in found.sentence()
    assert "nearest" in str(found)


def test_wrong_calls_are_refused(people: EnrolmentPeople, study: EnrolmentStudy) -> None:
    with pytest.raises(InputError, match="each differently"):
        enrolment(people, [SCHEDULES[0], SCHEDULES[0]])
    with pytest.raises(InputError, match="no schedule 'x'"):
        study.fatigue("x")
    with pytest.raises(InputError, match="time to one of"):
        study.curve("moments", "push")
    with pytest.raises(InputError, match="share between"):
        plan(people, 1.5)
    with pytest.raises(InputError, match="from 1 to 400"):
        plan(people, 0.3, 500)
    nobody = enrolment(enrolment_people(existing=20, days=30, seed=1), [SCHEDULES[0]])
    with pytest.raises(InputError, match="nobody new"):
        nobody.curve("never")
