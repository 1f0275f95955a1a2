"""How each of the guide's numbers is measured: worlds made, moved and played."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from twofa_lab.analysis.ablation import (
    FOUR,
    GROUPS,
    fitted_without,
    password_only,
    worth_of,
)
from twofa_lab.analysis.channels import channels
from twofa_lab.analysis.claims import claims_of
from twofa_lab.analysis.comparison import Comparison, compare
from twofa_lab.analysis.enrolment import EnrolmentStudy, enrolment
from twofa_lab.analysis.estimates import Estimate
from twofa_lab.analysis.guide_claims import Answer, claim
from twofa_lab.analysis.totals import SUMS
from twofa_lab.factors.otp import OtpRules
from twofa_lab.flow.prompts import PromptRules
from twofa_lab.replay.beside import with_beside
from twofa_lab.replay.run import replay_shard
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.rule_scorer import RuleScorer
from twofa_lab.risk.signals import BITS, MS_PER_DAY, SignalRules
from twofa_lab.tables import DECISIONS
from twofa_lab.traffic.enrolment import Schedule, enrolment_people
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.signup import Arm, signup_world
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.world import World

__all__ = [
    "MOVED",
    "conversion",
    "enrolling",
    "fallback",
    "four_signals",
    "guessing",
    "message_price",
    "rules_as_told",
    "signup",
]

MOVED: dict[str, dict[str, object]] = {
    "people sign in half as often": {"people__activity": {"median": 13, "p90": 60, "p99": 190}},
    "people sign in four times as often": {
        "people__activity": {"median": 104, "p90": 480, "p99": 1520}
    },
    "one login in 20 from a private window": {"people__private_share": 0.05},
    "phone out of reach twice as often": {
        "challenge__phone_at_hand_elsewhere": 0.80, "challenge__phone_at_hand_on_mobile": 0.97,
    },
    "people wait half as long": {"challenge__patience_seconds": {"median": 11, "sigma": 0.7}},
    "people wait twice as long": {"challenge__patience_seconds": {"median": 44, "sigma": 0.7}},
}  # fmt: skip
"""Assumptions of the scenario that are moved, one at a time."""

_SCENARIO = "us-consumer"
_ATTACKED = 1_350_000.0  # accounts times days times attacks' frequency: enough to learn from
_CHALLENGE = DECISIONS.index("challenge")
_NOON = 1_767_614_400_000


def _world(users: int, days: int, seed: int, changes: dict[str, object] | None = None) -> World:
    scenario = Scenario.load(_SCENARIO).changed(**(changes or {}))
    return simulate(scenario, users=users, days=days, seed=seed, progress=False)


def _played(users: int, days: int, seed: int, changes: dict[str, object]) -> Comparison:
    policies = [Policy.universal(), Policy.risk_based()]
    world = _world(users, days, seed, changes)
    return compare(world, policies, replicates=100, progress=False)


def conversion(users: int, days: int, seed: int) -> tuple[Answer, ...]:
    """Challenges, conversion and seconds under both policies, assumptions moved."""
    moved = {
        name: claims_of(_played(users, days, seed, changes).results)
        for name, changes in MOVED.items()
    }
    found = []
    for at, one in enumerate(claims_of(_played(users, days, seed, {}).results)):
        values = {name: claims[at].found.value for name, claims in moved.items()}
        told = one
        if one.unit == "s":  # its range is of people, and no doubt about the median
            question = "Seconds at a completed challenge (median)"
            told = replace(one, question=question, found=Estimate(one.found.value, np.nan, np.nan))
        found.append(Answer(told, values, "replay of both policies, closed loop"))
    return tuple(found)


def four_signals(users: int, days: int, seed: int) -> Answer:
    """The four signals' share of the value of all, by the budget of challenges."""
    often = min(50.0, max(1.0, _ATTACKED / (users * days)))
    more = {
        f"attacks__{kind}__reach_per_year": often * attack.reach_per_year
        for kind, attack in Scenario.load(_SCENARIO).attacks.items()
    }
    first, other = (_world(users, days, seed + k, dict(more)) for k in range(2))
    scorers = fitted_without(first, {"all": tuple(GROUPS), "four": FOUR})
    world = with_beside(other)
    alone = password_only(world, 100, progress=False)

    def share(budget: float) -> Estimate:
        every, four = (
            worth_of(scorers[name], name, world, budget, alone, 100, progress=False)
            for name in ("all", "four")
        )
        return Estimate.of(
            four.prevented.value / every.prevented.value, four.replicates / every.replicates
        )

    told = claim(
        "Value that the four signals cover", "about 90 % (taken as 85 to 95 %)", (0.85, 0.95),
        share(0.05), "%", "what attackers know of their victims; the budget of challenges",
    )  # fmt: skip
    budgets = {f"{100 * b:g} % of logins challenged": share(b).value for b in (0.02, 0.1, 0.2)}
    return Answer(
        told, budgets,
        "ablation, closed loop: share of the takeovers prevented by all signals, each with 5 % of "
        f"legitimate logins challenged; attacks {often:.0f} times as frequent",
    )  # fmt: skip


