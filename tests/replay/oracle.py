"""The closed loop once more, in plain Python: what the compiled loop is compared with.

Written from what the package documents, not from how it computes. History is the list of completed
logins, asked anew at every login; a challenge by code is a diary of events (`code_oracle`). Every
rule is a method of its own, so that a test can break one and see the comparison fail.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from tests.replay.code_oracle import CodeChallenge, Person, Row
from twofa_lab.catalog.factors import ENTRY_PERCENT
from twofa_lab.factors.push import PushRules, may_send
from twofa_lab.risk.policy import Policy
from twofa_lab.tables import CHANNELS, DECISIONS, FACTORS, LINE_TYPES, OUTCOME_NAMES, SIGNALS
from twofa_lab.traffic.scenario import Costs

SECOND_MS, MINUTE_MS, DAY_MS = 1000, 60_000, 86_400_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STRONGEST_FIRST = ("hardware_key", "passkey", "push", "totp", "otp")
DEFEATS = ("whatsapp", "sms", "voice", "totp", "push", "passkey", "hardware_key")
DS_MS = 100  # a tenth of a second

NO_ANSWER = {
    "factor": "none",
    "channel": "none",
    "messages": 0,
    "attempts": 0,
    "seconds_ds": 0,
    "message_microusd": 0,
}


@dataclass
class Failures:
    """Wrong passwords in a row from one kind of device, and the end of the wait they earned."""

    count: int = 0
    wait_until: int = -(10**18)


@dataclass
class Account:
    """All that an account's later logins can be judged by."""

    completed: list[Row] = field(default_factory=list)
    wrong_passwords: list[int] = field(default_factory=list)
    trust: list[tuple[int, int]] = field(default_factory=list)  # device, when it was given
    recognised: Failures = field(default_factory=Failures)
    strangers: Failures = field(default_factory=Failures)
    codes: Failures = field(default_factory=Failures)
    locked: bool = False
    app_steps: set[int] = field(default_factory=set)  # the app's codes that were accepted
    pushes: list[int] = field(default_factory=list)  # since the last verified second factor


