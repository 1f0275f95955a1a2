"""What the factors are given from outside: randomness, a keyed hash, and the age of things."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twofa_lab.catalog.factors import MAX_CLOCK_STEP_MS

__all__ = ["KeyedHash", "RandBelow", "RandomBytes", "is_alive"]

RandomBytes = Callable[[int], bytes]
"""Gives that many random bytes; `secrets.token_bytes` outside tests and simulations."""

RandBelow = Callable[[int], int]
"""Gives a whole number in [0, n); `secrets.randbelow` outside tests and simulations."""


class KeyedHash(Protocol):
    """A keyed hash (HMAC) whose key the caller cannot see; the store's keyring is one."""

    def mac(self, data: bytes, purpose: str) -> bytes:
        """The hash of `data` under the key set apart for `purpose`."""
        ...


def is_alive(issued_ms: int, now_ms: int, life_seconds: int) -> bool:
    """Whether something issued at `issued_ms` may still be used at `now_ms`, the end included.

    >>> is_alive(0, 600_000, 600), is_alive(0, 600_001, 600)
    (True, False)
    >>> is_alive(90_000, 0, 600), is_alive(90_001, 0, 600)  # the clock was set back
    (True, False)
    """
    age_ms = now_ms - issued_ms
    return -MAX_CLOCK_STEP_MS <= age_ms <= life_seconds * 1000
