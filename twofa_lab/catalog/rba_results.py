"""What others measured of risk scorers on the RBA data set: figures to set our own beside."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BENCHMARK", "BENCHMARK_SOURCE", "LOGINS", "MEDIANS", "MEDIANS_SOURCE", "Ranked"]

MEDIANS_SOURCE = (
    "Wiefling, Jørgensen, Thunem and Lo Iacono, Pump Up Password Security!, ACM TOPS 2022 "
    "(doi 10.1145/3546069), read off its figure to a quarter"
)

LOGINS = (5, 10, 20, 39)

MEDIANS: dict[str, dict[float, tuple[int | None, ...]]] = {
    "naive": {0.999: (4, 6, 8, 6), 0.995: (2, 3, 3, 2), 0.99: (1, 2, 2, 1)},
    "targeted": {
        0.999: (4, 7, 10, 9),
        0.995: (3, 5, 5, 4),
        0.99: (2, 3, 4, 3),
        0.98: (None, 2, 2, 2),
    },
    "very_targeted": {0.9425: (5, 10, 20, 39), 0.8276: (4, 7, 9, 7), 0.7816: (1, 2, 2, 1)},
}
"""By attacker and share of attackers stopped: the median number of re-authentications that a
legitimate user of Freeman's scorer has met after `LOGINS` logins; None: not to be read."""

BENCHMARK_SOURCE = (
    "a benchmark on all 31,269,264 rows of the RBA data set, handed down by its figures alone: "
    "its authors and its code are not known to us"
)


class Ranked(NamedTuple):
    """A scorer's area under the ROC curve, share of attackers caught at 1 % false positives, and
    share of legitimate logins challenged to catch 90 %; None where it was not told.
    """

    area: float
    caught: float | None = None
    challenged: float | None = None


BENCHMARK = {
    "Freeman": {
        "real takeovers": Ranked(0.759, 0.158, 0.74),
        "naive": Ranked(0.933, 0.350, 0.201),
        "vpn": Ranked(0.906, 0.265, 0.266),
        "targeted": Ranked(0.665, 0.015, 0.625),
    },
    "isolation forest": {
        "real takeovers": Ranked(0.953, 0.421, 0.175),
        "naive": Ranked(0.764, 0.118, 0.628),
        "vpn": Ranked(0.739, 0.060, 0.617),
        "targeted": Ranked(0.541, 0.005, 0.835),
    },
    "LightGBM on simulated attackers": {
        "real takeovers": Ranked(0.724, 0.0, 0.49),
        "naive": Ranked(0.968, 0.591, 0.097),
        "vpn": Ranked(0.958, 0.509, 0.134),
        "targeted": Ranked(0.907, 0.285, 0.283),
    },
    "tuned rules": {
        "real takeovers": Ranked(0.735, 0.0, 0.47),
        "naive": Ranked(0.550),
        "vpn": Ranked(0.506),
        "targeted": Ranked(0.525),
    },
}
"""By scorer and attacker."""
