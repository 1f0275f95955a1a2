"""The oracle with one rule broken at a time, the way a slip in the code would break it."""

from __future__ import annotations

from typing import Any

from tests.replay.oracle import CODE_LIFE_DS, DAY_MS, CodeChallenge, Failures, Oracle, Person
from twofa_lab.tables import NEVER


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


def success_keeps_wrong_codes(self: Oracle, account: Any, row: Any, person: Person) -> Any:
    before = account.wrong_codes
    told = Oracle.login(self, account, row, person)
    if told["outcome"] in ("allowed", "verified") and not row["signup"]:
        account.wrong_codes = min(before, self.policy.limits.lock_after - 1)
    return told


def flat_wait(self: Oracle, failures: int) -> int:
    return min(Oracle.wait_ms(self, failures), round(self.policy.limits.first_wait_seconds * 1000))


def endless_wait(self: Oracle, failures: int) -> int:
    return Oracle.wait_ms(self, failures) and round(
        self.policy.limits.first_wait_seconds
        * 1000
        * 2 ** (failures - self.policy.limits.throttle_after)
    )


def never_locks(self: Oracle, account: Any, row: Any, person: Person) -> Any:
    answer = Oracle.challenged(self, account, row, person)
    account.locked = False
    account.wrong_codes = min(account.wrong_codes, self.policy.limits.lock_after - 1)
    return answer


def locks_after_the_challenge(self: Oracle, account: Any, row: Any, person: Person) -> Any:
    answer = self.challenge(row, person, self.policy.max_attempts)
    if answer["outcome"] != "verified":
        account.wrong_codes += answer["attempts"]
        account.locked = account.wrong_codes >= self.policy.limits.lock_after
    return answer


def weakest_first(self: Oracle, row: Any, person: Person, most: int) -> Any:
    if "otp" in person.factors:
        person = Person(**{**person.__dict__, "factors": frozenset({"otp"})})
    return Oracle.challenge(self, row, person, most)


def always_offers(allowed: bool) -> Any:
    def challenge(self: Oracle, row: Any, person: Person, most: int) -> Any:
        policy, self.policy = (
            self.policy,
            self.policy.model_copy(update={"allow_weaker_factor": allowed}),
        )
        answer = Oracle.challenge(self, row, person, most)
        self.policy = policy
        return answer

    return challenge


def failed_factors_take_no_time(self: Oracle, row: Any, person: Person, most: int) -> Any:
    answer = Oracle.challenge(self, row, person, most)
    alone = Person(**{**person.__dict__, "factors": frozenset({answer["factor"]})})
    return Oracle.challenge(self, row, alone, most) if answer["factor"] != "none" else answer


def ends_at_the_first_time_out(self: CodeChallenge, now: int) -> None:
    self.to_send.clear()
    CodeChallenge.time_out(self, now)


def only_the_latest_message_counts(self: CodeChallenge, now: int, name: str, delay: int) -> None:
    self.diary = [entry for entry in self.diary if entry[1] != self.ARRIVES]
    CodeChallenge.send(self, now, name, delay)


def stops_at_the_first_arrival(self: CodeChallenge, now: int) -> None:
    if self.code is None:
        CodeChallenge.time_out(self, now)


def resends_on(last: bool, lost: bool) -> Any:
    """The resend goes out on the last channel, or is lost where the first message was."""

    def time_out(self: CodeChallenge, now: int) -> None:
        if not self.to_send and self.may_resend and self.code is None:
            if last:
                self.sent.insert(0, self.sent[-1])
            if lost and self.row[f"po_{self.sent[0]}_ds"] == NEVER:
                self.row = self.row | {"po_resend_ds": NEVER}
            CodeChallenge.time_out(self, now)
            if last:
                self.sent.pop(0)
        else:
            CodeChallenge.time_out(self, now)

    return time_out


