"""Codes on their way: the plan of an open challenge, carried out and noted.

No network call is made inside a transaction. A message is claimed durably first, then sent, then
noted; after a crash in between it counts as perhaps sent and is not sent again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from sqlalchemy import Connection

from twofa_lab.delivery.dispatch import Delivery, Dispatcher
from twofa_lab.delivery.ledger import Claim
from twofa_lab.delivery.phone import PhoneNumber, mask
from twofa_lab.delivery.providers.base import DeliveryError
from twofa_lab.flow.pending import Pending
from twofa_lab.flow.service import Flow
from twofa_lab.flow.step import Ticket
from twofa_lab.store import challenges
from twofa_lab.store.audit import Event
from twofa_lab.store.challenges import Challenge
from twofa_lab.store.engine import read, write

__all__ = ["Sending", "caught_up", "claim_first", "stop", "usable_channels"]


def usable_channels(flow: Flow, number: PhoneNumber, *, whatsapp: bool) -> tuple[str, ...]:
    """The policy's channels that reach this number and that the provider has."""
    usable = flow.plan.usable(number.line_type, whatsapp=whatsapp)
    return tuple(channel for channel in usable if channel in flow.provider.supports.channels)


def claim_first(
    flow: Flow, c: Connection, challenge_id: str, channel: str, number: PhoneNumber, now: int
) -> tuple[str, int]:
    """Claim the first message in the transaction that opens its challenge: key and row."""
    key = f"{challenge_id}/0/{channel}"
    return key, _claim(flow, c, key, number, now).id


def _claim(flow: Flow, c: Connection, key: str, number: PhoneNumber, now: int) -> challenges.Added:
    challenge_id, channel = key.partition("/")[0], key.rpartition("/")[2]
    return challenges.add_message(
        c,
        challenge_id=challenge_id,
        channel=channel,
        provider=flow.provider.name,
        idempotency_key=key,
        created=now,
        masked_number=mask(number),
    )


class Sending:
    """One run of sends for one challenge: a `SendLedger` over the store's messages.

    `claimed` are messages claimed before (key to row). `start` and `advance` send; `note` records
    what came of it, in one transaction.
    """

    def __init__(
        self, flow: Flow, ticket: Ticket, number: PhoneNumber, claimed: dict[str, int] | None = None
    ) -> None:
        self._flow = flow
        self._ticket = ticket
        self._number = number
        self._claimed = claimed or {}
        self._open: dict[str, int] = {}
        self._answered: list[tuple[str, int, str | None]] = []

    def claim(self, key: str) -> Claim | None:
        """See `SendLedger.claim`."""
        row = self._claimed.pop(key, None)
        if row is None:
            with write(self._flow.engine) as c:
                added = _claim(self._flow, c, key, self._number, self._flow.clock())
                if not added.new:
                    return Claim(challenges.provider_id_of(c, added.id))
            row = added.id
        self._open[key] = row
        return None

    def settle(self, key: str, verification_id: str) -> None:
        """See `SendLedger.settle`."""
        self._answered.append((key, self._open.pop(key), verification_id))

    def release(self, key: str) -> None:
        """See `SendLedger.release`."""
        self._answered.append((key, self._open.pop(key), None))

    def start(self, *, whatsapp: bool, ip: str, code: str | None) -> Delivery:
        """Send the first message; `DeliveryError` where nothing could be.

        Some providers know one verification a number. One that an earlier challenge left open,
        because its page was closed, is ended, for it would keep our code from travelling.
        """
        key, first = self._ticket.challenge_id, None
        try:
            first = self._first(key, whatsapp=whatsapp, ip=ip, code=code)
        except DeliveryError as error:
            if error.verification_id is None:
                raise
            earlier: str | None = error.verification_id
        else:
            earlier = self._of_another(first)
        if earlier is None and first is not None:
            return first
        self._flow.provider.cancel(earlier or "")
        delivery = self._first(f"{key}/again", whatsapp=whatsapp, ip=ip, code=code)
        wasted = () if first is None else first.records
        return replace(delivery, records=(*wasted, *delivery.records))

    def _of_another(self, delivery: Delivery) -> str | None:
        """The id of a delivery's verification, if it carries another challenge's code."""
        if not (self._flow.provider.supports.one_a_number and delivery.verification_ids):
            return None
        found = delivery.verification_ids[-1]
        with read(self._flow.engine) as c:
            known = challenges.message_by_provider_id(c, self._flow.provider.name, found)
        ours = known is None or known.challenge_id == self._ticket.challenge_id
        return None if ours else found

    def _first(self, key: str, *, whatsapp: bool, ip: str, code: str | None) -> Delivery:
        return self._flow.dispatcher(self).start(
            key,
            self._number,
            self._flow.plan,
            whatsapp=whatsapp,
            ip=ip,
            code=code,
            code_length=self._flow.rules.otp.digits,
        )

    def advance(self, delivery: Delivery) -> Delivery:
        """Send what is due now."""
        return self._flow.dispatcher(self).advance(delivery)

    def note(self, c: Connection, user_id: int, now: int) -> tuple[list[Event], int]:
        """Record every send of this run; what to audit, and its price in millionths of US$."""
        events, spent = [], 0
        for key, row, verification_id in self._answered:
            channel = key.rpartition("/")[2]
            if verification_id is None:
                challenges.mark_failed(c, row)
                events.append(self.event(user_id, now, channel, "refused", 0))
                continue
            price = self._flow.prices(channel, self._number.region)
            challenges.mark_sent(c, row, verification_id, price, now)
            events.append(self.event(user_id, now, channel, "sent", price))
            spent += price
        for key, row in self._open.items():  # claimed, and no answer known
            channel = key.rpartition("/")[2]
            price = self._flow.prices(channel, self._number.region)
            challenges.mark_failed(c, row, "unknown")
            events.append(self.event(user_id, now, channel, "maybe sent", price))
            spent += price
        for row in self._claimed.values():  # claimed, and not used
            challenges.mark_failed(c, row)
        return events, spent

    def event(self, user_id: int, now: int, channel: str, result: str, price: int) -> Event:
        """The audit's row for one message."""
        detail = {
            "challenge": self._ticket.challenge_id,
            "channel": channel,
            "provider": self._flow.provider.name,
            "result": result,
            "microusd": price,
        }
        return Event(now, "send", user_id, detail)


