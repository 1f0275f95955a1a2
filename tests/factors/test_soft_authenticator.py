from __future__ import annotations

import json
import random

import pytest

from twofa_lab.errors import WorkError
from twofa_lab.factors.passkeys import (
    PasskeyRecord,
    RelyingParty,
    authentication,
    registration,
    verify_authentication,
    verify_registration,
)
from twofa_lab.factors.soft_authenticator import SoftAuthenticator

ORIGIN = "https://example.org"
RP = RelyingParty("example.org", "Example", (ORIGIN,))


def enrol(device: SoftAuthenticator, handle: bytes = b"h" * 32) -> PasskeyRecord:
    asked = registration(RP, user_handle=handle, user_name="ann")
    answer = device.register(asked.options, ORIGIN)
    return verify_registration(RP, asked.challenge, answer, user_handle=handle)


def seeded_device(seed: int) -> SoftAuthenticator:
    draw = random.Random(seed).randbytes  # noqa: S311 - repeatable on purpose
    return SoftAuthenticator(random_bytes=draw)


def test_the_same_seed_makes_the_same_keys() -> None:
    first, again, other = (enrol(seeded_device(seed)) for seed in (1, 1, 2))
    assert (first.credential_id, first.public_key) == (again.credential_id, again.public_key)
    assert first.public_key != other.public_key


def test_keys_of_several_accounts_live_side_by_side() -> None:
    device = SoftAuthenticator(synced=True)
    records = [enrol(device, bytes([n]) * 32) for n in range(3)]
    for record in records:
        asked = authentication(RP, [record.credential_id])
        answer = device.authenticate(asked.options, ORIGIN)
        assert verify_authentication(RP, asked.challenge, answer, record).user_verified


def test_no_key_no_answer() -> None:
    device = SoftAuthenticator()
    with pytest.raises(WorkError, match="no key"):
        device.authenticate(authentication(RP).options, ORIGIN)
    enrol(device)
    with pytest.raises(WorkError, match="no key"):
        device.authenticate(authentication(RP, [b"unknown"]).options, ORIGIN)


def test_a_key_that_is_not_resident_needs_to_be_named() -> None:
    device = SoftAuthenticator()
    asked = registration(RP, user_handle=b"h" * 32, user_name="ann", kind="hardware_key")
    answer = device.register(asked.options, ORIGIN)
    record = verify_registration(
        RP, asked.challenge, answer, user_handle=b"h" * 32, kind="hardware_key"
    )
    with pytest.raises(WorkError, match="no key"):
        device.authenticate(authentication(RP).options, ORIGIN)
    named = authentication(RP, [record.credential_id])
    answer = device.authenticate(named.options, ORIGIN)
    assert json.loads(answer)["response"].get("userHandle") is None
    assert verify_authentication(RP, named.challenge, answer, record).sign_count == 1


def test_the_browser_refuses_a_page_of_another_site() -> None:
    device = SoftAuthenticator()
    asked = registration(RP, user_handle=b"h" * 32, user_name="ann")
    for page in ("https://example.org.evil.test", "https://notexample.org", "about:blank"):
        with pytest.raises(WorkError, match="browser refuses"):
            device.register(asked.options, page)


def test_a_clone_counts_on_by_itself() -> None:
    device = SoftAuthenticator()
    record = enrol(device)
    clone = device.clone()
    counts = []
    for holder in (device, device, clone):
        asked = authentication(RP, [record.credential_id])
        answer = holder.authenticate(asked.options, ORIGIN)
        counts.append(verify_authentication(RP, asked.challenge, answer, record).sign_count)
    assert counts == [1, 2, 1]
