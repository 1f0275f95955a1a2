"""What a server counts of its logins, hour by hour: from a replay, or from the audit of the flow.

Only what a server sees is counted: who is an attacker it does not know, so the rates here are not
those of `totals`, whose denominators are legitimate logins. A login counts in the hour it began,
whatever becomes of it; sign-ups and a world's warm-up do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.replay.loop import NO_DECISION
from twofa_lab.replay.run import replay_shard
from twofa_lab.risk.policy import Policy
from twofa_lab.tables import CHANNELS, DECISIONS, FACTORS, LINE_TYPES, NEVER, OUTCOME_NAMES, Array
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.world import Shard, ShardSource, World, WorldFacts

__all__ = [
    "COUNTS",
    "HOUR_MS",
    "MEASURES",
    "OUTCOMES_HELD",
    "Measure",
    "Tallies",
    "first_of",
    "folded",
    "tally",
    "tally_world",
]

HOUR_MS = 3_600_000

COUNTS = (
    "attempts",  # logins begun
    "judged",  # of them: the right password, so that the policy decided
    "challenged",
    "verified",
    "lost",  # challenged, and neither verified nor still open
    "abandoned",
    "undelivered",
    "wrong",  # ended as a wrong password
    "held",  # locked or made to wait: each account counts once an hour
    "coded",  # challenges for which a message was sent
    "again",  # of them: those with a second message, on a fallback channel or a resend
    "messages",
    "cents",  # US cents of the messages
    "delivered",  # codes whose arrival is known
    "wait",  # seconds from the first message to the first that arrived, over `delivered`
)
"""What is added up for each hour; the last axis of every array in `Tallies`."""

_SLICES_SHOWN = 12
OUTCOMES_HELD = np.array([name in ("locked", "rate_limited") for name in OUTCOME_NAMES])
"""By outcome: the account was locked, or had to wait."""


@dataclass(frozen=True)
class Measure:
    """A figure that is watched: `top` over `bottom`, both of `COUNTS`; without a bottom, per hour.

    `side` is where trouble lies. An `amount` is no count of events: cents, seconds.
    """

    name: str
    title: str
    top: str
    bottom: str | None
    unit: str
    side: str = "high"
    amount: bool = False

    def counts(self, sums: Array) -> tuple[Array, Array]:
        """Numerator and denominator from sums whose last axis is `COUNTS`."""
        top = sums[..., COUNTS.index(self.top)]
        bottom = sums[..., COUNTS.index(self.bottom)] if self.bottom else np.ones_like(top)
        return top, bottom


MEASURES = (
    Measure("challenge_rate", "challenged", "challenged", "judged", "%", "both"),
    Measure("loss_rate", "challenges not passed", "lost", "challenged", "%"),
    Measure("abandonment", "abandoned", "abandoned", "challenged", "%"),
    Measure("undelivered", "undelivered", "undelivered", "coded", "%"),
    Measure("fallback_use", "second message needed", "again", "coded", "%"),
    Measure("delivery_seconds", "seconds to a code", "wait", "delivered", "s", amount=True),
    Measure("wrong_passwords", "wrong passwords", "wrong", "attempts", "%"),
    Measure("lock_outs", "locked or made to wait", "held", "attempts", "%"),
    Measure("cost", "price of messages", "cents", None, "US cents an hour", amount=True),
)
"""The success rate is one less the loss rate, which is watched because it is the rarer."""


@dataclass(frozen=True)
class Tallies:
    """Counts by hour. `start` is a whole hour, ms UTC; `overall` has shape (hours, COUNTS);
    `by[dimension][value]` the same for a part: a country, channel, factor or provider. `zone` is
    the clock that the rhythm of days and weeks follows (tz database name).

    The channel of a challenge is that of its first message; country is where the login came from.
    """

    start: int
    overall: Array
    by: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    zone: str = "UTC"

    @property
    def hours(self) -> int:
        return len(self.overall)

    @property
    def times(self) -> Array:
        """The beginning of each hour, ms UTC."""
        return self.start + HOUR_MS * np.arange(self.hours, dtype=np.int64)

    def daily(self) -> Array:
        """Sums of each whole day from the start on, shape (days, COUNTS)."""
        days = self.hours // 24
        return np.asarray(self.overall[: 24 * days].reshape(days, 24, len(COUNTS)).sum(axis=1))

    def until(self, hour: int) -> Tallies:
        """The hours before one."""
        by = {n: {v: a[:hour] for v, a in part.items()} for n, part in self.by.items()}
        return replace(self, overall=self.overall[:hour], by=by)

    def __add__(self, other: Tallies) -> Tallies:
        """Both together: of the same hours."""
        if (self.start, self.hours) != (other.start, other.hours):
            raise InputError("tallies of different hours cannot be added")
        parts: dict[str, Mapping[str, Array]] = {}
        for name in {**self.by, **other.by}:
            mine, theirs = self.by.get(name, {}), other.by.get(name, {})
            values = {**mine, **theirs}
            parts[name] = {v: np.add(mine.get(v, 0.0), theirs.get(v, 0.0)) for v in values}
        return replace(self, overall=self.overall + other.overall, by=parts)

    def switched(self, other: Tallies, hour: int) -> Tallies:
        """These until an hour, the other's from then on."""
        keep = (np.arange(self.hours) < hour)[:, None]
        return self._kept(keep) + other._kept(~keep)

    def _kept(self, keep: Array) -> Tallies:
        return replace(
            self,
            overall=self.overall * keep,
            by={n: {v: a * keep for v, a in part.items()} for n, part in self.by.items()},
        )


