"""The closed loop: every login of every account, in order, under one policy.

Only completed logins enter the history that the next login is judged by, so the outcome of one
challenge changes what later logins meet. Rows must lie account-major. All times in ms.

What limits guessing is kept apart for the two factors. Wrong passwords make an account wait, count
by count for its own devices and for strange ones; a completed login ends the count and a password
reset all waits. Wrong codes count for the account, whoever types them, until a second factor is
*verified*: neither a login that was merely allowed nor a new password buys new guesses (NIST SP
800-63B-4 3.2.2, OWASP ASVS 6.4.3). From `throttle_after` on, each challenge takes one code and the
next must wait; at `lock_after` the account is locked.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.compiled import loop, part
from twofa_lab.replay.challenge import TOTP, Means, Terms, answer_challenge, next_app_code
from twofa_lab.risk.additive import log_odds_of, probability
from twofa_lab.risk.decision import ALLOW, DENY, decide, wait_after
from twofa_lab.risk.features import start_feature_past
from twofa_lab.risk.freeman import start_account_counts
from twofa_lab.risk.freeman_loop import FreemanState, freeman_risk, record_freeman
from twofa_lab.risk.history import (
    TRUST_VOID,
    History,
    is_trusted,
    record_completed,
    record_failed_password,
    start_account,
)
from twofa_lab.risk.learned_loop import LearnedState
from twofa_lab.risk.signals import BITS, SignalRules, local_hour, read_signals
from twofa_lab.risk.vector import read_vector, record_row
from twofa_lab.tables import LINE_TYPES, OUTCOME_NAMES, POTENTIAL_OUTCOMES, Array

__all__ = ["NO_DECISION", "Accounts", "Rows", "Settings", "Written", "replay_rows"]

NO_DECISION = 255
_ALLOWED, _VERIFIED, _RATE_LIMITED, _DENIED, _LOCKED, _WRONG = (
    OUTCOME_NAMES.index(name)
    for name in ("allowed", "verified", "rate_limited", "denied", "locked", "wrong_password")
)
_DEVICE = BITS["new_device"]
_TRUSTS, _RESENDS, _PASSKEY_WORKS, _DEFEATS = (
    [column.name for column in POTENTIAL_OUTCOMES].index(name)
    for name in ("po_trusts_device", "po_resends", "po_passkey_works", "po_defeats")
)
_LANDLINE = LINE_TYPES.index("landline")


class Rows(NamedTuple):
    """The columns of the logins table that a replay reads; `po` holds its potential outcomes, one
    row a column in the table's order, all as uint16.
    """

    time: Array
    utc_offset_min: Array
    country: Array
    region: Array
    device_id: Array
    password_ok: Array
    password_reset: Array
    signup: Array
    attack: Array
    po: Array


class Accounts(NamedTuple):
    """Per account: where its rows start (one entry more than accounts), how many of them could be
    completed, and its person.
    """

    starts: Array
    most_completed: Array
    country: Array
    line_type: Array
    whatsapp: Array
    factors: Array


class Settings(NamedTuple):
    """A policy as numbers. `scores` is `RulePoints.table`; `prices` are micro-US$ by (country,
    channel), whose last row serves accounts of no country. `unscored` is the score of a login that
    a scorer cannot judge; it is never denied. `push_since_success` is the most push
    requests without a verified second factor, `push_in_window` the most in `push_window_ms`.
    """

    scores: Array
    prices: Array
    channels: Array
    challenge_at: float
    deny_at: float
    trust_ms: int
    trust_below: float
    unscored: float
    timeout_ds: int
    max_attempts: int
    allow_weaker: bool
    throttle_after: int
    first_wait_ms: int
    longest_wait_ms: int
    lock_after: int
    push_since_success: int
    push_in_window: int
    push_window_ms: int


class Written(NamedTuple):
    """Where the loop writes: the columns of the outcomes table."""

    signals: Array
    failures: Array
    score: Array
    decision: Array
    trusted: Array
    factor: Array
    channel: Array
    messages: Array
    attempts: Array
    seconds_ds: Array
    message_microusd: Array
    outcome: Array


@part
def _wait(failures: int, settings: Settings) -> int:
    """How long the account waits after this many consecutive failures."""
    return wait_after(
        failures, settings.throttle_after, settings.first_wait_ms, settings.longest_wait_ms
    )


@part
def _codes_left(wrong_codes: int, max_attempts: int, throttle_after: int, lock_after: int) -> int:
    """How many codes a challenge checks: never past the lock-out, and one at a time from
    `throttle_after` on.
    """
    return min(max_attempts, lock_after - wrong_codes, max(1, throttle_after - wrong_codes))


@part
def _means(po, i, attack, whatsapp, line_type, factors):  # type: ignore[no-untyped-def]
    """One row's potential outcomes, in the order of the table's columns, and its person's."""
    return Means(
        np.int64(po[0, i]),
        np.int64(po[1, i]),
        np.int64(po[2, i]),
        np.int64(po[3, i]),
        np.int64(po[4, i]),
        np.int64(po[5, i]),
        np.int64(po[6, i]),
        po[7, i] != 0,
        po[_RESENDS, i] != 0,
        po[_PASSKEY_WORKS, i] != 0,
        np.int64(po[_DEFEATS, i]),
        attack != 0,
        whatsapp,
        line_type != _LANDLINE,
        np.int64(factors),
    )


