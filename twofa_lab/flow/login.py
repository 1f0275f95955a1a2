"""The first step of a login: name and password in, a session or a challenge out.

The guide's eight steps: the person submits name and password (1), the password is checked (2), risk
signals are read (3), and the login is completed below the threshold (4) or a second factor is asked
for above it (5). `answer` takes the second factor (6, 7) and completes (8).

An unknown name is answered as a wrong password is, after the same work.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sqlalchemy import Connection

from twofa_lab.delivery.limits import network_of
from twofa_lab.flow import notices
from twofa_lab.flow.asking import Opened, ask_next, is_locked, keep, send_first
from twofa_lab.flow.finish import complete, outcome_event, record_of, utc_offset_min
from twofa_lab.flow.origin import address_of, keepable, origin_of
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.service import Flow
from twofa_lab.flow.sessions import proof_of
from twofa_lab.flow.step import Record, Step, Ticket
from twofa_lab.flow.trust import present
from twofa_lab.risk.address_activity import WINDOW_MS
from twofa_lab.risk.assess import Assessment, LoginFacts
from twofa_lab.risk.decision import ALLOW, DENY
from twofa_lab.risk.vector import names
from twofa_lab.store import accounts, history, limits
from twofa_lab.store.accounts import Account
from twofa_lab.store.addresses import AddressSeen
from twofa_lab.store.audit import Event, append
from twofa_lab.store.authenticators import authenticators_of
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import read, write
from twofa_lab.tables import DECISIONS

__all__ = ["Entry", "Request", "ask", "begin", "login_name"]

_NOBODY = -1
"""The account number of unknown names: no account has it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A login as the site's edge hands it over: name and password, the device's cookie and token of
    trust, the address and where that is. Empty text is unknown.

    What a learned scorer reads besides, and any policy's history keeps where it is known: the
    autonomous system (0: unknown), the browser's name and version, latitude and longitude in
    degrees, the round-trip time in ms (0: not measured), and whether the address is on a public
    block list.
    """

    name: str
    password: str = field(repr=False)
    device: str = ""
    device_token: str = field(default="", repr=False)
    ip: str = ""
    country: str = ""
    region: str = ""
    asn: int = 0
    browser: str = ""
    place: tuple[float, float] | None = None
    rtt_ms: int = 0
    ip_listed: bool = False


def login_name(text: str) -> str:
    """A login name as accounts are kept under: one form for every way to write it.

    What no database takes, NUL and halves of surrogate pairs, becomes DEL, which no name holds.

    >>> login_name("  Ann@Example.com")
    'ann@example.com'
    """
    name = unicodedata.normalize("NFKC", text[:320]).strip().casefold()
    return keepable(name)


def begin(flow: Flow, request: Request) -> Step:
    """Check name and password, read the risk, and let in, ask, or refuse.

    The password's hash is computed outside of transactions, for it takes the longest. What refuses
    leaves on the beat. `InputError` when `request.ip` is no address or `request.place` no place,
    whoever asks.
    """
    if request.ip:
        network_of(request.ip)
    since = flow.beat.monotonic()
    step = _begun(flow, request)
    if step.status in {"refused", "wait"}:
        flow.beat.wait(since)
    return step


def _begun(flow: Flow, request: Request) -> Step:
    name = login_name(request.name)
    with read(flow.engine) as c:
        found = accounts.account_by_name(c, name)
    stored = flow.passwords.decoy if found is None else found.password_hash
    right = flow.passwords.verify(stored, request.password)
    with write(flow.engine) as c:
        now = flow.clock()
        account = accounts.lock_account(c, _NOBODY if found is None else found.user_id)
        if account is not None and account.password_hash != stored:
            right = False  # it was changed in between: the person types it again
        entry = Entry(flow, c, request, account, name, now, right=right)
        step, opened = _decide(entry, name, right)
        letters = notices.alarm(flow, c, entry.events)
        append(c, entry.events)
    notices.send(flow, letters)
    if opened is None or opened.ask is None:
        return step
    return ask(flow, entry.user_id, opened, step, entry.pending)


def ask(flow: Flow, user_id: int, opened: Opened, step: Step, pending: Pending) -> Step:
    """Send what an open challenge needs, and tell the page what to show."""
    assert step.ticket is not None and opened.ask is not None  # noqa: PT018, S101 - for the checker
    pending, error = send_first(flow, user_id, opened, step.ticket, pending)
    now = flow.clock()
    if error is not None:
        record = record_of(pending, "undelivered", now, factor="otp")
        with write(flow.engine) as c:
            append(c, [outcome_event(user_id, now, record, step.ticket)])
        return Step("refused", record, device_token=step.device_token)
    due = None
    if pending.delivery is not None and (send := pending.delivery.plan.next_send()) is not None:
        due = pending.delivery.started_ms + send.at_ds * 100
    record = record_of(pending, None, now, factor=opened.factor)
    return replace(step, record=record, ask=replace(opened.ask, next_send_ms=due))


class Entry:
    """One login within its transaction: the account, its past, and what is to be audited."""

    def __init__(
        self,
        flow: Flow,
        c: Connection,
        request: Request,
        account: Account | None,
        name: str,
        now: int,
        *,
        right: bool,
    ) -> None:
        self.flow, self.c, self.request, self.account, self.now = flow, c, request, account, now
        self.user_id = _NOBODY if account is None else account.user_id
        self.past = history.load_history(c, self.user_id, now - flow.rules.signals.burst_window_ms)
        self.facts = self._facts(self._address_seen(name, right=right))
        self.found = flow.assessor.assess(self.past, self.facts)
        self.device_token: str | None = None
        self.events: list[Event] = []
        self.pending = self._pending()

    def _address_seen(self, name: str, *, right: bool) -> AddressSeen:
        """What the address has been up to, this attempt counted; the rules do not ask."""
        flow = self.flow
        if flow.assessor.learned is None:
            return AddressSeen(0, 0)
        return flow.address_activity(
            self.c,
            flow.keyring,
            address_of(self.request.ip),
            name,
            self.now,
            wrong=not right,
            window_ms=WINDOW_MS,
        )

    def _facts(self, address: AddressSeen) -> LoginFacts:
        request = self.request
        zone = "UTC" if self.account is None else self.account.home_zone
        return LoginFacts(
            self.now,
            utc_offset_min(zone, self.now),
            request.device,
            request.country,
            request.region,
            token_held=bool(request.device_token),
            origin=origin_of(request),
            ip_accounts=address.accounts,
            ip_failures=address.failures,
            ip_listed=request.ip_listed,
        )

    def _pending(self) -> Pending:
        found, request = self.found, self.request
        return Pending(
            self.now,
            request.device,
            request.country,
            request.region,
            found.hour,
            found.own_device,
            found.bits,
            found.failures,
            found.score,
            found.decision,
            origin=self.facts.origin,
        )

    def show_token(self) -> None:
        """Exchange the device's token; without a valid one the device is not trusted."""
        if not self.request.device_token:
            return
        shown = present(
            self.flow,
            self.c,
            self.user_id,
            self.request.device,
            self.request.device_token,
            self.now,
        )
        self.events += shown.events
        self.device_token = shown.cookie
        if not shown.held and self.found.trusted:
            self.found = self.flow.assessor.assess(self.past, self.facts._replace(token_held=False))
            self.pending = self._pending()

    def end(self, outcome: str, *, decided: bool = False, retry: int | None = None) -> Step:
        """The login ends here without success, before or after the policy decided."""
        found = self.found
        record = Record(found.bits, found.failures, outcome=outcome)
        if decided:
            decision = DECISIONS[found.decision]
            record = replace(record, score=found.score, decision=decision)
        self.note(record)
        status: Literal["refused", "wait"] = "refused" if retry is None else "wait"
        return Step(status, record, retry_ms=retry, device_token=self.device_token)

    def note(self, record: Record) -> None:
        """Audit the first step: what was seen and decided."""
        account = None if self.account is None else self.user_id
        detail: dict[str, Any] = {
            "signals": record.bits,
            "failures": record.failures,
            "score": record.score,
            "decision": record.decision,
            "trusted": record.trusted,
            "country": self.request.country,
        }
        if self.found.values and record.decision is not None:
            detail["values"] = dict(zip(names(), self.found.values, strict=True))
        self.events.append(Event(self.now, "login", account, detail))
        if record.outcome not in {None, "allowed"}:
            self.events.append(outcome_event(account, self.now, record))


