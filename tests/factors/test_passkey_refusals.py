from __future__ import annotations

import json

import pytest
from webauthn.helpers import bytes_to_base64url

from twofa_lab.factors.passkey_refusals import (
    CeremonyError,
    Refusal,
    read_answer,
    refuse_embedding,
    why_refused,
)


def sent(**client: object) -> dict[str, object]:
    encoded = bytes_to_base64url(json.dumps(client).encode())
    return {"response": {"clientDataJSON": encoded, "authenticatorData": ""}}


def test_an_answer_is_read_up_to_64_kib() -> None:
    text = json.dumps({"pad": "x" * 60_000})
    assert read_answer(text) == {"pad": "x" * 60_000}
    with pytest.raises(CeremonyError):
        read_answer(json.dumps({"pad": "x" * 70_000}))


def test_only_a_page_of_our_own_is_not_embedded() -> None:
    refuse_embedding(sent(crossOrigin=False))
    refuse_embedding(sent())
    for client in ({"crossOrigin": True}, {"topOrigin": "https://example.com"}):
        with pytest.raises(CeremonyError) as caught:
            refuse_embedding(sent(**client))
        assert caught.value.reason is Refusal.EMBEDDED


def test_what_cannot_be_read_is_malformed() -> None:
    for answer in ({}, {"response": None}, sent(), sent(type="webauthn.get")):
        reason = why_refused(
            answer,
            ceremony="webauthn.get",
            challenge=b"c",
            rp_id="example.org",
            origins=("https://example.org",),
            needs_verification=True,
        )
        assert reason is Refusal.MALFORMED
