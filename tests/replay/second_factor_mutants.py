"""Broken rules of the second factor: its limits, and which factor is asked for."""

from __future__ import annotations

from copy import copy
from typing import Any

from tests.replay.code_oracle import CodeChallenge, Person
from tests.replay.mutants import code_with, oracle_with, rows_with
from tests.replay.oracle import MINUTE_MS, NO_ANSWER, Oracle
from twofa_lab.factors.push import PushRules, may_send


def never_locks(self: Oracle, account: Any, row: Any, answer: Any) -> None:
    Oracle.wrong_codes(self, account, row, answer)
    account.locked = False
    account.codes.count = min(account.codes.count, self.policy.limits.lock_after - 1)


def codes_left_without(*, lock: bool) -> Any:
    """As many codes as the attempts allow, whatever the lock-out or the wait would leave."""

    def codes_left(self: Oracle, account: Any) -> int:
        limits, wrong = self.policy.limits, account.codes.count
        left = limits.throttle_after - wrong if lock else limits.lock_after - wrong
        return min(self.policy.max_attempts, max(1, left))

    return codes_left


def reset_forgets(*fields: str) -> Any:
    def reset(self: Oracle, account: Any, row: Any) -> None:
        Oracle.reset(self, account, row)
        fresh = type(account)()
        account.__dict__.update({name: getattr(fresh, name) for name in fields})

    return reset


def allowed_login_forgets(*fields: str) -> Any:
    """A login that was not even asked ends counts of the second factor."""

    def complete(self: Oracle, account: Any, row: Any, trusts: bool) -> None:
        Oracle.complete(self, account, row, trusts)
        if not row["signup"]:
            fresh = type(account)()
            account.__dict__.update({name: getattr(fresh, name) for name in fields})

    return complete


def verified_keeps(*fields: str) -> Any:
    def verified(self: Oracle, account: Any, row: Any, answer: Any) -> None:
        kept = {name: copy(getattr(account, name)) for name in fields}
        Oracle.verified(self, account, row, answer)
        account.__dict__.update(kept)

    return verified


def codes_wait_from_the_login(self: Oracle, account: Any, row: Any, answer: Any) -> None:
    Oracle.wrong_codes(self, account, row, answer | {"last_entry_ds": 0})


def codes_never_wait(self: Oracle, account: Any, row: Any, answer: Any) -> None:
    Oracle.wrong_codes(self, account, row, answer)
    account.codes.wait_until = 0


def every_challenge_prolongs_the_wait(self: Oracle, account: Any, row: Any, person: Person) -> Any:
    answer = Oracle.challenged(self, account, row, person)
    if answer["outcome"] not in ("verified", "rate_limited") and not answer["attempts"]:
        self.wrong_codes(account, row, answer | {"last_entry_ds": answer["seconds_ds"]})
    return answer


def codes_wait_stops_all(self: Oracle, account: Any, row: Any, counted: Any) -> Any:
    if not account.locked and row["time"] < account.codes.wait_until:
        return "rate_limited"
    return Oracle.stopped(self, account, row, counted)


def codes_wait_spares_other_factors(self: Oracle, account: Any, row: Any, person: Person) -> Any:
    if person.factors & {"passkey", "hardware_key"}:
        wait, account.codes.wait_until = account.codes.wait_until, 0
        answer = Oracle.challenged(self, account, row, person)
        account.codes.wait_until = max(wait, account.codes.wait_until)
        return answer
    return Oracle.challenged(self, account, row, person)


def waiting_is_no_decision(self: Oracle, account: Any, row: Any, person: Person) -> Any:
    answer = Oracle.challenged(self, account, row, person)
    waits = answer["outcome"] == "rate_limited"
    return answer | ({"decision": None, "score": 0.0} if waits else {})


def time_before_the_code_is_free(
    self: Oracle, account: Any, row: Any, person: Person, most: int
) -> Any:
    """The last entry counts from when its own factor was offered."""
    answer = Oracle.challenge(self, account, row, person, most)
    if answer["factor"] == "otp" and answer["attempts"]:
        alone = Person(**{**person.__dict__, "factors": frozenset({"otp"})})
        last = Oracle.challenge(self, account, row, alone, most)["last_entry_ds"]
        return answer | {"last_entry_ds": last}
    return answer


