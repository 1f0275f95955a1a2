"""Enrolment over time: schedules reveal what people carry, and only the real flow's rule asks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from twofa_lab.errors import InputError
from twofa_lab.flow.prompts import PromptRules
from twofa_lab.traffic import enrolment
from twofa_lab.traffic.enrolment import (
    NEVER,
    RUNGS,
    EnrolmentPeople,
    History,
    Schedule,
    enrolment_people,
    play_schedule,
)

PASSKEY = PromptRules(ladder=("passkey",))
GUIDE = Schedule("guide", PromptRules())


@pytest.fixture(scope="module")
def people() -> EnrolmentPeople:
    return enrolment_people(existing=800, signups=800, days=400, seed=3)


@pytest.fixture(scope="module")
def guided(people: EnrolmentPeople) -> History:
    return play_schedule(people, GUIDE)


def same(a: History, b: History) -> bool:
    fields = ("enrolled", "gone", "shown", "active", "logins", "prompts")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in fields)


def test_a_schedule_repeats_to_the_bit_and_leaves_people_as_they_were(
    people: EnrolmentPeople, guided: History
) -> None:
    before = people.rung.copy()
    assert same(play_schedule(people, GUIDE), guided)
    assert np.array_equal(people.rung, before)


def test_more_days_change_nothing_before(people: EnrolmentPeople, guided: History) -> None:
    shorter = play_schedule(people._replace(days=200), GUIDE)
    assert np.array_equal(shorter.active, guided.active[:200])
    assert np.array_equal(shorter.prompts, guided.prompts[guided.prompts[:, 1] < 200])


def test_sparing_calls_of_the_real_rule_decides_nothing(
    guided: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = enrolment_people(existing=60, signups=120, days=250, seed=5)
    for schedule in (GUIDE, Schedule("moments", PASSKEY, moments=True, wording=0.5)):
        spared = play_schedule(small, schedule)
        with monkeypatch.context() as patch:
            patch.setattr(
                enrolment, "_may_be_due", lambda _p, _s, _r, here, _d: np.flatnonzero(here)
            )
            assert same(play_schedule(small, schedule), spared)
        assert len(spared.prompts) > 20


def test_prompts_keep_the_rules_days_and_waits(people: EnrolmentPeople, guided: History) -> None:
    log, rules = guided.prompts, PromptRules()
    age = log[:, 1] - people.created[log[:, 0]]
    assert age.min() >= rules.first_day
    first = np.array([not (guided.enrolled[1, who] < day) for who, day in log[:, :2]])
    assert age[first].max() <= rules.last_day
    for who in np.unique(log[:, 0])[:200]:
        mine = log[log[:, 0] == who]
        assert mine[:, 2].tolist() == list(range(len(mine)))
        declined = np.cumsum(~mine[:, 4].astype(bool))
        waits = np.diff(mine[:, 1])
        wanted = [rules.wait_ms(int(k)) / 86_400_000 for k in declined[:-1]]
        assert (waits >= wanted).all()
        assert declined[-1] <= rules.enough_declined


def test_nobody_is_asked_before_sign_up_or_after_leaving(
    people: EnrolmentPeople, guided: History
) -> None:
    who, day = guided.prompts[:, 0], guided.prompts[:, 1]
    assert (day >= people.created[who]).all()
    assert (day <= guided.gone[who]).all()
    left = guided.prompts[:, 5] == 1
    assert np.array_equal(guided.gone[who[left]], day[left])
    assert (guided.gone <= people.gone).all()


def test_counts_are_those_of_the_accounts(people: EnrolmentPeople, guided: History) -> None:
    for day in (0, 150, 399):
        there = (people.created <= day) & (guided.gone > day)
        rung = (guided.enrolled <= day).sum(axis=0)
        counts = np.bincount(rung[there], minlength=len(RUNGS))
        assert counts.tolist() == guided.active[day].tolist()


def test_without_rules_nobody_is_asked(people: EnrolmentPeople) -> None:
    found = play_schedule(people, Schedule("never"))
    assert found.prompts.shape == (0, 6)
    assert np.array_equal(found.gone, people.gone)
    assert (found.enrolled[:, people.rung == 0] == NEVER).all()


def test_insistence_enrols_more_and_drives_off_more(people: EnrolmentPeople) -> None:
    gentle = play_schedule(people, Schedule("gentle", PASSKEY))
    pressing = play_schedule(people, Schedule("pressing", PASSKEY, wording=1.0))
    paid = play_schedule(people, Schedule("paid", PASSKEY, incentive_usd=10.0))
    moments = play_schedule(people, Schedule("moments", PASSKEY, moments=True))
    reached = [int((h.enrolled[3] < people.days).sum()) for h in (gentle, pressing, paid, moments)]
    assert reached[0] < min(reached[1:])
    assert gentle.prompts[:, 5].sum() < pressing.prompts[:, 5].sum()
    # the first answer to the same prompt on the same day is monotone in wording, person by person
    first = {(w, d): y for w, d, k, _, y, _ in gentle.prompts.tolist() if k == 0}
    pressed = {(w, d): y for w, d, k, _, y, _ in pressing.prompts.tolist() if k == 0}
    shared = first.keys() & pressed.keys()
    assert len(shared) > 500
    assert all(pressed[key] >= first[key] for key in shared)


def test_passkeys_become_the_default_once_enough_have_one(people: EnrolmentPeople) -> None:
    without = play_schedule(people, Schedule("moments", PASSKEY, moments=True))
    found = play_schedule(people, Schedule("trigger", PASSKEY, moments=True, trigger=0.2))
    share = found.active[:, -1] / found.active.sum(axis=1)
    assert found.default_from == int(np.argmax(share >= 0.2)) + 1
    before = slice(0, found.default_from)
    assert np.array_equal(found.active[before], without.active[before])
    new = people.created >= found.default_from
    at_once = found.enrolled[3, new] == people.created[new]
    assert 0.3 < at_once.mean() < enrolment.DEFAULT_ACCEPTED + 0.05
    assert found.active[-1, -1] > without.active[-1, -1]
    assert play_schedule(people, Schedule("far", PASSKEY, trigger=0.99)).default_from == NEVER


def test_unfit_devices_are_not_asked_for_a_passkey(people: EnrolmentPeople) -> None:
    found = play_schedule(people, Schedule("moments", PASSKEY, moments=True, wording=1.0))
    assert people.able[found.prompts[:, 0]].all()
    assert not people.able.all()


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(InputError, match="one account"):
        enrolment_people(existing=0, signups=0)
    with pytest.raises(InputError, match="wording"):
        Schedule("loud", PASSKEY, wording=2.0)
    with pytest.raises(InputError, match="times no"):
        Schedule("deaf", replace(PASSKEY, enough_declined=99))