@part
def _terms(settings: Settings, home: int) -> Terms:
    """How an account of this country is challenged."""
    return Terms(
        settings.channels,
        settings.prices[home],
        settings.timeout_ds,
        settings.allow_weaker,
        settings.push_in_window,
        settings.push_window_ms,
    )


@loop
def replay_rows(  # noqa: C901, PLR0912, PLR0915 - the closed loop stays in one piece to stay fast
    rows: Rows,
    accounts: Accounts,
    settings: Settings,
    rules: SignalRules,
    history: History,
    pushes: Array,
    written: Written,
    freeman: FreemanState | None,
    learned: LearnedState | None,
) -> None:
    """Play every account's rows in order and write what happened; `written` must be zeroed, with
    `decision` filled with `NO_DECISION`. `pushes` is a workspace of int64, one longer than
    `push_since_success`; see `may_push`.

    `freeman` or `learned` is the state of the scorer that the policy goes by; with neither it goes
    by the rules. A `learned` that does not decide only notes what it sees. The loop is compiled
    for each case by itself, so that the rules pay for neither.
    """
    # local names: a compiled loop is slow on the fields of a large tuple
    starts, times, offsets = accounts.starts, rows.time, rows.utc_offset_min
    devices, countries, regions = rows.device_id, rows.country, rows.region
    right, resets, signups = rows.password_ok, rows.password_reset, rows.signup
    attacks, po, scores, numbers = rows.attack, rows.po, settings.scores, history.numbers
    homes, whatsapp, line_types, factors = (
        accounts.country, accounts.whatsapp, accounts.line_type, accounts.factors,
    )  # fmt: skip
    used_factor, used_channel, messages, attempts, seconds, price = (
        written.factor, written.channel, written.messages, written.attempts,
        written.seconds_ds, written.message_microusd,
    )  # fmt: skip
    outcomes, decisions = written.outcome, written.decision
    signals, failed, scored, lifted = (
        written.signals, written.failures, written.score, written.trusted,
    )  # fmt: skip
    challenge_at, deny_at, trust_below = (
        settings.challenge_at, settings.deny_at, settings.trust_below,
    )  # fmt: skip
    unscored, never = settings.unscored, np.inf
    trust_ms, max_attempts = settings.trust_ms, settings.max_attempts
    throttle_after, lock_after = settings.throttle_after, settings.lock_after
    most_failures = rules.burst_count - 1
    for a in range(len(starts) - 1):
        start_account(history, accounts.most_completed[a])
        if freeman is not None:
            start_account_counts(freeman.account, accounts.most_completed[a], freeman.values)
        if learned is not None:
            start_feature_past(learned.past)
        terms = _terms(settings, homes[a])
        # consecutive wrong passwords and the end of the wait they caused: strangers, own devices
        wrong_0, wrong_1, until_0, until_1 = 0, 0, 0, 0
        # the same of codes, since the last verified one; push requests since; the app's next code
        wrong_codes, codes_until, locked, unused_from, pushes[0] = 0, 0, False, 0, 0
        for i in range(starts[a], starts[a + 1]):
            time = times[i]
            hour = local_hour(time, offsets[i])
            device, country, region = np.int64(devices[i]), countries[i], regions[i]
            bits, failures, slot, known = read_signals(
                history, rules, time, hour, device, country, region
            )
            signals[i] = bits
            failed[i] = failures
            if resets[i]:  # just before this login, whose own trust therefore holds
                numbers[TRUST_VOID] = time
                wrong_0, wrong_1, until_0, until_1 = 0, 0, 0, 0
            if signups[i]:
                record_completed(history, slot, known, time, hour, device, country, region, False)
                if freeman is not None:
                    record_freeman(freeman, i)
                if learned is not None:
                    record_row(learned.columns, i, learned.past, time)
                outcomes[i] = _ALLOWED
                continue
            own = bits & _DEVICE == 0
            if locked or time < (until_1 if own else until_0):
                outcomes[i] = _LOCKED if locked else _RATE_LIMITED
                continue
            if not right[i]:
                record_failed_password(history, time)
                if own:
                    wrong_1 += 1
                    until_1 = time + _wait(wrong_1, settings)
                else:
                    wrong_0 += 1
                    until_0 = time + _wait(wrong_0, settings)
                outcomes[i] = _WRONG
                continue
            score, limit = scores[bits, min(failures, most_failures)], deny_at
            if freeman is not None:
                score = freeman_risk(freeman, i)
                if score < 0.0:
                    score, limit = unscored, never
            if learned is not None:
                values = learned.values[i & learned.mask]
                read_vector(learned.columns, i, learned.past, time, bits, failures, values)
                if learned.decides:
                    score = probability(log_odds_of(learned.additive, values))
            trusted = is_trusted(history, slot, known, time, trust_ms)
            decision = decide(score, challenge_at, limit, trusted, trust_below)
            scored[i] = score
            decisions[i] = decision
            outcome, trusts = _ALLOWED, False
            if decision == ALLOW:
                lifted[i] = trusted and score >= challenge_at
            elif decision == DENY:
                outcome = _DENIED
            elif time < codes_until:
                outcome = _RATE_LIMITED
            else:
                answer = answer_challenge(
                    _means(po, i, attacks[i], whatsapp[a], line_types[a], factors[a]),
                    terms,
                    time,
                    _codes_left(wrong_codes, max_attempts, throttle_after, lock_after),
                    unused_from,
                    pushes,
                )
                outcome = answer.outcome
                used_factor[i] = answer.factor
                used_channel[i] = answer.channel
                messages[i] = answer.messages
                attempts[i] = answer.attempts
                seconds[i] = min(answer.seconds_ds, 65_535)
                price[i] = answer.microusd
                trusts = trust_ms > 0 and po[_TRUSTS, i] != 0
                ended = time + 100 * answer.seconds_ds
                if outcome == _VERIFIED:
                    wrong_codes, pushes[0] = 0, 0
                    if answer.factor == TOTP:
                        unused_from = next_app_code(ended)
                elif answer.attempts > 0:
                    wrong_codes += answer.attempts
                    locked = wrong_codes >= lock_after
                    if (
                        wrong_codes >= throttle_after
                    ):  # then no code was left, and the last ended it
                        codes_until = ended + _wait(wrong_codes, settings)
            outcomes[i] = outcome
            if outcome == _ALLOWED or outcome == _VERIFIED:  # noqa: PLR1714, SIM109 - compiled
                if own:
                    wrong_1 = 0
                else:
                    wrong_0 = 0
                record_completed(history, slot, known, time, hour, device, country, region, trusts)
                if freeman is not None:
                    record_freeman(freeman, i)
                if learned is not None:
                    record_row(learned.columns, i, learned.past, time)
