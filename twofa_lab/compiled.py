"""How the package's loops are compiled: one decorator for functions, one for their small parts.

`loop` compiles a function that allocates nothing: it releases the interpreter lock, is kept on
disk between processes, and does not count references to the arrays it is given, which would cost
more than the work (a field taken from a tuple of arrays is otherwise counted up and down, two calls
each; measured on the replay: 54 against 23 ns a login). `part` also copies itself into its callers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np

__all__ = ["allocating", "loop", "mix", "part", "sources"]


def sources() -> list[Path]:
    """Every file whose code or constants end up in machine code."""
    package = Path(__file__).parent
    analysis = (f"analysis/{name}.py" for name in ("curve", "segments", "totals"))
    files = [package / name for name in ("compiled.py", "tables.py", *analysis)]
    for room in ("catalog", "risk", "replay", "traffic"):
        files += (package / room).glob("*.py")
    return sorted(files)


@cache
def _cache_folder() -> str:
    """Where this very source's machine code is kept.

    numba looks only at a function's own file to tell whether its cached code is stale; ours call
    each other and freeze constants across files, so the folder is named by all their content.
    """
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.read_bytes())
    package = Path(__file__).parent
    home = package if os.access(package, os.W_OK) else Path.home() / ".cache" / "twofa-lab"
    return str(home / "__pycache__" / f"compiled-{digest.hexdigest()[:16]}")


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    config: Any = nb.config
    elsewhere = config.CACHE_DIR
    config.CACHE_DIR = elsewhere or _cache_folder()
    try:
        return nb.njit(function, cache=True, nogil=True, **options)
    finally:
        config.CACHE_DIR = elsewhere


def loop(function: Callable[..., Any]) -> Any:
    """Compile a function that allocates nothing."""
    return _compile(function, _nrt=False)


def part(function: Callable[..., Any]) -> Any:
    """Compile a small function that allocates nothing into its callers."""
    return _compile(function, _nrt=False, inline="always")


def allocating(function: Callable[..., Any]) -> Any:
    """Compile a function that makes arrays of its own."""
    return _compile(function)


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
