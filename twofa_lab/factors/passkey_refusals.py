"""Why a WebAuthn answer was refused, and the reading of answers that nobody has verified yet.

py_webauthn says no in many ways; a page must show them all alike, the audit wants to know which. A
wrong origin, for one, is a phishing page at work, and a counter that fell back a copied key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal

import cbor2
from webauthn.helpers import base64url_to_bytes, parse_authenticator_data

from twofa_lab.errors import WorkError

__all__ = ["CeremonyError", "Refusal", "read_answer", "refuse_embedding", "why_refused"]

LONGEST_ANSWER = 64 * 1024
"""Characters; a credential id of the permitted 1,023 bytes with certificates stays under 8 KiB."""


class Refusal(StrEnum):
    """Why an answer does not hold: for the audit, never for the page."""

    MALFORMED = "malformed"
    WRONG_CEREMONY = "wrong ceremony"
    OTHER_CHALLENGE = "another challenge"
    WRONG_ORIGIN = "wrong origin"
    WRONG_RP_ID = "wrong RP ID"
    EMBEDDED = "page embedded in another site"
    USER_NOT_PRESENT = "user not present"
    USER_NOT_VERIFIED = "user not verified"
    BACKUP_FLAGS = "impossible or changed backup flags"
    SIGNATURE = "signature or key"
    OTHER_CREDENTIAL = "another credential"
    OTHER_USER = "another user handle"
    SYNCED = "a synced key where a device-bound one is required"
    CLONED = "cloned: the counter did not grow"


class CeremonyError(WorkError):
    """An answer that does not hold, with its `reason`."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(f"the key's answer was refused: {reason}")
        self.reason = reason


def read_answer(response: str) -> dict[str, Any]:
    """The answer as a dict; `CeremonyError` when it is too long, no JSON, or no object."""
    if len(response) > LONGEST_ANSWER:
        raise CeremonyError(Refusal.MALFORMED)
    try:
        answer = json.loads(response)
    except (ValueError, RecursionError):
        raise CeremonyError(Refusal.MALFORMED) from None
    if not isinstance(answer, dict):
        raise CeremonyError(Refusal.MALFORMED)
    return answer


def _client_data(answer: dict[str, Any]) -> dict[str, Any]:
    client = json.loads(base64url_to_bytes(answer["response"]["clientDataJSON"]))
    if not isinstance(client, dict):
        raise TypeError
    return client


def refuse_embedding(answer: dict[str, Any]) -> None:
    """Refuse an answer given inside a frame of another site: our pages are never embedded."""
    client = _client_data(answer)
    if client.get("crossOrigin") or client.get("topOrigin") is not None:
        raise CeremonyError(Refusal.EMBEDDED)


def why_refused(
    answer: dict[str, Any],
    *,
    ceremony: Literal["webauthn.create", "webauthn.get"],
    challenge: bytes,
    rp_id: str,
    origins: Sequence[str],
    needs_verification: bool,
) -> Refusal:
    """The reason, found after the library refused; when all else holds it is the signature."""
    try:
        client = _client_data(answer)
        data = (
            _attested_data(answer)
            if ceremony == "webauthn.create"
            else base64url_to_bytes(answer["response"]["authenticatorData"])
        )
        flags = parse_authenticator_data(data).flags
        checks = (
            (Refusal.WRONG_CEREMONY, client["type"] == ceremony),
            (Refusal.OTHER_CHALLENGE, base64url_to_bytes(client["challenge"]) == challenge),
            (Refusal.WRONG_ORIGIN, client["origin"] in origins),
            (Refusal.WRONG_RP_ID, data[:32] == hashlib.sha256(rp_id.encode()).digest()),
            (Refusal.USER_NOT_PRESENT, flags.up),
            (Refusal.USER_NOT_VERIFIED, flags.uv or not needs_verification),
            (Refusal.BACKUP_FLAGS, flags.be or not flags.bs),
        )
    except Exception:
        return Refusal.MALFORMED
    return next((reason for reason, held in checks if not held), Refusal.SIGNATURE)


def _attested_data(answer: dict[str, Any]) -> bytes:
    data = cbor2.loads(base64url_to_bytes(answer["response"]["attestationObject"]))["authData"]
    if not isinstance(data, bytes):
        raise TypeError
    return data
