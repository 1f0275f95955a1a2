"""Play visitors under an arm: which of their potential outcomes are seen.

A step is passed where a normal value that leans on intent exceeds the step's threshold. Nothing is
drawn here, so two arms on the same visitors differ by the arms alone. What follows a sign-up is a
closed form, quick enough for thousands of experiments: counts are a rate times the days, rounded up
or down by a uniform of the visitor's so that the mean is exact; a stranger with the password is
always asked for the enrolled factor, and gets past it as often as the catalogue says. The closed
loop of logins over the same visitors is `analysis.signup_logins`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from twofa_lab.catalog.efficacy import PASS_SHARE, WAYS
from twofa_lab.tables import Array
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.signup.arms import Arm
from twofa_lab.traffic.signup.settings import (
    DEVICES,
    FACTOR_CHOICES,
    FACTOR_OR_NONE,
    IMPOSTORS,
    KINDS,
    Kind,
    SignupSettings,
)
from twofa_lab.traffic.signup.visitors import Visitors, attack_kinds

__all__ = ["play"]

_PERSON, _PUMPER = KINDS.index("person"), KINDS.index("pumper")
_NONE, _SMS = 0, 1 + FACTOR_CHOICES.index("sms")  # 0: no factor, then FACTOR_CHOICES
_PASSKEY = 1 + FACTOR_CHOICES.index("passkey")
_NOT = np.float32(1e9)


@dataclass
class _State:
    """What is so far seen of each visitor."""

    form: Array
    asked: Array
    verified: Array
    signed_up: Array
    seconds: Array
    sends: Array
    factor: Array
    enrolled_day: Array
    said_no: Array
    gone_day: Array


def play(
    visitors: Visitors, arm: Arm, settings: SignupSettings, base: Scenario
) -> dict[str, Array]:
    """The outcome columns of the `signups` table for these visitors under the arm."""
    state = _arrive(visitors, settings)
    if arm.when == "forced":
        _force(state, visitors, arm, settings)
    if arm.when == "optional":
        _prompt(state, visitors, arm, settings, 0, np.zeros(len(visitors.day), np.float32))
        state.signed_up &= state.gone_day > 0
    active = _activated(state, visitors, settings)
    stay = np.minimum(visitors.stay_days, np.float32(settings.followed_days))
    state.gone_day = np.minimum(np.where(active, stay, 0), state.gone_day)
    for k in range(arm.moments):
        _prompt(state, visitors, arm, settings, k, visitors.moment_days[:, k])
    for k, day in enumerate(arm.days):
        _prompt(state, visitors, arm, settings, k, np.full(len(active), day, np.float32))
    return _columns(state, visitors, arm, settings, base, active)


def _threshold(shares: Array) -> Array:
    """What a standard normal value exceeds with these chances."""
    return ndtri(1.0 - shares).astype(np.float32)


def _leaning(intent: Array, own: Array, correlation: float) -> Array:
    return np.float32(correlation) * intent + np.float32(np.sqrt(1.0 - correlation**2)) * own


def _arrive(v: Visitors, settings: SignupSettings) -> _State:
    """Landing, form, phone number, code."""
    funnel, kind = settings.funnel, v.kind
    person = kind == _PERSON
    lean = np.where(person, np.float32(1.0), np.float32(0.0))  # scripts have no intent

    def passes(shares: dict[Kind, float], own: Array) -> Array:
        value = np.where(person, _leaning(v.intent, own, funnel.intent), own)
        return value > _threshold(np.array([shares[k] for k in KINDS]))[kind]

    form = passes(funnel.completes_form, v.form)
    asked = form & passes(funnel.gives_phone, v.phone)
    typed = v.types_code < np.array([1.0, *(funnel.types_code[k] for k in IMPOSTORS)])[kind]
    waited = v.code_seconds <= np.where(person, v.patience_seconds, _NOT)
    verified = asked & typed & waited & (v.code_seconds < _NOT)
    sends = np.where(kind == _PUMPER, funnel.most_sends, v.sends)
    spent = np.minimum(v.code_seconds, v.patience_seconds) + v.entry_seconds * verified
    n = len(kind)
    return _State(
        form=form,
        asked=asked,
        verified=verified,
        signed_up=verified.copy(),
        seconds=np.where(asked, spent, 0.0).astype(np.float32) * lean,
        sends=np.where(asked, sends, 0).astype(np.int32),
        factor=np.zeros(n, np.int8),
        enrolled_day=np.full(n, _NOT),
        said_no=np.zeros(n, np.uint8),
        gone_day=np.full(n, _NOT),
    )


def _force(state: _State, v: Visitors, arm: Arm, settings: SignupSettings) -> None:
    """Ask for the factor at sign-up: who will not take it leaves."""
    rules, kind = settings.enrolment, v.kind
    wanted = 1 + FACTOR_CHOICES.index(arm.factor or "sms")
    given = np.where((wanted == _PASSKEY) & ~v.passkey_able, _SMS, wanted)
    names = FACTOR_CHOICES
    leaves = ndtri(np.array([0.5, *(rules.forced_leaves[f] for f in names)])).astype(np.float32)
    shift = np.array([rules.tolerance[d] for d in DEVICES], np.float32)[v.device]
    early = np.float32(rules.teething) * np.exp(-v.day / np.float32(rules.teething_days))
    tolerance = _leaning(v.intent, v.tolerance, settings.funnel.intent) + shift - early
    passed = np.ones((len(KINDS), 1 + len(names)))
    for k, table in rules.forced_passed.items():
        passed[KINDS.index(k)] = [1.0, *(table[f] for f in names)]
    stays = np.where(
        kind == _PERSON, tolerance > leaves[given], v.forced_pass < passed[kind, given]
    )
    state.signed_up &= stays
    effort = np.array([0.0, *(rules.seconds[f] for f in names)], np.float32)
    state.seconds += np.where(state.verified, effort[given], 0)
    state.factor = np.where(state.signed_up, given, _NONE).astype(np.int8)
    state.enrolled_day = np.where(state.signed_up, np.float32(0), _NOT)


def _prompt(
    state: _State, v: Visitors, arm: Arm, settings: SignupSettings, k: int, day: Array
) -> None:
    """Show the k-th prompt on a day (0: at sign-up) to people still there without a factor."""
    rules, factor = settings.enrolment, arm.factor or "sms"
    shares = {"optional": rules.offered, "progressive": rules.prompted}.get(arm.when, rules.engaged)
    shown = state.signed_up & (v.kind == _PERSON) & (state.gone_day > day) & (state.factor == _NONE)
    shown &= day <= settings.followed_days
    if factor == "passkey":
        shown &= v.passkey_able
    # the correlation of two answers of one person is that of `steadiness`
    willing = _leaning(v.willing, v.answers[:, k], float(np.sqrt(rules.steadiness)))
    willing += np.float32(rules.wording * arm.wording + rules.per_usd * arm.incentive_usd)
    willing -= np.float32(rules.tired) * state.said_no
    yes = shown & (willing > _threshold(np.array(shares[factor])))
    works = v.set_up < rules.set_up_works[factor]
    enrols = yes & works
    leaving = rules.prompt_leaves * (1.0 + rules.wording_leaves * arm.wording)
    leaves = shown & ~yes & (v.annoyed[:, k] < leaving)
    state.said_no += (shown & ~enrols).astype(np.uint8)
    state.factor[enrols] = 1 + FACTOR_CHOICES.index(factor)
    state.enrolled_day[enrols] = day[enrols]
    state.gone_day[leaves] = day[leaves]
    if arm.when == "optional":
        state.seconds[yes] += np.float32(rules.seconds[factor])


def _activated(state: _State, v: Visitors, settings: SignupSettings) -> Array:
    """First value reached; slower sign-ups reach it less often."""
    after = settings.afterwards
    ready = v.activation - np.float32(after.slowed / 60.0) * state.seconds
    goes_on = ready > _threshold(np.array(after.activates))
    return np.asarray(state.signed_up & (v.kind == _PERSON) & goes_on)


def _columns(
    state: _State,
    v: Visitors,
    arm: Arm,
    settings: SignupSettings,
    base: Scenario,
    active: Array,
) -> dict[str, Array]:
    after, costs = settings.afterwards, base.costs
    r, names = v.rounding, FACTOR_CHOICES
    fail = np.array([0.0, *(1.0 - after.succeeds[f] for f in names)], np.float32)[state.factor]
    enrolled = state.factor != _NONE
    a_day = v.logins_per_year / np.float32(365.0)
    behind = np.maximum(state.gone_day - state.enrolled_day, 0) * enrolled
    logins = _count(a_day * state.gone_day * active, r[:, 0])
    challenges = _count(np.minimum(a_day * behind * active, logins) * after.challenged, r[:, 1])
    lost = np.minimum(_count(challenges * fail, r[:, 2]), logins)
    per_year = np.array([after.tickets_per_year[f] for f in FACTOR_OR_NONE], np.float32)
    without = np.where(active, state.gone_day, 0) - behind
    burden = (without * per_year[0] + behind * per_year[state.factor]) / np.float32(365.0)
    tickets = _count(burden, r[:, 3])
    messages = state.sends + np.where(state.factor == _SMS, challenges, 0)
    taken = _taken_over(state, v, settings, base)
    message_usd = messages * v.usd_a_message
    incentive = np.where(enrolled & (arm.incentive_usd > 0), np.float32(arm.incentive_usd), 0)
    completed = logins - lost
    net = (
        completed * np.float32(costs.lost_login) - message_usd - incentive
        - tickets * np.float32(costs.support_ticket) - taken * np.float32(costs.takeover)
    )  # fmt: skip
    return {
        "form": state.form,
        "asked": state.asked,
        "verified": state.verified,
        "signed_up": state.signed_up,
        "activated": active,
        "stayed_days": np.where(active, state.gone_day, 0).astype(np.float32),
        "retained_30": active & (state.gone_day >= 30),
        "retained_90": active & (state.gone_day >= min(90, settings.followed_days)),
        "enrolled": enrolled,
        "factor": state.factor,
        "enrolled_day": np.where(enrolled, state.enrolled_day, np.float32(np.nan)),
        "seconds": state.seconds,
        "logins": logins,
        "completed": completed,
        "challenges": challenges,
        "taken_over": taken,
        "false_account": state.signed_up & (v.kind != _PERSON),
        "tickets": tickets,
        "messages": messages.astype(np.int32),
        "message_usd": message_usd.astype(np.float32),
        "incentive_usd": incentive.astype(np.float32),
        "net_usd": net.astype(np.float32),
    }


def _count(mean: Array, uniform: Array) -> Array:
    """A whole number with that mean: rounded up as often as its fraction says."""
    return np.floor(mean + uniform).astype(np.int32)


def _taken_over(state: _State, v: Visitors, settings: SignupSettings, base: Scenario) -> Array:
    """Accounts of people that an attacker with the password entered while they were followed."""
    kinds = attack_kinds(base)
    past = np.ones((1 + len(FACTOR_CHOICES), len(kinds)), np.float32)
    for i, name in enumerate(FACTOR_CHOICES):
        way = WAYS.index(name)
        past[1 + i] = [PASS_SHARE[kind][way] for kind in kinds]
    taken = np.zeros(len(v.kind), bool)
    for k in range(len(kinds)):
        day = v.attack_days[:, k]
        unprotected = (day < state.enrolled_day) | (v.attack_defeats[:, k] < past[state.factor, k])
        taken |= (day < settings.followed_days) & unprotected
    return taken & state.signed_up & (v.kind == _PERSON)