def weakest_first(self: Oracle, account: Any, row: Any, person: Person, most: int) -> Any:
    if "otp" in person.factors:
        person = Person(**{**person.__dict__, "factors": frozenset({"otp"})})
    return Oracle.challenge(self, account, row, person, most)


def always_offers(allowed: bool) -> Any:
    def challenge(self: Oracle, account: Any, row: Any, person: Person, most: int) -> Any:
        policy, self.policy = (
            self.policy,
            self.policy.model_copy(update={"allow_weaker_factor": allowed}),
        )
        answer = Oracle.challenge(self, account, row, person, most)
        self.policy = policy
        return answer

    return challenge


def failed_factors_take_no_time(
    self: Oracle, account: Any, row: Any, person: Person, most: int
) -> Any:
    sent = list(account.pushes)
    answer = Oracle.challenge(self, account, row, person, most)
    if answer["factor"] == "none":
        return answer
    account.pushes = sent
    alone = Person(**{**person.__dict__, "factors": frozenset({answer["factor"]})})
    return Oracle.challenge(self, account, row, alone, most)


def first_of_the_steps_not_used(self: Oracle, account: Any, time: int, ds: int) -> int:
    while self.app_step(time, ds) in account.app_steps:
        ds += 1
    return ds


def a_tenth_early(self: Oracle, account: Any, time: int, ds: int) -> int:
    found = Oracle.with_an_unused_code(self, account, time, ds)
    return found - (found > ds)


def wrong_codes_wait_too(
    self: Oracle, account: Any, row: Any, factor: str, spent: int, act: int, most: int
) -> Any:
    answer = Oracle.answered(self, account, row, factor, spent, act, most)
    if answer["outcome"] != "failed":
        return answer
    done = self.with_an_unused_code(account, row["time"], answer["seconds_ds"])
    return answer | {"seconds_ds": done}


def code_of_the_start_is_used(self: Oracle, account: Any, row: Any, answer: Any) -> None:
    Oracle.verified(self, account, row, answer | {"seconds_ds": 0})


def any_code_uses_up_the_apps(self: Oracle, account: Any, row: Any, answer: Any) -> None:
    Oracle.verified(self, account, row, answer | {"factor": "totp"})


def only_a_push_ends_the_count(self: Oracle, account: Any, row: Any, answer: Any) -> None:
    sent = list(account.pushes)
    Oracle.verified(self, account, row, answer)
    if answer["factor"] != "push":
        account.pushes = sent


def push_is_sent(send: Any) -> Any:
    """An oracle that differs in whether, and when, a push goes out."""
    return oracle_with(push=send)


def window_closed_at_both_ends(self: Oracle, account: Any, now: int) -> bool:
    return bool(may_send(account.pushes, (), now - 1, self.PUSH)) and Oracle.push(
        self, account, now
    )


def pushes_while_it_may_not(self: Oracle, account: Any, now: int) -> bool:
    went = Oracle.push(self, account, now)
    if not went:
        account.pushes.append(now)
    return went


def pushes_at_the_start(
    self: Oracle, account: Any, row: Any, person: Person, most: int
) -> dict[str, Any]:
    sent = len(account.pushes)
    answer = Oracle.challenge(self, account, row, person, most)
    account.pushes[sent:] = [row["time"]] * (len(account.pushes) - sent)
    return answer


def where_no_push_goes(then: Any) -> Any:
    """What follows where the turn is at a push that may not go out."""

    def challenge(self: Oracle, account: Any, row: Any, person: Person, most: int) -> Any:
        first = "push" in person.factors and not person.factors & {"hardware_key", "passkey"}
        may = may_send(account.pushes, (), row["time"], self.PUSH)
        answer = Oracle.challenge(self, account, row, person, most)
        if not first or may:
            return answer
        without = Person(**{**person.__dict__, "factors": person.factors - {"push"}})
        return then(self, account, row, answer, lambda: self.challenge(account, row, without, most))

    return challenge


def no_push_ends_it(self: Oracle, account: Any, row: Any, answer: Any, next_factor: Any) -> Any:
    return NO_ANSWER | {"outcome": "rate_limited", "factor": "push"}


