"""Refusals leave on a beat, so that the time one took tells nobody which names exist.

The work for an unknown name is that for a known one, statement by statement (ASVS 6.3.8). Yet an
account with a long past is read some tens of microseconds more slowly than one that is not there,
and an owner who is told of something costs a few rows more: enough calls would show it. What leaves
at a whole multiple of the beat after it was asked for does not show what it took
(`benchmarks/bench_enumeration.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Beat"]


@dataclass(frozen=True)
class Beat:
    """A beat of so many seconds; 0: nothing waits.

    A tenth of a second is three times what a password's hash takes, and hardly noticed: assumption.
    The thread that waits holds no transaction and no lock.

    >>> slept: list[float] = []
    >>> times = iter([5.0, 5.25])
    >>> beat = Beat(0.1, monotonic=lambda: next(times), sleep=slept.append)
    >>> beat.wait(since=beat.monotonic())
    >>> [round(seconds, 3) for seconds in slept]
    [0.05]
    """

    seconds: float = 0.1
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait(self, since: float) -> None:
        """Wait until a whole number of beats has passed since then."""
        if self.seconds > 0:
            self.sleep(self.seconds - (self.monotonic() - since) % self.seconds)
