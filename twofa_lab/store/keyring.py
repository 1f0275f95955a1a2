"""Keys of the store: authenticated encryption of fields, and keyed hashes.

Encryption is AES-256-GCM. The user, the field and the key's id are its associated data, so a
ciphertext copied to another user or another field does not decrypt. The key's id travels in front
of the ciphertext, so several keys can be in use while `rotation.rotate` re-encrypts the rows.

Keyed hashes are HMAC-SHA256 under one key a purpose, derived by HKDF (RFC 5869) from a root that
encryption never uses: a code's hash is worth nothing as a session's. The root does not rotate with
the encryption keys, for a hash cannot be made again without the value that was hashed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from twofa_lab.errors import InputError, WorkError

__all__ = ["ENVIRONMENT_VARIABLE", "Keyring", "key_prefix"]

ENVIRONMENT_VARIABLE = "TWOFA_LAB_KEYRING"
"""Holds the keyring as JSON, or `@` and the path of a file that does."""

_KEY_BYTES = 32
_NONCE_BYTES = 12
_LARGEST_FILE = 65_536
_KEY_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def key_prefix(key_id: str) -> bytes:
    """What every ciphertext under that key starts with: format 1, length of the id, the id."""
    name = key_id.encode("ascii")
    return bytes((1, len(name))) + name


class Keyring:
    """Encryption keys by id, one of them active, and the root of the keyed hashes.

    `active` names the key that encrypts; every key decrypts. Keys are 32 bytes. `InputError` when
    one is not, or an id is not of lower-case letters, digits and hyphens.

    >>> keyring = Keyring.generate()
    >>> sealed = keyring.encrypt(b"+15005550006", user_id=7, field="accounts.phone")
    >>> keyring.decrypt(sealed, user_id=7, field="accounts.phone")
    b'+15005550006'
    >>> keyring.decrypt(sealed, user_id=8, field="accounts.phone")
    Traceback (most recent call last):
    twofa_lab.errors.WorkError: accounts.phone of account 8 does not decrypt: altered or moved
    >>> keyring
    Keyring(keys=['k1'], active='k1')
    """

    __slots__ = ("_active", "_ciphers", "_derived", "_keys", "_prefix", "_root")

    def __init__(self, keys: Mapping[str, bytes], active: str, root: bytes) -> None:
        for key_id in keys:
            if not _KEY_ID.fullmatch(key_id):
                raise InputError("a key's id is 1-32 lower-case letters, digits and hyphens")
        for name, key in [*keys.items(), ("mac", root)]:
            if len(key) != _KEY_BYTES:
                raise InputError(f"key {name!r} of the keyring is not {_KEY_BYTES} bytes long")
        if active not in keys:
            raise InputError("the keyring's active key is not among its keys")
        if root in keys.values():
            raise InputError("the keyring's mac key is also an encryption key: draw another")
        self._keys = dict(keys)
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._active = active
        self._prefix = key_prefix(active)
        self._root = root
        self._derived: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"Keyring(keys={list(self.ids)}, active={self._active!r})"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a keyring is not pickled: load it again where it is needed")

    @property
    def active(self) -> str:
        """Id of the key that encrypts."""
        return self._active

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of every key."""
        return tuple(sorted(self._keys))

    @classmethod
    def generate(cls, key_id: str = "k1") -> Self:
        """A new keyring with one key."""
        return cls({key_id: os.urandom(_KEY_BYTES)}, key_id, os.urandom(_KEY_BYTES))

    def with_new_key(self, key_id: str) -> Keyring:
        """The same keyring with a new active key: the first step of a rotation.

        `InputError` when the id is taken, for then old ciphertexts would name the wrong key.
        """
        if key_id in self._keys:
            raise InputError(f"the keyring already has a key {key_id!r}")
        return Keyring({**self._keys, key_id: os.urandom(_KEY_BYTES)}, key_id, self._root)

    def without(self, key_id: str) -> Keyring:
        """The same keyring less one key: the last step of a rotation, once no row uses it."""
        keys = {name: key for name, key in self._keys.items() if name != key_id}
        return Keyring(keys, self._active, self._root)

    def encrypt(self, plaintext: bytes, user_id: int, field: str) -> bytes:
        """Ciphertext of a user's field: key prefix, 12 random bytes, AES-256-GCM output."""
        nonce = os.urandom(_NONCE_BYTES)
        bound = _associated_data(self._prefix, user_id, field)
        sealed = self._ciphers[self._active].encrypt(nonce, plaintext, bound)
        return self._prefix + nonce + sealed

    def decrypt(self, ciphertext: bytes, user_id: int, field: str) -> bytes:
        """The plaintext; `WorkError` when the key is missing or the ciphertext is not the one made
        for that user and field.
        """
        cut = 2 + ciphertext[1] if len(ciphertext) > 2 else 0
        prefix, nonce = ciphertext[:cut], ciphertext[cut : cut + _NONCE_BYTES]
        key_id = prefix[2:].decode("ascii", "replace")
        if prefix[:1] != b"\x01" or not _KEY_ID.fullmatch(key_id):
            raise WorkError(f"{field} of account {user_id} is not a ciphertext")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise WorkError(f"{field} of account {user_id} needs key {key_id!r}: add it back")
        try:
            bound = _associated_data(prefix, user_id, field)
            return cipher.decrypt(nonce, ciphertext[cut + _NONCE_BYTES :], bound)
        except (InvalidTag, ValueError):
            raise WorkError(
                f"{field} of account {user_id} does not decrypt: altered or moved"
            ) from None

    def mac(self, data: bytes, purpose: str) -> bytes:
        """HMAC-SHA256 (32 bytes) under the key of that purpose."""
        return hmac.digest(self._derive(f"mac {purpose}"), data, "sha256")

    def signer(self) -> Ed25519PrivateKey:
        """The key that signs the audit's checkpoints, derived from the same root."""
        return Ed25519PrivateKey.from_private_bytes(self._derive("sign audit"))

    def _derive(self, info: str) -> bytes:
        key = self._derived.get(info)
        if key is None:
            hkdf = HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"twofa-lab " + info.encode())
            key = self._derived[info] = hkdf.derive(self._root)
        return key

    def to_json(self) -> str:
        """The keyring as JSON text, keys in clear: for a secret store or a private file only."""
        keys = {name: base64.b64encode(key).decode() for name, key in self._keys.items()}
        root = base64.b64encode(self._root).decode()
        return json.dumps({"active": self._active, "keys": keys, "mac": root}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`; `InputError`, which never shows a key, when it is not one."""
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            raise InputError("the keyring is not JSON") from None
        match parsed:
            case {"active": str(active), "keys": dict(keys), "mac": str(root), **rest} if not rest:
                return cls(
                    {k: _decode(k, v) for k, v in keys.items()}, active, _decode("mac", root)
                )
            case _:
                raise InputError(
                    'the keyring needs exactly {"active": id, "keys": {id: base64}, "mac": base64}'
                )

    def write(self, path: Path) -> None:
        """Write a new file that only its owner may read. `InputError` when it exists: a keyring is
        never overwritten, for what it decrypts would be lost.
        """
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise InputError(f"{path} exists: a keyring is never overwritten") from None
        except OSError as error:
            raise InputError(f"cannot write the keyring {path}: {error.strerror}") from None
        with os.fdopen(handle, "w") as file:
            file.write(self.to_json() + "\n")
            file.flush()
            os.fsync(handle)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a file that only its owner may read (mode 0600 or 0400), else `InputError`."""
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno())
                text = file.read(_LARGEST_FILE + 1)
        except OSError as error:
            raise InputError(f"cannot read the keyring {path}: {error.strerror}") from None
        if stat.S_IMODE(mode.st_mode) & 0o077:
            raise InputError(f"others may read the keyring {path}: chmod 600 it")
        if len(text) > _LARGEST_FILE:
            raise InputError(f"the keyring {path} is larger than {_LARGEST_FILE} bytes")
        return cls.from_json(text.decode("utf-8", "replace"))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The keyring of `TWOFA_LAB_KEYRING`: JSON, or `@path`. `InputError` when it is not set."""
        value = environment.get(ENVIRONMENT_VARIABLE, "")
        if not value:
            raise InputError(f"set {ENVIRONMENT_VARIABLE} to a keyring, or to @ and its path")
        return cls.from_file(Path(value[1:])) if value.startswith("@") else cls.from_json(value)


def _associated_data(prefix: bytes, user_id: int, field: str) -> bytes:
    # fixed lengths first, so that no two (key, user, field) give the same bytes
    return prefix + user_id.to_bytes(8, "big", signed=True) + field.encode()


def _decode(name: str, text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"key {name!r} of the keyring is not base64") from None
