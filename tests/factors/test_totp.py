from __future__ import annotations

import io
import secrets
from inspect import signature
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET

import numpy as np
import pyotp
import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from twofa_lab.errors import InputError
from twofa_lab.factors.totp import Enrolment, TotpRules, TotpSecret, match, new_secret

KEY = TotpSecret(b"12345678901234567890")

RFC_4226_APPENDIX_D = (
    "755224", "287082", "359152", "969429", "338314",
    "254676", "287922", "162583", "399871", "520489",
)  # fmt: skip

RFC_6238_SEEDS = {
    "sha1": b"12345678901234567890",
    "sha256": b"12345678901234567890123456789012",
    "sha512": b"1234567890123456789012345678901234567890123456789012345678901234",
}
RFC_6238_APPENDIX_B = (
    (59, "94287082", "46119246", "90693936"),
    (1_111_111_109, "07081804", "68084774", "25091201"),
    (1_111_111_111, "14050471", "67062674", "99943326"),
    (1_234_567_890, "89005924", "91819424", "93441116"),
    (2_000_000_000, "69279037", "90698825", "38618901"),
    (20_000_000_000, "65353130", "77737706", "47863826"),
)


def code_at(secret: TotpSecret, step: int) -> str:
    return pyotp.TOTP(secret.base32).generate_otp(step)


@pytest.mark.parametrize(("step", "code"), list(enumerate(RFC_4226_APPENDIX_D)))
def test_rfc_4226_appendix_d(step: int, code: str) -> None:
    assert match(KEY, code, step * 30_000, last_step=-1, window=0) == step


@pytest.mark.parametrize("algorithm", RFC_6238_SEEDS)
@pytest.mark.parametrize("row", RFC_6238_APPENDIX_B, ids=lambda row: str(row[0]))
def test_rfc_6238_appendix_b(algorithm: str, row: tuple[int, str, str, str]) -> None:
    seconds, *codes = row
    code = codes[list(RFC_6238_SEEDS).index(algorithm)]
    rules = TotpRules(digits=8, algorithm=algorithm)
    secret = TotpSecret(RFC_6238_SEEDS[algorithm])
    found = match(secret, code, seconds * 1000, last_step=-1, window=0, rules=rules)
    assert found == seconds // 30


