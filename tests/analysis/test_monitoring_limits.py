"""Control limits: right on counts whose law is known, unmoved by one bad day, quick on a jump."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from twofa_lab.analysis.monitoring_limits import Chart, LimitRules, charts_of
from twofa_lab.analysis.monitoring_tallies import COUNTS, Tallies
from twofa_lab.errors import InputError

START = 1_767_571_200_000  # Monday, 5 January 2026
DAYS = 56


def known(seed: int = 1, days: int = DAYS, **more: Any) -> Tallies:
    """Logins with a daily and weekly rhythm; a fifth challenged, a tenth of those lost."""
    rng = np.random.default_rng(seed)
    hours = np.arange(24 * days)
    mean = (
        100 * (1.0 + 0.8 * np.sin(2 * np.pi * hours / 24)) * np.where(hours // 24 % 7 > 4, 0.6, 1)
    )
    counts = np.zeros((len(hours), len(COUNTS)))
    attempts = rng.poisson(mean)
    challenged = rng.binomial(attempts, 0.2)
    lost = rng.binomial(challenged, 0.1)
    cents = rng.gamma(np.maximum(challenged, 1e-9), 1.2)
    wait = rng.gamma(np.maximum(3.0 * challenged, 1e-9), 4.0 / 3.0)
    values = {
        "attempts": attempts, "judged": attempts, "challenged": challenged, "lost": lost,
        "coded": challenged, "messages": challenged, "cents": cents, "delivered": challenged,
        "wait": wait,
    }  # fmt: skip
    for name, column in (values | more).items():
        counts[:, COUNTS.index(name)] = column
    return Tallies(START, counts)


def chart(tallies: Tallies, name: str, rules: LimitRules | None = None) -> Chart:
    return next(c for c in charts_of(tallies, rules or LimitRules()) if c.measure.name == name)


def test_the_rhythm_of_day_and_week_is_learnt() -> None:
    cost = chart(known(), "cost")
    hour = np.arange(24 * DAYS)
    evening, weekend = hour % 24 == 8, hour // 24 % 7 > 4
    ratio = cost.centre[evening & weekend].mean() / cost.centre[evening & ~weekend].mean()
    assert ratio == pytest.approx(0.6, abs=0.05)
    assert cost.centre[hour % 24 == 20].mean() < 0.5 * cost.centre[evening].mean()


def test_counts_of_a_known_law_are_within_limits_as_often_as_said() -> None:
    """At one in a hundred a side: 28 days of windows, in ten worlds of independent counts."""
    rules = LimitRules(window_hours=1, tail=0.01)
    beyond = []
    for seed in range(10):
        found = chart(known(seed), "loss_rate", rules)
        judged = found.judged & np.isfinite(found.value)
        beyond.append((found.value[judged] > found.high[judged]).mean())
    assert 0.002 < np.mean(beyond) < 0.013  # a count's limit is at most as often passed


def test_independent_counts_show_no_excess() -> None:
    assert chart(known(), "loss_rate").dispersion == pytest.approx(1.0, abs=0.15)


def test_counts_that_vary_together_widen_the_limits() -> None:
    rng = np.random.default_rng(2)
    plain = known(2)
    attempts = plain.overall[:, COUNTS.index("attempts")]
    wrong = rng.binomial(attempts.astype(int), rng.beta(2, 30, len(attempts)))
    assert chart(known(2, wrong=wrong), "wrong_passwords").dispersion > 2.0


def test_a_jump_alarms_and_names_its_hour_and_part() -> None:
    calm = known()
    lost = calm.overall[:, COUNTS.index("lost")].copy()
    begin = 24 * 40 + 9
    lost[begin : begin + 6] += 20
    bad = known(lost=lost)
    sms, voice = bad.overall.copy(), np.zeros_like(bad.overall)
    voice[:] = calm.overall / 2
    sms -= voice
    jumped = Tallies(bad.start, bad.overall, {"channel": {"sms": sms, "voice": voice}})
    alarms = chart(jumped, "loss_rate").alarms
    assert len(alarms) == 1
    assert begin <= alarms[0].start <= begin + 2
    assert alarms[0].at.startswith("2026-02-14")
    assert alarms[0].where == "channel sms"
    assert alarms[0].seen > 2 * alarms[0].expected
    assert not chart(calm, "loss_rate").alarms


def test_a_drop_in_challenges_alarms_too() -> None:
    calm = known()
    challenged = calm.overall[:, COUNTS.index("challenged")].copy()
    challenged[24 * 40 : 24 * 41] *= 0.1
    alarms = chart(known(challenged=challenged), "challenge_rate").alarms
    assert [alarm.side for alarm in alarms] == ["low"]


def test_limits_of_a_share_stay_shares_and_a_dip_from_all_alarms() -> None:
    """Where nearly all are challenged, the few who are not are counted."""
    calm = known()
    attempts = calm.overall[:, COUNTS.index("attempts")]
    spared = np.random.default_rng(3).binomial(attempts.astype(int), 0.03)
    usual = chart(known(challenged=attempts - spared), "challenge_rate")
    judged = usual.judged
    assert usual.high[judged].max() <= 1.0
    assert usual.centre[judged].mean() == pytest.approx(0.97, abs=0.003)
    assert usual.low[judged].mean() > 0.91  # a Poisson count of those asked would say 0.8
    assert not usual.alarms
    fewer = attempts - spared
    fewer[24 * 40 : 24 * 40 + 12] *= 0.9
    dip = chart(known(challenged=fewer), "challenge_rate").alarms
    assert [(alarm.side, alarm.at[:10]) for alarm in dip] == [("low", "2026-02-14")]


def test_an_incident_in_the_past_hardly_moves_the_limits() -> None:
    calm = known()
    lost = calm.overall[:, COUNTS.index("lost")].copy()
    lost[24 * 10 + 3 : 24 * 10 + 15] += 60
    before, after = (chart(t, "loss_rate") for t in (calm, known(lost=lost)))
    judged = before.judged
    assert after.centre[judged].mean() == pytest.approx(before.centre[judged].mean(), rel=0.06)
    assert after.high[judged].mean() < 1.2 * before.high[judged].mean()


def test_rare_events_do_not_alarm_one_by_one() -> None:
    held = np.zeros(24 * DAYS)
    held[::50] = 1
    assert not chart(known(held=held), "lock_outs").alarms


def test_summer_time_is_no_alarm() -> None:
    """People's rhythm follows their clock; on a UTC clock the same counts would alarm."""
    days = 90
    hours = np.arange(24 * days)
    local = (hours - 5 + (hours >= 24 * 62 + 7)) % 24  # US Eastern, summer time from 8 March
    mean = np.where((local >= 9) & (local < 21), 60, 2)
    cents = np.random.default_rng(1).poisson(mean)
    same = known(days=days, cents=cents, messages=cents)
    on_their_clock = Tallies(same.start, same.overall, zone="America/New_York")
    rules = LimitRules(window_hours=1)
    assert not chart(on_their_clock, "cost", rules).alarms
    assert chart(same, "cost", rules).alarms


def test_too_few_days_and_impossible_rules_are_refused() -> None:
    with pytest.raises(InputError, match="20 days are too few"):
        charts_of(known(days=20), LimitRules())
    for wrong in ({"learn_days": 3}, {"window_hours": 0}, {"tail": 0.5}):
        with pytest.raises(InputError, match="limits need"):
            LimitRules(**wrong)


def test_nothing_at_all_is_no_alarm() -> None:
    empty = Tallies(START, np.zeros((24 * 35, len(COUNTS))))
    assert not any(c.alarms for c in charts_of(empty, LimitRules()))
