"""How accounts come by their factors over months and years, under a schedule of prompts.

People carry their potential outcomes: on which days they sign in, how they would answer each
prompt, when they would leave anyhow. A schedule only reveals them, so two schedules on the same
people differ by the schedule alone. How a prompt is taken (willingness, wording, incentives,
tiredness, leaving) is what the settings of `traffic.signup` say, with their sources; when one falls
due is `flow.prompts.next_prompt`, the real flow's rule; activity, sign-ups and today's factors are
the scenario's. A day is the unit of time; an account shows at most one prompt a day, at a login.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.flow.prompts import PromptFacts, PromptRules, next_prompt
from twofa_lab.flow.service import DAY
from twofa_lab.tables import Array
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.signup.settings import DEVICES, Factor, SignupSettings
from twofa_lab.traffic.streams import Streams

__all__ = ["RUNGS", "EnrolmentPeople", "History", "Schedule", "enrolment_people", "play_schedule"]

RUNGS = ("none", "otp", "totp", "passkey")
"""An account's strongest factor, by code, the weakest first."""

NEVER = np.int32(2**30)
"""A day that does not come."""

LEAVE_A_YEAR = 0.15
"""Share of accounts of long standing that end in a year: assumption."""

DEFAULT_ACCEPTED = 0.55
"""Share of new people with a fit device who keep a passkey that is the default: assumption, between
Uber's 10-50 % at a nudge and GitHub's 95 % under a mandate."""

TRIGGER = 0.30
"""Share of accounts with a passkey at which it becomes the default for new ones: the guide."""

_SETTING: dict[str, Factor] = {
    "otp": "sms",
    "totp": "totp",
    "passkey": "passkey",
}  # names of the sign-up settings
_PASSKEY = RUNGS.index("passkey")
_MOST_PROMPTS = 20


@dataclass(frozen=True)
class Schedule:
    """When and how accounts are prompted; `rules` None: never.

    `moments`: only at moments of high engagement, which more people say yes to. `wording` runs from
    neutral (0) to insistent (1). `trigger`: the share of passkeys from which new sign-ups get one
    by default (None: never).
    """

    name: str
    rules: PromptRules | None = None
    moments: bool = False
    wording: float = 0.0
    incentive_usd: float = 0.0
    trigger: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.wording <= 1.0 or self.incentive_usd < 0.0:
            raise InputError(
                f"schedule {self.name}: wording is from 0 to 1, an incentive not below 0"
            )
        if self.rules is not None and self.rules.enough_declined > _MOST_PROMPTS - len(RUNGS):
            most = _MOST_PROMPTS - len(RUNGS)
            raise InputError(f"schedule {self.name}: at most {most} times no (enough_declined)")


class EnrolmentPeople(NamedTuple):
    """Accounts and their potential outcomes, one entry each; days count from the start.

    `created`: below 0 for those there already. `gone`: the day they would leave unprompted.
    `willing` and `answers[k]` make the k-th answer; `annoyed[k]` whether that prompt drives them
    off; `set_up[f]` whether setting up rung f works. `rung`: the strongest factor at first.
    """

    seed: int
    days: int
    settings: SignupSettings
    scenario: Scenario
    created: Array
    gone: Array
    logins_per_year: Array
    device: Array
    able: Array
    rung: Array
    willing: Array
    answers: Array
    annoyed: Array
    set_up: Array
    keeps_default: Array

    @property
    def size(self) -> int:
        return len(self.created)


class History(NamedTuple):
    """What came of a schedule. `enrolled[f]`: the day rung f was reached (`NEVER`), `gone` the last
    day. `active[d, f]`: accounts by rung at the end of day d, `logins[d, f]` their logins.
    `prompts`: columns person, day, number, rung asked for, enrolled, left.
    """

    schedule: Schedule
    enrolled: Array
    gone: Array
    shown: Array
    active: Array
    logins: Array
    prompts: Array
    default_from: int


