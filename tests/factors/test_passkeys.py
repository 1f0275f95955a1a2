from __future__ import annotations

import json
import secrets
from dataclasses import replace
from inspect import signature

import pytest
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from twofa_lab.errors import InputError, WorkError
from twofa_lab.factors.passkey_refusals import CeremonyError, Refusal
from twofa_lab.factors.passkeys import (
    Assertion,
    Kind,
    PasskeyRecord,
    RelyingParty,
    authentication,
    presented,
    registration,
    user_handle,
    verify_authentication,
    verify_registration,
)
from twofa_lab.factors.ports import KeyedHash
from twofa_lab.factors.soft_authenticator import SoftAuthenticator

ORIGIN = "https://login.example.org"
RP = RelyingParty("example.org", "Example", (ORIGIN, "https://example.org"))
HANDLE = b"h" * 32
SYNCED, BACKED_UP, PRESENT, VERIFIED = 0x08, 0x10, 0x01, 0x04


def enrol(
    device: SoftAuthenticator, rp: RelyingParty = RP, kind: Kind = "passkey"
) -> PasskeyRecord:
    asked = registration(rp, user_handle=HANDLE, user_name="ann@example.org", kind=kind)
    answer = device.register(asked.options, ORIGIN)
    return verify_registration(rp, asked.challenge, answer, user_handle=HANDLE, kind=kind)


def sign_in(
    device: SoftAuthenticator, record: PasskeyRecord, rp: RelyingParty = RP
) -> tuple[bytes, str, Assertion]:
    asked = authentication(rp, [record.credential_id])
    answer = device.authenticate(asked.options, ORIGIN)
    return asked.challenge, answer, verify_authentication(rp, asked.challenge, answer, record)


def refusal(challenge: bytes, answer: str, record: PasskeyRecord, **options: bool) -> Refusal:
    with pytest.raises(CeremonyError) as caught:
        verify_authentication(RP, challenge, answer, record, **options)
    return caught.value.reason


def altered(answer: str, **response: bytes | None) -> str:
    """The answer with fields of its response replaced, whatever they sign."""
    parsed = json.loads(answer)
    for name, value in response.items():
        parsed["response"][name] = None if value is None else bytes_to_base64url(value)
    return json.dumps(parsed)


def part(answer: str, name: str) -> bytes:
    return base64url_to_bytes(json.loads(answer)["response"][name])


@pytest.fixture
def phone() -> SoftAuthenticator:
    return SoftAuthenticator(synced=True)


@pytest.fixture
def key() -> SoftAuthenticator:
    return SoftAuthenticator()


