"""A challenge by code, from the first message to the right code, over any provider.

`Dispatcher` joins the parts: limits before anything is sent, the SIM-swap check before a message
over the phone network, the fallback plan, idempotent sends, the check of a code, the cancelling of
what is pending. It keeps nothing itself: a `Delivery` is a value that the caller stores between
requests.

When a send fails: refused for certain, the next channel goes out at once; maybe sent (a lost
answer), it counts as sent and paid, and the next channel waits its turn. When no channel is left
and nothing can have been sent, `NothingSentError` says why: a clear refusal, never a login without
its factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from twofa_lab.delivery.ledger import SendLedger, send_once
from twofa_lab.delivery.limits import SendGuard
from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.plan import FallbackPlan, PlanState, Send
from twofa_lab.delivery.providers.base import (
    Checked,
    DeliveryError,
    Outcome,
    Provider,
    Reason,
    SendRequest,
)
from twofa_lab.delivery.sim_swap import (
    DEFAULT_MAX_AGE_HOURS,
    PSTN_CHANNELS,
    SimSwapCheck,
    sim_swap_verdict,
)

__all__ = ["Delivery", "Dispatcher", "NothingSentError", "SendRecord"]


@dataclass(frozen=True, slots=True)
class SendRecord:
    """One message for the audit: channel, when it was due (ds since the challenge), what came of
    it: "sent", "maybe sent", the name of the `Reason` it was refused for, or, where the provider
    walks the plan, "scheduled" and perhaps "cancelled".
    """

    channel: str
    at_ds: int
    result: str


class NothingSentError(DeliveryError):
    """No channel took the code; `records` has what was tried."""

    def __init__(self, error: DeliveryError, records: tuple[SendRecord, ...]) -> None:
        super().__init__(
            error.provider,
            error.reason,
            retry_after_seconds=error.retry_after_seconds,
            verification_id=error.verification_id,
        )
        self.records = records


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where the delivery of one challenge's code stands; store it between requests.

    `key` names the challenge. `code` is set only where the code is ours; it never prints.
    """

    key: str
    number: PhoneNumber
    plan: PlanState
    started_ms: int
    code_length: int = 6
    code: str | None = field(default=None, repr=False)
    verification_ids: tuple[str, ...] = ()
    records: tuple[SendRecord, ...] = ()

    @property
    def messages(self) -> int:
        """Messages that were, or may have been, sent: what is paid for."""
        return sum(record.result in ("sent", "maybe sent") for record in self.records)

    def over(self, now_ms: int) -> Delivery:
        """The same at its end: what was still scheduled is cancelled, nothing more is sent."""
        ended = self._scheduled_until((now_ms - self.started_ms) // 100 - 1, "cancelled")
        return replace(self, plan=self.plan.finished(), records=ended)

    def _scheduled_until(self, now_ds: int, after: str) -> tuple[SendRecord, ...]:
        return tuple(
            replace(record, result="sent" if record.at_ds <= now_ds else after)
            if record.result == "scheduled"
            else record
            for record in self.records
        )

    def at(self, now_ms: int) -> Delivery:
        """The same at that time: what the provider had scheduled until then has been sent."""
        now_ds = (now_ms - self.started_ms) // 100
        return replace(self, records=self._scheduled_until(now_ds, "scheduled"))


class Dispatcher:
    """Delivers codes through one provider; `clock` gives milliseconds since 1970 UTC.

    Without a `guard` nothing is limited, without a `sim_swap` check nothing is asked.
    """

    def __init__(
        self,
        provider: Provider,
        ledger: SendLedger,
        clock: Callable[[], int],
        *,
        guard: SendGuard | None = None,
        sim_swap: SimSwapCheck | None = None,
        sim_swap_hours: int = DEFAULT_MAX_AGE_HOURS,
        fail_closed: bool = True,
    ) -> None:
        self._provider = provider
        self._ledger = ledger
        self._clock = clock
        self._guard = guard
        self._sim_swap = sim_swap
        self._sim_swap_hours = sim_swap_hours
        self._fail_closed = fail_closed

    def start(
        self,
        key: str,
        number: PhoneNumber,
        plan: FallbackPlan,
        *,
        whatsapp: bool,
        ip: str,
        code: str | None = None,
        code_length: int = 6,
    ) -> Delivery:
        """Admit the challenge and send what is due at once.

        `DeliveryError` where limits or the SIM-swap check refuse it, `NothingSentError` where the
        provider does.
        """
        now = self._clock()
        usable = plan.usable(number.line_type, whatsapp=whatsapp)
        usable = tuple(channel for channel in usable if channel in self._provider.supports.channels)
        if not usable:
            raise DeliveryError(self._provider.name, Reason.NO_CHANNEL)
        if self._guard is not None:
            refusal = self._guard.admit(number, ip, now)
            if refusal is not None:
                blocked = refusal.rule == "pumping"
                raise DeliveryError(
                    "send limits",
                    Reason.BLOCKED if blocked else Reason.RATE_LIMITED,
                    retry_after_seconds=refusal.retry_after_seconds,
                )
        usable = self._without_swapped_sim(usable, number)
        length = code_length if code is None else len(code)
        return self.advance(Delivery(key, number, plan.start(usable), now, length, code))

    def advance(self, delivery: Delivery) -> Delivery:
        """Send whatever is due by now. Call it at `next_due_ms`, or when the person asks."""
        now = self._clock()
        delivery = delivery.at(now)
        error: DeliveryError | None = None
        while (send := delivery.plan.due((now - delivery.started_ms) // 100)) is not None:
            delivery, error = self._send(delivery, send)
        if error is not None and not delivery.messages:
            raise NothingSentError(error, delivery.records)
        return delivery

    def next_due_ms(self, delivery: Delivery) -> int | None:
        """When `advance` has something to send next if nothing else happens, or None."""
        send = delivery.plan.next_send()
        return None if send is None else delivery.started_ms + send.at_ds * 100

    def check(self, delivery: Delivery, code: str) -> tuple[Delivery, Checked]:
        """Check a code with the provider; on success nothing more is sent.

        Where every message has a code of its own (`one_code` false), the newest is asked first.
        """
        best = Checked(Outcome.GONE)
        for verification_id in reversed(delivery.verification_ids):
            checked = self._provider.check(verification_id, code)
            if checked.approved:
                now = self._clock()
                if self._guard is not None:
                    self._guard.completed(delivery.number, now)
                return delivery.over(now), checked
            if best.outcome is Outcome.GONE:
                best = checked
        return delivery, best

    def cancel(self, delivery: Delivery) -> Delivery:
        """End the delivery: the person left, failed, or proved the code elsewhere.

        `DeliveryError` where the provider could not be told; what it had scheduled may still go
        out, but nothing more is sent from here.
        """
        for verification_id in delivery.verification_ids:
            self._provider.cancel(verification_id)
        return delivery.over(self._clock())

    def _send(self, delivery: Delivery, send: Send) -> tuple[Delivery, DeliveryError | None]:
        """Send one message, or to a provider that walks the plan itself all that are left."""
        supports = self._provider.supports
        rest = delivery.plan.channels[delivery.plan.count + 1 :]
        fallback = rest if supports.native_fallback and not send.resend else ()
        request = self._request(delivery, send, fallback)
        maybe = any(record.result == "maybe sent" for record in delivery.records)
        lost = maybe and not delivery.verification_ids
        try:
            sent = send_once(self._provider, self._ledger, request, lost=lost)
        except DeliveryError as error:
            # a whole plan may be lost: what is left of it stays ours to send
            if error.maybe_sent or (lost and error.reason is Reason.CONCURRENT):
                return _recorded(delivery, send, (), "maybe sent"), error
            record = SendRecord(send.channel, send.at_ds, error.reason.name)
            plan = delivery.plan.refused(send)
            return replace(delivery, plan=plan, records=(*delivery.records, record)), error
        ids = delivery.verification_ids
        if sent.verification_id not in ids:
            ids = (*(() if supports.one_code else ids), sent.verification_id)
        delivery = replace(delivery, verification_ids=ids)
        return _recorded(delivery, send, fallback, "sent"), None

    def _request(self, delivery: Delivery, send: Send, fallback: tuple[str, ...]) -> SendRequest:
        ids = delivery.verification_ids
        return SendRequest(
            delivery.number,
            send.channel,
            key=f"{delivery.key}/{len(delivery.records)}/{send.channel}",
            fallback=fallback,
            timeout_seconds=delivery.plan.timeout_ds / 10,
            verification_id=ids[-1] if ids else None,
            code=delivery.code,
            code_length=delivery.code_length,
        )

    def _without_swapped_sim(self, usable: tuple[str, ...], number: PhoneNumber) -> tuple[str, ...]:
        if self._sim_swap is None or not PSTN_CHANNELS.intersection(usable):
            return usable
        verdict = sim_swap_verdict(
            self._sim_swap,
            number,
            max_age_hours=self._sim_swap_hours,
            fail_closed=self._fail_closed,
        )
        if verdict.allows:
            return usable
        left = tuple(channel for channel in usable if channel not in PSTN_CHANNELS)
        if not left:
            raise DeliveryError("sim-swap check", Reason.BLOCKED)
        return left


def _recorded(delivery: Delivery, send: Send, fallback: tuple[str, ...], result: str) -> Delivery:
    """The delivery with one message sent, and the provider's own fallback scheduled after it."""
    plan = delivery.plan.sent(send)
    records = [SendRecord(send.channel, send.at_ds, result)]
    for _ in fallback:
        step = plan.next_send()
        if step is None:  # it would be due after the code's life
            break
        records.append(SendRecord(step.channel, step.at_ds, "scheduled"))
        plan = plan.sent(step)
    return replace(delivery, plan=plan, records=(*delivery.records, *records))
