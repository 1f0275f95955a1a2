"""Recovery codes: ten look-up secrets (NIST SP 800-63B-4 §3.1.2), each good for one sign-in.

A code is 16 letters in four groups, `7KQ4-M2XP-9TDR-W3HB`. The first group is a look-up prefix,
different for each of the ten and kept in clear: it finds the one row to check, so a check costs
exactly one hash, and it lets a page say *which* codes are left. The other twelve letters, 60 random
bits, are kept under Argon2id with a salt of 128 bits.

Why not 112-bit codes under a fast keyed hash, the other way §3.1.2 leaves open: those are 23
letters beside a prefix, in the hand of somebody who just lost a phone; and a code lies in a drawer
for years, while a keyed hash is lost with its key. The price is one slow hash a check. It is kept
small on purpose: §3.1.2.2 allows a small work factor because the codes are random. At
4 MiB and one pass, 2 ms on the machine this was written on, half of 2^60 codes take some forty
million core-years.

§3.1.2.2 has the verifier ask for *a certain* code, "the one that begins with 7KQ4"; taking any of
the ten is the habit of the field and how people who crossed codes out expect it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from twofa_lab.errors import InputError
from twofa_lab.factors.ports import RandomBytes
from twofa_lab.factors.typed import CODE_ALPHABET, base32_of, grouped

__all__ = [
    "CODE_LENGTH",
    "HashCost",
    "NewRecoveryCodes",
    "RecoveryRules",
    "StoredRecoveryCode",
    "TypedRecoveryCode",
    "generate",
    "is_low",
    "matches",
    "parse",
    "parse_length",
    "random_code",
    "store_form",
]

PREFIX_LENGTH = 4
SECRET_LENGTH = 12
CODE_LENGTH = PREFIX_LENGTH + SECRET_LENGTH


@dataclass(frozen=True)
class HashCost:
    """Argon2id's cost: passes and memory; see the module for why it is small."""

    passes: int = 1
    memory_kib: int = 4096

    def __post_init__(self) -> None:
        if self.passes < 1 or self.memory_kib < 8:
            raise InputError("Argon2id needs at least one pass and 8 KiB")


@dataclass(frozen=True)
class RecoveryRules:
    """How many codes a set has (the guide: 8 to 10) and from how few on to warn (assumption)."""

    count: int = 10
    low_count: int = 3
    cost: HashCost = HashCost()

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 100:
            raise InputError(f"a set has 1 to 100 recovery codes, not {self.count}")


@dataclass(frozen=True)
class StoredRecoveryCode:
    """One row of the store.

    It is spent once its `used_at` is set or its set is not the account's current one.
    """

    set_id: str
    prefix: str
    code_hash: bytes = field(repr=False)


@dataclass(frozen=True)
class NewRecoveryCodes:
    """A fresh set.

    Show `codes` once, keep `stored`, and make `set_id` the account's current set in the same
    transaction, which revokes the set before.
    """

    set_id: str
    codes: tuple[str, ...] = field(repr=False)
    stored: tuple[StoredRecoveryCode, ...]


@dataclass(frozen=True)
class TypedRecoveryCode:
    """What somebody typed: the prefix to look the row up by, the rest to check against it."""

    prefix: str
    secret: str = field(repr=False)


def generate(
    rules: RecoveryRules, random_bytes: RandomBytes = secrets.token_bytes
) -> NewRecoveryCodes:
    """A new set of codes.

    >>> new = generate(RecoveryRules(cost=HashCost(memory_kib=8)))
    >>> len(new.codes), len({row.prefix for row in new.stored})
    (10, 10)
    >>> new.codes[0] in repr(new)
    False
    """
    set_id = random_bytes(16).hex()
    codes: dict[str, str] = {}
    while len(codes) < rules.count:
        code = random_code(CODE_LENGTH, random_bytes)
        codes.setdefault(code[:PREFIX_LENGTH], code)
    return NewRecoveryCodes(
        set_id,
        codes=tuple(grouped(code) for code in codes.values()),
        stored=tuple(store_form(set_id, code, rules.cost) for code in codes.values()),
    )


def parse(typed: str) -> TypedRecoveryCode | None:
    """The code somebody typed, or None when it can be none; case, spaces and dashes do not matter.

    >>> parse("7kq4 m2xp 9tdr w3hb").prefix
    '7KQ4'
    >>> parse("7kq4 m2xp") is None
    True
    """
    return parse_length(typed, CODE_LENGTH)


def matches(stored: StoredRecoveryCode | None, typed: TypedRecoveryCode, cost: HashCost) -> bool:
    """Whether `typed` is the unspent code `stored`, found by set and prefix; one hash either way.

    Without a row the same work is done for nothing, so time does not tell that the prefix, or the
    account, is unknown. On True the caller spends the code by a conditional UPDATE (see the
    package's table).
    """
    hasher = _hasher(cost)
    if stored is None or stored.prefix != typed.prefix:
        hasher.hash(typed.secret)
        return False
    try:
        return hasher.verify(stored.code_hash, _bound(stored.set_id, typed.secret))
    except (Argon2Error, InvalidHashError):
        return False


def is_low(unspent: int, rules: RecoveryRules) -> bool:
    """Whether so few codes are left that the person should be told to make new ones.

    >>> is_low(3, RecoveryRules()), is_low(4, RecoveryRules())
    (True, False)
    """
    return unspent <= rules.low_count


def random_code(length: int, random_bytes: RandomBytes) -> str:
    """Random letters of the code alphabet, five bits each."""
    return "".join(CODE_ALPHABET[byte % len(CODE_ALPHABET)] for byte in random_bytes(length))


def store_form(set_id: str, code: str, cost: HashCost) -> StoredRecoveryCode:
    """What the store keeps of a code: the prefix, and Argon2id of the rest with salt and cost."""
    prefix, secret = code[:PREFIX_LENGTH], code[PREFIX_LENGTH:]
    return StoredRecoveryCode(set_id, prefix, _hasher(cost).hash(_bound(set_id, secret)).encode())


def parse_length(typed: str, length: int) -> TypedRecoveryCode | None:
    """A typed code of that many letters, prefix apart, or None."""
    code = base32_of(typed, length)
    if code is None:
        return None
    return TypedRecoveryCode(code[:PREFIX_LENGTH], code[PREFIX_LENGTH:])


def _bound(set_id: str, secret: str) -> str:
    """Tie a code to its set: a row copied into another set checks no more."""
    return f"{set_id}:{secret}"


def _hasher(cost: HashCost) -> PasswordHasher:
    return PasswordHasher(time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=1)
