"""Named random streams: every distribution draws from its own.

A stream is keyed by the seed, its name and the account shard, so that adding a draw in one place
changes nothing elsewhere and the number of workers changes nothing at all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from twofa_lab.tables import Array

__all__ = ["GLOBAL", "Streams"]

GLOBAL = 2**32 - 1
"""The shard number of what is drawn once for the whole world."""


@dataclass(frozen=True)
class Streams:
    """The streams of one shard.

    >>> Streams(7, 0).of("hours").random() == Streams(7, 0).of("hours").random()
    True
    >>> Streams(7, 0).of("hours").random() == Streams(7, 1).of("hours").random()
    False
    """

    seed: int
    shard: int
    prefix: str = ""

    def named(self, name: str) -> Streams:
        """The streams of a part of the world, such as one kind of attack."""
        return Streams(self.seed, self.shard, f"{self.prefix}{name}/")

    def of(self, name: str) -> np.random.Generator:
        """A fresh generator at the start of the stream of that name."""
        key = int.from_bytes(hashlib.sha256((self.prefix + name).encode()).digest()[:8], "little")
        sequence = np.random.SeedSequence([self.seed, key, self.shard])
        return np.random.Generator(np.random.SFC64(sequence))

    def uniform(self, name: str, size: int | tuple[int, ...]) -> Array:
        """Uniform float32 draws in [0, 1)."""
        return self.of(name).random(size, dtype=np.float32)

    def keys(self, name: str, size: int | tuple[int, ...]) -> Array:
        """Uniform 64-bit keys."""
        return self.of(name).integers(1, 2**64 - 1, size, dtype=np.uint64)
