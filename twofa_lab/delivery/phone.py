"""Phone numbers: read, normalised to E.164, classified, masked.

Numbers are read by libphonenumber (through `phonenumbers`). What a code cannot or should not be
sent to is refused here, before any money is spent: invalid numbers, extensions, and the ranges in
`REFUSED_TYPES`, the usual targets of revenue-share fraud.

A `PhoneNumber` prints masked; the full number is only in its `e164`, so that it reaches a log,
an exception or a repr on no one's account but the caller's.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberType

from twofa_lab.errors import InputError

__all__ = ["REFUSED_TYPES", "PhoneNumber", "mask", "parse", "takes"]

REFUSED_TYPES = {
    PhoneNumberType.PREMIUM_RATE: "premium-rate",
    PhoneNumberType.SHARED_COST: "shared-cost",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.PERSONAL_NUMBER: "personal (forwarded at the caller's cost)",
    PhoneNumberType.UAN: "company-wide",
    PhoneNumberType.VOICEMAIL: "voicemail",
    PhoneNumberType.TOLL_FREE: "toll-free",
}
"""Kinds of number no code is sent to, with the word a refusal names them by."""

_LINE_TYPES = {
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE: "landline",
    PhoneNumberType.VOIP: "voip",
    # North America and a few others: the range does not tell the two apart
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "unknown",
}
_LONGEST_INPUT = 64  # 15 digits and every separator people paste
_BULLETS = "•" * 7  # always seven, so that a mask does not tell the length
_E164 = re.compile(r"\+[1-9][0-9]{4,14}")
_PUNCTUATION = frozenset(("+", "\N{FULLWIDTH PLUS SIGN}", ".", "/", "~"))
_CATEGORIES = frozenset(("Nd", "Pd", "Ps", "Pe", "Zs", "Cf"))


@dataclass(frozen=True, slots=True, repr=False)
class PhoneNumber:
    """A valid number a code may be sent to; make one with `parse`.

    `e164` is the full number ("+" and digits), `region` its ISO 3166 country, `line_type` one of
    "mobile", "landline", "voip", "unknown" (the range serves fixed and mobile lines alike).

    >>> parse("(650) 253-0000", "US")
    PhoneNumber(+1•••••••00, US, unknown)
    """

    e164: str = field(repr=False)
    country_code: int
    region: str
    line_type: str

    @property
    def national(self) -> str:
        """The national significant number: E.164 without plus and country code."""
        return self.e164[1 + len(str(self.country_code)) :]

    def __str__(self) -> str:
        return mask(self.e164)

    def __repr__(self) -> str:
        return f"PhoneNumber({mask(self.e164)}, {self.region}, {self.line_type})"


def mask(number: PhoneNumber | str) -> str:
    """A number as it may be shown and logged: country code and the last two digits.

    Text that is not an E.164 number is masked whole, since nothing is known of it.

    >>> mask("+12025550167")
    '+1•••••••67'
    >>> mask("call 0800-SECRET")
    '•••••••'
    """
    e164 = number.e164 if isinstance(number, PhoneNumber) else number
    if not _E164.fullmatch(e164):
        return _BULLETS
    for digits in (1, 2, 3):
        if int(e164[1 : 1 + digits]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return f"{e164[: 1 + digits]}{_BULLETS}{e164[-2:]}"
    return f"+{_BULLETS}{e164[-2:]}"


@lru_cache(maxsize=4096)  # the same people log in again and again
def parse(text: str, region: str | None = None) -> PhoneNumber:
    """Read a number as a person typed it; national form needs the `region` (ISO 3166) it is of.

    `InputError`, in one line that never repeats the number, for everything that is not a valid
    number a code may be sent to.

    >>> parse("+44 7400 123456").line_type
    'mobile'
    >>> parse("+44 20 7183 8750").line_type
    'landline'
    >>> parse("+1 900 253 0000")
    Traceback (most recent call last):
    twofa_lab.errors.InputError: phone number +1•••••••00 is a premium-rate number; no code is sent
    there
    """
    _refuse_other_text(text)
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise InputError("the phone number's region is not a two-letter country code")
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        hint = ""
        if error.error_type == NumberParseException.INVALID_COUNTRY_CODE:
            hint = "; begin with + and the country code, or say which country it is of"
        raise InputError(f"this is not a phone number{hint}") from None
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if number.extension:
        raise InputError("a phone number with an extension cannot receive a code")
    kind = phonenumbers.number_type(number)
    where = phonenumbers.region_code_for_number(number)
    if kind == PhoneNumberType.UNKNOWN or where is None:
        raise InputError(f"phone number {mask(e164)} is not valid; check its digits")
    if kind in REFUSED_TYPES:
        raise InputError(
            f"phone number {mask(e164)} is a {REFUSED_TYPES[kind]} number; no code is sent there"
        )
    if where == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
        raise InputError(
            f"phone number {mask(e164)} belongs to no country (satellite or international "
            "network); no code is sent there"
        )
    return PhoneNumber(e164, number.country_code or 0, where, _LINE_TYPES[kind])


def takes(line_type: str, channel: str) -> bool:
    """Whether a line of that type can receive a message on that channel: a landline only voice.

    >>> takes("landline", "sms"), takes("landline", "voice"), takes("unknown", "sms")
    (False, True, True)
    """
    return channel == "voice" or line_type != "landline"


def _refuse_other_text(text: str) -> None:
    """Refuse what libphonenumber would quietly drop: words, dial codes."""
    if len(text) > _LONGEST_INPUT:
        raise InputError(f"a phone number has at most {_LONGEST_INPUT} characters")
    if any(
        character not in _PUNCTUATION and unicodedata.category(character) not in _CATEGORIES
        for character in text.strip()
    ):
        raise InputError("a phone number has digits, spaces and ( ) - . / only")
