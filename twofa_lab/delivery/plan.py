"""The fallback plan: which channel a code travels by, and when the next one is tried.

The rules, in tenths of a second (ds) from the moment the challenge is shown:

- Channels the person cannot use are skipped at once (no WhatsApp account; a landline takes voice
  only). Channel `i` of the usable ones, counted from 0, is sent at `i` times the timeout, unless
  by then (finish <= send time) the person has finished or given up.
- One code serves all channels. The earliest message to arrive carries it, a late first message
  included, and every message sent is paid for.
- When every channel has had its timeout and no code has arrived (arrival > that time), a person
  who asks gets one resend, on the first usable channel.
- The code dies after `CODE_LIFE_SECONDS`; nothing is sent from then on.

Two forms of the same rules. `PlanState` is the state machine a login runs: given what has happened
so far, what is sent next, and when. `timeline` plays the whole challenge at once from potential
outcomes. A test holds them equal; the compiled replay implements the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from twofa_lab.catalog.factors import CODE_LIFE_SECONDS
from twofa_lab.delivery.phone import takes
from twofa_lab.errors import InputError
from twofa_lab.tables import CHANNELS

__all__ = ["CODE_LIFE_DS", "FallbackPlan", "PlanState", "Send", "Timeline", "timeline"]

CODE_LIFE_DS = CODE_LIFE_SECONDS * 10


@dataclass(frozen=True, slots=True)
class Send:
    """One message the plan sends: on which channel, and when (ds since the challenge)."""

    channel: str
    at_ds: int
    resend: bool = False


@dataclass(frozen=True, slots=True)
class FallbackPlan:
    """A policy's channels in order, and how long each gets before the next is tried.

    >>> plan = FallbackPlan(("whatsapp", "sms", "voice"), 30)
    >>> plan.usable("landline", whatsapp=True)
    ('voice',)
    >>> state = plan.start(plan.usable("mobile", whatsapp=False))
    >>> state.due(0)
    Send(channel='sms', at_ds=0, resend=False)
    """

    channels: tuple[str, ...]
    timeout_seconds: float

    def __post_init__(self) -> None:
        known = CHANNELS[1:]
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise InputError("a fallback plan names at least one channel, and each only once")
        if unknown := [channel for channel in self.channels if channel not in known]:
            raise InputError(f"no channel {unknown[0]!r}: name some of {', '.join(known)}")
        if not 0.1 <= self.timeout_seconds < CODE_LIFE_SECONDS:
            raise InputError(
                f"the fallback timeout must lie between 0.1 and {CODE_LIFE_SECONDS} seconds, "
                "the life of a code"
            )

    @property
    def timeout_ds(self) -> int:
        """The timeout in tenths of a second."""
        return round(self.timeout_seconds * 10)

    def usable(self, line_type: str, *, whatsapp: bool) -> tuple[str, ...]:
        """The channels, in order, that reach a person with that line and WhatsApp or not."""
        return tuple(
            channel
            for channel in self.channels
            if takes(line_type, channel) and (whatsapp or channel != "whatsapp")
        )

    def start(self, usable: tuple[str, ...]) -> PlanState:
        """The state at the moment the challenge is shown, nothing sent yet."""
        return PlanState(usable, self.timeout_ds)


@dataclass(frozen=True, slots=True)
class PlanState:
    """Where a challenge stands. Immutable: every event gives a new state.

    Feed events in the order of time, and those of one moment before asking what is due then: a
    person who finishes at the very moment the next channel is due is not sent it.

    >>> state = FallbackPlan(("sms", "voice"), 30).start(("sms", "voice"))
    >>> state = state.sent(state.due(0))
    >>> state.due(299), state.due(300)
    (None, Send(channel='voice', at_ds=300, resend=False))
    >>> state.finished().due(300)
    """

    channels: tuple[str, ...]
    timeout_ds: int
    count: int = 0
    wants_resend: bool = False
    has_code: bool = False
    is_over: bool = False

    def next_send(self) -> Send | None:
        """What will be sent next if nothing else happens, or None."""
        walked = min(self.count, len(self.channels))
        at_ds = walked * self.timeout_ds
        if self.is_over or not self.channels or at_ds >= CODE_LIFE_DS:
            return None
        if self.count < len(self.channels):
            return Send(self.channels[self.count], at_ds)
        if self.count == len(self.channels) and self.wants_resend and not self.has_code:
            return Send(self.channels[0], at_ds, resend=True)
        return None

    def due(self, now_ds: int) -> Send | None:
        """What must be sent now, or None; ask again after `sent` or `refused`."""
        send = self.next_send()
        return send if send is not None and send.at_ds <= now_ds else None

    def sent(self, send: Send) -> PlanState:
        """The message left, or may have left: it is paid for, and its timeout runs."""
        self._must_be_next(send)
        return replace(self, count=self.count + 1)

    def refused(self, send: Send) -> PlanState:
        """The provider refused it for certain: the channel is skipped without waiting."""
        self._must_be_next(send)
        if send.resend:
            return replace(self, count=self.count + 1)
        rest = self.channels[: self.count] + self.channels[self.count + 1 :]
        return replace(self, channels=rest)

    def arrived(self) -> PlanState:
        """A message is in the person's hands: no resend any more, other channels as before."""
        return replace(self, has_code=True)

    def resend_asked(self) -> PlanState:
        """The person asks for another message; it is sent once every channel has timed out."""
        return replace(self, wants_resend=True)

    def finished(self) -> PlanState:
        """The person got in, failed or left: whatever was pending is cancelled."""
        return replace(self, is_over=True)

    def _must_be_next(self, send: Send) -> None:
        if send != self.next_send():
            raise ValueError("this message is not the plan's next one")


