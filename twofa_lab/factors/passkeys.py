"""Passkeys and hardware keys: WebAuthn ceremonies with py_webauthn.

The library checks signature, origin, RP ID and flags. Three things it leaves to its caller are done
here: the counter is judged only *after* the signature held (so a forger cannot make a key look
cloned), a page embedded elsewhere is refused, and what may never change (backup eligibility, owner)
is compared with the record. One thing stays with ours: the library accepts the same answer to the
same challenge twice, so the challenge must be *consumed* (row count 1) before `verify_*`.

No attestation is asked for (NIST SP 800-63B-4 §B.3), so "hardware key" means: the person was asked
for a separate device and the key is not synced. What make it is, nobody has proved. Some browsers
send a statement all the same; it is put aside unread, so that no certificate of a stranger's choice
is walked and nobody is kept out by a statement that was never asked for.

Why py_webauthn and not python-fido2, measured over the fifteen pairs of the specification's "Test
Vectors" (`tests/factors/test_webauthn_vectors.py`; both made to take every algorithm and the
vectors' own root): py_webauthn 3.0.1 verifies 10 registrations and 13 authentications, fido2 2.2.1
13 attestations and 15 authentications. What py_webauthn misses is never asked for here: ES384 and
Ed448 keys, and the TPM, Android and U2F attestation statements. What fido2 leaves to its caller
would be needed: that the key's algorithm is one that was asked for (its own list takes RSA with
SHA-1), and that the backup flags are possible.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import cbor2
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticatorAttachment,
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialHint,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from twofa_lab.errors import InputError
from twofa_lab.factors.passkey_refusals import (
    CeremonyError,
    Refusal,
    read_answer,
    refuse_embedding,
    why_refused,
)
from twofa_lab.factors.ports import KeyedHash, RandomBytes

__all__ = [
    "Assertion",
    "Ceremony",
    "Kind",
    "PasskeyRecord",
    "Presented",
    "RelyingParty",
    "authentication",
    "presented",
    "registration",
    "user_handle",
    "verify_authentication",
    "verify_registration",
]

Kind = Literal["passkey", "hardware_key"]

CHALLENGE_BYTES = 32
"""NIST §3.1.6.2 and ASVS 6.7.2 ask for 64 bits."""

_ALGORITHMS = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]


@dataclass(frozen=True)
class RelyingParty:
    """The site: its RP ID (a host name), its name, and the origins its pages come from.

    `require_user_verification` asks for PIN or finger each time, which makes the key two factors
    (NIST §3.1.7); without it a key is one factor and only good after a password. `life_seconds` is
    WebAuthn Level 3's recommended time for a ceremony, and the challenge's life.

    >>> RelyingParty("example.org", "Example", ("https://login.example.com",))
    Traceback (most recent call last):
    ...
    twofa_lab.errors.InputError: origin 'https://login.example.com' is no page of 'example.org'
    """

    rp_id: str
    name: str
    origins: tuple[str, ...]
    require_user_verification: bool = True
    life_seconds: int = 300

    def __post_init__(self) -> None:
        if not self.rp_id or not self.name or not self.origins:
            raise InputError("a relying party needs an RP ID, a name and at least one origin")
        for origin in self.origins:
            parts = urlsplit(origin)
            host = parts.hostname or ""
            if host != self.rp_id and not host.endswith("." + self.rp_id):
                raise InputError(f"origin {origin!r} is no page of {self.rp_id!r}")
            if parts.scheme != "https" and not (parts.scheme == "http" and host == "localhost"):
                raise InputError(f"origin {origin!r} must be https (http only on localhost)")
            if origin != f"{parts.scheme}://{parts.netloc}":
                raise InputError(f"origin {origin!r} must be scheme, host and port only")


@dataclass(frozen=True)
class Ceremony:
    """A challenge on its way: `options` (JSON) for the browser, the rest for the store.

    Keep `challenge` under `challenge_id`, tied to the session that asked (ASVS 6.6.2), for the
    relying party's `life_seconds`; consume it as the first act of verifying.
    """

    challenge: bytes = field(repr=False)
    options: str = field(repr=False)

    @property
    def challenge_id(self) -> str:
        """A name for the challenge that does not give it away."""
        return hashlib.sha256(self.challenge).hexdigest()[:32]


@dataclass(frozen=True)
class PasskeyRecord:
    """What the store keeps of a registered key; `credential_id` is unique over all accounts."""

    credential_id: bytes
    public_key: bytes = field(repr=False)
    user_handle: bytes = field(repr=False)
    kind: Kind
    sign_count: int
    backup_eligible: bool
    backed_up: bool
    user_verified: bool
    aaguid: str = ""
    transports: tuple[str, ...] = ()

    @property
    def binding(self) -> Literal["synced", "device-bound"]:
        """Whether the key may live on several devices through a sync service, or on one."""
        return "synced" if self.backup_eligible else "device-bound"


@dataclass(frozen=True)
class Presented:
    """Which key a browser *claims* to answer with: good for a look-up, proof of nothing."""

    credential_id: bytes
    user_handle: bytes | None = field(repr=False)


@dataclass(frozen=True)
class Assertion:
    """A verified answer.

    Store `sign_count` and `backed_up` where the stored count is smaller or both are 0; a row count
    of 0 means that a second answer got there first: refuse.
    """

    credential_id: bytes
    sign_count: int
    backed_up: bool
    user_verified: bool


def user_handle(keys: KeyedHash, user_id: int) -> bytes:
    """The handle by which a resident key names its account: 32 bytes that say nothing of it.

    One handle an account, as WebAuthn asks (§5.4.3, §14.6.1), and no column to keep it in.
    """
    return keys.mac(user_id.to_bytes(8, "big", signed=True), "webauthn-user-handle")


def registration(
    rp: RelyingParty,
    *,
    user_handle: bytes,
    user_name: str,
    existing: Sequence[bytes] = (),
    kind: Kind = "passkey",
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Ceremony:
    """Options to create a key. `existing` credential ids keep one device from registering twice.

    A passkey is resident, so it can sign in without a user name. A hardware key is asked for as a
    separate device and need not be resident: as a second factor it is found by its id, and the few
    resident slots of a small key are left alone.
    """
    hardware = kind == "hardware_key"
    challenge = random_bytes(CHALLENGE_BYTES)
    options = generate_registration_options(
        rp_id=rp.rp_id,
        rp_name=rp.name,
        user_id=user_handle,
        user_name=user_name,
        challenge=challenge,
        timeout=rp.life_seconds * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            authenticator_attachment=AuthenticatorAttachment.CROSS_PLATFORM if hardware else None,
            resident_key=ResidentKeyRequirement.DISCOURAGED
            if hardware
            else ResidentKeyRequirement.REQUIRED,
            user_verification=_verification(rp),
        ),
        exclude_credentials=_descriptors(existing),
        supported_pub_key_algs=_ALGORITHMS,
        hints=[PublicKeyCredentialHint.SECURITY_KEY] if hardware else None,
    )
    return Ceremony(challenge, options_to_json(options))


def authentication(
    rp: RelyingParty,
    allowed: Sequence[bytes] = (),
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Ceremony:
    """Options to answer with one of the `allowed` credential ids.

    If none is given any resident key may answer: sign-in without a user name.
    """
    challenge = random_bytes(CHALLENGE_BYTES)
    options = generate_authentication_options(
        rp_id=rp.rp_id,
        challenge=challenge,
        timeout=rp.life_seconds * 1000,
        allow_credentials=_descriptors(allowed),
        user_verification=_verification(rp),
    )
    return Ceremony(challenge, options_to_json(options))


def presented(response: str) -> Presented:
    """The key a browser's answer names, to look its record up; `CeremonyError` if unreadable."""
    answer = read_answer(response)
    try:
        handle = answer["response"].get("userHandle")
        return Presented(
            base64url_to_bytes(answer["rawId"]),
            base64url_to_bytes(handle) if handle else None,
        )
    except Exception:
        raise CeremonyError(Refusal.MALFORMED) from None


