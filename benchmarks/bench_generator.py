"""Generator speed: a shard with all its columns, drawn and written, against bare numpy and Parquet.

The yardstick draws as many columns of uniform numbers as the logins table has, and writes the same
table to Parquet with the same settings. Then the same traffic at 10^5, 10^6 and 10^7 logins: the
time should grow as the size does.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from twofa_lab import Scenario, simulate
from twofa_lab.tables import LOGINS
from twofa_lab.traffic.features import vocabularies
from twofa_lab.traffic.simulate import Plan, make_shard
from twofa_lab.traffic.storage import write_shard

ROUNDS = 7


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def one_core(folder: Path) -> None:
    """A shard on one core beside the yardstick, in turn; medians and their ratio."""
    plan = Plan(Scenario.load("us-consumer"), 100_000, 90, 7)
    shard = make_shard(plan, 0)
    words, rng = vocabularies(), np.random.default_rng(7)

    def bare() -> None:
        for _ in LOGINS.columns:
            rng.random(shard.rows, dtype=np.float32)
        write_shard(folder, shard, words)

    ours, yardstick, drawn = [], [], []
    for _ in range(ROUNDS):
        yardstick.append(seconds(bare))
        drawn.append(seconds(lambda: make_shard(plan, 0)))
        ours.append(drawn[-1] + seconds(lambda: write_shard(folder, shard, words)))
    ratio = statistics.median(a / b for a, b in zip(ours, yardstick, strict=True))
    rate = shard.rows / statistics.median(ours) / 1e6
    share = statistics.median(a / b for a, b in zip(drawn, ours, strict=True))
    print(f"{len(LOGINS.columns)} columns, {shard.rows:,} rows on one core:")
    print(f"{rate:.2f} million logins a second, {share:.0%} of it drawing, the rest Parquet")
    print(f"{ratio:.2f} times bare numpy and Parquet")


def growth(folder: Path) -> None:
    """Two threads, to Parquet, at three sizes."""
    before: tuple[int, float] | None = None
    for users in (7_500, 75_000, 750_000):
        out = folder / f"run-{users}"
        began = time.perf_counter()
        world = simulate("us-consumer", users=users, days=90, seed=7, out=out, workers=2)
        took = time.perf_counter() - began
        rows = sum(len(shard.logins["time"]) for shard in world.shards(["time"]))
        line = f"{rows:>12,} rows in {took:7.2f} s, {rows / took / 1e6:.2f} million a second"
        if before:
            line += f"; time x{took / before[1]:.1f} for size x{rows / before[0]:.1f}"
        print(line)
        before = rows, took
        shutil.rmtree(out)


def main() -> None:
    simulate("us-consumer", users=1000, days=7, seed=7)  # compiles
    with tempfile.TemporaryDirectory() as name:
        one_core(Path(name))
        growth(Path(name))


if __name__ == "__main__":
    main()
