"""Lay out a shard's rows: each account's sign-ins, slips and attacks, in time order."""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from twofa_lab.compiled import loop
from twofa_lab.tables import ATTACKS, Array
from twofa_lab.traffic.calendar import Clock, time_of_login
from twofa_lab.traffic.people import Actors

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
    span = clock.end - clock.start
    for a in range(len(starts) - 1):
        first, last = starts[a], starts[a + 1]
        for s in range(first, last):
            time = time_of_login(clock, actors, city_zone, a, u_day[s], u_hour[s], u_minute[s])
            if time <= created[a]:
                # fold it into the account's life, at the same point of what remains
                time = created[a] + 1 + (time - clock.start) * (clock.end - created[a]) // span
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


@nb.njit(cache=True, nogil=True)
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


@nb.njit(cache=True, nogil=True)
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