def enrolment_people(
    settings: str | SignupSettings = "us-consumer",
    *,
    existing: int = 10_000,
    signups: int = 0,
    days: int = 365,
    seed: int = 7,
) -> EnrolmentPeople:
    """Accounts there already, with the scenario's factors, and those that sign up over the days.

    >>> people = enrolment_people(existing=100, signups=50, days=30, seed=1)
    >>> people.size, int((people.created >= 0).sum())
    (150, 50)
    """
    if existing < 0 or signups < 0 or existing + signups < 1 or days < 1:
        raise InputError("enrolment needs one account or more, and a day or more")
    given = settings if isinstance(settings, SignupSettings) else SignupSettings.load(settings)
    scenario = Scenario.load(given.scenario)
    n, streams = existing + signups, Streams(seed, 0).named("enrolment")
    old = np.arange(n) < existing
    ago = -(streams.uniform("age", n) * 3 * 365).astype(np.int32) - 100  # past every first offer
    created = np.where(old, ago, (streams.uniform("signup", n) * days).astype(np.int32))
    stay = given.afterwards.stay_days
    normal = streams.of("stay").standard_normal(n, np.float32)
    leaves = -np.log1p(-streams.uniform("leaves", n)) / -np.log1p(-LEAVE_A_YEAR) * 365.0
    lasts = np.where(old, leaves, created + 1.0 + stay.median * np.exp(stay.sigma * normal))
    activity = scenario.people.activity
    spread = streams.of("activity").standard_normal(n, np.float32)
    devices = np.array([given.visitors.devices[name] for name in DEVICES])
    device = np.searchsorted(np.cumsum(devices) / devices.sum(), streams.uniform("device", n))
    device = np.minimum(device, len(DEVICES) - 1)
    able = np.array([given.enrolment.passkey_able[name] for name in DEVICES])[device]
    return EnrolmentPeople(
        seed, days, given, scenario, created,
        np.minimum(lasts, NEVER - 1).astype(np.int32),
        activity.median * np.exp(activity.sigma * spread),
        device,
        streams.uniform("able", n) < able,
        np.where(old, _today(scenario, streams.uniform("today", n)), 0).astype(np.int8),
        streams.of("willing").standard_normal(n, np.float32),
        streams.of("answers").standard_normal((_MOST_PROMPTS, n), np.float32),
        streams.uniform("annoyed", (_MOST_PROMPTS, n)),
        streams.uniform("set up", (len(RUNGS), n)),
        streams.uniform("default", n) < DEFAULT_ACCEPTED,
    )  # fmt: skip


def _today(scenario: Scenario, uniform: Array) -> Array:
    """Rungs of accounts there already: the scenario's shares, codes for all the others."""
    factors = scenario.people.factors
    passkey, totp = factors["passkey"], factors["totp"]
    return np.select([uniform < passkey, uniform < passkey + totp], [_PASSKEY, 2], 1)


@dataclass
class _State:
    """What a schedule has brought about so far."""

    rung: Array
    gone: Array
    prompted: Array
    declined: Array
    shown: Array
    enrolled: Array


def play_schedule(people: EnrolmentPeople, schedule: Schedule) -> History:
    """Live through every day under a schedule."""
    n, days = people.size, people.days
    state = _State(
        people.rung.copy(), people.gone.copy(), np.full(n, -NEVER), np.zeros(n, np.int32),
        np.zeros(n, np.int32), np.full((len(RUNGS), n), NEVER, np.int32),
    )  # fmt: skip
    for rung in range(1, len(RUNGS)):
        state.enrolled[rung, people.rung >= rung] = -1
    streams = Streams(people.seed, 0).named("enrolment days")
    chance = -np.expm1(-people.logins_per_year / 365.0)
    # at most every so many days a login is a moment of high engagement
    between = people.settings.afterwards.engaged_every_days
    moment = np.minimum(365.0 / people.logins_per_year / between, 1.0)
    active = np.zeros((days, len(RUNGS)), np.int64)
    logins = np.zeros((days, len(RUNGS)), np.int64)
    prompts: list[Array] = []
    default_from = int(NEVER)
    for day in range(days):
        if day >= default_from:
            _by_default(people, state, day)
        there = (people.created <= day) & (state.gone > day)
        here = there & (streams.uniform(f"login {day}", n) < chance)
        logins[day] = np.bincount(state.rung[here], minlength=len(RUNGS))
        if schedule.rules is not None:
            if schedule.moments:
                here &= streams.uniform(f"moment {day}", n) < moment
            prompts.append(_ask(people, state, schedule, schedule.rules, here, day))
        there &= state.gone > day
        active[day] = np.bincount(state.rung[there], minlength=len(RUNGS))
        share = active[day, _PASSKEY] / max(active[day].sum(), 1)
        if schedule.trigger is not None and share >= schedule.trigger:
            default_from = min(default_from, day + 1)
    log = np.concatenate([np.zeros((0, 6), np.int32), *prompts])
    return History(
        schedule, state.enrolled, state.gone, state.shown, active, logins, log, default_from
    )


