"""While a person waits for a code: the next channel, a resend, what the carriers report."""

from __future__ import annotations

from dataclasses import replace

from twofa_lab.delivery.providers.base import DeliveryError
from twofa_lab.flow.answer import leave, open_challenge
from twofa_lab.flow.finish import record_of
from twofa_lab.flow.sending import Sending, caught_up
from twofa_lab.flow.service import Flow
from twofa_lab.flow.step import Ask, Step, Ticket
from twofa_lab.store import challenges
from twofa_lab.store.audit import Event, append
from twofa_lab.store.engine import write

__all__ = ["advance", "receipt", "resend"]


def advance(flow: Flow, ticket: Ticket, *, resend: bool = False) -> Step:
    """Send what the fallback plan has due by now; call it at `Ask.next_send_ms`."""
    found, pending = open_challenge(flow, ticket)
    if found is None or pending is None:
        return Step("refused")
    now = flow.clock()
    if now >= found.expires:
        return leave(flow, ticket)
    delivery = pending.delivery
    if delivery is None:
        return Step("asked", record_of(pending, None, now), Ask(found.factor), ticket)
    if resend:
        delivery = replace(delivery, plan=delivery.plan.resend_asked())
    run = Sending(flow, ticket, delivery.number)
    failed = False
    try:
        delivery = run.advance(delivery)
    except DeliveryError:
        failed = True
    with write(flow.engine) as c:
        pending, sent = caught_up(flow, c, found, pending, now)
        events, spent = run.note(c, found.user_id, now)
        pending = replace(pending, delivery=delivery, microusd=pending.microusd + spent)
        sealed = pending.seal(flow.keyring, found.user_id)
        challenges.set_context(c, found.id, found.session_binding, sealed)
        append(c, [*sent, *events])
    if failed:
        return leave(flow, ticket)
    send = delivery.plan.next_send()
    due = None if send is None else delivery.started_ms + send.at_ds * 100
    left = found.max_attempts - found.attempts
    asked = Ask("otp", str(delivery.number), left=left, next_send_ms=due)
    return Step("asked", record_of(pending, None, now, factor="otp"), asked, ticket)


def resend(flow: Flow, ticket: Ticket) -> Step:
    """The person asks for the code once more: on the first channel, once all had their time.

    Attempts, expiry and the code stay as they are.
    """
    return advance(flow, ticket, resend=True)


def receipt(flow: Flow, provider_id: str, channel: str, *, arrived: bool) -> bool:
    """A carrier reports that a message arrived, or never will; False when nothing is known of it.

    It is told of the oldest message of that verification and channel that nothing is known of yet.
    A receipt lets nobody in.
    """
    with write(flow.engine) as c:
        known = challenges.message_by_provider_id(c, flow.provider.name, provider_id)
        if known is None:
            return False
        waiting = [
            message
            for message in challenges.messages_of(c, known.challenge_id)
            if message.channel == channel and message.state == "sent"
        ]
        if not waiting:
            return False
        now, row = flow.clock(), waiting[0].id
        if arrived:
            challenges.mark_delivered(c, row, now)
        else:
            challenges.mark_lost(c, row)
        user_id = challenges.owner_of(c, known.challenge_id)
        detail = {"challenge": known.challenge_id, "channel": channel, "arrived": arrived}
        append(c, [Event(now, "delivery", user_id, detail)])
    return True
