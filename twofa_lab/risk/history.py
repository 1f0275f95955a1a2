"""What an account's completed logins leave behind: the state that signals are read from.

Only a *completed* login enters (`record_completed`): a person who gave up at the challenge leaves
no remembered device, an attacker who got through does. One `History` is a workspace that serves
one account after another (`start_account` forgets everything in constant time), which lets a
compiled loop walk millions of accounts without allocating.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.compiled import part
from twofa_lab.tables import Array

__all__ = [
    "COMPLETED",
    "FAILED",
    "FIRST_SEEN",
    "HOURS",
    "LAST_COMPLETED",
    "NEVER_SEEN",
    "SEEN",
    "TRUSTED",
    "TRUST_VOID",
    "History",
    "find_device",
    "is_trusted",
    "new_history",
    "recent_failures",
    "record_completed",
    "record_failed_password",
    "restore",
    "seen_country",
    "seen_region",
    "start_account",
]

_ID, _EPOCH, SEEN, TRUSTED = range(4)  # columns of `History.devices`
_NOW, _MASK, _REGIONS, COMPLETED, FAILED, LAST_COMPLETED, FIRST_SEEN, TRUST_VOID = range(8)
HOURS = 8  # 24 counts from here in `History.numbers`, then the ring of failure times
_RING = HOURS + 24
_RING_SIZE = 32
NEVER_SEEN = -(2**62)


class History(NamedTuple):
    """The workspace: three int64 arrays, few enough for compiled code to keep at hand.

    `devices`: an open-addressed table, one row a device: id, epoch, time of the last completed
    login, time it was last trusted. `places`: the epoch in which each country, then each region,
    was last seen. An entry of another epoch belongs to an account walked before and counts as
    empty. `numbers`: counters, completed logins by hour of the account's day, and a ring of the
    times of the latest failed passwords.
    """

    devices: Array
    places: Array
    numbers: Array


def new_history(most_rows: int, countries: int, regions: int) -> History:
    """A workspace for accounts of at most `most_rows` logins and codes below the given counts.

    >>> new_history(100, 5, 20).devices.shape
    (256, 4)
    """
    capacity = 8
    while capacity < 2 * most_rows + 2:
        capacity *= 2
    numbers = np.zeros(_RING + _RING_SIZE, np.int64)
    numbers[_REGIONS] = countries
    return History(
        devices=np.zeros((capacity, 4), np.int64),
        places=np.zeros(countries + regions, np.int64),
        numbers=numbers,
    )


@part
def start_account(history: History, rows: int) -> None:
    """Forget the account before; `rows` bounds the logins of the one to come."""
    capacity = 8
    while capacity < 2 * rows + 2:
        capacity *= 2
    numbers = history.numbers
    numbers[_NOW] += 1
    numbers[_MASK] = capacity - 1
    numbers[COMPLETED] = 0
    numbers[FAILED] = 0
    numbers[LAST_COMPLETED] = NEVER_SEEN
    numbers[FIRST_SEEN] = NEVER_SEEN
    numbers[TRUST_VOID] = NEVER_SEEN
    for hour in range(24):
        numbers[HOURS + hour] = 0


@part
def find_device(history: History, device: int) -> tuple[int, bool]:
    """The slot of a device and whether the account knows it (else the slot to put it in)."""
    devices = history.devices
    now = history.numbers[_NOW]
    mask = history.numbers[_MASK]
    slot = (device ^ (device >> 32)) & mask
    while devices[slot, _EPOCH] == now:
        if devices[slot, _ID] == device:
            return slot, True
        slot = (slot + 1) & mask
    return slot, False


@part
def is_trusted(history: History, slot: int, known: bool, time: int, trust_ms: int) -> bool:
    """Whether the device at this slot is trusted at `time`: it was for at most `trust_ms` (0: the
    policy trusts none), and the password was not reset since. `slot` and `known` are what
    `find_device` gave.
    """
    if not known or trust_ms <= 0:
        return False
    since = history.devices[slot, TRUSTED]
    return since >= history.numbers[TRUST_VOID] and time - since <= trust_ms


@part
def seen_country(history: History, country: int) -> bool:
    """Whether a login of the account was completed from this country."""
    return history.places[country] == history.numbers[_NOW]


@part
def seen_region(history: History, region: int) -> bool:
    """Whether a login of the account was completed from this region."""
    return history.places[history.numbers[_REGIONS] + region] == history.numbers[_NOW]


@part
def recent_failures(history: History, since: int) -> int:
    """Failed passwords at or after `since` (at most 32 are remembered)."""
    numbers = history.numbers
    failed = numbers[FAILED]
    most = min(failed, _RING_SIZE)
    count = 0
    while count < most and numbers[_RING + ((failed - 1 - count) & (_RING_SIZE - 1))] >= since:
        count += 1
    return count


@part
def record_failed_password(history: History, time: int) -> None:
    """Remember a wrong password at `time` (ms)."""
    numbers = history.numbers
    numbers[_RING + (numbers[FAILED] & (_RING_SIZE - 1))] = time
    numbers[FAILED] += 1


@part
def record_completed(
    history: History,
    slot: int,
    known: bool,
    time: int,
    hour: int,
    device: int,
    country: int,
    region: int,
    trusts: bool,
) -> None:
    """Enter a completed login; `slot` and `known` are what `find_device` gave for its device.

    A device id of 0 (unknown) and codes of -1 (missing) leave nothing behind, so that two unknowns
    are never taken for the same. `trusts` marks the device as trusted from `time` on.
    """
    numbers = history.numbers
    now = numbers[_NOW]
    if device != 0:
        entry = history.devices[slot]
        if not known:
            entry[_ID] = device
            entry[_EPOCH] = now
            entry[TRUSTED] = NEVER_SEEN
        entry[SEEN] = time
        if trusts:
            entry[TRUSTED] = time
    if country >= 0:
        history.places[country] = now
    if region >= 0:
        history.places[numbers[_REGIONS] + region] = now
    numbers[HOURS + hour] += 1
    if numbers[COMPLETED] == 0:
        numbers[FIRST_SEEN] = time
    numbers[COMPLETED] += 1
    numbers[LAST_COMPLETED] = time


@part
def restore(
    history: History,
    devices: Array,
    places: tuple[int, int],
    hours: Array,
    logins: tuple[int, int, int],
    failed: Array,
) -> None:
    """Fill the workspace, after `start_account`, with an account read from a store.

    `devices` has a row a device (time of its last completed login, time it was trusted or
    `NEVER_SEEN`); the device of row `i` is number `i + 1`. `places` are how many countries and
    regions it has been to, which are codes 0, 1 and so on; `hours` are 24 counts; `logins` how many
    were completed, the first and the last; `failed` the times of wrong passwords, oldest first.
    """
    numbers = history.numbers
    now = numbers[_NOW]
    for row in range(len(devices)):
        entry = history.devices[find_device(history, row + 1)[0]]
        entry[_ID] = row + 1
        entry[_EPOCH] = now
        entry[SEEN] = devices[row, 0]
        entry[TRUSTED] = devices[row, 1]
    for country in range(places[0]):
        history.places[country] = now
    for region in range(places[1]):
        history.places[numbers[_REGIONS] + region] = now
    for hour in range(24):
        numbers[HOURS + hour] = hours[hour]
    numbers[COMPLETED], numbers[FIRST_SEEN], numbers[LAST_COMPLETED] = logins
    for index in range(len(failed)):
        record_failed_password(history, failed[index])