def tally(
    start: int,
    hours: int,
    hour: Array,
    counts: Array,
    dimensions: Mapping[str, tuple[Array, Sequence[str]]],
) -> Tallies:
    """Tallies of rows: the hour each counts in (others are left out) and its `COUNTS`, (rows, C).

    A dimension is codes and words; -1 belongs to no part.
    """
    inside = (hour >= 0) & (hour < hours)
    hour, counts = hour[inside], counts[inside]
    by: dict[str, Mapping[str, Array]] = {}
    for name, (codes, words) in dimensions.items():
        code = codes[inside]
        by[name] = {
            str(words[c]): _sums(hours, hour[code == c], counts[code == c])
            for c in np.unique(code[code >= 0]).tolist()
        }
    return Tallies(start, _sums(hours, hour, counts), by)


def _sums(hours: int, hour: Array, counts: Array) -> Array:
    found = [np.bincount(hour, column, hours) for column in counts.T]
    return np.stack(found, axis=1)


def folded(tallies: Tallies) -> Tallies:
    """The same with what lies beyond the twelve busiest parts of a dimension as "other"."""
    by: dict[str, Mapping[str, Array]] = {}
    for name, parts in tallies.by.items():
        order = sorted(parts, key=lambda v: (-float(parts[v][:, 0].sum()), v))
        kept = {v: parts[v] for v in order[:_SLICES_SHOWN]}
        if rest := [parts[v] for v in order[_SLICES_SHOWN:]]:
            kept["other"] = np.sum(rest, axis=0)
        by[name] = kept
    return replace(tallies, by=by)


def tally_world(
    world: World,
    policy: Policy,
    *,
    workers: int | None = None,
    progress: bool | None = None,
) -> Tallies:
    """Replay a world under a policy and count what a server would have seen.

    The wait for a code is that of codes that were used: from the first message to the first that
    arrived. `InputError` for a real log without people, where nobody's challenge can be told.
    """
    if not world.has_people:
        raise InputError(
            "this log has no potential outcomes: call with_people(scenario, seed) to lend it some"
        )
    tasks: list[tuple[Callable[..., Tallies], tuple[object, ...]]] = [
        (_of_shard, (world.source, index, world.facts, policy))
        for index in range(len(world.source))
    ]
    parts = run_shards(tasks, "counting", workers=workers, progress=progress)
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return replace(folded(total), zone=_home_zone(world))


def _home_zone(world: World) -> str:
    """The time zone in which most people of the world's first shard are at home."""
    zones = world.source.load(0, ["time"]).people["time_zone"]
    words = world.facts.vocabularies["time_zone"]
    known = zones[zones >= 0]
    return words[int(np.bincount(known).argmax())] if len(known) else "UTC"


