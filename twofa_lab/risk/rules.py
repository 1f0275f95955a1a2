"""The rule scorer: points that add up, so that a score explains itself.

The default reproduces the guide: a new device, a new country or a new region alone reaches the
default threshold of 0.45; a burst of failed passwords does so whatever else is seen, on a trusted
device too; an odd hour does so only together with something else. The points are assumptions;
their order is the guide's.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.risk.signals import BITS, SignalRules
from twofa_lab.tables import SIGNALS, Array

__all__ = ["RulePoints", "signal_names"]


@dataclass(frozen=True)
class RulePoints:
    """Points each signal adds; the score is their sum, at most 1.

    `failed_attempt` counts for every failed password in the window while there are too few for
    `failed_burst`.

    >>> RulePoints().score(BITS["new_device"], failures=0)
    0.5
    >>> RulePoints().score(BITS["odd_hour"], failures=0)
    0.2
    >>> round(RulePoints().score(BITS["odd_hour"], failures=2), 2)
    0.5
    """

    new_device: float = 0.5
    new_country: float = 0.6
    new_region: float = 0.5
    odd_hour: float = 0.2
    failed_burst: float = 0.6
    failed_attempt: float = 0.15

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0.0 <= value <= 1.0:
                raise InputError(f"points.{field.name} is {value}; points lie between 0 and 1")

    def contributions(self, bits: int, failures: int) -> dict[str, float]:
        """Points by reason, in the order of the signals; only reasons that add something."""
        found = {name: getattr(self, name) for name in SIGNALS if bits & BITS[name]}
        if failures and not bits & BITS["failed_burst"]:
            found["failed_attempt"] = self.failed_attempt * failures
        return {name: points for name, points in found.items() if points > 0.0}

    def score(self, bits: int, failures: int) -> float:
        """Risk in [0, 1] of a login with these signals and failed passwords in the window.

        Rounded to 1e-9, so that points written as decimals reach their own sum as a threshold.

        >>> RulePoints().score(BITS["new_country"], failures=2)  # 0.6 + 2 * 0.15
        0.9
        """
        return float(min(1.0, round(sum(self.contributions(bits, failures).values()), 9)))

    def table(self, rules: SignalRules) -> Array:
        """Scores of every combination, shape (2 ** signals, burst_count): the compiled loop looks
        a score up instead of adding points.
        """
        return np.array(
            [
                [self.score(bits, failures) for failures in range(rules.burst_count)]
                for bits in range(1 << len(SIGNALS))
            ]
        )


def signal_names(bits: int) -> list[str]:
    """The names in a bit mask.

    >>> signal_names(0b01001)
    ['new_device', 'odd_hour']
    """
    return [name for name in SIGNALS if bits & BITS[name]]