def test_one_code_at_0_31_and_61_seconds_succeeds_once() -> None:
    start = 1_700_000_010_000  # a step boundary: 1_700_000_010 is a multiple of 30
    code, last = code_at(KEY, start // 30_000), -1
    successes = 0
    for seconds in (0, 31, 61):
        step = match(KEY, code, start + seconds * 1000, last)
        if step is not None:
            successes, last = successes + 1, step
    assert successes == 1


def test_without_burning_the_same_code_would_pass_for_ninety_seconds() -> None:
    """The documented conflict with ASVS 6.5.5, and what `window=0` does about it."""
    start = 1_700_000_010_000
    code = code_at(KEY, start // 30_000)
    accepted = [s for s in range(-60, 120) if match(KEY, code, start + s * 1000, -1) is not None]
    assert (accepted[0], accepted[-1], len(accepted)) == (-30, 59, 90)
    strict = [s for s in range(-60, 120) if match(KEY, code, start + s * 1000, -1, window=0)]
    assert (strict[0], strict[-1], len(strict)) == (0, 29, 30)


def test_the_enrolment_s_step_is_burned_too() -> None:
    now = 1_700_000_010_000
    code = code_at(KEY, now // 30_000)
    confirmed = match(KEY, code, now, last_step=-1)
    assert confirmed is not None
    assert match(KEY, code, now + 5_000, last_step=confirmed) is None


@given(
    raw=st.binary(min_size=20, max_size=64),
    now_ms=st.integers(0, 2**42),
    skew_steps=st.integers(-4, 4),
    last=st.integers(-1, 2**28),
)
def test_a_step_in_the_window_and_after_the_last_is_found_and_no_other(
    raw: bytes, now_ms: int, skew_steps: int, last: int
) -> None:
    secret = TotpSecret(raw)
    step = max(0, now_ms // 30_000 + skew_steps)
    found = match(secret, code_at(secret, step), now_ms, last)
    if found is None:
        assert abs(step - now_ms // 30_000) > 1 or step <= last
    else:
        assert found > last
        assert abs(found - now_ms // 30_000) <= 1
        assert code_at(secret, found) == code_at(secret, step)


@pytest.mark.parametrize("skew", [-90, -31, -30, 30, 31, 90])
def test_client_skew_is_forgiven_one_step_and_no_further(skew: int) -> None:
    now = 1_700_000_010_000
    typed = code_at(KEY, (now + skew * 1000) // 30_000)
    accepted = match(KEY, typed, now, last_step=-1) is not None
    assert accepted == (skew in {-30, 30, 31})


def test_a_clock_that_steps_back_refuses_until_it_caught_up() -> None:
    now = 1_700_000_010_000
    last = match(KEY, code_at(KEY, now // 30_000), now, last_step=-1)
    assert last is not None
    hour_ago = now - 3_600_000
    assert match(KEY, code_at(KEY, hour_ago // 30_000), hour_ago, last) is None
    later = now + 30_000
    assert match(KEY, code_at(KEY, later // 30_000), later, last) == last + 1


def test_two_steps_with_one_code_are_burned_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyotp.TOTP, "generate_otp", lambda self, step: "123456")
    first = match(KEY, "123456", 3_000_000, last_step=-1)
    assert first == 101
    assert match(KEY, "123456", 3_000_000, last_step=first) is None


def test_every_step_is_computed_whatever_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    def note(self: pyotp.TOTP, step: int) -> str:
        steps.append(step)
        return "123456"

    monkeypatch.setattr(pyotp.TOTP, "generate_otp", note)
    for typed, last in (("123456", -1), ("000000", -1), ("123456", 1000)):
        steps.clear()
        match(KEY, typed, 3_000_000, last)
        assert steps == [99, 100, 101]


def test_what_is_no_code_is_no_match() -> None:
    for typed in ("", "12345", "abcdef", "1234567", "1" * 10_000):
        assert match(KEY, typed, 59_000, last_step=-1) is None
    assert match(KEY, "755224", -1, last_step=-1) == 0  # a clock at the very epoch


def test_a_new_key_has_160_bits_from_the_system_s_generator() -> None:
    assert signature(new_secret).parameters["random_bytes"].default is secrets.token_bytes
    drawn = new_secret()
    assert len(drawn.raw) * 8 == 160
    assert drawn.raw != new_secret().raw


def test_base32_reads_back_even_with_spaces_and_case() -> None:
    secret = new_secret()
    text = secret.base32.lower()
    assert TotpSecret.from_base32(f" {text[:4]} {text[4:]} ") == secret


@pytest.mark.parametrize("text", ["", "GEZDGNBV", "0189" * 8, "ÄÖÜ" * 10, "ABCDEFGHA"])
def test_a_bad_key_is_one_clear_line_without_the_key(text: str) -> None:
    with pytest.raises(InputError) as caught:
        TotpSecret.from_base32(text)
    assert "\n" not in str(caught.value)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    "bad", [{"digits": 5}, {"digits": 9}, {"step_seconds": 0}, {"step_seconds": 121},
            {"algorithm": "md5"}]
)  # fmt: skip
def test_rules_outside_the_standard_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        TotpRules(**bad)


def test_a_negative_window_is_refused() -> None:
    with pytest.raises(InputError, match="window"):
        match(KEY, "123456", 0, -1, window=-1)


@pytest.mark.parametrize("account", ["", "  ", "a:b", "a\nb"])
def test_an_account_that_would_break_the_uri_is_refused(account: str) -> None:
    with pytest.raises(InputError, match="account"):
        Enrolment(KEY, account, "Example")


class TestEnrolment:
    enrolment = Enrolment(KEY, "ann@example.org", "Example & Söhne")

    def test_the_uri_says_what_an_app_needs(self) -> None:
        uri = urlsplit(self.enrolment.uri)
        assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
        assert unquote(uri.path) == "/Example & Söhne:ann@example.org"
        query = parse_qs(uri.query)
        assert query["secret"] == [KEY.base32]
        assert query["issuer"] == ["Example & Söhne"]

    def test_an_app_that_reads_the_uri_makes_codes_that_match(self) -> None:
        app = pyotp.parse_uri(self.enrolment.uri)
        assert isinstance(app, pyotp.TOTP)
        code = app.at(1_700_000_000)
        assert match(KEY, code, 1_700_000_000_000, -1) == 1_700_000_000 // 30

    def test_the_png_is_the_qr_code_of_the_uri(self) -> None:
        image = Image.open(io.BytesIO(self.enrolment.png())).convert("L")
        expected = segno.make(self.enrolment.uri, error="m", micro=False)
        border, scale = 4, 6
        pixels = np.asarray(image)[
            border * scale : -border * scale, border * scale : -border * scale
        ]
        modules = pixels[scale // 2 :: scale, scale // 2 :: scale] < 128
        assert modules.astype(int).tolist() == [list(row) for row in expected.matrix]

    def test_the_svg_is_an_image_without_the_secret_in_words(self) -> None:
        svg = self.enrolment.svg()
        assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 our own
        assert KEY.base32.encode() not in svg
