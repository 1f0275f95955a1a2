"""How a login ends: completed with a session, or not, with an outcome that the server can see."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from twofa_lab.flow.pending import Pending
from twofa_lab.flow.service import Flow
from twofa_lab.flow.sessions import Proof, open_session
from twofa_lab.flow.step import Record, Step, Ticket
from twofa_lab.flow.trust import trust
from twofa_lab.store import challenges, history, limits
from twofa_lab.store.audit import Event
from twofa_lab.store.challenges import Challenge
from twofa_lab.tables import DECISIONS

__all__ = [
    "complete",
    "enter_history",
    "left_as",
    "outcome_event",
    "record_of",
    "utc_offset_min",
]


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def utc_offset_min(zone: str, time: int) -> int:
    """A home clock at a time, in minutes to UTC.

    >>> utc_offset_min("Europe/London", 1_750_000_000_000)  # June
    60
    """
    moment = datetime.fromtimestamp(time / 1000, UTC).astimezone(_zone(zone))
    offset = moment.utcoffset()
    return 0 if offset is None else int(offset.total_seconds() // 60)


def enter_history(c: Connection, user_id: int, pending: Pending) -> None:
    """A completed login becomes part of its account's past, whatever the policy goes by: a scorer
    fitted later finds it there.
    """
    history.record_login(
        c,
        user_id,
        pending.started,
        device=pending.device,
        country=pending.country,
        region=pending.region,
        hour=pending.hour,
        origin=pending.origin,
    )


def complete(
    flow: Flow,
    c: Connection,
    user_id: int,
    pending: Pending,
    record: Record,
    proof: Proof,
    *,
    trust_device: bool,
    device_token: str | None = None,
) -> tuple[Step, list[Event]]:
    """Let the person in: history, trust, session. Only here does a login enter the history."""
    now = flow.clock()
    limits.reset_password_failures(c, user_id, own_device=pending.own_device)
    enter_history(c, user_id, pending)
    events = [outcome_event(user_id, now, record)]
    if trust_device and pending.device and flow.assessor.trust_ms:
        device_token, event = trust(flow, c, user_id, pending.device, pending.started, now)
        events.append(event)
    session = open_session(flow, c, user_id, proof, pending.device, now)
    level = {"what": "started", "aal": proof.aal, "amr": " ".join(proof.amr)}
    events.append(Event(now, "session", user_id, level))
    step = Step(
        "signed_in", record, session=session, session_level=proof.aal, device_token=device_token
    )
    return step, events


def record_of(pending: Pending, outcome: str | None, now: int, **more: object) -> Record:
    """What the server notes of a challenged login, up to `now`."""
    delivery = pending.delivery
    known = Record(
        bits=pending.bits,
        failures=pending.failures,
        score=pending.score,
        decision=DECISIONS[pending.decision],
        attempts=pending.attempts,
        messages=pending.messages + (delivery.messages if delivery else 0),
        microusd=pending.microusd,
        seconds_ds=(now - pending.started) // 100,
        outcome=outcome,
    )
    return replace(known, **more)  # type: ignore[arg-type]


def outcome_event(
    user_id: int | None, now: int, record: Record, ticket: Ticket | None = None
) -> Event:
    """The audit's row for the end of a login."""
    detail = {
        "outcome": record.outcome,
        "factor": record.factor,
        "attempts": record.attempts,
        "messages": record.messages,
        "microusd": record.microusd,
        "seconds": record.seconds_ds / 10,
    }
    if ticket is not None:
        detail["challenge"] = ticket.challenge_id
    return Event(now, "outcome", user_id, detail)


def left_as(c: Connection, challenge: Challenge) -> str:
    """What a challenge nobody finished came to: `undelivered` when the carriers report that no
    message of it will arrive, otherwise `abandoned`.
    """
    if challenge.factor != "otp":
        return "abandoned"
    sent = [m for m in challenges.messages_of(c, challenge.id) if m.sent_at or m.state == "unknown"]
    lost = all(m.state == "failed" for m in sent)
    return "undelivered" if lost else "abandoned"
