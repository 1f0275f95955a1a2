"""Test vectors of W3C WebAuthn Level 3, section "Test Vectors": nine of its fifteen pairs.

The rest use what a registration here never asks for: ES384, ES512 and Ed448 keys, and TPM, Android
and Apple attestation. Of the nine, two come from an embedded page, which this relying party
refuses, and the U2F attestation carries a model id that py_webauthn insists be zero.
"""

from __future__ import annotations

import json
from pathlib import Path

import cbor2
import pytest
from webauthn.helpers import bytes_to_base64url

from twofa_lab.factors.passkey_refusals import CeremonyError, Refusal
from twofa_lab.factors.passkeys import (
    PasskeyRecord,
    RelyingParty,
    verify_authentication,
    verify_registration,
)

VECTORS: dict[str, dict[str, dict[str, bytes]]] = {
    entry["name"]: {
        ceremony: {name: bytes.fromhex(value) for name, value in entry[ceremony].items()}
        for ceremony in ("registration", "authentication")
    }
    for entry in json.loads(
        (Path(__file__).parent / "data" / "webauthn_l3_vectors.json").read_text("utf-8")
    )
}
EMBEDDED = {"none.ES256.crossOrigin", "none.ES256.topOrigin"}
U2F = {"fido-u2f.ES256"}
HOLD = sorted(set(VECTORS) - EMBEDDED - U2F)

# some vectors were made without user verification
RP = RelyingParty("example.org", "W3C", ("https://example.org",), require_user_verification=False)


def attested(name: str) -> tuple[bytes, bytes, int]:
    """Credential id, public key and flags inside a vector's attestation object."""
    data = cbor2.loads(VECTORS[name]["registration"]["attestationObject"])["authData"]
    end = 55 + int.from_bytes(data[53:55], "big")
    return data[55:end], data[end:], data[32]


def answer(name: str, ceremony: str, *fields: str) -> str:
    credential_id = bytes_to_base64url(attested(name)[0])
    response = {field: bytes_to_base64url(VECTORS[name][ceremony][field]) for field in fields}
    return json.dumps(
        {"id": credential_id, "rawId": credential_id, "type": "public-key", "response": response}
    )


def register(name: str) -> PasskeyRecord:
    text = answer(name, "registration", "clientDataJSON", "attestationObject")
    challenge = VECTORS[name]["registration"]["challenge"]
    return verify_registration(RP, challenge, text, user_handle=b"h")


def authenticate(name: str, record: PasskeyRecord, rp: RelyingParty = RP) -> tuple[int, bool, bool]:
    text = answer(name, "authentication", "clientDataJSON", "authenticatorData", "signature")
    done = verify_authentication(rp, VECTORS[name]["authentication"]["challenge"], text, record)
    return done.sign_count, done.backed_up, done.user_verified


def record_of(name: str) -> PasskeyRecord:
    """The record without its registration, for vectors whose registration is refused."""
    credential_id, public_key, flags = attested(name)
    return PasskeyRecord(
        credential_id, public_key, b"h", "passkey", 0, bool(flags & 8), bool(flags & 16), False
    )


def test_nine_pairs_are_there() -> None:
    assert len(VECTORS) == 9
    assert len(HOLD) == 6


@pytest.mark.parametrize("name", HOLD)
def test_a_registration_and_its_authentication_hold(name: str) -> None:
    record = register(name)
    _, _, flags = attested(name)
    assert record.credential_id == attested(name)[0]
    assert record.user_verified == bool(flags & 0x04)
    assert record.backup_eligible == bool(flags & 0x08)
    assert record.backed_up == bool(flags & 0x10)
    used = VECTORS[name]["authentication"]["authenticatorData"][32]
    assert authenticate(name, record) == (0, bool(used & 0x10), bool(used & 0x04))


def test_the_longest_credential_id_is_read_whole() -> None:
    assert len(register("none.ES256.long-credential-id").credential_id) == 1023


@pytest.mark.parametrize("name", sorted(EMBEDDED))
def test_an_embedded_page_is_refused_in_both_ceremonies(name: str) -> None:
    for ceremony in (lambda: register(name), lambda: authenticate(name, record_of(name))):
        with pytest.raises(CeremonyError) as caught:
            ceremony()
        assert caught.value.reason is Refusal.EMBEDDED


def test_the_u2f_attestation_is_refused_and_its_authentication_holds() -> None:
    (name,) = U2F
    with pytest.raises(CeremonyError):
        register(name)
    assert authenticate(name, record_of(name)) == (0, False, False)


@pytest.mark.parametrize("name", HOLD)
def test_a_vector_s_signature_with_one_bit_changed_is_refused(name: str) -> None:
    record = register(name)
    signature = VECTORS[name]["authentication"]["signature"]
    broken = signature[:-1] + bytes([signature[-1] ^ 1])
    text = json.loads(
        answer(name, "authentication", "clientDataJSON", "authenticatorData", "signature")
    )
    text["response"]["signature"] = bytes_to_base64url(broken)
    challenge = VECTORS[name]["authentication"]["challenge"]
    with pytest.raises(CeremonyError) as caught:
        verify_authentication(RP, challenge, json.dumps(text), record)
    assert caught.value.reason is Refusal.SIGNATURE


def test_vectors_without_user_verification_are_refused_where_it_is_required() -> None:
    strict = RelyingParty("example.org", "W3C", ("https://example.org",))
    for name in HOLD:
        verified = bool(VECTORS[name]["authentication"]["authenticatorData"][32] & 0x04)
        if verified:
            assert authenticate(name, register(name), strict)[2]
        else:
            with pytest.raises(CeremonyError) as caught:
                authenticate(name, register(name), strict)
            assert caught.value.reason is Refusal.USER_NOT_VERIFIED
