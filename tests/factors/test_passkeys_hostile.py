"""Answers made to break the reader: every one verifies unchanged or is refused, none raises."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from twofa_lab.factors.passkey_refusals import CeremonyError, Refusal
from twofa_lab.factors.passkeys import (
    Assertion,
    RelyingParty,
    authentication,
    presented,
    registration,
    verify_authentication,
    verify_registration,
)
from twofa_lab.factors.soft_authenticator import SoftAuthenticator

ORIGIN = "https://example.org"
RP = RelyingParty("example.org", "Example", (ORIGIN,))
HANDLE = b"h" * 32


class Signed:
    """A synced key registered and one answer of it."""

    def __init__(self) -> None:
        device = SoftAuthenticator(synced=True)
        asked = registration(RP, user_handle=HANDLE, user_name="ann")
        self.record = verify_registration(
            RP, asked.challenge, device.register(asked.options, ORIGIN), user_handle=HANDLE
        )
        sign_in = authentication(RP, [self.record.credential_id])
        self.challenge = sign_in.challenge
        self.answer = device.authenticate(sign_in.options, ORIGIN)

    def verify(self, answer: str) -> Assertion:
        return verify_authentication(RP, self.challenge, answer, self.record)


def altered(answer: str, **response: bytes) -> str:
    parsed = json.loads(answer)
    for name, value in response.items():
        parsed["response"][name] = bytes_to_base64url(value)
    return json.dumps(parsed)


@pytest.mark.parametrize(
    "statement",
    [
        b"",
        b"\xa0",
        b"\x81" * 20_000,  # arrays in arrays in arrays
        b"\xbf" * 20_000,
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",  # an array of 2^64 - 1 members
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",  # a byte string of 2^63 - 1 bytes
        cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": b"short"}),
        cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": "text"}),
        cbor2.dumps({"fmt": 7, "attStmt": [], "authData": bytes(200)}),
    ],
)
def test_hostile_cbor_is_malformed(statement: bytes) -> None:
    asked = registration(RP, user_handle=HANDLE, user_name="ann")
    answer = altered(
        SoftAuthenticator().register(asked.options, ORIGIN), attestationObject=statement
    )
    with pytest.raises(CeremonyError) as caught:
        verify_registration(RP, asked.challenge, answer, user_handle=HANDLE)
    assert caught.value.reason is Refusal.MALFORMED


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", '"x"', "{", '{"rawId": 7, "response": {}}', '{"rawId": "AA"}',
     '{"rawId": "AA", "response": []}', "[" * 60_000, "{}" + " " * 70_000,
     '{"rawId": "AA", "response": {"userHandle": 7}}', "\ud800"],
)  # fmt: skip
def test_what_is_no_answer_is_malformed(text: str) -> None:
    record = Signed().record
    for attempt in (
        lambda: presented(text),
        lambda: verify_authentication(RP, b"c" * 32, text, record),
        lambda: verify_registration(RP, b"c" * 32, text, user_handle=HANDLE),
    ):
        with pytest.raises(CeremonyError) as caught:
            attempt()
        assert caught.value.reason is Refusal.MALFORMED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


FIELDS = (
    "id", "rawId", "type", "response",
    "clientDataJSON", "authenticatorData", "signature", "userHandle",
)  # fmt: skip


@given(path=st.sampled_from(FIELDS), value=JSON)
def test_an_answer_with_anything_in_a_field_verifies_unchanged_or_is_refused(
    path: str, value: Any
) -> None:
    signed = Signed()
    parsed = json.loads(signed.answer)
    target = parsed if path in parsed else parsed["response"]
    target[path] = value
    try:
        assert signed.verify(json.dumps(parsed)) == signed.verify(signed.answer)
        assert path == "userHandle"  # the one field that may be left out after a user name
        assert not value
    except CeremonyError:
        pass


@given(
    name=st.sampled_from(["clientDataJSON", "authenticatorData", "signature"]),
    position=st.integers(0, 2**16),
)
def test_a_flipped_bit_anywhere_in_what_is_signed_is_refused(name: str, position: int) -> None:
    signed = Signed()
    value = bytearray(base64url_to_bytes(json.loads(signed.answer)["response"][name]))
    byte, bit = divmod(position % (8 * len(value)), 8)
    value[byte] ^= 1 << bit
    with pytest.raises(CeremonyError):
        signed.verify(altered(signed.answer, **{name: bytes(value)}))
