"""Spoilt copies of valid input, and what has to hold of whatever reads them.

Seeded, so that a red run stays red. `TWOFA_LAB_FUZZ=20` in the environment makes twenty times as
many inputs and others than those of a plain run:

    TWOFA_LAB_FUZZ=20 .venv/bin/pytest tests/fuzz -s
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from twofa_lab.errors import LabError

TIMES = int(os.environ.get("TWOFA_LAB_FUZZ", "1"))
HANGS_AFTER = 60
"""Seconds after which one input counts as a hang: a guard and no measurement. A test's whole
share takes far less."""

MOST_MEMORY = 600 << 20
"""Bytes that reading one kind of input may add to the process: imports, compiled code and the
inputs themselves included."""

TOKENS = tuple(
    text.encode("utf-8", "surrogatepass")
    for text in (
        "", "0", "-1", "1e400", "-0.0", "NaN", "inf", "null", "true", "no", "~", "9" * 400,
        str(2**31), str(2**63), str(-(2**63) - 1), str(2**64), "0x10", "1_000", "\0", "\n", "\r\n",
        "\t", " ", ",", '"', "'", "{", "}", "[", "]", ":", "&a", "*a", "<<: *a",
        "!!python/name:os.system",
        "!!python/object/apply:os.system ['touch /tmp/owned']", "../../../etc/passwd", "/dev/zero",
        "%s%n", "{0.__class__}", "$(id)", "\u202e", "\ufeff", "\ud800",
        "\uff11\uff12\uff13", "é" * 50, "A" * 5_000,
        "[" * 2_000, "{\"a\":" * 500, "2026-99-99", "1970-01-01", "9999-12-31T23:59:59Z", "=1+1",
    )
)  # fmt: skip


def rng_of(name: str) -> random.Random:
    """The random numbers of one kind of input."""
    return random.Random(f"{name}/{TIMES}")  # noqa: S311 - a test's


def count(plain: int) -> int:
    """How many inputs to make where a plain run makes that many."""
    return plain * TIMES


def spoilt(sample: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """One sample with one to four things done to it."""
    data = bytearray(sample)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _spoil(data, rng, others)
    return bytes(data)


def _spoil(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    to = min(len(data), at + rng.choice((1, 1, 2, 4, 16, 200)))
    match rng.randrange(8):
        case 0 if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case 1:
            data[at:to] = rng.randbytes(to - at)
        case 2:
            del data[at:to]
        case 3:
            data[at:at] = data[at:to] * rng.choice((1, 2, 50))
        case 4:
            del data[at:]
        case 5:
            data[at:to] = rng.choice(TOKENS)
        case 6 if others:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            data[at:to] = other[start : start + rng.choice((4, 40, 400))]
        case _:
            data[at:at] = rng.choice(TOKENS)


def spoilt_many(samples: Sequence[bytes], many: int, rng: random.Random) -> Iterator[bytes]:
    """The samples as they are, then `many` spoilt ones."""
    yield from samples
    for _ in range(many):
        yield spoilt(rng.choice(samples), rng, samples)


def text_of(data: bytes) -> str:
    """The bytes as text, lone surrogates among it: JSON may bring such."""
    return "\ud800".join(part.decode("utf-8", "replace") for part in data.split(b"\xed\xa0\x80"))


VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**30, -(2**63), float("inf"), float("nan"), "", "x", "\0",
    "\ud800", "9" * 5_000, [], {}, [[]], [None] * 50, {"a": {"b": []}}, "é", ["a", 1], 10**400,
)  # fmt: skip


def spoilt_value(value: Any, rng: random.Random) -> Any:  # noqa: PLR0911 - one a case
    """A JSON-like value with one place in it changed, dropped, added or moved."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        match rng.randrange(8):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {**value, rng.choice(("x", "", "__class__", key + "x")): rng.choice(VALUES)}
            case 2:
                return {**value, key: value[rng.choice(list(value))]}
            case _:
                return {**value, key: spoilt_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        match rng.randrange(6):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value + value[at:] * 3
            case _:
                return [*value[:at], spoilt_value(value[at], rng), *value[at + 1 :]]
    if isinstance(value, str) and rng.random() < 0.5:
        return spoilt(value.encode("utf-8", "surrogatepass"), rng).decode("utf-8", "replace")
    return rng.choice(VALUES)


def survives(
    name: str,
    inputs: Iterable[Any],
    read: Callable[[Any], object],
    *,
    errors: tuple[type[Exception], ...] = (LabError,),
    never_said: tuple[str, ...] = (),
) -> Counter[str]:
    """Read every input: each is taken, or refused by one of `errors` in one line, in which nothing
    of `never_said` stands.

    Prints the count, which pytest shows with -s; returns how many were taken and refused.
    """
    came: Counter[str] = Counter()
    broken: list[str] = []
    before = _peak()
    for given in inputs:
        try:
            with _no_hang():
                read(given)
            came["taken"] += 1
        except errors as error:
            came["refused"] += 1
            if len(str(error).splitlines()) != 1:
                broken.append(f"refused in more or less than a line: {str(error)!r}")
            if any(secret in str(error) for secret in never_said):
                broken.append(f"said a secret: {error}")
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} at {frame.filename}:{frame.lineno}"
            came["tracebacks"] += 1
            broken.append(f"{where}: {str(error)[:200]!r} for {repr(given)[:400]}")
    grown = _peak() - before
    total = came["taken"] + came["refused"] + came["tracebacks"]
    print(  # noqa: T201 - a count to see
        f"{name}: {total:,} inputs, {came['taken']:,} taken, {came['refused']:,} refused, "
        f"{came['tracebacks']:,} tracebacks, {grown >> 20:,} MiB more at the most"
    )
    assert not broken, f"{len(broken)} of {total}:\n" + "\n".join(dict.fromkeys(broken[:200]))
    assert grown < MOST_MEMORY, f"{name} took {grown:,} bytes"
    return came


def _peak() -> int:
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


class HangError(BaseException):
    """One input took too long. Not an `Exception`, so that no reader takes it for its own."""


@contextmanager
def _no_hang() -> Iterator[None]:
    def alarm(_: int, frame: FrameType | None) -> None:
        raise HangError(f"still busy after {HANGS_AFTER} s")

    before = signal.signal(signal.SIGALRM, alarm)
    signal.alarm(HANGS_AFTER)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