def resends_for_ever(self: CodeChallenge, now: int) -> None:
    again = self.may_resend and not self.to_send and self.code is None
    CodeChallenge.time_out(self, now)
    if again and len(self.sent) < 5:
        self.may_resend = True
        self.note(now + 50, self.TIMES_OUT)


def everybody_gets(channel: str) -> Any:
    return lambda self, name: name == channel or CodeChallenge.usable(self, name)


def ends_with(change: Any) -> Any:
    def end(self: CodeChallenge, outcome: str, now: int) -> dict[str, Any]:
        return change(self, CodeChallenge.end(self, outcome, now))

    return end


def leaves_while_typing(self: CodeChallenge) -> dict[str, Any]:
    told = CodeChallenge.play(self)
    patience = self.row["po_patience_ds"]
    late = told["outcome"] == "verified" and told["seconds_ds"] > patience
    return told | ({"outcome": "abandoned", "seconds_ds": patience} if late else {})


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
    "nobody is locked out": oracle_with(challenged=never_locks),
    "a challenge may exceed the lock-out limit": oracle_with(challenged=locks_after_the_challenge),
    "a reset does not unlock": oracle_with(reset=reset_keeps("locked")),
    "a success keeps wrong codes": oracle_with(login=success_keeps_wrong_codes),
    # factors
    "the weakest factor is asked for": oracle_with(challenge=weakest_first),
    "a weaker factor is always offered": oracle_with(challenge=always_offers(True)),
    "a weaker factor is never offered": oracle_with(challenge=always_offers(False)),
    "a factor that fails takes no time": oracle_with(challenge=failed_factors_take_no_time),
    "passkeys need the phone": oracle_with(
        works=lambda self, row, factor: (
            Oracle.works(self, row, factor) and (row["attack"] or row["po_phone_at_hand"])
        )
    ),
    # attackers
    "attackers are people": rows_with(attack=0),
    "attackers pass by any factor they beat": oracle_with(
        defeats=lambda _, row, _way: row["po_defeats"] > 0
    ),
    "attackers need the phone": code_with(
        in_hand=lambda self, channel: (
            CodeChallenge.in_hand(self, channel) and self.row["po_phone_at_hand"]
        )
    ),
    # codes
    "fallback stops at the first channel": code_with(time_out=ends_at_the_first_time_out),
    "a late first message is thrown away": code_with(send=only_the_latest_message_counts),
    "nothing is sent while a code is typed": code_with(time_out=stops_at_the_first_arrival),
    "nobody asks for a resend": rows_with(po_resends=False),
    "a resend goes out on the last channel": code_with(time_out=resends_on(last=True, lost=False)),
    "a resend is lost with the first message": code_with(
        time_out=resends_on(last=False, lost=True)
    ),
    "resends have no end": code_with(time_out=resends_for_ever),
    "a landline takes text": code_with(usable=everybody_gets("sms")),
    "everybody has WhatsApp": person_with(whatsapp=True),
    "prices are those of nowhere": person_with(country=None),
    "messages after the first are free": code_with(
        end=ends_with(
            lambda code, told: (
                told
                | {
                    "message_microusd": sum(
                        code.oracle.price(code.person, name) for name in code.sent[:1]
                    )
                }
            )
        )
    ),
    "nobody mistypes": rows_with(po_wrong_codes=0),
    "patience has no end": rows_with(po_patience_ds=CODE_LIFE_DS),
    "people leave while typing": code_with(play=leaves_while_typing),
    "a lost message counts as under way": code_with(why_left=lambda _: "abandoned"),
    "a message under way counts as lost": code_with(
        why_left=lambda code: (
            "undelivered"
            if not code.row["attack"] and code.row["po_phone_at_hand"]
            else "abandoned"
        )
    ),
    "an expired code was entered once more": code_with(
        end=ends_with(
            lambda _, told: told | {"attempts": told["attempts"] + (told["outcome"] == "expired")}
        )
    ),
}