def no_push_never_ends_it(
    self: Oracle, account: Any, row: Any, answer: Any, next_factor: Any
) -> Any:
    return next_factor()


def no_push_takes_time(self: Oracle, account: Any, row: Any, answer: Any, next_factor: Any) -> Any:
    late = row["po_entry_ds"] // 2 if self.policy.allow_weaker_factor else 0
    return answer | {"seconds_ds": answer["seconds_ds"] + late}


SECOND_FACTOR: dict[str, type[Oracle]] = {
    "nobody is locked out": oracle_with(wrong_codes=never_locks),
    "a challenge may exceed the lock-out limit": oracle_with(
        codes_left=codes_left_without(lock=True)
    ),
    "a reset unlocks": oracle_with(reset=reset_forgets("locked", "codes")),
    "a reset forgives wrong codes": oracle_with(reset=reset_forgets("codes")),
    "a verified factor keeps wrong codes": oracle_with(verified=verified_keeps("codes")),
    "an allowed login forgives wrong codes": oracle_with(complete=allowed_login_forgets("codes")),
    "a challenge may exceed the codes before a wait": oracle_with(
        codes_left=codes_left_without(lock=False)
    ),
    "wrong codes cause no wait": oracle_with(wrong_codes=codes_never_wait),
    "the wait for codes starts at the login": oracle_with(wrong_codes=codes_wait_from_the_login),
    "factors tried before a code take no time of the wait": oracle_with(
        challenge=time_before_the_code_is_free
    ),
    "a challenge without a code prolongs the wait": oracle_with(
        challenged=every_challenge_prolongs_the_wait
    ),
    "the wait for codes stops who is not asked": oracle_with(stopped=codes_wait_stops_all),
    "the wait for codes is for codes alone": oracle_with(
        challenged=codes_wait_spares_other_factors
    ),
    "who waits for codes was not judged": oracle_with(challenged=waiting_is_no_decision),
    # an app's codes
    "an app's code is taken twice": oracle_with(verified=verified_keeps("app_steps")),
    "an app's code shows for a minute": oracle_with(APP_STEP_MS=MINUTE_MS),
    "an app's older code is taken after a newer": oracle_with(
        with_an_unused_code=first_of_the_steps_not_used
    ),
    "the next code comes a tenth of a second early": oracle_with(with_an_unused_code=a_tenth_early),
    "wrong codes wait for the next one too": oracle_with(answered=wrong_codes_wait_too),
    "the code used is that of the login's start": oracle_with(verified=code_of_the_start_is_used),
    "any factor uses up the app's code": oracle_with(verified=any_code_uses_up_the_apps),
    # push
    "two pushes in a window are too many": oracle_with(PUSH=PushRules(max_in_window=2)),
    "four pushes in a window are allowed": oracle_with(PUSH=PushRules(max_in_window=4)),
    "the window of pushes is a minute": oracle_with(PUSH=PushRules(window_seconds=60)),
    "the window of pushes is closed at both ends": push_is_sent(window_closed_at_both_ends),
    "nine pushes without success are too many": oracle_with(PUSH=PushRules(max_since_success=9)),
    "eleven pushes without success are allowed": oracle_with(PUSH=PushRules(max_since_success=11)),
    "a push that may not go out counts": push_is_sent(pushes_while_it_may_not),
    "pushes are timed from the login's start": oracle_with(challenge=pushes_at_the_start),
    "only a push that is approved ends the count": oracle_with(verified=only_a_push_ends_the_count),
    "no success ends the count of pushes": oracle_with(verified=verified_keeps("pushes")),
    "an allowed login ends the count of pushes": oracle_with(
        complete=allowed_login_forgets("pushes")
    ),
    "a reset forgets pushes": oracle_with(reset=reset_forgets("pushes")),
    "no push in the window ends the login": oracle_with(
        challenge=where_no_push_goes(no_push_ends_it)
    ),
    "no push in the window never ends the login": oracle_with(
        challenge=where_no_push_goes(no_push_never_ends_it)
    ),
    "a push that does not go out takes time": oracle_with(
        challenge=where_no_push_goes(no_push_takes_time)
    ),
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
}