def verify_registration(
    rp: RelyingParty,
    challenge: bytes,
    response: str,
    *,
    user_handle: bytes,
    kind: Kind = "passkey",
) -> PasskeyRecord:
    """The record of a new key, or `CeremonyError`. The challenge was consumed beforehand."""
    answer = read_answer(response)
    try:
        verified = verify_registration_response(
            credential=_without_statement(answer),
            expected_challenge=challenge,
            expected_rp_id=rp.rp_id,
            expected_origin=list(rp.origins),
            require_user_verification=rp.require_user_verification,
            supported_pub_key_algs=_ALGORITHMS,
        )
    except Exception:  # the parsers below raise many things on hostile input; all mean no
        raise _why(rp, challenge, answer, "webauthn.create") from None
    refuse_embedding(answer)
    synced = verified.credential_device_type == CredentialDeviceType.MULTI_DEVICE
    if kind == "hardware_key" and synced:
        raise CeremonyError(Refusal.SYNCED)
    return PasskeyRecord(
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        user_handle=user_handle,
        kind=kind,
        sign_count=verified.sign_count,
        backup_eligible=synced,
        backed_up=verified.credential_backed_up,
        user_verified=verified.user_verified,
        aaguid=verified.aaguid,
        transports=_transports(answer),
    )


