"""An account's past, built with the package's own history functions."""

from __future__ import annotations

import numpy as np

from twofa_lab.risk.history import (
    new_history,
    record_completed,
    record_failed_password,
    start_account,
)
from twofa_lab.risk.rules import signal_names
from twofa_lab.risk.signals import SignalRules, local_hour, read_signals

NOON = 1_767_614_400_000  # 2026-01-05 12:00 UTC
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000


class Past:
    """One account's history. Places are codes, -1 for unknown; devices numbers, 0 for unknown."""

    def __init__(self, most_rows: int = 100, rules: SignalRules | None = None) -> None:
        self.rules = rules or SignalRules()
        self.history = new_history(most_rows, countries=5, regions=10)
        self.next_account(most_rows)

    def next_account(self, most_rows: int) -> None:
        start_account(self.history, most_rows)

    def _read(
        self, time: int, device: int, country: int, region: int, offset: int
    ) -> tuple[int, int, int, bool, int]:
        hour = local_hour(time, offset)
        bits, failures, slot, known = read_signals(
            self.history, self.rules, time, hour, np.int64(device), country, region
        )
        return bits, failures, slot, known, hour

    def signals(
        self, time: int = NOON, device: int = 1, country: int = 0, region: int = 0, offset: int = 0
    ) -> set[str]:
        """The names of the signals a login would show now; nothing is remembered of it."""
        return set(signal_names(self._read(time, device, country, region, offset)[0]))

    def failures(self, time: int) -> int:
        return self._read(time, 1, 0, 0, 0)[1]

    def completed(
        self,
        time: int = NOON,
        device: int = 1,
        country: int = 0,
        region: int = 0,
        offset: int = 0,
        times: int = 1,
    ) -> Past:
        """So many completed logins."""
        for _ in range(times):
            _, _, slot, known, hour = self._read(time, device, country, region, offset)
            record_completed(
                self.history, slot, known, time, hour, np.int64(device), country, region, False
            )
        return self

    def failed(self, *times: int) -> Past:
        """Wrong passwords at these times."""
        for time in times:
            record_failed_password(self.history, time)
        return self
