"""A move of the explorer: the closed-loop replay of 200,000 logins, the redraw, and both together.

`--logins` sets the sample. Beside them stand their own parts and a figure that is made anew.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

from twofa_lab import simulate
from twofa_lab.widgets.explorer import Explorer
from twofa_lab.widgets.explorer_figure import Picture

ROUNDS = 40


def milliseconds(function: Callable[[float], Any], values: Iterator[float]) -> list[float]:
    """Wall times of calls with these values, the first left out."""
    took = []
    for _ in range(ROUNDS + 1):
        value = next(values)
        began = time.perf_counter()
        function(value)
        took.append(1000 * (time.perf_counter() - began))
    return sorted(took[1:])


def told(name: str, took: list[float]) -> None:
    print(
        f"{name:<44} {statistics.median(took):6.1f} ms median, "
        f"{took[int(0.95 * len(took))]:6.1f} at the 95th percentile"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--logins", type=int, default=200_000)
    asked = parser.parse_args()
    users = round(asked.logins / 13)  # a few more logins than that in 90 days
    explorer = Explorer(simulate("us-consumer", users=users, days=90, seed=11), logins=asked.logins)
    panel, picture = explorer.panel, Picture(explorer.start)
    thresholds = [0.3, 0.45, 0.55, 0.6, 0.7, 0.2]
    results = cycle([explorer.at(threshold=value).result for value in thresholds])

    def move(value: float) -> None:
        panel.sliders["threshold"].value = value

    facts = explorer.sample.facts
    print(f"{facts.logins:,} logins of {facts.users:,} accounts")
    told("a slider's move, all of it (aim: under 200)", milliseconds(move, cycle(thresholds)))
    replay = milliseconds(lambda value: explorer.at(threshold=value), cycle(thresholds))
    told("  the replay and its figures", replay)
    told("  the redraw", milliseconds(lambda _: picture.png(next(results)), cycle(thresholds)))
    anew = milliseconds(lambda _: Picture(explorer.start).png(next(results)), cycle([0.0]))
    told("for comparison: a new figure each time", anew)


if __name__ == "__main__":
    main()