class TestRegistration:
    def test_options_ask_for_a_resident_key_and_a_verified_user(self) -> None:
        asked = registration(RP, user_handle=HANDLE, user_name="ann", existing=[b"old"])
        options = json.loads(asked.options)
        assert options["authenticatorSelection"]["residentKey"] == "required"
        assert options["authenticatorSelection"]["requireResidentKey"] is True
        assert options["authenticatorSelection"]["userVerification"] == "required"
        assert options["attestation"] == "none"
        assert options["timeout"] == 300_000
        assert [entry["id"] for entry in options["excludeCredentials"]] == ["b2xk"]
        assert base64url_to_bytes(options["challenge"]) == asked.challenge
        assert base64url_to_bytes(options["user"]["id"]) == HANDLE

    def test_a_hardware_key_is_asked_for_as_a_separate_device(self) -> None:
        asked = registration(RP, user_handle=HANDLE, user_name="ann", kind="hardware_key")
        options = json.loads(asked.options)
        assert options["authenticatorSelection"]["authenticatorAttachment"] == "cross-platform"
        assert options["authenticatorSelection"]["residentKey"] == "discouraged"
        assert options["hints"] == ["security-key"]

    def test_challenges_are_random_and_long(self) -> None:
        for make in (registration, authentication):
            assert signature(make).parameters["random_bytes"].default is secrets.token_bytes
        ceremonies = [authentication(RP) for _ in range(50)]
        assert min(len(asked.challenge) * 8 for asked in ceremonies) >= 64
        assert len({asked.challenge_id for asked in ceremonies}) == 50

    def test_a_synced_passkey_is_recorded_as_such(self, phone: SoftAuthenticator) -> None:
        record = enrol(phone)
        assert record.binding == "synced"
        assert (record.backed_up, record.user_verified, record.sign_count) == (True, True, 0)
        assert record.transports == ("hybrid", "internal")
        assert record.user_handle == HANDLE

    def test_a_key_that_stays_on_its_device_is_recorded_as_such(
        self, key: SoftAuthenticator
    ) -> None:
        record = enrol(key, kind="hardware_key")
        assert record.binding == "device-bound"
        assert not record.backed_up

    def test_a_synced_key_is_no_hardware_key(self, phone: SoftAuthenticator) -> None:
        with pytest.raises(CeremonyError) as caught:
            enrol(phone, kind="hardware_key")
        assert caught.value.reason is Refusal.SYNCED

    def test_a_device_registers_once_for_an_account(self, key: SoftAuthenticator) -> None:
        record = enrol(key)
        again = registration(
            RP, user_handle=HANDLE, user_name="ann", existing=[record.credential_id]
        )
        with pytest.raises(WorkError, match="already holds"):
            key.register(again.options, ORIGIN)

    @pytest.mark.parametrize(
        ("broken", "reason"),
        [
            ("challenge", Refusal.OTHER_CHALLENGE),
            ("origin", Refusal.WRONG_ORIGIN),
            ("rp", Refusal.WRONG_RP_ID),
            ("unverified", Refusal.USER_NOT_VERIFIED),
            ("ceremony", Refusal.WRONG_CEREMONY),
            ("embedded", Refusal.EMBEDDED),
        ],
    )
    def test_what_does_not_hold_is_refused_with_its_reason(
        self, key: SoftAuthenticator, broken: str, reason: Refusal
    ) -> None:
        asked = registration(RP, user_handle=HANDLE, user_name="ann")
        options = json.loads(asked.options)
        if broken == "challenge":
            options["challenge"] = bytes_to_base64url(b"another challenge")
        if broken == "rp":
            options["rp"]["id"] = "example.net"
        if broken == "unverified":
            options["authenticatorSelection"]["userVerification"] = "discouraged"
        origin = "https://login.example.org.evil.test" if broken == "origin" else ORIGIN
        answer = key.register(json.dumps(options), origin, check_origin=False)
        client = json.loads(part(answer, "clientDataJSON"))
        if broken == "ceremony":
            client["type"] = "webauthn.get"
        if broken == "embedded":
            client["crossOrigin"] = True
        answer = altered(answer, clientDataJSON=json.dumps(client).encode())
        with pytest.raises(CeremonyError) as caught:
            verify_registration(RP, asked.challenge, answer, user_handle=HANDLE)
        assert caught.value.reason is reason


