"""Which channels should carry a code, in which order, and how long should each be given?

Every order of channels with every timeout plays the same world, closed loop and all; what it costs,
how many codes lead to a login and how long that takes are then set side by side, by home country
and for the hours of an incident. Counted are people's own challenges by code. A choice is on the
*frontier* if no other is at least as good in all three and better in one.

A resend's fate was drawn once for the channel that suits the person best, whatever the order; so
orders that begin with another channel meet a slightly kinder resend.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.replay.run import prepare, replay_prepared
from twofa_lab.risk.policy import Fallback, Policy
from twofa_lab.risk.signals import SignalRules
from twofa_lab.sheet import Sheet, number, percent
from twofa_lab.tables import FACTORS, OUTCOME_NAMES, Array
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.world import ShardSource, World, WorldFacts

if TYPE_CHECKING:
    from twofa_lab.analysis.picture import Figure

__all__ = ["ALL_ORDERS", "TIMEOUTS", "ChannelStudy", "Choice", "channels"]

ALL_ORDERS: tuple[tuple[Any, ...], ...] = tuple(
    order
    for size in (1, 2, 3)
    for order in itertools.permutations(("whatsapp", "sms", "voice"), size)
)
"""Every order of one, two or three channels."""

TIMEOUTS = (10.0, 20.0, 30.0, 60.0)
"""Seconds: around the guide's 30."""

EVERYWHERE = "everywhere"
_LEAST = 300  # challenges of a country, for it to be told apart
_HOUR_MS = 3_600_000
_PARTS = (0.5, 0.75)
_BINS = 6_001  # tenths of a second to a login, the last open
_SUMS = ("challenges", "completed", "undelivered", "messages", "microusd")


@dataclass(frozen=True)
class Choice:
    """One fallback plan in one group. `completed` is the share of challenges that led to a login,
    `error` its standard error (accounts drawn); `seconds`: after how many of them half and three
    quarters of all challenges had led to a login (infinity: never); `cents` the messages' price a
    challenge, `total` that and what a lost login costs.
    """

    fallback: Fallback
    challenges: int
    completed: float
    error: float
    undelivered: float
    seconds: tuple[float, float]
    messages: float
    cents: float
    total: float

    @property
    def name(self) -> str:
        """Such as "whatsapp > sms, 30 s"; one channel alone needs no timeout but for a resend."""
        order = " > ".join(self.fallback.channels)
        return f"{order}, {self.fallback.timeout_seconds:g} s"

    def beats(self, other: Choice) -> bool:
        """At least as good in price, completion and time, and better in one."""
        mine = (self.cents, -self.completed, self.seconds[0])
        theirs = (other.cents, -other.completed, other.seconds[0])
        return all(a <= b for a, b in zip(mine, theirs, strict=True)) and mine != theirs


