"""Lay out a shard's rows: each account's sign-ins, slips and attacks, in time order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.compiled import allocating, loop
from twofa_lab.tables import ATTACKS, Array
from twofa_lab.traffic.calendar import Clock, time_of_login
from twofa_lab.traffic.people import MS_PER_DAY, Actors

__all__ = ["AttackRows", "Laid", "Sessions", "lay_out", "session_times"]

_KEEPS_PASSWORD = ATTACKS.index("stolen_device")  # a stolen device has the new password saved too
_RESET_TAKES_MS = 150_000
_AFTER_SIGNUP_MS = 240_000  # longer than five slips and a reset take: the sign-up comes first


class Sessions(NamedTuple):
    """Sign-ins by account: `starts` (accounts + 1), and per session its time, the wrong passwords
    typed before, and whether a reset followed them.
    """

    starts: Array
    time: Array
    slips: Array
    reset: Array


class AttackRows(NamedTuple):
    """Attack attempts sorted by account and time: `starts` (accounts + 1) and columns."""

    starts: Array
    time: Array
    password_ok: Array
    kind: Array
    campaign: Array
    actor: Array
    hit: Array


class Laid(NamedTuple):
    """Rows account-major: who (`actor` indexes the shard's actors, `hit` the attack hits, -1)."""

    starts: Array
    time: Array
    password_ok: Array
    password_reset: Array
    signup: Array
    attack: Array
    campaign: Array
    account: Array
    actor: Array
    hit: Array


@loop
def session_times(
    clock: Clock,
    actors: Actors,
    city_zone: Array,
    starts: Array,
    created: Array,
    u_day: Array,
    u_hour: Array,
    u_minute: Array,
    times: Array,
) -> None:
    """Write the time of every session to `times`, sorted within each account, none before the
    account was made.
    """
    for a in range(len(starts) - 1):
        first, last = starts[a], starts[a + 1]
        # an account made inside the window spreads its sessions over what is left of the calendar
        born = max((created[a] - clock.start) // MS_PER_DAY, 0)
        before = clock.day_cum[clock.slot_of[actors.country[a]], actors.week[a], born]
        earliest = max(created[a] + _AFTER_SIGNUP_MS, clock.start)
        for s in range(first, last):
            day = before + (1.0 - before) * u_day[s]
            time = time_of_login(clock, actors, city_zone, a, day, u_hour[s], u_minute[s])
            while time < earliest:
                time += MS_PER_DAY
            if time >= clock.end:  # made on the last day, and the hour is past
                time = earliest + np.int64(u_hour[s] * (clock.end - earliest))
            place = s
            while place > first and times[place - 1] > time:
                times[place] = times[place - 1]
                place -= 1
            times[place] = time


@loop
def _put_sessions(a: int, at: int, sessions: Sessions, gap: Array, laid: Laid) -> int:
    """Write one account's sign-ins, each after its slips; returns the next free row."""
    for s in range(sessions.starts[a], sessions.starts[a + 1]):
        time = sessions.time[s]
        slipped = time - (_RESET_TAKES_MS if sessions.reset[s] else 0)
        for slip in range(sessions.slips[s]):
            laid.time[at] = slipped - np.int64(gap[s] * (sessions.slips[s] - slip))
            at += 1
        laid.time[at] = time
        laid.password_ok[at] = True
        laid.password_reset[at] = sessions.reset[s]
        at += 1
    return at


@loop
def _put_attacks(a: int, at: int, attacks: AttackRows, laid: Laid) -> int:
    """Write one account's attack attempts; returns the next free row."""
    for k in range(attacks.starts[a], attacks.starts[a + 1]):
        laid.time[at] = attacks.time[k]
        laid.password_ok[at] = attacks.password_ok[k]
        laid.attack[at] = attacks.kind[k]
        laid.campaign[at] = attacks.campaign[k]
        laid.actor[at] = attacks.actor[k]
        laid.hit[at] = attacks.hit[k]
        at += 1
    return at


@allocating
def _sort_account(first: int, last: int, laid: Laid) -> None:
    """Order one account's rows by time (they come almost sorted unless it was attacked)."""
    for i in range(first + 1, last):
        if laid.time[i] < laid.time[i - 1]:
            break
    else:
        return
    order = first + np.argsort(laid.time[first:last], kind="mergesort")
    laid.time[first:last] = laid.time[order]
    laid.password_ok[first:last] = laid.password_ok[order]
    laid.password_reset[first:last] = laid.password_reset[order]
    laid.signup[first:last] = laid.signup[order]
    laid.attack[first:last] = laid.attack[order]
    laid.campaign[first:last] = laid.campaign[order]
    laid.actor[first:last] = laid.actor[order]
    laid.hit[first:last] = laid.hit[order]


@allocating
def lay_out(
    sessions: Sessions, attacks: AttackRows, created: Array, start: int, gap: Array, laid: Laid
) -> None:
    """Fill `laid` (zeroed; `campaign` and `hit` -1; `starts` given).

    An account made inside the window begins with its sign-up. After a password reset a stolen
    password is wrong. `gap` is the time between a session's attempts, ms.
    """
    for a in range(len(created)):
        first, last = laid.starts[a], laid.starts[a + 1]
        laid.account[first:last] = a
        laid.actor[first:last] = a
        at = first
        if created[a] >= start:
            laid.time[at] = created[a]
            laid.signup[at] = True
            laid.password_ok[at] = True
            at += 1
        at = _put_sessions(a, at, sessions, gap, laid)
        _put_attacks(a, at, attacks, laid)
        _sort_account(first, last, laid)
        was_reset = False
        for i in range(first, last):
            was_reset |= laid.password_reset[i]
            if was_reset and laid.attack[i] != 0 and laid.attack[i] != _KEEPS_PASSWORD:
                laid.password_ok[i] = False
