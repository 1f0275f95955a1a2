from __future__ import annotations

import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.factors.typed import CODE_ALPHABET, base32_of, digits_of, grouped

DIGIT_CHARS: dict[int, list[str]] = {digit: [] for digit in range(10)}
for _point in range(sys.maxunicode + 1):
    _value = unicodedata.decimal(chr(_point), None)
    if _value is not None:
        DIGIT_CHARS[_value].append(chr(_point))

SPACINGS = st.text(" \t\n-\u00a0\u2009\u200b\u200e\u2010\u2013\u2014\u2212\u3000\ufeff", max_size=3)
SPELLINGS = {"0": "0oO\uff10\uff4f", "1": "1iIlL\uff29\u0661"}


@st.composite
def typed_digits(draw: st.DrawFn) -> tuple[str, str]:
    code = draw(st.text("0123456789", min_size=4, max_size=10))
    typed = draw(SPACINGS)
    for char in code:
        typed += draw(st.sampled_from(DIGIT_CHARS[int(char)])) + draw(SPACINGS)
    return code, typed


@st.composite
def typed_letters(draw: st.DrawFn) -> tuple[str, str]:
    code = draw(st.text(CODE_ALPHABET, min_size=8, max_size=24))
    typed = draw(SPACINGS)
    for char in code:
        full_width = unicodedata.normalize("NFKC", chr(ord(char) + 0xFEE0)) == char
        spellings = SPELLINGS.get(char, char + char.lower())
        if full_width:
            spellings += chr(ord(char) + 0xFEE0)
        typed += draw(st.sampled_from(spellings)) + draw(SPACINGS)
    return code, typed


@given(typed_digits())
def test_digits_of_reads_every_script_and_spacing(case: tuple[str, str]) -> None:
    code, typed = case
    assert digits_of(typed, len(code)) == code


@given(typed_letters())
def test_base32_of_reads_every_spelling_and_spacing(case: tuple[str, str]) -> None:
    code, typed = case
    if len(typed) <= 128:
        assert base32_of(typed, len(code)) == code


@given(st.text(CODE_ALPHABET, max_size=40))
def test_what_is_shown_reads_back(code: str) -> None:
    assert base32_of(grouped(code), len(code)) == code


@given(st.text(max_size=200), st.integers(4, 24))
def test_any_text_gives_a_clean_code_or_none(text: str, length: int) -> None:
    digits = digits_of(text, length)
    assert digits is None or (digits.isascii() and digits.isdigit() and len(digits) == length)
    letters = base32_of(text, length)
    assert letters is None or (set(letters) <= set(CODE_ALPHABET) and len(letters) == length)


def test_what_is_no_code_is_none() -> None:
    for text in ("", "12345", "1234567", "12345a", "12345½", "12345²", "1.23456", "-"):
        assert digits_of(text, 6) is None, text
    for text in ("", "7KQ4M2X", "7KQ4M2XU", "7KQ4M2X!", "7KQ4M2Xß", "7KQ4M2XÉ"):
        assert base32_of(text, 8) is None, text


def test_a_hostile_length_is_refused_at_once() -> None:
    assert digits_of("1" * 10_000_000, 6) is None
    assert digits_of("123456" + " " * 1000, 6) is None
    assert base32_of("A" * 10_000_000, 16) is None


def test_the_alphabet_has_32_letters_none_of_them_ambiguous() -> None:
    assert len(set(CODE_ALPHABET)) == 32
    assert not set("ILOU") & set(CODE_ALPHABET)