@dataclass(frozen=True, slots=True)
class Timeline:
    """A whole challenge by code: what was sent, what arrived first, when the person was done.

    `arrives_ds` is None where no message ever arrives; `used` is the channel of the code.
    """

    sends: tuple[Send, ...]
    arrives_ds: int | None
    used: str | None
    leaves_ds: int


def timeline(
    channels: tuple[str, ...],
    timeout_ds: int,
    *,
    delays_ds: Mapping[str, int | None],
    resend_delay_ds: int | None,
    wants_resend: bool,
    patience_ds: int,
    entry_ds: int,
) -> Timeline:
    """Play a challenge at once. `channels` are the usable ones; a delay of None never arrives.

    `patience_ds` is how long the person waits for a code, `entry_ds` the time they then need to
    enter it, all attempts together.

    >>> play = timeline(("whatsapp", "sms"), 300, delays_ds={"whatsapp": 350, "sms": 80},
    ...                 resend_delay_ds=None, wants_resend=False, patience_ds=900, entry_ds=100)
    >>> [send.at_ds for send in play.sends], play.arrives_ds, play.used, play.leaves_ds
    ([0, 300], 350, 'whatsapp', 450)
    """
    patience_ds = min(patience_ds, CODE_LIFE_DS)
    never = 1 << 62
    arrives, used = never, None
    sends: list[Send] = []

    def leaves() -> int:
        waited = arrives + entry_ds if arrives <= patience_ds else patience_ds
        return min(waited, CODE_LIFE_DS)

    for index, channel in enumerate(channels):
        now = index * timeout_ds
        if index and leaves() <= now:
            break
        sends.append(Send(channel, now))
        delay = delays_ds.get(channel)
        if delay is not None and now + delay < arrives:
            arrives, used = now + delay, channel
    else:
        now = len(channels) * timeout_ds
        if channels and wants_resend and arrives > now and leaves() > now:
            sends.append(Send(channels[0], now, resend=True))
            if resend_delay_ds is not None and now + resend_delay_ds < arrives:
                arrives, used = now + resend_delay_ds, channels[0]
    if not channels:
        return Timeline((), None, None, 0)
    return Timeline(tuple(sends), None if arrives == never else arrives, used, leaves())