class TestAuthentication:
    def test_a_key_signs_in_and_counts(self, key: SoftAuthenticator) -> None:
        record = enrol(key)
        for expected in (1, 2, 3):
            _, _, verified = sign_in(key, record)
            assert verified == Assertion(record.credential_id, expected, False, True)
            record = replace(record, sign_count=verified.sign_count)

    def test_a_synced_key_signs_in_without_counting(self, phone: SoftAuthenticator) -> None:
        record = enrol(phone)
        for device in (phone, phone.clone()):  # two devices of one sync account
            _, _, verified = sign_in(device, record)
            assert (verified.sign_count, verified.backed_up) == (0, True)

    def test_the_library_takes_one_answer_twice_so_the_caller_consumes_the_challenge(
        self, phone: SoftAuthenticator
    ) -> None:
        record = enrol(phone)
        challenge, answer, first = sign_in(phone, record)
        assert verify_authentication(RP, challenge, answer, record) == first

    def test_without_a_user_name_the_key_names_its_account(self, phone: SoftAuthenticator) -> None:
        record = enrol(phone)
        asked = authentication(RP)
        answer = phone.authenticate(asked.options, ORIGIN)
        claim = presented(answer)
        assert (claim.credential_id, claim.user_handle) == (record.credential_id, HANDLE)
        verified = verify_authentication(RP, asked.challenge, answer, record, usernameless=True)
        assert verified.user_verified

    def test_without_a_user_name_an_answer_must_name_its_owner(
        self, phone: SoftAuthenticator
    ) -> None:
        record = enrol(phone)
        asked = authentication(RP)
        answer = altered(phone.authenticate(asked.options, ORIGIN), userHandle=None)
        assert verify_authentication(RP, asked.challenge, answer, record).user_verified
        reason = refusal(asked.challenge, answer, record, usernameless=True)
        assert reason is Refusal.OTHER_USER

    def test_a_key_does_not_open_another_account(self, phone: SoftAuthenticator) -> None:
        record = replace(enrol(phone), user_handle=b"x" * 32)
        asked = authentication(RP)
        answer = phone.authenticate(asked.options, ORIGIN)
        assert refusal(asked.challenge, answer, record) is Refusal.OTHER_USER

    def test_a_cloned_key_is_refused_once_the_counter_falls_back(
        self, key: SoftAuthenticator
    ) -> None:
        record = enrol(key)
        clone = key.clone()
        _, _, verified = sign_in(clone, record)
        record = replace(record, sign_count=verified.sign_count)
        asked = authentication(RP, [record.credential_id])
        answer = key.authenticate(asked.options, ORIGIN)
        assert refusal(asked.challenge, answer, record) is Refusal.CLONED

    def test_a_forger_cannot_make_a_key_look_cloned(self, key: SoftAuthenticator) -> None:
        record = replace(enrol(key), sign_count=100)
        asked = authentication(RP, [record.credential_id])
        answer = key.authenticate(asked.options, ORIGIN)
        forged = altered(answer, signature=b"\x30\x06\x02\x01\x01\x02\x01\x01")
        assert refusal(asked.challenge, forged, record) is Refusal.SIGNATURE

    def test_a_counter_that_vanishes_is_a_clone(self, key: SoftAuthenticator) -> None:
        record = enrol(key)
        key.synced = True  # stops counting, and now claims to be synced
        asked = authentication(RP, [record.credential_id])
        answer = key.authenticate(asked.options, ORIGIN)
        counted = replace(record, sign_count=3, backup_eligible=True)
        assert refusal(asked.challenge, answer, counted) is Refusal.CLONED

    def test_backup_eligibility_never_changes(self, key: SoftAuthenticator) -> None:
        record = enrol(key)
        key.synced = True
        asked = authentication(RP, [record.credential_id])
        answer = key.authenticate(asked.options, ORIGIN)
        assert refusal(asked.challenge, answer, record) is Refusal.BACKUP_FLAGS

    def test_an_answer_for_another_key_is_refused(self, key: SoftAuthenticator) -> None:
        record = enrol(key)
        challenge, answer, _ = sign_in(key, record)
        other = replace(record, credential_id=b"another id")
        assert refusal(challenge, answer, other) is Refusal.OTHER_CREDENTIAL

    def test_another_accounts_key_does_not_verify(self, key: SoftAuthenticator) -> None:
        record, stranger = enrol(key), enrol(SoftAuthenticator())
        challenge, answer, _ = sign_in(key, record)
        swapped = replace(record, public_key=stranger.public_key)
        assert refusal(challenge, answer, swapped) is Refusal.SIGNATURE

    @pytest.mark.parametrize("public_key", [b"", b"\xa0", b"\xff" * 70])
    def test_a_damaged_record_refuses(self, key: SoftAuthenticator, public_key: bytes) -> None:
        record = enrol(key)
        challenge, answer, _ = sign_in(key, record)
        damaged = replace(record, public_key=public_key)
        assert refusal(challenge, answer, damaged) is Refusal.SIGNATURE

    def test_another_challenge_is_refused(self, key: SoftAuthenticator) -> None:
        record = enrol(key)
        _, answer, _ = sign_in(key, record)
        assert refusal(authentication(RP).challenge, answer, record) is Refusal.OTHER_CHALLENGE

    def test_a_phishing_page_gets_no_answer_and_one_forced_is_refused(
        self, phone: SoftAuthenticator
    ) -> None:
        record = enrol(phone)
        asked = authentication(RP, [record.credential_id])
        phish = "https://login-example.org.evil.test"
        with pytest.raises(WorkError, match="browser refuses"):
            phone.authenticate(asked.options, phish)
        answer = phone.authenticate(asked.options, phish, check_origin=False)
        assert refusal(asked.challenge, answer, record) is Refusal.WRONG_ORIGIN

    @pytest.mark.parametrize("origin", ["http://login.example.org", "https://other.example.org"])
    def test_an_origin_not_listed_is_refused_even_on_our_domain(
        self, phone: SoftAuthenticator, origin: str
    ) -> None:
        record = enrol(phone)
        asked = authentication(RP, [record.credential_id])
        answer = phone.authenticate(asked.options, origin)
        assert refusal(asked.challenge, answer, record) is Refusal.WRONG_ORIGIN

    def test_a_registration_is_no_sign_in(self, key: SoftAuthenticator) -> None:
        record = enrol(key)
        asked = authentication(RP, [record.credential_id])
        answer = key.authenticate(asked.options, ORIGIN)
        client = json.loads(part(answer, "clientDataJSON")) | {"type": "webauthn.create"}
        forged = altered(answer, clientDataJSON=json.dumps(client).encode())
        assert refusal(asked.challenge, forged, record) is Refusal.WRONG_CEREMONY

    @pytest.mark.parametrize(
        ("flags", "reason"),
        [
            (VERIFIED, Refusal.USER_NOT_PRESENT),
            (PRESENT, Refusal.USER_NOT_VERIFIED),
            (PRESENT | VERIFIED | BACKED_UP, Refusal.SIGNATURE),
        ],
    )
    def test_flags_changed_on_the_way_are_refused(
        self, key: SoftAuthenticator, flags: int, reason: Refusal
    ) -> None:
        record = enrol(key)
        challenge, answer, _ = sign_in(key, record)
        data = bytearray(part(answer, "authenticatorData"))
        data[32] = flags
        forged = altered(answer, authenticatorData=bytes(data))
        found = refusal(challenge, forged, record)
        assert found is reason or (flags & BACKED_UP and found is Refusal.BACKUP_FLAGS)

    def test_another_site_s_answer_is_refused(self, key: SoftAuthenticator) -> None:
        other = RelyingParty("example.net", "Other", ("https://example.net",))
        asked = registration(other, user_handle=HANDLE, user_name="ann")
        answer = key.register(asked.options, "https://example.net")
        record = verify_registration(other, asked.challenge, answer, user_handle=HANDLE)
        ceremony = authentication(other, [record.credential_id])
        answer = key.authenticate(ceremony.options, ORIGIN, check_origin=False)
        assert refusal(ceremony.challenge, answer, record) is Refusal.WRONG_RP_ID