def verify_authentication(
    rp: RelyingParty,
    challenge: bytes,
    response: str,
    record: PasskeyRecord,
    *,
    usernameless: bool = False,
) -> Assertion:
    """The verified answer of the key in `record`, or `CeremonyError`.

    The caller consumed the challenge and, after a user name, looked `record` up among that
    account's keys. `usernameless` demands that the answer names its owner.
    """
    answer = read_answer(response)
    try:
        verified = verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=rp.rp_id,
            expected_origin=list(rp.origins),
            credential_public_key=record.public_key,
            credential_current_sign_count=0,  # judged below, once the signature held
            require_user_verification=rp.require_user_verification,
        )
    except Exception:  # as above
        raise _why(rp, challenge, answer, "webauthn.get") from None
    refuse_embedding(answer)
    claim = presented(response)
    if claim.credential_id != record.credential_id:
        raise CeremonyError(Refusal.OTHER_CREDENTIAL)
    if claim.user_handle != record.user_handle and (usernameless or claim.user_handle):
        raise CeremonyError(Refusal.OTHER_USER)
    if (
        verified.credential_device_type == CredentialDeviceType.MULTI_DEVICE
    ) != record.backup_eligible:
        raise CeremonyError(Refusal.BACKUP_FLAGS)
    count = verified.new_sign_count
    if (count or record.sign_count) and count <= record.sign_count:
        raise CeremonyError(Refusal.CLONED)
    return Assertion(
        record.credential_id, count, verified.credential_backed_up, verified.user_verified
    )


def _without_statement(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer as a browser has to send it where no attestation was asked for (§5.1.3)."""
    attested = cbor2.loads(base64url_to_bytes(answer["response"]["attestationObject"]))
    bare = {"fmt": "none", "attStmt": {}, "authData": attested["authData"]}
    response = answer["response"] | {"attestationObject": bytes_to_base64url(cbor2.dumps(bare))}
    return answer | {"response": response}


def _verification(rp: RelyingParty) -> UserVerificationRequirement:
    if rp.require_user_verification:
        return UserVerificationRequirement.REQUIRED
    return UserVerificationRequirement.PREFERRED


def _descriptors(ids: Sequence[bytes]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=credential_id) for credential_id in ids]


def _transports(answer: dict[str, Any]) -> tuple[str, ...]:
    known = ("ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb")
    offered = answer["response"].get("transports")
    return tuple(name for name in known if isinstance(offered, list) and name in offered)


def _why(
    rp: RelyingParty,
    challenge: bytes,
    answer: dict[str, Any],
    ceremony: Literal["webauthn.create", "webauthn.get"],
) -> CeremonyError:
    return CeremonyError(
        why_refused(
            answer,
            ceremony=ceremony,
            challenge=challenge,
            rp_id=rp.rp_id,
            origins=rp.origins,
            needs_verification=rp.require_user_verification,
        )
    )
