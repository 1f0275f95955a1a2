"""A challenge by a code sent out of band, in plain Python: a diary of events in order of time."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twofa_lab.tables import NEVER

if TYPE_CHECKING:
    from tests.replay.oracle import Oracle

Row = dict[str, Any]

CODE_LIFE_DS = 10 * 60 * 10  # ten minutes


@dataclass(frozen=True)
class Person:
    """An account's row of the people table, in words."""

    country: str | None
    line_type: str
    whatsapp: bool
    factors: frozenset[str]


class CodeChallenge:
    """A code sent out of band, event by event; times in tenths of a second.

    Of events at one time, an arrival comes first, then typing, leaving, the code's death, and last
    the time-out that sends the next message.
    """

    ARRIVES, TYPED, LEAVES, DIES, TIMES_OUT = range(5)

    def __init__(self, oracle: Oracle, row: Row, person: Person, max_attempts: int) -> None:
        self.oracle, self.row, self.person, self.max_attempts = oracle, row, person, max_attempts
        self.diary: list[tuple[int, int, int, str]] = []
        self.sent: list[str] = []
        self.delivered = False  # some message sent reaches the enrolled phone, sooner or later
        self.to_send = [name for name in oracle.policy.fallback.channels if self.usable(name)]
        self.code: str | None = None  # the channel whose message carried it
        self.attempts = 0
        self.last_entry = 0
        self.may_resend = row["po_resends"]

    def usable(self, channel: str) -> bool:
        if channel == "whatsapp":
            return self.person.whatsapp and self.person.line_type != "landline"
        return channel == "voice" or self.person.line_type != "landline"

    def in_hand(self, channel: str) -> bool:
        """Whether a message that arrives comes into the hands of whoever is challenged."""
        if self.row["attack"]:
            return self.oracle.defeats(self.row, channel)
        return bool(self.row["po_phone_at_hand"])

    def note(self, when: int, what: int, channel: str = "") -> None:
        heapq.heappush(self.diary, (when, what, len(self.sent), channel))

    def send(self, now: int, channel: str, delay: int) -> None:
        self.sent.append(channel)
        self.delivered = self.delivered or delay != NEVER
        if delay != NEVER and self.in_hand(channel):
            self.note(now + delay, self.ARRIVES, channel)

    def send_next(self, now: int) -> None:
        channel = self.to_send.pop(0)
        self.send(now, channel, self.row[f"po_{channel}_ds"])
        self.note(now + round(self.oracle.policy.fallback.timeout_seconds * 10), self.TIMES_OUT)

    def play(self) -> dict[str, Any]:
        if not self.to_send:
            return self.end("undelivered", 0)
        self.note(min(self.row["po_patience_ds"], CODE_LIFE_DS), self.LEAVES)
        self.note(CODE_LIFE_DS, self.DIES)
        self.send_next(0)
        while True:
            now, what, _, channel = heapq.heappop(self.diary)
            if what == self.ARRIVES and self.code is None:
                self.code = channel
                self.note(now + self.row["po_entry_ds"], self.TYPED)
            elif what == self.TYPED:
                self.attempts += 1
                self.last_entry = now
                if self.attempts > self.row["po_wrong_codes"]:
                    return self.end("verified", now)
                if self.attempts == self.max_attempts:
                    return self.end("failed", now)
                self.note(now + self.row["po_entry_ds"], self.TYPED)
            elif what == self.LEAVES and self.code is None:
                return self.end(self.why_left(), now)
            elif what == self.DIES:
                return self.end("expired", now)
            elif what == self.TIMES_OUT:
                self.time_out(now)

    def time_out(self, now: int) -> None:
        """The last message had its time: on to the next, or to the one resend."""
        if self.to_send:
            self.send_next(now)
        elif self.may_resend and self.code is None:
            self.may_resend = False
            self.send(now, self.sent[0], self.row["po_resend_ds"])

    def why_left(self) -> str:
        """What the server sees: whether anything it sent was delivered, now or later."""
        return "abandoned" if self.delivered else "undelivered"

    def end(self, outcome: str, now: int) -> dict[str, Any]:
        return {
            "outcome": outcome,
            "factor": "otp",
            "channel": self.code or "none",
            "messages": len(self.sent),
            "attempts": self.attempts,
            "seconds_ds": now,
            "last_entry_ds": self.last_entry,
            "message_microusd": sum(self.oracle.price(self.person, name) for name in self.sent),
        }
