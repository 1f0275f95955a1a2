"""Watching a policy: counting a world by hour, limits with alarms, a drill.

The yardstick of counting is the bare replay of the same world: a ratio of 2 says that counting
takes as long again. A drill is four incidents and a calm twin, in as many worlds as asked for.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from twofa_lab import Policy, simulate
from twofa_lab.analysis.monitoring_drill import drill
from twofa_lab.analysis.monitoring_limits import LimitRules, charts_of
from twofa_lab.analysis.monitoring_tallies import tally_world
from twofa_lab.replay.run import replay_shard

USERS, DAYS, ROUNDS = 20_000, 60, 3


def seconds(*functions: Callable[[], Any]) -> list[float]:
    """Median wall time of each, taken in turn; the first round only compiles."""
    took: list[list[float]] = [[] for _ in functions]
    for _ in range(ROUNDS + 1):
        for times, function in zip(took, functions, strict=True):
            began = time.perf_counter()
            function()
            times.append(time.perf_counter() - began)
    return [statistics.median(times[1:]) for times in took]


def main() -> None:
    world, policy = simulate("us-consumer", users=USERS, days=DAYS), Policy.universal()
    tallies = tally_world(world, policy)
    counted, bare, limits = seconds(
        lambda: tally_world(world, policy, workers=1),
        lambda: [replay_shard(shard, world.facts, policy) for shard in world.shards()],
        lambda: charts_of(tallies, LimitRules()),
    )
    rows = world.facts.logins
    print(f"{rows:,} logins of {DAYS} days counted by hour on one core: {counted:.2f} s")
    print(f"  {counted / bare:.1f} times the bare replay ({bare:.2f} s)")
    print(f"limits and alarms of every figure: {limits:.2f} s")
    began = time.perf_counter()
    found = drill(users=4_000, worlds=2)
    print(f"a drill in 2 worlds of 4,000 accounts: {time.perf_counter() - began:.1f} s")
    print(found)


if __name__ == "__main__":
    main()
