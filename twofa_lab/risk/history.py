"""What an account's completed logins leave behind: the state that signals are read from.

Only a *completed* login enters (`record_completed`): a person who gave up at the challenge leaves
no remembered device, an attacker who got through does. One `History` is a workspace that serves
one account after another (`start_account` forgets everything in constant time), which lets a
compiled loop walk millions of accounts without allocating.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from twofa_lab.tables import Array

__all__ = [
    "COMPLETED",
    "FAILED",
    "FIRST_SEEN",
    "LAST_COMPLETED",
    "TRUST_VOID",
    "History",
    "find_device",
    "new_history",
    "recent_failures",
    "record_completed",
    "record_failed_password",
    "start_account",
]

EPOCH, MASK, COMPLETED, FAILED, LAST_COMPLETED, FIRST_SEEN, TRUST_VOID = range(7)
_FAILURE_RING = 32
_NEVER_SEEN = -(2**62)


class History(NamedTuple):
    """The workspace. Tables carry an epoch beside each entry: an entry of another epoch belongs to
    an account walked before, and counts as empty.

    `devices*`: open-addressed table keyed by device id, with the time of the last completed login
    on the device and the time it was last trusted. `countries`, `regions`: the epoch in which the
    code was seen. `hours`: completed logins by hour of the account's local day. `failures`: ring
    of the times of the latest failed passwords. `numbers`: the counters named above.
    """

    devices: Array
    device_epoch: Array
    device_seen: Array
    device_trusted: Array
    countries: Array
    regions: Array
    hours: Array
    failures: Array
    numbers: Array


def new_history(most_rows: int, countries: int, regions: int) -> History:
    """A workspace for accounts of at most `most_rows` logins and codes below the given counts.

    >>> new_history(100, 5, 20).devices.shape
    (256,)
    """
    capacity = 8
    while capacity < 2 * most_rows + 2:
        capacity *= 2
    return History(
        devices=np.zeros(capacity, np.uint64),
        device_epoch=np.zeros(capacity, np.int64),
        device_seen=np.zeros(capacity, np.int64),
        device_trusted=np.zeros(capacity, np.int64),
        countries=np.zeros(countries + 1, np.int64),
        regions=np.zeros(regions + 1, np.int64),
        hours=np.zeros(24, np.int32),
        failures=np.zeros(_FAILURE_RING, np.int64),
        numbers=np.zeros(7, np.int64),
    )


@nb.njit(cache=True, nogil=True, inline="always")
def start_account(history: History, rows: int) -> None:
    """Forget the account before; `rows` bounds the logins of the one to come."""
    capacity = 8
    while capacity < 2 * rows + 2:
        capacity *= 2
    numbers = history.numbers
    numbers[EPOCH] += 1
    numbers[MASK] = capacity - 1
    numbers[COMPLETED] = 0
    numbers[FAILED] = 0
    numbers[LAST_COMPLETED] = _NEVER_SEEN
    numbers[FIRST_SEEN] = _NEVER_SEEN
    numbers[TRUST_VOID] = _NEVER_SEEN
    history.hours[:] = 0


@nb.njit(cache=True, nogil=True, inline="always")
def find_device(history: History, device: np.uint64) -> tuple[int, bool]:
    """The slot of a device and whether the account knows it (else the slot to put it in)."""
    numbers = history.numbers
    epoch = numbers[EPOCH]
    mask = numbers[MASK]
    mixed = device * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed >> np.uint64(40)) & mask
    while history.device_epoch[slot] == epoch:
        if history.devices[slot] == device:
            return slot, True
        slot = (slot + 1) & mask
    return slot, False


@nb.njit(cache=True, nogil=True, inline="always")
def recent_failures(history: History, since: int) -> int:
    """Failed passwords at or after `since` (at most 32 are remembered)."""
    failed = history.numbers[FAILED]
    count = 0
    while count < min(failed, _FAILURE_RING):
        if history.failures[(failed - 1 - count) % _FAILURE_RING] < since:
            break
        count += 1
    return count


@nb.njit(cache=True, nogil=True, inline="always")
def record_failed_password(history: History, time: int) -> None:
    """Remember a wrong password at `time` (ms)."""
    failed = history.numbers[FAILED]
    history.failures[failed % _FAILURE_RING] = time
    history.numbers[FAILED] = failed + 1


@nb.njit(cache=True, nogil=True, inline="always")
def record_completed(
    history: History,
    slot: int,
    known: bool,
    time: int,
    hour: int,
    device: np.uint64,
    country: int,
    region: int,
    trusts: bool,
) -> None:
    """Enter a completed login; `slot` and `known` are what `find_device` gave for its device.

    A device id of 0 (unknown) and codes of -1 (missing) leave nothing behind, so that two unknowns
    are never taken for the same. `trusts` marks the device as trusted from `time` on.
    """
    numbers = history.numbers
    epoch = numbers[EPOCH]
    if device != 0:
        if not known:
            history.devices[slot] = device
            history.device_epoch[slot] = epoch
            history.device_trusted[slot] = _NEVER_SEEN
        history.device_seen[slot] = time
        if trusts:
            history.device_trusted[slot] = time
    if country >= 0:
        history.countries[country] = epoch
    if region >= 0:
        history.regions[region] = epoch
    history.hours[hour] += 1
    if numbers[COMPLETED] == 0:
        numbers[FIRST_SEEN] = time
    numbers[COMPLETED] += 1
    numbers[LAST_COMPLETED] = time