def _by_default(people: EnrolmentPeople, state: _State, day: int) -> None:
    """Who signs up today gets a passkey unless they or their device refuse."""
    works = people.set_up[_PASSKEY] < people.settings.enrolment.set_up_works["passkey"]
    new = (people.created == day) & people.able & people.keeps_default & works
    _enrol(state, np.flatnonzero(new), _PASSKEY, day)


def _enrol(state: _State, who: Array, rung: int, day: int) -> None:
    state.rung[who] = rung
    for reached in range(1, rung + 1):
        state.enrolled[reached, who] = np.minimum(state.enrolled[reached, who], day)


def _may_be_due(
    people: EnrolmentPeople, state: _State, rules: PromptRules, here: Array, day: int
) -> Array:
    """Who of those here `next_prompt` has to be asked about: this spares calls and decides nothing
    (a test calls it for everybody).
    """
    waits = np.array([rules.wait_ms(k) / DAY for k in range(_MOST_PROMPTS + 1)])
    waited = day - state.prompted >= waits[state.declined]
    old_enough = day - people.created >= rules.first_day
    first_offer = (state.rung > 0) | (day - people.created <= rules.last_day)
    top = max((RUNGS.index(name) for name in rules.ladder), default=0)
    willing = (state.declined < rules.enough_declined) & (state.rung < top)
    return np.flatnonzero(here & waited & old_enough & first_offer & willing)


def _ask(
    people: EnrolmentPeople,
    state: _State,
    schedule: Schedule,
    rules: PromptRules,
    here: Array,
    day: int,
) -> Array:
    """Show what is due to those who sign in today; the log's rows."""
    due = _may_be_due(people, state, rules, here, day)
    asked = np.array([_offer(people, state, rules, who, day) for who in due.tolist()], np.int32)
    due, asked = due[asked > 0], asked[asked > 0]
    if not len(due):
        return np.zeros((0, 6), np.int32)
    said = people.settings.enrolment
    shares = said.engaged if schedule.moments else said.prompted
    threshold = np.array([0.0, *(_threshold(shares[_SETTING[name]]) for name in RUNGS[1:])])
    works = np.array([0.0, *(said.set_up_works[_SETTING[name]] for name in RUNGS[1:])])
    number = state.shown[due]
    # the correlation of two answers of one person is that of `steadiness`
    own = np.sqrt(said.steadiness)
    willing = own * people.willing[due]
    willing = willing + np.sqrt(1.0 - said.steadiness) * people.answers[number, due]
    willing += said.wording * schedule.wording + said.per_usd * schedule.incentive_usd
    willing -= said.tired * state.declined[due]
    enrols = (willing > threshold[asked]) & (people.set_up[asked, due] < works[asked])
    leaving = said.prompt_leaves * (1.0 + said.wording_leaves * schedule.wording)
    leaves = ~(willing > threshold[asked]) & (people.annoyed[number, due] < leaving)
    state.prompted[due] = day
    state.shown[due] += 1
    state.declined[due[~enrols]] += 1
    state.gone[due[leaves]] = day
    for rung in range(1, len(RUNGS)):
        _enrol(state, due[enrols & (asked == rung)], rung, day)
    return np.stack([due, np.full(len(due), day), number, asked, enrols, leaves], 1).astype(
        np.int32
    )


def _offer(people: EnrolmentPeople, state: _State, rules: PromptRules, who: int, day: int) -> int:
    """The rung offered to this account today, 0 for none: the real flow's rule."""
    rung, prompted = int(state.rung[who]), int(state.prompted[who])
    facts = PromptFacts(
        int(people.created[who]) * DAY,
        None if prompted == -NEVER else prompted * DAY,
        int(state.declined[who]),
    )
    prompt = next_prompt(facts, (RUNGS[rung],) if rung else (), day * DAY, rules)
    if prompt is None or (prompt.factor == "passkey" and not people.able[who]):
        return 0
    return RUNGS.index(prompt.factor)


def _threshold(share: float) -> float:
    """What a standard normal exceeds with this chance."""
    from scipy.special import ndtri

    return float(-ndtri(share))
