"""How the package's loops are compiled: one decorator for functions, one for their small parts.

`loop` compiles a function that allocates nothing: it releases the interpreter lock, is kept on
disk between processes, and does not count references to the arrays it is given, which would cost
more than the work (a field taken from a tuple of arrays is otherwise counted up and down, two calls
each; measured on the replay: 54 against 23 ns a login). `part` also copies itself into its callers.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["loop", "mix", "part"]

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
loop = nb.njit(**_OPTIONS)
part = nb.njit(**_OPTIONS, inline="always")


@part
def mix(value: np.uint64) -> np.uint64:
    """SplitMix64 (Steele, Lea and Flood 2014): a well-mixed 64-bit number for each 64-bit number.

    >>> int(mix(np.uint64(0)))  # the first output of the reference generator seeded with 0
    16294208416658607535
    """
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