class Oracle:
    """A policy applied to accounts by hand."""

    DEVICE_MEMORY_MS = 30 * DAY_MS
    BURST_WINDOW_MS = 30 * MINUTE_MS
    BURST = 3
    THIN = 10
    ODD_SHARE = 50
    APP_STEP_MS = 30 * SECOND_MS
    PUSH = PushRules()
    Code = CodeChallenge

    def __init__(self, policy: Policy, costs: Costs) -> None:
        self.policy, self.costs = policy, costs

    # What is seen.

    def new_device(self, account: Account, row: Row) -> bool:
        return row["device_id"] == 0 or not any(
            login["device_id"] == row["device_id"]
            and row["time"] - login["time"] <= self.DEVICE_MEMORY_MS
            for login in account.completed
        )

    def new_country(self, account: Account, row: Row) -> bool:
        return (
            bool(account.completed)
            and row["country"] >= 0
            and all(login["country"] != row["country"] for login in account.completed)
        )

    def new_region(self, account: Account, row: Row) -> bool:
        return (
            bool(account.completed)
            and row["country"] >= 0
            and not self.new_country(account, row)
            and row["region"] >= 0
            and all(login["region"] != row["region"] for login in account.completed)
        )

    def hour(self, row: Row) -> int:
        home = timezone(timedelta(minutes=row["utc_offset_min"]))
        return (EPOCH + timedelta(milliseconds=row["time"])).astimezone(home).hour

    def odd_hour(self, account: Account, row: Row) -> bool:
        hour = self.hour(row)
        close = {(hour - 1) % 24, hour, (hour + 1) % 24}
        near = sum(login["hour"] in close for login in account.completed)
        n = len(account.completed)
        return n >= self.THIN and near * self.ODD_SHARE <= n

    def failures(self, account: Account, row: Row) -> int:
        since = row["time"] - self.BURST_WINDOW_MS
        return sum(when >= since for when in account.wrong_passwords[-32:])

    def signals(self, account: Account, row: Row) -> list[str]:
        seen = {
            "new_device": self.new_device(account, row),
            "new_country": self.new_country(account, row),
            "new_region": self.new_region(account, row),
            "odd_hour": self.odd_hour(account, row),
            "failed_burst": self.failures(account, row) >= self.BURST,
        }
        return [name for name, fires in seen.items() if fires]

    # What is made of it.

    def score(self, signals: list[str], failures: int) -> float:
        points = [Decimal(repr(getattr(self.policy.points, name))) for name in signals]
        if "failed_burst" not in signals:
            points.append(Decimal(repr(self.policy.points.failed_attempt)) * failures)
        return float(min(Decimal(1), round(sum(points, Decimal(0)), 9)))

    def trusted(self, account: Account, row: Row) -> bool:
        if self.policy.trust_device_days is None or row["device_id"] == 0:
            return False
        lasts = round(self.policy.trust_device_days * DAY_MS)
        return any(
            device == row["device_id"] and row["time"] - given <= lasts
            for device, given in account.trust
        )

    def decide(self, score: float, trusted: bool) -> str:
        policy = self.policy
        if policy.deny_at is not None and score >= policy.deny_at:
            return "deny"
        if policy.challenge_at is None or score < policy.challenge_at:
            return "allow"
        return "allow" if trusted and score < policy.trust_below else "challenge"

    def wait_ms(self, failures: int) -> int:
        limits = self.policy.limits
        if failures < limits.throttle_after:
            return 0
        first, longest = limits.first_wait_seconds, limits.longest_wait_seconds
        doubled = round(first * SECOND_MS) * 2 ** (failures - limits.throttle_after)
        return min(doubled, round(longest * SECOND_MS))

    # What comes of a challenge.

    def price(self, person: Person, channel: str) -> int:
        local = self.costs.message_by_country.get(person.country or "", {})
        return round(Decimal(repr(local.get(channel, self.costs.message[channel]))) * 10**6)

    def defeats(self, row: Row, way: str) -> bool:
        return bool(row["po_defeats"] >> DEFEATS.index(way) & 1)

    def works(self, row: Row, factor: str) -> bool:
        if row["attack"]:
            return self.defeats(row, factor)
        if factor in ("passkey", "hardware_key"):
            return bool(row["po_passkey_works"])
        return bool(row["po_phone_at_hand"])

    def challenge(
        self, account: Account, row: Row, person: Person, max_attempts: int
    ) -> dict[str, Any]:
        """The strongest enrolled factor that works for whoever is asked."""
        spent = 0
        weaker = self.policy.allow_weaker_factor
        for factor in STRONGEST_FIRST:
            if factor not in (person.factors or {"otp"}):
                continue
            if factor == "push" and not self.push(account, row["time"] + spent * DS_MS):
                if weaker:
                    continue
                return NO_ANSWER | {"outcome": "rate_limited", "factor": "push"}
            if factor == "otp":
                answer = self.Code(self, row, person, max_attempts).play()
                later = {name: answer[name] + spent for name in ("seconds_ds", "last_entry_ds")}
                return answer | later
            act = row["po_entry_ds"] * ENTRY_PERCENT[FACTORS.index(factor)] // 100
            if self.works(row, factor):
                return self.answered(account, row, factor, spent, act, max_attempts)
            if not weaker:
                return NO_ANSWER | {"outcome": "abandoned", "factor": factor, "seconds_ds": act}
            spent += act
        return NO_ANSWER | {"outcome": "abandoned", "seconds_ds": spent}

    def answered(
        self, account: Account, row: Row, factor: str, spent: int, act: int, max_attempts: int
    ) -> dict[str, Any]:
        """A factor other than a code sent, that works: only an app's code can be mistyped."""
        wrong = row["po_wrong_codes"] if factor == "totp" else 0
        attempts = min(wrong + 1, max_attempts)
        done = spent + attempts * act
        if factor == "totp" and wrong < max_attempts:
            done = self.with_an_unused_code(account, row["time"], done)
        return NO_ANSWER | {
            "outcome": "verified" if wrong < max_attempts else "failed",
            "factor": factor,
            "attempts": attempts,
            "seconds_ds": done,
            "last_entry_ds": done,
        }

    def app_step(self, time: int, ds: int) -> int:
        """The number of the step that an authenticator app is in."""
        return (time + ds * DS_MS) // self.APP_STEP_MS

    def with_an_unused_code(self, account: Account, time: int, ds: int) -> int:
        """The first tenth of a second, from `ds` on, whose code the server would still take: one
        of a later step than any it took before.
        """
        latest = max(account.app_steps, default=-1)
        later = range(ds, ds + 10**9)
        return later[bisect_right(later, latest, key=lambda when: self.app_step(time, when))]

    def push(self, account: Account, now: int) -> bool:
        """Whether a push request goes out."""
        if not may_send(account.pushes, (), now, self.PUSH):
            return False
        account.pushes.append(now)
        return True

    # An account's life.

    def complete(self, account: Account, row: Row, trusts: bool) -> None:
        account.completed.append(row | {"hour": self.hour(row)})
        if trusts and row["device_id"] != 0:
            account.trust.append((row["device_id"], row["time"]))

    def reset(self, account: Account, row: Row) -> None:
        """The password was reset just before this login: earlier trust goes, and the counts of
        wrong passwords; those of wrong codes stay.
        """
        account.trust = [entry for entry in account.trust if entry[1] >= row["time"]]
        account.recognised, account.strangers = Failures(), Failures()

    def login(self, account: Account, row: Row, person: Person) -> dict[str, Any]:
        """What one row comes to; `account` is changed by it."""
        signals, failures = self.signals(account, row), self.failures(account, row)
        told = NO_ANSWER | {"signals": signals, "failures": failures, "score": 0.0}
        told |= {"decision": None, "trusted": False}
        if row["password_reset"]:
            self.reset(account, row)
        if row["signup"]:
            self.complete(account, row, trusts=False)
            return told | {"outcome": "allowed"}
        counted = account.strangers if "new_device" in signals else account.recognised
        stopped = self.stopped(account, row, counted)
        if stopped:
            return told | {"outcome": stopped}
        told |= self.judge(account, row, person, self.score(signals, failures))
        if told["outcome"] in ("allowed", "verified"):
            asked = told["decision"] == "challenge"
            gives_trust = asked and self.policy.trust_device_days is not None
            counted.count = 0
            self.complete(account, row, gives_trust and row["po_trusts_device"])
        return told

    def stopped(self, account: Account, row: Row, counted: Failures) -> str | None:
        """What ends an attempt before it is scored, if anything does."""
        if account.locked:
            return "locked"
        if row["time"] < counted.wait_until:
            return "rate_limited"
        if row["password_ok"]:
            return None
        account.wrong_passwords.append(row["time"])
        counted.count += 1
        counted.wait_until = row["time"] + self.wait_ms(counted.count)
        return "wrong_password"

    def judge(self, account: Account, row: Row, person: Person, score: float) -> dict[str, Any]:
        """The decision about a scored login, and what comes of it."""
        trusted = self.trusted(account, row)
        decision = self.decide(score, trusted)
        told = {"score": score, "decision": decision}
        if decision == "challenge":
            return told | self.challenged(account, row, person)
        if decision == "deny":
            return told | {"outcome": "denied"}
        asks_at = self.policy.challenge_at
        lifted = trusted and asks_at is not None and score >= asks_at
        return told | {"trusted": lifted, "outcome": "allowed"}

    def codes_left(self, account: Account) -> int:
        """How many codes the next challenge takes."""
        limits, wrong = self.policy.limits, account.codes.count
        before_waiting = limits.throttle_after - wrong
        return min(
            self.policy.max_attempts,
            limits.lock_after - wrong,
            before_waiting if before_waiting > 0 else 1,
        )

    def challenged(self, account: Account, row: Row, person: Person) -> dict[str, Any]:
        if row["time"] < account.codes.wait_until:
            return {"outcome": "rate_limited"}
        answer = self.challenge(account, row, person, self.codes_left(account))
        if answer["outcome"] == "verified":
            self.verified(account, row, answer)
        elif answer["attempts"]:
            self.wrong_codes(account, row, answer)
        return answer

    def verified(self, account: Account, row: Row, answer: dict[str, Any]) -> None:
        """A second factor was shown: all counts of it start anew."""
        account.codes = Failures()
        account.pushes.clear()
        if answer["factor"] == "totp":
            account.app_steps.add(self.app_step(row["time"], answer["seconds_ds"]))

    def wrong_codes(self, account: Account, row: Row, answer: dict[str, Any]) -> None:
        """Codes were entered and none was right."""
        limits, codes = self.policy.limits, account.codes
        codes.count += answer["attempts"]
        account.locked = codes.count >= limits.lock_after
        if codes.count >= limits.throttle_after:
            last = row["time"] + answer["last_entry_ds"] * DS_MS
            codes.wait_until = last + self.wait_ms(codes.count)

    def account(self, rows: list[Row], person: Person) -> list[dict[str, Any]]:
        """The outcomes of one account's rows, in order, as codes of the outcomes table."""
        account = Account()
        return [as_codes(self.login(account, row, person)) for row in rows]


def as_codes(told: dict[str, Any]) -> dict[str, Any]:
    """Names as the codes of the outcomes table."""
    decision = told["decision"]
    return told | {
        "signals": sum(1 << SIGNALS.index(name) for name in told["signals"]),
        "decision": 255 if decision is None else DECISIONS.index(decision),
        "factor": FACTORS.index(told["factor"]),
        "channel": CHANNELS.index(told["channel"]),
        "outcome": OUTCOME_NAMES.index(told["outcome"]),
        "seconds_ds": min(told["seconds_ds"], 65_535),
    }


def person_of(people: dict[str, Any], at: int, countries: tuple[str, ...]) -> Person:
    """One row of the people table in words."""
    country, mask = int(people["country"][at]), int(people["factors"][at])
    return Person(
        country=countries[country] if country >= 0 else None,
        line_type=LINE_TYPES[people["line_type"][at]],
        whatsapp=bool(people["whatsapp"][at]),
        factors=frozenset(name for code, name in enumerate(FACTORS) if mask >> code & 1),
    )