def rules_as_told(users: int, days: int, seed: int) -> tuple[Answer, ...]:
    """The device rule's 30 days, and the example of four in the morning."""
    world = _world(users, days, seed, {"warmup_days": 90})
    rates = {span: _asked(world, span) for span in (7, 30, 90)}
    memory = claim(
        "Logins challenged where a device is forgotten after 30 days", "30 days, under 5 %",
        (0.0, 0.05), rates[30], "%", "how often people sign in",
    )  # fmt: skip
    others = {f"{span} days": rate for span, rate in rates.items() if span != 30}
    night = claim(
        "Score at 4 in the morning of who signs in from 9 to 5", "asks only with another signal",
        (0.01, 0.449), _score_at_night(), "", "the rules' points (assumption)",
    )  # fmt: skip
    return (
        Answer(memory, others, "replay with other spans, 90 days of warm-up"),
        Answer(night, {}, "the rules on one made-up account; a challenge begins at 0.45"),
    )


def _asked(world: World, span: int) -> float:
    """Share of legitimate logins challenged where a device is forgotten after so many days."""
    rules = SignalRules(device_memory_ms=span * MS_PER_DAY)
    asked = logins = 0
    for shard in world.shards():
        written = replay_shard(shard, world.facts, Policy.risk_based(), rules)
        columns = shard.logins
        counted = columns["password_ok"] & ~columns["signup"] & (columns["attack"] == 0)
        counted &= columns["time"] >= world.facts.window[0]
        logins += int(counted.sum())
        asked += int((written["decision"][counted] == _CHALLENGE).sum())
    return asked / logins


def _score_at_night() -> float:
    account = RuleScorer().account()
    hour = 3_600_000
    login = {"device_id": "own", "country": "US", "region": "Virginia"}
    for day in range(20):
        account.record(login | {"time": _NOON + day * MS_PER_DAY + (day % 8 - 3) * hour})
    night = login | {"time": _NOON + 20 * MS_PER_DAY + 16 * hour}
    if not account.see(night).bits & BITS["odd_hour"]:
        return math.nan
    return account.score(night)


def fallback(users: int, days: int, seed: int) -> Answer:
    """The seconds after which the next channel helps, by what a challenge then costs in all."""
    world = _world(users, days, seed)
    order = ("whatsapp", "sms", "voice")

    def best(of: World) -> float:
        study = channels(of, orders=[order], timeouts=(10, 15, 20, 30, 45, 60), progress=False)
        return study.cheapest().fallback.timeout_seconds

    lost = world.facts.costs.lost_login
    moved = {}
    for factor in (0.1, 10.0):
        costs = world.facts.costs.model_copy(update={"lost_login": factor * lost})
        priced = replace(world, facts=replace(world.facts, costs=costs))
        moved[f"a lost login costs {factor:g} times as much"] = best(priced)
    told = claim(
        "Seconds until the next channel, at the least cost", "30 s", (30.0, 30.0), best(world), "s",
        "patience, delivery times, what a lost login costs",
    )  # fmt: skip
    return Answer(told, moved, "every timeout replayed: 10, 15, 20, 30, 45 and 60 s")


def message_price(users: int, days: int, seed: int) -> Answer:
    """US$ of messages for each challenge completed by code."""

    def of(changes: dict[str, object]) -> float:
        totals = _played(users, days, seed, changes).results[0].totals
        return float(totals.sums[SUMS.index("microusd")] / 1e6 / totals.channels[1:].sum())

    told = claim(
        "US$ of messages a completed challenge by code", "0.005 to 0.04", (0.005, 0.04), of({}),
        "US$", "the channels' prices, which are the guide's; WhatsApp's share; retries",
    )  # fmt: skip
    moved = {
        "everybody has WhatsApp": of({"people__whatsapp": {"default": 1.0}}),
        "nobody has WhatsApp": of({"people__whatsapp": {"default": 0.0}}),
    }
    return Answer(told, moved, "replay of universal; prices per message went in from the guide")


