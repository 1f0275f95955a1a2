"""The oracle with one rule broken at a time, the way a slip in the code would break it."""

from __future__ import annotations

from typing import Any

from tests.replay.oracle import (
    DAY_MS,
    CodeChallenge,
    Failures,
    Oracle,
    Person,
)


def oracle_with(**rules: Any) -> type[Oracle]:
    return type("Mutant", (Oracle,), rules)


def code_with(**rules: Any) -> type[Oracle]:
    return oracle_with(Code=type("MutantCode", (CodeChallenge,), rules))


def person_with(**changes: Any) -> type[Oracle]:
    """An oracle that takes the person for somebody else."""

    def account(self: Oracle, rows: list[Any], person: Person) -> Any:
        return Oracle.account(self, rows, Person(**{**person.__dict__, **changes}))

    return oracle_with(account=account)


def rows_with(**changes: Any) -> type[Oracle]:
    """An oracle that reads some columns as constants."""
    return oracle_with(
        account=lambda self, rows, person: Oracle.account(self, [r | changes for r in rows], person)
    )


def remembers_every_attempt(self: Oracle, account: Any, row: Any, person: Person) -> Any:
    told = Oracle.login(self, account, row, person)
    if told["outcome"] in ("abandoned", "undelivered", "failed"):
        self.complete(account, row, trusts=False)
    return told


def forgets_attackers(self: Oracle, account: Any, row: Any, trusts: bool) -> None:
    if not row["attack"]:
        Oracle.complete(self, account, row, trusts)


def trusts_without_a_challenge(self: Oracle, account: Any, row: Any, trusts: bool) -> None:
    Oracle.complete(self, account, row, trusts or row["po_trusts_device"])


def sign_up_is_a_login(self: Oracle, account: Any, row: Any, person: Person) -> Any:
    return Oracle.login(self, account, row | {"signup": False}, person)


def counts_the_last_window_only(self: Oracle, account: Any, row: Any) -> int:
    return sum(when > row["time"] - self.BURST_WINDOW_MS for when in account.wrong_passwords)


def failures_of_this_device(self: Oracle, account: Any, row: Any) -> int:
    return 0 if self.new_device(account, row) else Oracle.failures(self, account, row)


def score_adds_failures_to_a_burst(self: Oracle, signals: list[str], failures: int) -> float:
    extra = self.policy.points.failed_attempt * failures if "failed_burst" in signals else 0.0
    return min(1.0, Oracle.score(self, signals, failures) + extra)


def trust_that_outranks(self: Oracle, score: float, trusted: bool) -> str:
    decision = Oracle.decide(self, score, trusted)
    return "allow" if trusted and decision == "challenge" else decision


def above_the_threshold(self: Oracle, score: float, trusted: bool) -> str:
    return "allow" if score == self.policy.challenge_at else Oracle.decide(self, score, trusted)


def above_the_deny_threshold(self: Oracle, score: float, trusted: bool) -> str:
    decision = Oracle.decide(self, score, trusted)
    return "challenge" if score == self.policy.deny_at else decision


def trust_lifts_a_denial(self: Oracle, score: float, trusted: bool) -> str:
    return "allow" if trusted else Oracle.decide(self, score, trusted)


def trust_for_ever(self: Oracle, account: Any, row: Any) -> bool:
    return any(device == row["device_id"] for device, _ in account.trust)


def reset_keeps(*fields: str) -> Any:
    def reset(self: Oracle, account: Any, row: Any) -> None:
        kept = {name: getattr(account, name) for name in fields}
        Oracle.reset(self, account, row)
        account.__dict__.update(kept)

    return reset


def reset_voids_its_own_trust(self: Oracle, account: Any, row: Any) -> None:
    Oracle.reset(self, account, row)
    row["po_trusts_device"] = False


def one_count_for_all(self: Oracle, account: Any, row: Any, person: Person) -> Any:
    account.strangers = account.recognised
    return Oracle.login(self, account, row, person)