@dataclass(frozen=True, repr=False)
class ChannelStudy:
    """Every choice in every group: all people, each country with enough, and an incident's hours.

    `groups[name]` holds the choices in the order they were given.
    """

    facts: WorldFacts
    policy: str
    groups: dict[str, tuple[Choice, ...]]

    @property
    def note(self) -> str:
        """What the figures rest on."""
        f = self.facts
        kind = {"simulated": "Simulated traffic", "lent": "Real logins, simulated people"}
        costs = f.costs
        lost = costs.lost_login + costs.tickets_per_lost_login * costs.support_ticket
        return (
            f"{kind[f.human_side]} ({f.name}, seed {f.seed}) under {self.policy}; a lost login "
            f"costs ${lost:.2f} (assumption)."
        )

    def __getitem__(self, group: str) -> tuple[Choice, ...]:
        if group not in self.groups:
            raise InputError(f"no group {group!r} here: name one of {', '.join(self.groups)}")
        return self.groups[group]

    def frontier(self, group: str = EVERYWHERE) -> tuple[Choice, ...]:
        """The choices that no other beats, the cheapest first."""
        found = self[group]
        best = [one for one in found if not any(other.beats(one) for other in found)]
        return tuple(sorted(best, key=lambda c: (c.cents, -c.completed)))

    def cheapest(self, group: str = EVERYWHERE) -> Choice:
        """The choice of the lowest price once lost logins are paid for."""
        return min(self[group], key=lambda choice: choice.total)

    def table(self, group: str = EVERYWHERE) -> Sheet:
        """The frontier of a group."""
        best = self.cheapest(group)
        rows = tuple(
            (
                one.name + (" *" if one == best else ""),
                percent(one.completed),
                f"± {number(100 * one.error, 2)}",
                percent(one.undelivered),
                _seconds(one.seconds[0]),
                _seconds(one.seconds[1]),
                number(one.messages, 2),
                number(one.cents, 2),
                number(one.total, 2),
            )
            for one in self.frontier(group)
        )
        columns = (
            "channels, timeout", "completed", "standard error", "undelivered", "half within s",
            "3 of 4 within s", "messages", "US cents", "with losses",
        )  # fmt: skip
        title = (
            f"Frontier {group if group == EVERYWHERE else 'in ' + group}: "
            f"{challenges_of(self[group])} challenges by code, {len(self[group])} choices"
        )
        note = f"* the least US cents a challenge, lost logins paid for. {self.note}"
        return Sheet(title, columns, rows, note)

    def by_group(self) -> Sheet:
        """The choice of the least total cost in each group, beside the guide's plan there."""
        rows = []
        for group, found in self.groups.items():
            best, guide = self.cheapest(group), _guide(found)
            rows.append(
                (
                    group,
                    number(best.challenges),
                    best.name,
                    percent(best.completed),
                    _seconds(best.seconds[0]),
                    number(best.cents, 2),
                    percent(guide.completed) if guide else "n/a",
                    number(guide.cents, 2) if guide else "n/a",
                    number(guide.total - best.total, 2) if guide else "n/a",
                )
            )
        columns = (
            "group", "challenges", "least total cost", "completed", "half within s", "US cents",
            "guide's completed", "guide's US cents", "cents saved",
        )  # fmt: skip
        return Sheet("The best plan by country and incident", columns, tuple(rows), self.note)

    def sentence(self, group: str = EVERYWHERE) -> str:
        """The frontier's ends and the choice of the least total cost, from the figures."""
        edge, best = self.frontier(group), self.cheapest(group)
        cheap, sure = edge[0], max(edge, key=lambda c: c.completed)
        quick = min(edge, key=lambda c: c.seconds[0])
        where = "" if group == EVERYWHERE else f"In {group}: "
        return (
            f"{where}{len(edge)} of {len(self[group])} choices are on the frontier; the cheapest "
            f"messages are those of {_told(cheap)}, most logins are completed by {_told(sure)}, "
            f"the quickest is {_told(quick)}; once a lost login is paid for, {_told(best)} costs "
            f"least."
        )

    def plot(self, group: str = EVERYWHERE) -> Figure:
        """Price against completed logins, one point a choice; the frontier named."""
        from twofa_lab.analysis.channels_figure import plot_frontier

        return plot_frontier(self, group)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; NaN becomes None."""
        return {
            "policy": self.policy,
            "groups": {
                group: {
                    "choices": [_choice_dict(one) for one in found],
                    "frontier": [one.name for one in self.frontier(group)],
                    "cheapest": self.cheapest(group).name,
                }
                for group, found in self.groups.items()
            },
            "note": self.note,
        }

    def __repr__(self) -> str:
        return f"{self.table()}\n{self.sentence()}"

    def _repr_html_(self) -> str:
        return f"<p><b>{html.escape(self.sentence())}</b></p>{self.table().to_html()}"


def channels(
    world: World,
    policy: Policy | None = None,
    *,
    orders: Sequence[tuple[Any, ...]] = ALL_ORDERS,
    timeouts: Sequence[float] = TIMEOUTS,
    incident: tuple[float, float] | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> ChannelStudy:
    """Play a world under a policy (default: risk-based) with every order and timeout.

    `incident`: begin and length of a time to look at by itself, in hours of the world. Countries
    with 300 challenges or more are told apart.

    >>> import twofa_lab as lab
    >>> world = lab.simulate("us-consumer", users=300, days=20, seed=1)
    >>> study = channels(world, orders=[("sms",), ("sms", "voice")], timeouts=[30])
    >>> [choice.name for choice in study["everywhere"]]
    ['sms, 30 s', 'sms > voice, 30 s']
    """
    if not world.has_people:
        raise InputError(
            "this log has no potential outcomes: call with_people(scenario, seed) to lend it some"
        )
    chosen = policy or Policy.risk_based()
    plans = [
        Fallback(channels=order, timeout_seconds=seconds)
        for order in orders
        for seconds in timeouts
    ]
    if not plans:
        raise InputError("name at least one order and one timeout")
    tasks = [
        (_of_shard, (world.source, index, world.facts, chosen, plans, incident))
        for index in range(len(world.source))
    ]
    parts = run_shards(tasks, "trying channels", workers=workers, progress=progress)
    sums, squares, times = (np.sum([part[i] for part in parts], axis=0) for i in range(3))
    names = [EVERYWHERE, *world.facts.vocabularies["country"], "the incident"]
    least = sums[:, 1:-1, 0].min(axis=0) >= _LEAST
    shown = np.flatnonzero(np.concatenate([[True], least, [incident is not None]]))
    if not sums[:, shown, 0].all():
        raise InputError("nobody is challenged by code here: take more users or days")
    shown = shown[np.argsort(-sums[0, shown, 0], kind="stable")]
    costs = world.facts.costs
    lost = 100.0 * (costs.lost_login + costs.tickets_per_lost_login * costs.support_ticket)
    return ChannelStudy(
        world.facts,
        chosen.name,
        {
            names[g]: tuple(
                _choice(plan, sums[p, g], squares[p, g], times[p, g], lost)
                for p, plan in enumerate(plans)
            )
            for g in shown.tolist()
        },
    )


def _of_shard(
    source: ShardSource,
    index: int,
    facts: WorldFacts,
    policy: Policy,
    plans: list[Fallback],
    incident: tuple[float, float] | None,
) -> tuple[Array, Array, Array]:
    """Sums by plan and group; the residuals of completion by account; seconds, as histograms."""
    shard = source.load(index, None)
    prepared = prepare(shard, facts)
    accounts = len(shard.starts) - 1
    account = np.repeat(np.arange(accounts), np.diff(shard.starts))
    home = shard.people["country"].astype(np.int64)[account]
    time = shard.logins["time"]
    own = (shard.logins["attack"] == 0) & (time >= facts.window[0])
    begin, length = incident or (0.0, 0.0)
    hour = (time - facts.window[0]) / _HOUR_MS
    during = (hour >= begin) & (hour < begin + length)
    groups = len(facts.vocabularies["country"]) + 2
    sums = np.zeros((len(plans), groups, len(_SUMS)))
    squares = np.zeros((len(plans), groups, 3))
    times = np.zeros((len(plans), groups, _BINS), np.int64)
    for p, plan in enumerate(plans):
        tried = policy.model_copy(update={"fallback": plan})
        written = replay_prepared(prepared, facts, tried, SignalRules())
        rows = np.flatnonzero(own & (written["factor"] == FACTORS.index("otp")))
        done = written["outcome"][rows] == OUTCOME_NAMES.index("verified")
        values = np.stack(
            [
                np.ones(len(rows)),
                done,
                written["outcome"][rows] == OUTCOME_NAMES.index("undelivered"),
                written["messages"][rows],
                written["message_microusd"][rows],
            ],
            axis=1,
        )
        took = np.minimum(written["seconds_ds"][rows], _BINS - 1).astype(np.int64)
        who, lives = account[rows], home[rows]
        members = [(0, np.ones(len(rows), bool)), (groups - 1, during[rows])]
        members += [(int(c) + 1, lives == c) for c in np.unique(lives[lives >= 0])]
        for g, inside in members:
            sums[p, g] = values[inside].sum(axis=0)
            per = [np.bincount(who[inside], values[inside, k], accounts) for k in (0, 1)]
            squares[p, g] = [per[0] @ per[0], per[0] @ per[1], per[1] @ per[1]]
            times[p, g] = np.bincount(took[inside & done], minlength=_BINS)
    return sums, squares, times


def _choice(plan: Fallback, sums: Array, squares: Array, times: Array, lost: float) -> Choice:
    """Figures of one plan; the error of a ratio of sums over accounts (delta method)."""
    n, done, undelivered, messages, microusd = sums.tolist()
    share = done / n
    spread = squares[2] - 2.0 * share * squares[1] + share**2 * squares[0]
    cum = np.cumsum(times)
    at = [
        np.searchsorted(cum, part * n) / 10.0 if cum[-1] >= part * n else math.inf
        for part in _PARTS
    ]
    cents = microusd / n / 1e4
    return Choice(
        plan, int(n), share, math.sqrt(max(float(spread), 0.0)) / n, undelivered / n,
        (float(at[0]), float(at[1])),
        messages / n, cents, cents + lost * (1.0 - share),
    )  # fmt: skip


def challenges_of(found: Sequence[Choice]) -> str:
    """How many challenges there were: plans that lose more logins are met more often, since a
    device is not known before its first login is completed.
    """
    low, high = min(c.challenges for c in found), max(c.challenges for c in found)
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def _seconds(value: float) -> str:
    return "never" if math.isinf(value) else number(value, 1)


def _guide(found: tuple[Choice, ...]) -> Choice | None:
    """The guide's plan among these: the default of `Fallback`."""
    return next((one for one in found if one.fallback == Fallback()), None)


def _told(one: Choice) -> str:
    return (
        f"{one.name} ({percent(one.completed, 1)} completed"
        + ("" if math.isinf(one.seconds[0]) else f", half within {one.seconds[0]:.1f} s")
        + f", {one.cents:.2f} cents)"
    )


def _choice_dict(one: Choice) -> dict[str, Any]:
    known = [None if math.isinf(s) else s for s in one.seconds]
    return {
        "channels": list(one.fallback.channels),
        "timeout_seconds": one.fallback.timeout_seconds,
        "challenges": one.challenges,
        "completed": one.completed,
        "standard_error": one.error,
        "undelivered": one.undelivered,
        "seconds_half": known[0],
        "seconds_three_quarters": known[1],
        "messages": one.messages,
        "cents": one.cents,
        "cents_with_losses": one.total,
    }
