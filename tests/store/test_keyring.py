"""Encryption bound to user and field, keyed hashes, loading; published vectors."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from twofa_lab.errors import InputError, WorkError
from twofa_lab.store.keyring import ENVIRONMENT_VARIABLE, Keyring, key_prefix

KEY, ROOT = bytes(range(32)), bytes(range(32, 64))
RING = Keyring({"k1": KEY}, "k1", ROOT)
users = st.integers(-(2**63), 2**63 - 1)


@given(st.binary(max_size=300), users, st.text(max_size=40))
def test_what_is_encrypted_decrypts(plain: bytes, user: int, field: str) -> None:
    assert RING.decrypt(RING.encrypt(plain, user, field), user, field) == plain


@given(st.binary(max_size=60), users, users, st.text(max_size=9), st.text(max_size=9))
def test_another_users_or_fields_ciphertext_is_refused(
    plain: bytes, user: int, other: int, field: str, swapped: str
) -> None:
    sealed = RING.encrypt(plain, user, field)
    for who, what in ((other, field), (user, swapped), (other, swapped)):
        if (who, what) != (user, field):
            with pytest.raises(WorkError, match="altered or moved"):
                RING.decrypt(sealed, who, what)


@given(st.binary(max_size=60), st.data())
def test_every_altered_byte_is_refused(plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(RING.encrypt(plain, 7, "f"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WorkError):
        RING.decrypt(bytes(sealed), 7, "f")


@given(st.binary(max_size=80))
def test_any_other_bytes_are_refused(junk: bytes) -> None:
    with pytest.raises(WorkError):
        RING.decrypt(junk, 7, "f")


def test_the_format_is_aes_256_gcm_with_prefix_user_and_field_as_associated_data() -> None:
    sealed = RING.encrypt(b"secret", 7, "accounts.phone")
    prefix, nonce, rest = sealed[:4], sealed[4:16], sealed[16:]
    assert prefix == b"\x01\x02k1" == key_prefix("k1")
    bound = prefix + (7).to_bytes(8, "big") + b"accounts.phone"
    assert AESGCM(KEY).decrypt(nonce, rest, bound) == b"secret"


def test_nonces_do_not_repeat() -> None:
    sealed = [RING.encrypt(b"", 7, "f")[4:16] for _ in range(1_000)]
    assert len(set(sealed)) == 1_000


def test_the_key_id_is_bound_too() -> None:
    """The same key under two ids: a ciphertext relabelled from one to the other is refused."""
    twice = Keyring({"k1": KEY, "k2": KEY}, "k1", ROOT)
    sealed = twice.encrypt(b"x", 7, "f")
    with pytest.raises(WorkError, match="altered or moved"):
        twice.decrypt(sealed.replace(b"k1", b"k2", 1), 7, "f")


def test_old_keys_decrypt_and_a_missing_one_is_named() -> None:
    sealed = RING.encrypt(b"x", 7, "f")
    newer = RING.with_new_key("k2")
    assert newer.active == "k2"
    assert newer.decrypt(sealed, 7, "f") == b"x"
    with pytest.raises(WorkError, match="needs key 'k1'"):
        newer.without("k1").decrypt(sealed, 7, "f")
    with pytest.raises(InputError, match="already has a key 'k2'"):
        newer.with_new_key("k2")


def test_macs_differ_by_purpose_and_survive_rotation() -> None:
    assert RING.mac(b"123456", "otp") != RING.mac(b"123456", "session")
    assert RING.with_new_key("k2").mac(b"123456", "otp") == RING.mac(b"123456", "otp")
    assert len(RING.mac(b"", "otp")) == 32


def test_a_mac_is_hmac_under_an_hkdf_key() -> None:
    """Recomputed from the standard library alone: RFC 5869 with an empty salt, then RFC 2104."""
    import hashlib
    import hmac

    pseudo_random = hmac.digest(bytes(32), ROOT, "sha256")
    key = hmac.digest(pseudo_random, b"twofa-lab mac otp" + b"\x01", hashlib.sha256)
    assert RING.mac(b"123456", "otp") == hmac.digest(key, b"123456", "sha256")


def test_nothing_printable_shows_a_key() -> None:
    secrets = [KEY, ROOT]
    shown = repr(RING) + str(RING) + f"{RING!s}{[RING]!r}"
    for secret in secrets:
        assert secret.hex() not in shown
        assert repr(secret)[2:20] not in shown
    for leak in (pickle.dumps, copy.deepcopy, copy.copy):
        with pytest.raises(TypeError, match="not pickled"):
            leak(RING)


def test_a_file_round_trips_and_others_may_not_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    RING.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    again = Keyring.from_file(path)
    assert again.decrypt(RING.encrypt(b"x", 7, "f"), 7, "f") == b"x"
    assert again.mac(b"x", "otp") == RING.mac(b"x", "otp")
    with pytest.raises(InputError, match="never overwritten"):
        RING.write(path)
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(InputError, match="chmod 600"):
            Keyring.from_file(path)


def test_the_environment_holds_the_keyring_or_its_path(tmp_path: Path) -> None:
    RING.write(tmp_path / "keyring.json")
    for value in (RING.to_json(), f"@{tmp_path / 'keyring.json'}"):
        found = Keyring.from_environment({ENVIRONMENT_VARIABLE: value})
        assert found.mac(b"x", "otp") == RING.mac(b"x", "otp")
    with pytest.raises(InputError, match=f"set {ENVIRONMENT_VARIABLE}"):
        Keyring.from_environment({})
    with pytest.raises(InputError, match="cannot read the keyring"):
        Keyring.from_environment({ENVIRONMENT_VARIABLE: f"@{tmp_path / 'none'}"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"active": "k9"}, "active key is not among"),
        ({"keys": {}}, "active key is not among"),
        ({"keys": {"k1": "AAAA"}}, "not 32 bytes"),
        ({"keys": {"k1": "not base64!"}}, "not base64"),
        ({"keys": {"k1": 5}}, "not base64|not 32 bytes"),
        ({"keys": {"K 1": "AAAA"}}, "lower-case"),
        ({"mac": "AAAA"}, "not 32 bytes"),
        ({"extra": 1}, "needs exactly"),
        ({"active": 1}, "needs exactly"),
    ],
)
def test_a_wrong_keyring_is_refused_in_one_line(change: dict[str, object], message: str) -> None:
    good = json.loads(RING.to_json())
    with pytest.raises(InputError, match=message) as caught:
        Keyring.from_json(json.dumps({**good, **change}))
    assert "\n" not in str(caught.value)
    assert good["mac"] not in str(caught.value)


def test_one_key_may_not_serve_two_ends() -> None:
    with pytest.raises(InputError, match="draw another"):
        Keyring({"k1": KEY}, "k1", KEY)


@settings(max_examples=50)
@given(st.text(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(InputError):
        Keyring.from_json(text)


def test_a_huge_or_deep_file_is_refused(tmp_path: Path) -> None:
    for text, message in (("x" * 70_000, "larger than"), ("[" * 60_000, "not JSON")):
        path = tmp_path / "keyring.json"
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(InputError, match=message):
            Keyring.from_file(path)