def success_keeps_failures(self: Oracle, account: Any, row: Any, person: Person) -> Any:
    counts = [Failures(f.count, f.wait_until) for f in (account.recognised, account.strangers)]
    told = Oracle.login(self, account, row, person)
    if told["outcome"] in ("allowed", "verified") and not row["signup"]:
        account.recognised, account.strangers = counts
    return told


def flat_wait(self: Oracle, failures: int) -> int:
    return min(Oracle.wait_ms(self, failures), round(self.policy.limits.first_wait_seconds * 1000))


def endless_wait(self: Oracle, failures: int) -> int:
    return Oracle.wait_ms(self, failures) and round(
        self.policy.limits.first_wait_seconds
        * 1000
        * 2 ** (failures - self.policy.limits.throttle_after)
    )


MUTANTS: dict[str, type[Oracle]] = {
    # signals
    "a device is remembered a millisecond less": oracle_with(DEVICE_MEMORY_MS=30 * DAY_MS - 1),
    "a device is remembered a millisecond more": oracle_with(DEVICE_MEMORY_MS=30 * DAY_MS + 1),
    "an unknown device is a device": rows_with(device_id=1),
    "a first login comes from a new country": oracle_with(
        new_country=lambda _, account, row: (
            row["country"] >= 0
            and all(login["country"] != row["country"] for login in account.completed)
        )
    ),
    "a missing country is a country": rows_with(country=0),
    "a new country brings a new region too": oracle_with(
        new_region=lambda self, account, row: (
            Oracle.new_region(self, account, row)
            or (Oracle.new_country(self, account, row) and row["region"] >= 0)
        )
    ),
    "no hour wraps round midnight": oracle_with(
        odd_hour=lambda self, account, row: (
            len(account.completed) >= 10
            and sum(abs(login["hour"] - self.hour(row)) <= 1 for login in account.completed) * 50
            <= len(account.completed)
        )
    ),
    "the hour is UTC": oracle_with(hour=lambda _, row: row["time"] // 3_600_000 % 24),
    "nine logins are history enough": oracle_with(THIN=9),
    "eleven logins are history enough": oracle_with(THIN=11),
    "one in ten is odd": oracle_with(ODD_SHARE=10),
    "the window is open at its start": oracle_with(failures=counts_the_last_window_only),
    "a stranger's failures do not count": oracle_with(failures=failures_of_this_device),
    "four failures are a burst": oracle_with(BURST=4),
    "two failures are a burst": oracle_with(BURST=2),
    # history
    "an unfinished login enters the history": oracle_with(login=remembers_every_attempt),
    "an attacker's success leaves no trace": oracle_with(complete=forgets_attackers),
    "a sign-up is a login": oracle_with(login=sign_up_is_a_login),
    # points and decision
    "failures count beside a burst": oracle_with(score=score_adds_failures_to_a_burst),
    "the threshold itself does not ask": oracle_with(decide=above_the_threshold),
    "the threshold itself does not deny": oracle_with(decide=above_the_deny_threshold),
    "trust outranks a high score": oracle_with(decide=trust_that_outranks),
    "trust lifts a denial": oracle_with(decide=trust_lifts_a_denial),
    # trust
    "trust never expires": oracle_with(trusted=trust_for_ever),
    "trust survives a reset": oracle_with(reset=reset_keeps("trust")),
    "a reset's own login cannot give trust": oracle_with(reset=reset_voids_its_own_trust),
    "trust comes without a challenge": oracle_with(complete=trusts_without_a_challenge),
    "everybody trusts": rows_with(po_trusts_device=True),
    # throttling and lock-out
    "one count for all devices": oracle_with(login=one_count_for_all),
    "a success keeps the count": oracle_with(login=success_keeps_failures),
    "a reset keeps the wait": oracle_with(reset=reset_keeps("recognised", "strangers")),
    "waits do not double": oracle_with(wait_ms=flat_wait),
    "waits are not capped": oracle_with(wait_ms=endless_wait),
    "nobody waits": oracle_with(wait_ms=lambda *_: 0),
}