def _decide(entry: Entry, name: str, right: bool) -> tuple[Step, Opened | None]:
    account, now = entry.account, entry.now
    if account is None or account.status in {"pending", "closed"}:
        return _unknown(entry, name), None
    refused = _refused_early(entry, account, right)
    if refused is not None:
        return refused, None
    if entry.found.decision == DENY:
        return entry.end("denied", decided=True), None
    entry.show_token()  # from here on every answer carries the next token
    if entry.found.decision == ALLOW or _can_only_enrol(entry, account):
        return _allow(entry), None
    if now < account.factor_wait_until:
        return entry.end("rate_limited", decided=True, retry=account.factor_wait_until), None
    return _challenge(entry, account)


def _refused_early(entry: Entry, account: Account, right: bool) -> Step | None:
    """Locked, waiting or a wrong password, in that order: before the policy is asked."""
    flow, now, own = entry.flow, entry.now, entry.found.own_device
    locked = is_locked(flow, account)
    wait = account.own_device_wait_until if own else account.stranger_wait_until
    if now < wait:
        return entry.end("locked" if locked else "rate_limited", retry=wait)
    if locked:
        # whatever the password, it comes to wait as an unknown name does: else the lock would show
        limits.count_password_failure(
            entry.c, entry.user_id, now, flow.policy.limits.wait_ms, own_device=own
        )
        return entry.end("locked")
    return None if right else _wrong_password(entry, own)


