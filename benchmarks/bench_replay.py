"""Replay speed: the whole closed loop against a bare compiled loop over the same four signals.

Prints logins a second on one core and their ratio. The yardstick does no more than it must: it
takes every login with the right password as completed, keeps no trust, no limits, no challenge.
"""

from __future__ import annotations

import time

import numba as nb
import numpy as np

from twofa_lab import Policy, compare, simulate
from twofa_lab.replay.run import replay_shard

ROUNDS = 5


@nb.njit(nogil=True)
def bare_signals(  # noqa: C901 - one loop, as bare as it gets
    starts, time_, offset, country, region, device, ok, score, countries, regions
):
    """The four signals and a weighted sum, over account-major rows."""
    hours = np.zeros(24, np.int32)
    ids, seen = np.zeros(64, np.uint64), np.zeros(64, np.int64)
    country_of, region_of = np.zeros(countries, np.int64), np.zeros(regions, np.int64)
    for a in range(len(starts) - 1):
        hours[:] = 0
        known, completed, failed_at, failed = 0, 0, np.int64(-(2**60)), 0
        for i in range(starts[a], starts[a + 1]):
            now = time_[i]
            if not ok[i]:
                failed = failed + 1 if now - failed_at < 1_800_000 else 1
                failed_at = now
                continue
            hour = (now + np.int64(offset[i]) * 60_000) // 3_600_000 % 24
            slot = 0
            while slot < known and ids[slot] != device[i]:
                slot += 1
            points = 0.0
            if slot == known or now - seen[slot] > 2_592_000_000:
                points += 0.5
            if completed > 0:
                if country_of[country[i]] != a + 1:
                    points += 0.6
                elif region_of[region[i]] != a + 1:
                    points += 0.5
            if completed >= 10:
                near = hours[hour - 1] + hours[hour] + hours[(hour + 1) % 24]
                if near * 50 <= completed:
                    points += 0.2
            if failed >= 3 and now - failed_at < 1_800_000:
                points += 0.6
            score[i] = min(points, 1.0)
            if slot == known and known < 63:
                ids[slot] = device[i]
                known += 1
            seen[slot] = now
            country_of[country[i]] = a + 1
            region_of[region[i]] = a + 1
            hours[hour] += 1
            completed += 1


def best(function, rounds: int = ROUNDS) -> float:
    """Shortest wall time of several runs, after one that compiles."""
    function()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    world = simulate("us-consumer", users=80_000, days=90, seed=11)
    shards = list(world.shards())
    rows = sum(shard.rows for shard in shards)
    words = world.facts.vocabularies

    def yardstick() -> None:
        for shard in shards:
            c = shard.logins
            bare_signals(
                shard.starts, c["time"], c["utc_offset_min"], c["country"], c["region"],
                c["device_id"], c["password_ok"], np.zeros(shard.rows), len(words["country"]),
                len(words["region"]),
            )  # fmt: skip

    bare = best(yardstick)
    print(f"{rows:,} rows on one core; bare loop {rows / bare / 1e6:.1f} million logins a second")
    for policy in (Policy.risk_based(), Policy.password_only(), Policy.universal()):
        took = best(lambda p=policy: [replay_shard(s, world.facts, p) for s in shards])
        print(
            f"{policy.name:14} {rows / took / 1e6:6.1f} million logins a second, "
            f"{took / bare:.2f} times the bare loop"
        )
    took = best(lambda: compare(world, workers=2), rounds=2)
    print(f"compare, three policies with intervals, two threads: {rows / took / 1e6:.1f} million/s")


if __name__ == "__main__":
    main()
