"""A software authenticator and its browser: ES256 keys for tests and for simulated people.

It does what a phone or a security key does on the other side of a WebAuthn ceremony, and what a
browser does before: a page that does not belong to the RP ID gets no answer, which is why passkeys
cannot be phished. `check_origin=False` takes that protection away, to prove that the server refuses
too. Model: W3C WebAuthn Level 3 §6.3, attestation "none".
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from twofa_lab.errors import WorkError
from twofa_lab.factors.ports import RandomBytes

__all__ = ["SoftAuthenticator"]

_USER_PRESENT, _USER_VERIFIED = 0x01, 0x04
_BACKUP_ELIGIBLE, _BACKED_UP, _ATTESTED_DATA = 0x08, 0x10, 0x40
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass
class _Credential:
    credential_id: bytes
    rp_id: str
    user_handle: bytes
    resident: bool
    sign_count: int
    key: ec.EllipticCurvePrivateKey = field(repr=False)


class SoftAuthenticator:
    """A device with keys in it.

    `synced` keys belong to a sync service: flagged so, counter always 0. Others are bound to the
    device and count every use. `verifies_user` says whether it has a PIN or a finger to ask for.

    >>> SoftAuthenticator()
    SoftAuthenticator(synced=False, verifies_user=True, credentials=0)
    """

    def __init__(
        self,
        *,
        synced: bool = False,
        verifies_user: bool = True,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> None:
        self.synced = synced
        self.verifies_user = verifies_user
        self._random_bytes = random_bytes
        self._credentials: list[_Credential] = []

    def __repr__(self) -> str:
        return (
            f"SoftAuthenticator(synced={self.synced}, verifies_user={self.verifies_user}, "
            f"credentials={len(self._credentials)})"
        )

    def register(self, options: str, origin: str, *, check_origin: bool = True) -> str:
        """Create a key as the registration `options` (JSON) ask; the answer is JSON.

        `WorkError` when the browser or the device refuses: foreign page, key already there, user
        verification that the device cannot do.
        """
        asked = json.loads(options)
        rp_id = asked["rp"]["id"]
        if check_origin:
            _refuse_foreign_page(rp_id, origin)
        if self._find(rp_id, asked.get("excludeCredentials", [])):
            raise WorkError("this authenticator already holds a key of that account")
        selection = asked.get("authenticatorSelection", {})
        flags = self._flags(selection.get("userVerification", "preferred")) | _ATTESTED_DATA
        credential = _Credential(
            credential_id=self._random_bytes(32),
            rp_id=rp_id,
            user_handle=base64url_to_bytes(asked["user"]["id"]),
            resident=selection.get("residentKey") in {"required", "preferred"},
            sign_count=0,
            key=_new_key(self._random_bytes),
        )
        self._credentials.append(credential)
        attested = (
            bytes(16)  # no model is claimed: attestation "none"
            + len(credential.credential_id).to_bytes(2, "big")
            + credential.credential_id
            + _cose_key(credential.key)
        )
        data = _authenticator_data(rp_id, flags, credential.sign_count) + attested
        statement = {"fmt": "none", "attStmt": {}, "authData": data}
        return _answer(
            credential.credential_id,
            attestationObject=cbor2.dumps(statement),
            clientDataJSON=_client_data("webauthn.create", asked["challenge"], origin),
            transports=["internal", "hybrid"] if self.synced else ["usb"],
        )

    def authenticate(self, options: str, origin: str, *, check_origin: bool = True) -> str:
        """Answer the authentication `options` (JSON) with a key this device holds; JSON again.

        `WorkError` when the browser or the device refuses, or no key fits.
        """
        asked = json.loads(options)
        rp_id = asked["rpId"]
        if check_origin:
            _refuse_foreign_page(rp_id, origin)
        credential = self._find(rp_id, asked.get("allowCredentials", []), resident=True)
        if credential is None:
            raise WorkError("this authenticator holds no key for that site")
        flags = self._flags(asked.get("userVerification", "preferred"))
        if not self.synced:
            credential.sign_count += 1
        data = _authenticator_data(rp_id, flags, credential.sign_count)
        client = _client_data("webauthn.get", asked["challenge"], origin)
        signature = credential.key.sign(
            data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256())
        )
        return _answer(
            credential.credential_id,
            authenticatorData=data,
            clientDataJSON=client,
            signature=signature,
            userHandle=credential.user_handle if credential.resident else None,
        )

    def clone(self) -> SoftAuthenticator:
        """A copy of keys *and* counters, as somebody who extracted them would hold."""
        twin = SoftAuthenticator(
            synced=self.synced, verifies_user=self.verifies_user, random_bytes=self._random_bytes
        )
        twin._credentials = [replace(credential) for credential in self._credentials]
        return twin

    def _find(
        self, rp_id: str, listed: list[dict[str, Any]], *, resident: bool = False
    ) -> _Credential | None:
        """The newest key of that site among those `listed`; with no list, any `resident` one."""
        ids = {base64url_to_bytes(entry["id"]) for entry in listed}
        for credential in reversed(self._credentials):
            fits = credential.credential_id in ids if ids else resident and credential.resident
            if credential.rp_id == rp_id and fits:
                return credential
        return None

    def _flags(self, verification: str) -> int:
        if verification == "required" and not self.verifies_user:
            raise WorkError("this authenticator cannot verify its user")
        flags = _USER_PRESENT
        if self.verifies_user and verification != "discouraged":
            flags |= _USER_VERIFIED
        if self.synced:
            flags |= _BACKUP_ELIGIBLE | _BACKED_UP
        return flags


def _refuse_foreign_page(rp_id: str, origin: str) -> None:
    host = urlsplit(origin).hostname or ""
    if host != rp_id and not host.endswith("." + rp_id):
        raise WorkError(f"the browser refuses: {origin!r} is no page of {rp_id!r}")


def _new_key(random_bytes: RandomBytes) -> ec.EllipticCurvePrivateKey:
    # 64 bits more than the order, so that the remainder is as good as uniform (FIPS 186-5 A.2.1)
    number = int.from_bytes(random_bytes(40), "big") % (_P256_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())


def _cose_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    point = key.public_key().public_numbers()
    x, y = point.x.to_bytes(32, "big"), point.y.to_bytes(32, "big")
    return cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})  # EC2, ES256, P-256 (RFC 9053)


def _authenticator_data(rp_id: str, flags: int, sign_count: int) -> bytes:
    return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + sign_count.to_bytes(4, "big")


def _client_data(ceremony: str, challenge: str, origin: str) -> bytes:
    data = {"type": ceremony, "challenge": challenge, "origin": origin, "crossOrigin": False}
    return json.dumps(data, separators=(",", ":")).encode()


def _answer(credential_id: bytes, **response: bytes | list[str] | None) -> str:
    name = bytes_to_base64url(credential_id)
    encoded = {
        key: bytes_to_base64url(value) if isinstance(value, bytes) else value
        for key, value in response.items()
        if value is not None
    }
    return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": encoded})
