from __future__ import annotations

import hmac
import random

import pytest

from twofa_lab.factors.ports import RandomBytes
from twofa_lab.factors.recovery_codes import HashCost


class FixedKeys:
    """A keyed hash with a key per purpose, as the store's keyring gives."""

    def mac(self, data: bytes, purpose: str) -> bytes:
        return hmac.digest(b"test key " + purpose.encode(), data, "sha256")


@pytest.fixture(scope="session")
def keys() -> FixedKeys:
    return FixedKeys()


@pytest.fixture
def seeded() -> RandomBytes:
    return random.Random(20260101).randbytes  # noqa: S311 - repeatable on purpose


@pytest.fixture(scope="session")
def cheap() -> HashCost:
    """Argon2 at its floor: the tests are about rules, not about cost."""
    return HashCost(memory_kib=8)
