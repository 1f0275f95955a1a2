"""A world's accounts in two halves: fit a scorer on one, tune or judge it on the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.tables import Array
from twofa_lab.traffic.world import Shard, ShardSource, World

__all__ = ["Half", "halves"]

_SHIFT, _FACTOR = np.uint64(32), np.uint64(0x9E3779B97F4A7C15)  # multiplicative hash, Knuth


@dataclass(frozen=True, eq=False)
class Half:
    """The shards of `inner` with half of their accounts: those whose hash has `bit`."""

    inner: ShardSource
    bit: int

    def __len__(self) -> int:
        return len(self.inner)

    def load(self, index: int, columns: Iterable[str] | None) -> Shard:
        """See `ShardSource`."""
        return _of_half(self.inner.load(index, columns), self.bit)


def halves(world: World) -> tuple[World, World]:
    """The world's accounts in two, whatever their order: no account is in both.

    An attacker's campaign may reach into both halves. Times, prices and words are the world's.
    `InputError` if a half would be empty.

    >>> import twofa_lab as lab
    >>> world = lab.simulate("us-consumer", users=100, days=7, seed=1)
    >>> sum(half.facts.users for half in halves(world))
    100
    """
    found = tuple(_half(world, bit) for bit in (0, 1))
    if not all(half.facts.users for half in found):
        raise InputError("too few accounts to part in two: take more users")
    return found[0], found[1]


def _half(world: World, bit: int) -> World:
    source = Half(world.source, bit)
    first, last = world.facts.window
    users = logins = attacks = 0
    for index in range(len(source)):
        shard = source.load(index, ("time", "attack", "signup"))
        time = shard.logins["time"]
        inside = (time >= first) & (time < last) & ~shard.logins["signup"]
        users += len(shard.starts) - 1
        logins += int(inside.sum())
        attacks += int((inside & (shard.logins["attack"] > 0)).sum())
    facts = replace(
        world.facts, users=users, logins=logins, attacks=attacks,
        fingerprint=f"{world.facts.fingerprint}-{bit + 1}of2",
    )  # fmt: skip
    return replace(world, facts=facts, source=source)


def _of_half(shard: Shard, bit: int) -> Shard:
    kept = _bits(shard.people["user_id"]) == bit
    sizes = np.diff(shard.starts)
    rows = np.repeat(kept, sizes)
    return Shard(
        shard.index,
        {name: column[rows] for name, column in shard.logins.items()},
        {name: column[kept] for name, column in shard.people.items()},
        np.append(0, np.cumsum(sizes[kept])).astype(shard.starts.dtype),
    )


def _bits(user_id: Array) -> Array:
    mixed: Array = (user_id.astype(np.uint64) * _FACTOR) >> _SHIFT
    return mixed & np.uint64(1)
