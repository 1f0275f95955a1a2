"""The second step of a login: the answer to a challenge, another factor, or leaving.

An answer is counted against the challenge, the account and the authenticator before it is checked,
and a right one consumes the challenge by one conditional statement, so that one code lets in once
however many hands type it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from sqlalchemy import Connection

from twofa_lab.delivery.providers.base import DeliveryError
from twofa_lab.flow import notices
from twofa_lab.flow.asking import Opened, ask_next, guard, is_locked, keep, push_key
from twofa_lab.flow.checks import Check, check_of
from twofa_lab.flow.finish import complete, left_as, outcome_event, record_of
from twofa_lab.flow.login import ask
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.sending import Sending, caught_up, stop
from twofa_lab.flow.service import Flow
from twofa_lab.flow.sessions import proof_of
from twofa_lab.flow.step import Ask, Record, Step, Ticket
from twofa_lab.store import accounts, challenges, limits
from twofa_lab.store.audit import Event, append
from twofa_lab.store.challenges import Challenge
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import read, write
from twofa_lab.store.limits import Attempt

__all__ = ["Proved", "another_factor", "answer", "answer_challenge", "leave", "open_challenge"]

_ENDS_AS = {"expired": "expired", "locked": "locked", "throttled": "failed", "disabled": "failed"}
"""What a login ends as whose answer was refused; for other reasons it had ended before."""


def answer(flow: Flow, ticket: Ticket, typed: str, *, trust_device: bool = False) -> Step:
    """Check the answer to a challenge: a code, a recovery code, a WebAuthn answer (JSON), or, once
    the app said yes, nothing (`""`).

    Text that can be no answer at all is handed back uncounted.
    """
    return answer_challenge(flow, ticket, typed, "login", partial(_let_in, trust_device))


Proved = Callable[[Flow, Connection, Challenge, Pending, Record, str], tuple[Step, Sequence[Event]]]
"""What a right answer brings about, in the transaction that consumed its challenge: the step it
comes to, and what to audit. The record names the factor, the text the channel a code came by.
"""


def _let_in(
    trust_device: bool,
    flow: Flow,
    c: Connection,
    found: Challenge,
    pending: Pending,
    record: Record,
    channel: str,
) -> tuple[Step, Sequence[Event]]:
    proof = proof_of(record.factor, channel)
    return complete(flow, c, found.user_id, pending, record, proof, trust_device=trust_device)


def answer_challenge(flow: Flow, ticket: Ticket, typed: str, purpose: str, proved: Proved) -> Step:
    """Check the answer to an open challenge of that purpose; a right one brings about `proved`."""
    with write(flow.engine) as c:
        found, pending = _open(flow, c, ticket, (purpose,))
        if found is None or pending is None:
            return Step("refused")
        now, rules = flow.clock(), flow.policy.limits
        pending, sent = caught_up(flow, c, found, pending, now - 1)
        check = check_of(flow, found, pending, typed)
        if check is None and now < found.expires:
            append(c, sent)
            left = found.max_attempts - found.attempts
            record = record_of(pending, None, now, factor=found.factor)
            return Step("asked", record, Ask(found.factor, left=left), ticket)
        login = _Answered(flow, ticket, found, pending, check or _NOTHING, proved)
        counted = limits.count_attempt(c, found, now, rules.wait_ms, rules.lock_after)
        if not counted.allowed:
            step = login.refused(c, counted)
        elif not login.check.remote:
            step = login.judged(c, counted, right=login.check.passes(c, now))
        else:
            step = None
        letters = notices.alarm(flow, c, login.events)
        append(c, [*sent, *login.events])
    if step is None:  # the provider knows the code; whatever it says, the attempt is counted
        right = _asks_provider(flow, found, pending, typed)
        with write(flow.engine) as c:
            step = login.judged(c, counted, right=right)
            letters = notices.alarm(flow, c, login.events)
            append(c, login.events)
    notices.send(flow, letters)
    if login.right or step.status != "asked":
        stop(flow, pending.delivery, proved=login.right and login.check.factor == found.factor)
    return step


_NOTHING = Check("none", lambda _connection, _now: False)


def open_challenge(
    flow: Flow, ticket: Ticket, *purposes: str
) -> tuple[Challenge | None, Pending | None]:
    """The open challenge of a ticket, if it has one of these purposes (none named: any), and what
    it must still know; None where there is none.
    """
    with read(flow.engine) as c:
        return _open(flow, c, ticket, purposes)


def _open(
    flow: Flow, c: Connection, ticket: Ticket, purposes: Sequence[str]
) -> tuple[Challenge | None, Pending | None]:
    found = challenges.challenge(c, ticket.challenge_id, ticket.binding(flow))
    if found is None or found.state != "open" or (purposes and found.purpose not in purposes):
        return None, None
    return found, Pending.unseal(flow.keyring, found.user_id, found.context)


def _asks_provider(flow: Flow, found: Challenge, pending: Pending, typed: str) -> bool:
    if pending.delivery is None:
        return False
    with read(flow.engine) as c:  # two pages that wait at once may each know of half the messages
        noted = [message.provider_id for message in challenges.messages_of(c, found.id)]
    ids = dict.fromkeys((*pending.delivery.verification_ids, *filter(None, noted)))
    delivery = replace(pending.delivery, verification_ids=tuple(ids))
    run = Sending(flow, Ticket("", ""), delivery.number)
    try:
        return flow.dispatcher(run).check(delivery, typed)[1].approved
    except DeliveryError:
        return False


@dataclass
class _Answered:
    """One answer to one challenge, and what is to be audited of it."""

    flow: Flow
    ticket: Ticket
    found: Challenge
    pending: Pending
    check: Check
    proved: Proved
    events: list[Event] = field(default_factory=list)
    right: bool = False

    def refused(self, c: Connection, counted: Attempt) -> Step:
        """The answer was not looked at: the challenge is over, or the account waits."""
        outcome = _ENDS_AS.get(counted.refused)
        if outcome is None:
            return Step("refused")
        return self._fails(c, outcome, self.pending.attempts + self.found.attempts)

    def judged(self, c: Connection, counted: Attempt, *, right: bool) -> Step:
        """The answer was counted and checked: consume, or tell how many attempts are left."""
        flow, found, now = self.flow, self.found, self.flow.clock()
        right = right and challenges.consume_challenge(c, found.id, found.session_binding, now)
        self.right = right
        used = found.max_attempts - counted.left
        detail = {
            "challenge": found.id,
            "factor": self.check.factor,
            "right": right,
            "left": counted.left,
        }
        self.events = [Event(now, "attempt", found.user_id, detail)]
        attempts = self.pending.attempts + used
        if right:
            return self._verified(c, attempts)
        limits.record_failure(c, found, now)
        account = accounts.account(c, found.user_id)
        failures = 0 if account is None else account.factor_failures
        rules = flow.policy.limits
        if counted.left <= 0 or rules.wait_ms(failures) > 0 or failures >= rules.lock_after:
            return self._fails(c, "failed", attempts)
        record = record_of(self.pending, None, now, factor=found.factor, attempts=attempts)
        return Step("asked", record, Ask(found.factor, left=counted.left), self.ticket)

    def _verified(self, c: Connection, attempts: int) -> Step:
        flow, found, now = self.flow, self.found, self.flow.clock()
        limits.record_success(c, found, now)
        SqlCounter(c, flow.keyring).forget(push_key(found.user_id))
        delivery, channel = self.pending.delivery, "none"
        if delivery is not None:
            channel = _channel(c, found.id)
            limited = guard(flow, c)
            if limited is not None and self.check.factor == "otp":
                limited.completed(delivery.number, now)
        record = record_of(
            self.pending, "verified", now, factor=self.check.factor, attempts=attempts
        )
        step, events = self.proved(flow, c, found, self.pending, record, channel)
        self.events += events
        return step

    def _fails(self, c: Connection, outcome: str, attempts: int) -> Step:
        found = self.found
        closed = challenges.close_challenge(c, found.id, found.session_binding, "failed")
        ended = min(self.flow.clock(), found.expires - 1)
        record = record_of(self.pending, outcome, ended, factor=found.factor, attempts=attempts)
        if closed or outcome == "failed":
            self.events.append(outcome_event(found.user_id, ended, record, self.ticket))
        return Step("refused", record)


def _channel(c: Connection, challenge_id: str) -> str:
    """The channel a code came by, as far as a server can tell: delivered first, else sent first."""
    sent = [message for message in challenges.messages_of(c, challenge_id) if message.sent_at]
    sent.sort(key=lambda message: (message.delivered_at is None, message.delivered_at or 0))
    return sent[0].channel if sent else "none"


def another_factor(flow: Flow, ticket: Ticket, wanted: str | None = None, ip: str = "") -> Step:
    """Leave this factor for the next one on offer, or for the one `wanted`.

    Refused where the policy allows no weaker factor; a login with nothing left to offer ends as
    abandoned.
    """
    found, pending = open_challenge(flow, ticket, "login", "step_up")
    if found is None or pending is None:
        return Step("refused")
    now = flow.clock()
    with write(flow.engine) as c:
        account = accounts.lock_account(c, found.user_id)
        pending, sent = caught_up(flow, c, found, pending, now - 1)
        if account is None or not challenges.close_challenge(c, found.id, found.session_binding):
            return Step("refused")
        stopped, pending = pending.delivery, pending.after(found.factor, found.attempts)
        following = Ticket(flow.token(), ticket.secret)
        if is_locked(flow, account):
            opened = Opened("none", refused="locked")
        elif now < account.factor_wait_until:
            opened = Opened("none", refused="rate_limited")
        else:
            opened = ask_next(flow, c, account, pending.tried, following, ip=ip, wanted=wanted)
        record = record_of(pending, opened.refused or None, now, factor=opened.factor)
        if opened.refused:
            event = outcome_event(found.user_id, now, record, ticket)
        else:
            opened, event = keep(
                flow, c, account.user_id, opened, following, pending, found.purpose
            )
        append(c, [*sent, event])
    stop(flow, stopped)
    if opened.refused:
        return Step("refused", record)
    return ask(flow, found.user_id, opened, Step("asked", record, opened.ask, following), pending)


def leave(flow: Flow, ticket: Ticket) -> Step:
    """The person gives up: what is pending is cancelled, and the outcome is noted."""
    found, pending = open_challenge(flow, ticket)
    if found is None or pending is None:
        return Step("refused")
    with write(flow.engine) as c:
        now = flow.clock()
        pending, sent = caught_up(flow, c, found, pending, now - 1)
        if not challenges.close_challenge(c, found.id, found.session_binding):
            return Step("refused")
        record = record_of(
            pending,
            left_as(c, found),
            min(now, found.expires - 1),
            factor=found.factor,
            attempts=pending.attempts + found.attempts,
        )
        append(c, [*sent, outcome_event(found.user_id, now, record, ticket)])
    stop(flow, pending.delivery)
    return Step("refused", record)
