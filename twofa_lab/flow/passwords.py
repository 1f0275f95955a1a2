"""Passwords: what may be one, how it is kept, how it is checked in the same time for everybody."""

from __future__ import annotations

import unicodedata
from typing import Protocol

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from twofa_lab.errors import InputError

__all__ = ["Argon2Passwords", "Passwords", "checked_password"]

SHORTEST, LONGEST = 8, 256


class Passwords(Protocol):
    """How passwords are hashed. `decoy` is a hash no password has: checking against it does the
    work of a check, for accounts that do not exist.
    """

    @property
    def decoy(self) -> str:
        """A hash that nothing matches."""
        ...

    def hash(self, password: str) -> str:
        """What the store keeps."""
        ...

    def verify(self, stored: str, password: str) -> bool:
        """Whether the password is the stored one; never raises."""
        ...


class Argon2Passwords:
    """Argon2id at the cost OWASP recommends: two passes over 19 MiB, about 30 ms.

    >>> passwords = Argon2Passwords(passes=1, memory_kib=8)
    >>> kept = passwords.hash("correct horse")
    >>> passwords.verify(kept, "correct horse"), passwords.verify(passwords.decoy, "anything")
    (True, False)
    """

    def __init__(self, passes: int = 2, memory_kib: int = 19_456) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        # 8 characters are the least a password has, so no password is the empty one
        self.decoy = self._hasher.hash("")

    def hash(self, password: str) -> str:
        """See `Passwords.hash`."""
        return self._hasher.hash(_bytes(password))

    def verify(self, stored: str, password: str) -> bool:
        """See `Passwords.verify`."""
        try:
            return self._hasher.verify(stored, _bytes(password)) and stored != self.decoy
        except (Argon2Error, InvalidHashError):
            return False


def _bytes(password: str) -> bytes:
    """UTF-8, halves of surrogate pairs as well: any text has a hash."""
    return password.encode(errors="surrogatepass")


def checked_password(password: str, name: str) -> str:
    """A new password in normal form (NFC), or `InputError`.

    At least 8 characters beside a second factor and no rules of composition (NIST SP 800-63B-4
    3.1.1.2); a list of breached passwords is the caller's to add.

    >>> checked_password("short", "ann")
    Traceback (most recent call last):
    twofa_lab.errors.InputError: a password has 8 to 256 characters
    """
    plain = unicodedata.normalize("NFC", password)
    if not SHORTEST <= len(plain) <= LONGEST:
        raise InputError(f"a password has {SHORTEST} to {LONGEST} characters")
    if plain.casefold() == name.casefold():
        raise InputError("the password is the login name; choose another")
    return plain