def guessing() -> Answer:
    """The chance to guess a code within a session's tries."""
    rules = OtpRules()
    told = claim(
        "Chance to guess a code within a session's 5 tries", "6 digits, at most 5 tries",
        (0.0, 1e-4), rules.max_attempts / 10**rules.digits, "%", "six random digits",
    )  # fmt: skip
    moved = {
        "4 digits": rules.max_attempts / 10**4,
        "the 100 tries before an account locks": 100 / 10**rules.digits,
        "an app's code, three at a time (valid_window 1)": 3 * rules.max_attempts / 10**6,
    }
    return Answer(told, moved, "arithmetic; taken to hold up to one in 10,000 (assumption)")


def signup(visitors: int, seed: int) -> tuple[Answer, ...]:
    """What forcing a factor at sign-up costs, and what it keeps out."""
    world = signup_world(_SCENARIO, visitors=visitors, seed=seed)
    phone = world.outcomes(Arm.phone_only())
    kind = phone["kind"]
    lost, kept_out = {}, {}
    for factor in ("sms", "totp", "passkey"):
        forced = world.outcomes(Arm.forced(factor))
        ratio = [
            forced["signed_up"][who].sum() / phone["signed_up"][who].sum()
            for who in (kind == "person", kind == "fraudster")
        ]
        lost[factor], kept_out[factor] = (float(1.0 - r) for r in ratio)
    share, n = lost["sms"], int((phone["signed_up"] & (kind == "person")).sum())
    error = 1.96 * math.sqrt(share * (1.0 - share) / n)
    told = claim(
        "Sign-ups lost where a second factor is forced", "5 to 15 %", (0.05, 0.15),
        Estimate(share, share - error, share + error),
        "%", "how many leave rather than set a factor up: the guide's figure went in",
    )  # fmt: skip
    gain = claim(
        "Fraudsters kept out by it", "little (taken as under 10 %)", (0.0, 0.10), kept_out["sms"],
        "%", "that fraudsters hold working phones (assumption)",
    )  # fmt: skip
    source = "the same sign-up visitors under both arms; SMS forced, moved: other factors"
    return tuple(
        Answer(one, {f"{f} forced": by[f] for f in ("totp", "passkey")}, source)
        for one, by in ((told, lost), (gain, kept_out))
    )


def enrolling(accounts: int, seed: int) -> tuple[Answer, ...]:
    """Prompts on days 30 to 90, and the road to 30 % passkeys."""
    people = enrolment_people(_SCENARIO, existing=0, signups=2 * accounts, days=365, seed=seed)
    late, early = PromptRules(), PromptRules(first_day=0, last_day=60)
    ways: dict[str, dict[str, Any]] = {"as it is": {}, "only at good moments": {"moments": True}}
    schedules = [
        Schedule(f"{name}, {when}", rules, **how)
        for name, how in ways.items()
        for when, rules in (("late", late), ("early", early))
    ]
    study = enrolment(people, schedules)
    ratios = {
        name: _enrolled_by(study, f"{name}, late", 180) / _enrolled_by(study, f"{name}, early", 180)
        for name in ways
    }
    told = claim(
        "New accounts enrolled by day 180 when prompted on days 30 to 90, against days 0 to 60",
        "days 30 to 90 are the time (taken as no fewer)", (1.0, math.inf), ratios.pop("as it is"),
        "times", "how many are gone by day 30; that trust does not grow with time (assumption)",
    )  # fmt: skip
    people = enrolment_people(_SCENARIO, existing=accounts, signups=accounts, days=1_095, seed=seed)
    straight = PromptRules(ladder=("passkey",))
    roads = {
        "the guide's ladder": Schedule("the guide's ladder", late),
        "passkeys alone": Schedule("passkeys alone", straight),
        "passkeys at good moments": Schedule("passkeys at good moments", straight, moments=True),
    }
    study = enrolment(people, [*roads.values()])
    days = {name: float(study.reached(name, 0.3) or math.inf) for name in roads}
    arc = claim(
        "Days until 30 % hold a passkey", "a multi-year arc (taken as over 730 days)",
        (730.0, math.inf), days.pop("the guide's ladder"), "days",
        "when people are asked, and how many say yes (assumption)",
    )  # fmt: skip
    return (
        Answer(
            told, ratios, "enrolment over time, a year of sign-ups; moved: how people are asked"
        ),
        Answer(arc, days, "enrolment over three years; never: not within them"),
    )


def _enrolled_by(study: EnrolmentStudy, name: str, day: int) -> float:
    found = study.incidence(name)
    return float(found.at(1, day)) if len(found.incidence) else 0.0
