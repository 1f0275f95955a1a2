"""The four signals of risk-based step-up, exactly.

| signal | fires when |
|---|---|
| `new_device` | no completed login of this account on this device in the last 30 days; an account's first login, and a device that cannot be told, count as new |
| `new_country`, `new_region` | the account has completed logins, none from this country (or from it, but none from this region); a place that cannot be told never fires |
| `odd_hour` | at least 10 completed logins, and at most 1 in 50 of them within an hour of this one on the account's own clock, round midnight too |
| `failed_burst` | at least 3 failed passwords for this account in the last 30 minutes, whoever typed them |

A thin history is silent rather than suspicious: with no completed login only the device signal can
fire (nothing vouches for the login), and below ten the hour says nothing.
"""  # noqa: E501 - a table row is one line

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from twofa_lab.compiled import part
from twofa_lab.risk.history import (
    COMPLETED,
    HOURS,
    SEEN,
    History,
    find_device,
    recent_failures,
    seen_country,
    seen_region,
)
from twofa_lab.tables import SIGNALS

__all__ = ["BITS", "MS_PER_DAY", "SignalRules", "local_hour", "read_signals"]

MS_PER_DAY = 86_400_000
BITS = {name: 1 << index for index, name in enumerate(SIGNALS)}
"""The bit of each signal in the mask."""

_DEVICE, _COUNTRY, _REGION, _HOUR, _BURST = (BITS[name] for name in SIGNALS)


class SignalRules(NamedTuple):
    """The numbers in the rules above. The guide gives the 30 days and 30 minutes; the rest are
    assumptions.
    """

    device_memory_ms: int = 30 * MS_PER_DAY
    burst_window_ms: int = 30 * 60_000
    burst_count: int = 3
    thin_history: int = 10
    odd_hour_one_in: int = 50


@part
def local_hour(time: int, utc_offset_min: int) -> int:
    """Hour of the account's own day, 0 to 23.

    >>> local_hour(1_700_000_000_000, 60)  # 22:13 UTC
    23
    """
    return (time + np.int64(utc_offset_min) * 60_000) // 3_600_000 % 24  # type: ignore[return-value]


@part
def read_signals(
    history: History,
    rules: SignalRules,
    time: int,
    hour: int,
    device: int,
    country: int,
    region: int,
) -> tuple[int, int, int, bool]:
    """The signals of one login against what its account completed before.

    Returns the bit mask over `SIGNALS`, the failed passwords inside the window, and the device's
    slot and whether it is known (for `record_completed`).
    """
    numbers = history.numbers
    slot, known = find_device(history, device)
    bits = 0
    if not known or device == 0 or time - history.devices[slot, SEEN] > rules.device_memory_ms:
        bits |= _DEVICE
    completed = numbers[COMPLETED]
    if completed > 0 and country >= 0:
        if not seen_country(history, country):
            bits |= _COUNTRY
        elif region >= 0 and not seen_region(history, region):
            bits |= _REGION
    if completed >= rules.thin_history:
        before = numbers[HOURS + (hour + 23 if hour == 0 else hour - 1)]
        after = numbers[HOURS + (0 if hour == 23 else hour + 1)]
        near = before + numbers[HOURS + hour] + after
        if near * rules.odd_hour_one_in <= completed:
            bits |= _HOUR
    failures = recent_failures(history, time - rules.burst_window_ms)
    if failures >= rules.burst_count:
        bits |= _BURST
    return bits, failures, slot, known