class TestUserVerification:
    relaxed = replace(RP, require_user_verification=False)

    def test_a_key_without_a_pin_is_refused_where_verification_is_required(self) -> None:
        with pytest.raises(WorkError, match="cannot verify"):
            enrol(SoftAuthenticator(verifies_user=False))

    def test_as_a_single_factor_it_is_accepted_and_says_so(self) -> None:
        plain = SoftAuthenticator(verifies_user=False)
        record = enrol(plain, self.relaxed, kind="hardware_key")
        assert not record.user_verified
        _, _, verified = sign_in(plain, record, self.relaxed)
        assert not verified.user_verified


@pytest.mark.parametrize(
    ("rp_id", "origins"),
    [
        ("", ("https://example.org",)),
        ("example.org", ()),
        ("example.org", ("https://badexample.org",)),
        ("example.org", ("http://example.org",)),
        ("example.org", ("https://example.org/",)),
        ("example.org", ("https://example.org.evil.test",)),
        ("example.org", ("example.org",)),
    ],
)
def test_a_relying_party_that_cannot_work_is_refused(rp_id: str, origins: tuple[str, ...]) -> None:
    with pytest.raises(InputError):
        RelyingParty(rp_id, "Example", origins)


def test_localhost_may_be_plain_http() -> None:
    assert RelyingParty("localhost", "Local", ("http://localhost:8443",)).rp_id == "localhost"


def test_user_handles_tell_accounts_apart_and_nothing_else(keys: KeyedHash) -> None:
    handles = {user_handle(keys, user_id) for user_id in range(-5, 100)}
    assert len(handles) == 105
    assert {len(handle) for handle in handles} == {32}