def _of_shard(source: ShardSource, index: int, facts: WorldFacts, policy: Policy) -> Tallies:
    shard = source.load(index, None)
    written = replay_shard(shard, facts, policy)
    start = facts.window[0] // HOUR_MS * HOUR_MS
    hours = -(-(facts.window[1] - start) // HOUR_MS)
    time = shard.logins["time"]
    hour = np.where(
        shard.logins["signup"] | (time < facts.window[0]), -1, (time - start) // HOUR_MS
    )
    usable = _usable(shard, policy)
    counts = _counts(written)
    held = OUTCOMES_HELD[written["outcome"]]
    counts[:, COUNTS.index("held")] = first_of(held, shard.logins["user_id"], hour)
    coded = written["messages"] > 0
    wait = _wait_ds(shard, written, policy, usable)
    counts[:, COUNTS.index("delivered")] = wait >= 0
    counts[:, COUNTS.index("wait")] = np.maximum(wait, 0) / 10.0
    first = np.where(coded, usable[:, 0], -1)
    challenged = written["decision"] == DECISIONS.index("challenge")
    factor = np.where(challenged, written["factor"].astype(np.int64), -1)
    country = shard.logins["country"].astype(np.int64)
    dimensions = {
        "country": (country, facts.vocabularies["country"]),
        "channel": (first, CHANNELS),
        "factor": (factor, FACTORS),
    }
    return tally(start, int(hours), hour, counts, dimensions)


def _counts(written: Mapping[str, Array]) -> Array:
    """`COUNTS` of each row of an `OUTCOMES` table; who is held and the wait for codes apart."""
    outcome, decision, messages = written["outcome"], written["decision"], written["messages"]
    challenged = decision == DECISIONS.index("challenge")
    ended = {name: outcome == OUTCOME_NAMES.index(name) for name in OUTCOME_NAMES}
    verified = ended["verified"]
    zero = np.zeros(len(outcome))
    found = {
        "attempts": zero + 1,
        "judged": decision != NO_DECISION,
        "challenged": challenged,
        "verified": verified,
        "lost": challenged & ~verified,
        "abandoned": ended["abandoned"],
        "undelivered": ended["undelivered"],
        "wrong": ended["wrong_password"],
        "coded": messages > 0,
        "again": messages > 1,
        "messages": messages,
        "cents": written["message_microusd"] / 1e4,
    }
    return np.stack([np.asarray(found.get(name, zero), np.float64) for name in COUNTS], axis=1)


def first_of(rows: Array, account: Array, hour: Array) -> Array:
    """Which of the marked rows are the first of their account in their hour.

    >>> rows = np.array([False, True, True, True])
    >>> first_of(rows, np.array([1, 1, 1, 1]), np.array([5, 5, 5, 6])).tolist()
    [False, True, False, True]
    """
    marked = np.flatnonzero(rows)
    _, first = np.unique(np.stack([account[marked], hour[marked]]), axis=1, return_index=True)
    found = np.zeros(len(rows), bool)
    found[marked[first]] = True
    return found


def _usable(shard: Shard, policy: Policy) -> Array:
    """For each row the codes of the person's usable channels in the policy's order, 0 beyond."""
    account = np.repeat(np.arange(len(shard.starts) - 1), np.diff(shard.starts))
    landline = shard.people["line_type"] == LINE_TYPES.index("landline")
    text = ~landline
    takes = {"whatsapp": text & shard.people["whatsapp"], "sms": text, "voice": text | True}
    names = policy.fallback.channels
    can = np.stack([takes[name] for name in names], axis=1)
    codes = np.array([CHANNELS.index(name) for name in names])
    order = np.argsort(~can, axis=1, kind="stable")
    return np.where(np.take_along_axis(can, order, axis=1), codes[order], 0)[account]


def _wait_ds(shard: Shard, written: Mapping[str, Array], policy: Policy, usable: Array) -> Array:
    """Tenths of a second from the first message to the code that was used; -1 where none was."""
    used = written["channel"].astype(np.int64)
    timeout = round(policy.fallback.timeout_seconds * 10)
    rows = np.arange(len(used))
    delays = np.stack([shard.logins[f"po_{name}_ds"] for name in CHANNELS[1:]], axis=1)
    position = np.argmax(usable == used[:, None], axis=1)
    own = delays[rows, np.maximum(used - 1, 0)].astype(np.int64)
    arrived = np.where(own == NEVER, 1 << 30, own + position * timeout)
    channels = (usable > 0).sum(axis=1)
    resent = (written["messages"] > channels) & (position == 0)
    again = channels * timeout + shard.logins["po_resend_ds"].astype(np.int64)
    arrived = np.where(resent, np.minimum(arrived, again), arrived)
    verified = written["outcome"] == OUTCOME_NAMES.index("verified")
    return np.where(verified & (used > 0), arrived, -1)
