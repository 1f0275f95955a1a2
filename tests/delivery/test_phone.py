import re
import string

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from twofa_lab.delivery.phone import REFUSED_TYPES, PhoneNumber, mask, parse, takes
from twofa_lab.errors import InputError

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
EXPECTED = {
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE: "landline",
    PhoneNumberType.VOIP: "voip",
}


def examples(kind: int) -> list[tuple[str, phonenumbers.PhoneNumber]]:
    found = [(region, phonenumbers.example_number_for_type(region, kind)) for region in REGIONS]
    return [(region, number) for region, number in found if number is not None]


def e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@pytest.mark.parametrize(("kind", "at_least"), [
    (PhoneNumberType.MOBILE, 240), (PhoneNumberType.FIXED_LINE, 240), (PhoneNumberType.VOIP, 60),
])  # fmt: skip
def test_every_region_s_example_numbers_are_read_and_classified(kind: int, at_least: int) -> None:
    found = examples(kind)
    assert len(found) >= at_least
    for region, number in found:
        for text, where in (
            (e164(number), None),
            (phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL), None),
            (phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL), region),
        ):
            phone = parse(text, where)
            assert phone.e164 == e164(number)
            assert f"+{phone.country_code}{phone.national}" == phone.e164
            ranges_shared = phonenumbers.number_type(number) == (
                PhoneNumberType.FIXED_LINE_OR_MOBILE
            )
            assert phone.line_type == ("unknown" if ranges_shared else EXPECTED[kind])


@pytest.mark.parametrize("kind", sorted(REFUSED_TYPES))
def test_every_region_s_costly_and_faceless_ranges_are_refused(kind: int) -> None:
    found = examples(kind)
    assert len(found) >= 15
    for _, number in found:
        with pytest.raises(InputError, match=r"no code is sent there"):
            parse(e164(number))


@pytest.mark.parametrize("text", ["+870773111632", "+883510000000000", "+88213123456", "+97912345"])
def test_numbers_of_no_country_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)


@pytest.mark.parametrize("text", [
    "", "+", "112", "+1 202 555", "2025550167", "+44 7400 123456 ext. 5", "+44 7400 123456~5",
    "+44 7400 123456;ext=5",
    "+44 7400 123456 +44 7400 123457", "*31#+447400123456", "call +447400123456", "+447400" * 30,
    "+44 7400 12345\N{LATIN SMALL LETTER A}", "tel:+447400123456", "+999123456789", "\x00", "٣",
])  # fmt: skip
def test_what_is_no_single_valid_number_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)


def test_a_national_number_needs_its_country() -> None:
    with pytest.raises(InputError, match="country code"):
        parse("07400 123456")
    assert parse("07400 123456", "GB").e164 == "+447400123456"
    with pytest.raises(InputError, match="region"):
        parse("07400 123456", "XX")


def test_digits_and_separators_of_the_world_are_normalised() -> None:
    for text in ("+44 (7400) 123-456", "+44.7400.123456", "\uff0b\uff14\uff147400123456",
                 "\u202a+44 7400 123456\u202c", "+٤٤٧٤٠٠١٢٣٤٥٦", " +447400123456 "):  # fmt: skip
        assert parse(text).e164 == "+447400123456"


def test_a_landline_takes_voice_only() -> None:
    assert not takes("landline", "sms")
    assert not takes("landline", "whatsapp")
    assert takes("landline", "voice")
    for line_type in ("mobile", "voip", "unknown"):
        assert all(takes(line_type, channel) for channel in ("sms", "whatsapp", "voice"))


def test_a_number_never_prints_whole() -> None:
    phone = parse("+447400123456")
    for text in (str(phone), repr(phone), f"{phone}", f"{(phone,)}", f"{phone!s:>20}"):
        assert "7400" not in text
        assert "+44•••••••56" in text


@given(
    st.sampled_from([e164(number) for _, number in examples(PhoneNumberType.MOBILE)]),
    st.lists(st.sampled_from([" ", "-", ".", " (", ") ", "/", "\u2011", "\u00a0"]), min_size=20),
)
def test_separators_between_digits_change_nothing(number: str, separators: list[str]) -> None:
    digits = number[1:]
    spread = "".join(
        digit + separator for digit, separator in zip(digits, separators, strict=False)
    )
    text = "+" + (spread if len(separators) >= len(digits) else digits)
    if len(text) > 64:
        with pytest.raises(InputError, match="characters"):
            parse(text)
    else:
        assert parse(text).e164 == number


@given(st.text(max_size=80) | st.text(alphabet=string.digits + "+ ()-", max_size=30))
def test_any_text_gives_a_number_or_one_clear_line_without_it(text: str) -> None:
    for region in (None, "US", "GB", "IT"):
        try:
            phone = parse(text, region)
        except InputError as error:
            message = str(error)
            assert "\n" not in message
            shown = re.sub(r"at most 64 characters", "", message)
            assert not re.search(r"[0-9]{5}", shown)
        else:
            assert isinstance(phone, PhoneNumber)
            assert re.fullmatch(r"\+[1-9][0-9]{4,14}", phone.e164)


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_a_mask_shows_country_and_two_digits_whatever_the_length(number: str) -> None:
    masked = mask(number)
    match = re.fullmatch(r"\+([0-9]{0,3})•{7}([0-9]{2})", masked)
    assert match is not None
    assert number[1:].startswith(match[1])
    assert number.endswith(match[2])


@given(st.text())
def test_a_mask_of_anything_else_shows_nothing(text: str) -> None:
    if not re.fullmatch(r"\+[1-9][0-9]{4,14}", text):
        assert mask(text) == "•••••••"
