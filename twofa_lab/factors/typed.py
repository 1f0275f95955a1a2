"""What people type, brought to one form: digits of any script, spaces and dashes of any kind.

Both readers answer None for what cannot be a code at all; such an entry is refused without being
looked at further. They never raise, whatever the text.
"""

from __future__ import annotations

import unicodedata

__all__ = ["CODE_ALPHABET", "base32_of", "digits_of", "grouped"]

CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O or U, so nothing is read for something else."""

_LOOKALIKES = {"O": "0", "I": "1", "L": "1"}
_MINUS = "\N{MINUS SIGN}"
_LONGEST = 128
"""Longer text is no code of ours; the bound keeps a hostile megabyte from being walked."""


def digits_of(typed: str, length: int) -> str | None:
    """The code of `length` ASCII digits somebody typed, or None.

    Spaces, dashes and invisible marks are dropped; decimal digits of every script count.

    >>> digits_of(" 123-456 ", 6)
    '123456'
    >>> digits_of("１２３٤٥٦", 6)  # full-width and Arabic digits
    '123456'
    >>> digits_of("12345a", 6) is None
    True
    """
    if len(typed) > _LONGEST:
        return None
    digits = []
    for char in typed:
        digit = unicodedata.decimal(char, None)
        if digit is not None:
            digits.append(str(digit))
        elif not _is_spacing(char):
            return None
    return "".join(digits) if len(digits) == length else None


def base32_of(typed: str, length: int) -> str | None:
    """The code of `length` letters of `CODE_ALPHABET` somebody typed, or None.

    Case, spaces and dashes do not matter; O is read as 0, I and L as 1.

    >>> base32_of("7kq4 - m2xo", 8)
    '7KQ4M2X0'
    >>> base32_of("7KQ4-M2XU", 8) is None  # U is not in the alphabet
    True
    """
    if len(typed) > _LONGEST:
        return None
    letters = []
    for char in typed:
        if _is_spacing(char):
            continue
        letter = _letter(char)
        if letter is None:
            return None
        letters.append(letter)
    return "".join(letters) if len(letters) == length else None


def grouped(code: str, size: int = 4) -> str:
    """The code in groups, as it is shown.

    >>> grouped("7KQ4M2XP9TDR")
    '7KQ4-M2XP-9TDR'
    """
    return "-".join(code[i : i + size] for i in range(0, len(code), size))


def _letter(char: str) -> str | None:
    digit = unicodedata.decimal(char, None)
    if digit is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", char)  # full-width letters
    if not plain.isascii():
        return None
    letter = _LOOKALIKES.get(plain.upper(), plain.upper())
    return letter if len(letter) == 1 and letter in CODE_ALPHABET else None


def _is_spacing(char: str) -> bool:
    return char.isspace() or char == _MINUS or unicodedata.category(char) in {"Pd", "Cf"}