def caught_up(
    flow: Flow, c: Connection, found: Challenge, pending: Pending, by: int
) -> tuple[Pending, list[Event]]:
    """What a provider that walks the plan itself has sent `by` then, noted and paid for."""
    delivery = pending.delivery
    if delivery is None or all(record.result != "scheduled" for record in delivery.records):
        return pending, []
    after, events, spent = delivery.at(by), [], 0
    run = Sending(flow, Ticket(found.id, ""), delivery.number)
    for index, (before, record) in enumerate(zip(delivery.records, after.records, strict=True)):
        if before.result == record.result:
            continue
        key, sent_at = f"{delivery.key}/{index}/{record.channel}", delivery.started_ms
        added = _claim(flow, c, key, delivery.number, sent_at + record.at_ds * 100)
        if not added.new:
            continue
        price, result = flow.prices(record.channel, delivery.number.region), "maybe sent"
        if delivery.verification_ids:
            result, verification_id = "sent", delivery.verification_ids[-1]
            challenges.mark_sent(c, added.id, verification_id, price, sent_at + record.at_ds * 100)
        else:  # the answer to the plan as a whole was lost
            challenges.mark_failed(c, added.id, "unknown")
        events.append(run.event(found.user_id, by, record.channel, result, price))
        spent += price
    if events:
        pending = replace(pending, delivery=after, microusd=pending.microusd + spent)
        sealed = pending.seal(flow.keyring, found.user_id)
        challenges.set_context(c, found.id, found.session_binding, sealed)
    return pending, events


def stop(flow: Flow, delivery: Delivery | None, *, proved: bool = False) -> None:
    """Tell the provider that a delivery is over, and whether its code was `proved`: it blocks
    numbers whose codes nobody enters. What it cannot be told it will find expired.
    """
    if delivery is None or not delivery.verification_ids:
        return
    dispatcher = flow.dispatcher(Sending(flow, Ticket("", ""), delivery.number))
    if proved and _converted(dispatcher, delivery):
        return
    with suppress(DeliveryError):  # a lost "stop" sends at most what was scheduled
        dispatcher.cancel(delivery)


def _converted(dispatcher: Dispatcher, delivery: Delivery) -> bool:
    if delivery.code is None:
        return True  # it was the provider that checked the code
    try:
        return dispatcher.check(delivery, delivery.code)[1].approved
    except DeliveryError:
        return False
