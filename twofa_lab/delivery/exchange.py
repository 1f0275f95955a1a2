"""The back office of a simulated provider: verifications, codes, messages, an inbox to read.

One `Exchange` plays one provider. It draws codes, hands messages to a carrier, walks a native
fallback plan, checks codes, and knows what has arrived on whose phone. `SimulatedProvider` calls it
in the process; the local provider puts three wire formats around it. Time is a clock passed in
(milliseconds since 1970 UTC); a plan moves on when somebody looks, exactly to the times it was due.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import RLock

from twofa_lab.catalog.factors import CODE_LIFE_SECONDS
from twofa_lab.delivery.carrier import Carrier, Message
from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.plan import PlanState

__all__ = ["Exchange", "InboxMessage", "Verification", "draw_code"]

_KEPT = 100_000  # verifications kept at most, oldest forgotten first
CLOSED = frozenset(("approved", "canceled", "expired", "max_attempts_reached"))


def draw_code(length: int) -> str:
    """A code of that many digits from the system's secure generator.

    >>> len(draw_code(6)), draw_code(4).isdecimal()
    (6, True)
    """
    return f"{secrets.randbelow(10**length):0{length}d}"


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """A message on a phone: its code, and when it was sent and arrived (ms since 1970 UTC)."""

    channel: str
    sent_ms: int
    arrived_ms: int
    code: str = field(repr=False)


@dataclass(slots=True, eq=False)
class Verification:
    """One verification of one number, as the provider keeps it.

    `serial` counts the number's verifications; `status` is "pending" or one of `CLOSED`;
    `messages` are (channel, sent, arrives or None).
    """

    verification_id: str
    serial: int
    number: PhoneNumber
    created_ms: int
    code: str = field(repr=False)
    plan: PlanState | None = None
    status: str = "pending"
    checks: int = 0
    finalized_ms: int | None = None
    messages: list[tuple[str, int, int | None]] = field(default_factory=list)

    @property
    def channel(self) -> str:
        """The channel used last."""
        return self.messages[-1][0]


class Exchange:
    """Verifications of one simulated provider.

    `max_checks` wrong codes end a verification. `listener(verification, channel)` is told of every
    message sent (its channel) and of the end (None). Safe between threads.
    """

    def __init__(
        self,
        carrier: Carrier,
        clock: Callable[[], int],
        *,
        max_checks: int = 5,
        life_seconds: int = CODE_LIFE_SECONDS,
        make_code: Callable[[int], str] = draw_code,
        make_id: Callable[[], str] = lambda: secrets.token_hex(16),
        listener: Callable[[Verification, str | None], None] | None = None,
    ) -> None:
        self._carrier = carrier
        self._clock = clock
        self._max_checks = max_checks
        self._life_ms = life_seconds * 1000
        self._make_code = make_code
        self._make_id = make_id
        self._listener = listener
        self._lock = RLock()
        self._all: OrderedDict[str, Verification] = OrderedDict()
        self._open: dict[str, Verification] = {}
        self._by_number: dict[str, list[Verification]] = defaultdict(list)
        self.messages_sent = 0

    def open(
        self,
        number: PhoneNumber,
        channel: str,
        *,
        code: str | None = None,
        code_length: int = 6,
        plan: PlanState | None = None,
    ) -> Verification:
        """Start a verification with a message on `channel`, or with all that `plan` has due."""
        with self._lock:
            earlier = self._by_number.get(number.e164)
            verification = Verification(
                self._make_id(),
                earlier[-1].serial + 1 if earlier else 0,
                number,
                self._clock(),
                code if code is not None else self._make_code(code_length),
                plan,
            )
            self._all[verification.verification_id] = verification
            self._open[verification.verification_id] = verification
            self._by_number[number.e164].append(verification)
            if plan is None:
                self._send(verification, channel, verification.created_ms)
            else:
                self._advance(verification)
            self._forget_oldest()
            return verification

    def find(self, verification_id: str) -> Verification | None:
        """A verification, brought up to the present."""
        with self._lock:
            verification = self._all.get(verification_id)
            return self._advance(verification) if verification else None

    def newest(self, number: PhoneNumber) -> Verification | None:
        """The number's newest verification, open or over."""
        with self._lock:
            mine = self._by_number.get(number.e164)
            return self._advance(mine[-1]) if mine else None

    def pending(self, number: PhoneNumber) -> Verification | None:
        """The number's newest verification that is still open."""
        with self._lock:
            for verification in reversed(self._by_number.get(number.e164, [])):
                if self._advance(verification).status == "pending":
                    return verification
            return None

    def send_again(self, verification: Verification, channel: str) -> None:
        """Another message of an open verification, with the same code."""
        with self._lock:
            if self._advance(verification).status == "pending":
                self._send(verification, channel, self._clock())

    def next_channel(self, verification: Verification) -> bool:
        """Move a plan on before its timeout; False where no channel is left."""
        with self._lock:
            plan = self._advance(verification).plan
            send = plan.next_send() if plan and verification.status == "pending" else None
            if plan is None or send is None:
                return False
            verification.plan = plan.sent(send)
            self._send(verification, send.channel, self._clock())
            return True

    def check(self, verification: Verification, code: str) -> bool:
        """Whether that is the code; the right one closes the verification, as too many wrong do."""
        with self._lock:
            if self._advance(verification, finishing=True).status != "pending":
                return False
            verification.checks += 1
            right = hmac.compare_digest(verification.code.encode(), code.encode())
            if right:
                self._close(verification, "approved")
            elif verification.checks >= self._max_checks:
                self._close(verification, "max_attempts_reached")
            return right

    def close(self, verification: Verification, status: str = "canceled") -> None:
        """End an open verification, pending channels included."""
        with self._lock:
            if self._advance(verification, finishing=True).status == "pending":
                self._close(verification, status)

    def inbox(self, number: PhoneNumber) -> tuple[InboxMessage, ...]:
        """What has arrived on that number's phone by now, earliest first."""
        with self._lock:
            now = self._clock()
            found = [
                InboxMessage(channel, sent, arrives, verification.code)
                for verification in self._by_number.get(number.e164, [])
                for channel, sent, arrives in self._advance(verification).messages
                if arrives is not None and arrives <= now
            ]
            return tuple(sorted(found, key=lambda message: message.arrived_ms))

    def advance_all(self) -> None:
        """Bring every open verification up to the present."""
        with self._lock:
            for verification in list(self._open.values()):
                self._advance(verification)

    def _advance(self, verification: Verification, *, finishing: bool = False) -> Verification:
        """Send what the plan has had due since, each at its own time; let the code expire.

        With `finishing`, what is due this very moment is not sent: the person may be done.
        """
        now = self._clock()
        while verification.status == "pending" and verification.plan is not None:
            elapsed_ds = (now - finishing - verification.created_ms) // 100
            send = verification.plan.due(elapsed_ds)
            if send is None:
                break
            verification.plan = verification.plan.sent(send)
            self._send(verification, send.channel, verification.created_ms + send.at_ds * 100)
        if verification.status == "pending" and now - verification.created_ms > self._life_ms:
            self._close(verification, "expired")
        return verification

    def _send(self, verification: Verification, channel: str, at_ms: int) -> None:
        repeats = sum(channel == earlier for earlier, _, _ in verification.messages)
        # not the drawn id: with the same seed the same person's messages have the same fates
        number = verification.number
        message_id = f"{number.e164}/{verification.serial}/{channel}/{repeats}"
        message = Message(number, channel, at_ms, message_id, resend=repeats > 0)
        delay = self._carrier.delay_ds(message)
        arrives = None if delay is None else at_ms + delay * 100
        verification.messages.append((channel, at_ms, arrives))
        self.messages_sent += 1
        if self._listener is not None:
            self._listener(verification, channel)

    def _close(self, verification: Verification, status: str) -> None:
        verification.status = status
        verification.finalized_ms = self._clock()
        if verification.plan is not None:
            verification.plan = verification.plan.finished()
        del self._open[verification.verification_id]
        if self._listener is not None:
            self._listener(verification, None)

    def _forget_oldest(self) -> None:
        while len(self._all) > _KEPT:
            _, oldest = self._all.popitem(last=False)
            self._open.pop(oldest.verification_id, None)
            mine = self._by_number[oldest.number.e164]
            mine.remove(oldest)
            if not mine:
                del self._by_number[oldest.number.e164]