def _unknown(entry: Entry, name: str) -> Step:
    """The same answers and the same work as for an account; waits are counted by name."""
    flow, now = entry.flow, entry.now
    counter, key = SqlCounter(entry.c, flow.keyring), f"unknown:{name}"
    failed, wait_ms = counter.times(key), flow.policy.limits.wait_ms
    wait = wait_ms(len(failed))
    if wait and now < failed[-1] + wait:
        return entry.end("rate_limited", retry=failed[-1] + wait)
    counter.add(key, now)
    limits.count_password_failure(entry.c, _NOBODY, now, wait_ms, own_device=False)  # changes none
    return entry.end("wrong_password")


def _wrong_password(entry: Entry, own: bool) -> Step:
    flow, now, user_id = entry.flow, entry.now, entry.user_id
    # failures that no signal looks at any more are dropped on the way
    forget = now - flow.rules.signals.burst_window_ms
    history.record_failed_password(entry.c, user_id, now, forget)
    wait_ms = flow.policy.limits.wait_ms
    limits.count_password_failure(entry.c, user_id, now, wait_ms, own_device=own)
    return entry.end("wrong_password")


def _allow(entry: Entry) -> Step:
    found: Assessment = entry.found
    lifted = found.trusted and found.score >= entry.flow.policy.challenge_score
    record = Record(
        found.bits, found.failures, found.score, "allow", trusted=lifted, outcome="allowed"
    )
    entry.note(record)
    step, events = complete(
        entry.flow,
        entry.c,
        entry.user_id,
        entry.pending,
        record,
        proof_of("none"),
        trust_device=False,
        device_token=entry.device_token,
    )
    entry.events += events
    return step


def _can_only_enrol(entry: Entry, account: Account) -> bool:
    """Recovered, and without a factor to ask for: the session will be `enrol_only`."""
    if account.status != "recovery":
        return False
    return not any(one.usable for one in authenticators_of(entry.c, account.user_id))


def _challenge(entry: Entry, account: Account) -> tuple[Step, Opened | None]:
    flow = entry.flow
    ticket = Ticket(flow.token(), flow.token())
    opened = ask_next(flow, entry.c, account, (), ticket, ip=entry.request.ip)
    record = record_of(entry.pending, opened.refused or None, entry.now, factor=opened.factor)
    entry.note(record)
    if opened.refused:
        return Step("refused", record, device_token=entry.device_token), None
    opened, event = keep(flow, entry.c, account.user_id, opened, ticket, entry.pending, "login")
    entry.events.append(event)
    step = Step("asked", record, opened.ask, ticket, device_token=entry.device_token)
    return step, opened
