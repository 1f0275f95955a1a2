"""The audit: append-only rows in a hash chain, checkpoints that are signed, verification.

A row's hash is SHA-256 of the former row's hash and the row as canonical JSON,
`[seq,at,user_id,event,detail]`, where `detail` is itself canonical JSON (keys sorted, no spaces,
ASCII). An edit, a reorder, or a deletion at the front or in the middle breaks the chain. Whoever
can write to the database can also cut its tail, or rewrite it and every hash after it: that shows
against a *checkpoint*, the hash of a row signed with Ed25519. Export the newest as an anchor and
keep it on another machine; `verify` with it detects both, up to the anchor's row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from json.encoder import encode_basestring_ascii as _quote
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Connection, bindparam, func, insert, select

from twofa_lab.errors import InputError, WorkError
from twofa_lab.store.schema import audit, audit_checkpoints
from twofa_lab.store.statements import Prepared, lock_until_end

__all__ = [
    "EVENTS",
    "Checkpoint",
    "Event",
    "VerifyResult",
    "append",
    "checkpoint",
    "keep",
    "latest_checkpoint",
    "lock_chain",
    "verify",
    "verify_rows",
]

EVENTS = (
    "signup",
    "login",
    "challenge",
    "send",
    "delivery",
    "attempt",
    "outcome",
    "factor_added",
    "factor_confirmed",
    "factor_renamed",
    "factor_removed",
    "factor_disabled",
    "recovery_codes",
    "recovery",
    "device_trusted",
    "device_revoked",
    "password_changed",
    "account_changed",
    "session",
    "notice",
    "support",
    "keys_rotated",
    "legal_hold",
    "audit_pruned",
)
"""What an audit row may be about."""

_SECRET_KEYS = frozenset({"code", "secret", "seed", "password", "token", "phone", "email", "otp"})
_FULL_NUMBER = re.compile(r"\+\d(?:[ ().-]{0,2}\d){6,}")
_LARGEST_DETAIL = 4_096
_GENESIS = bytes(32)
_LOCK = int.from_bytes(b"2faaudit", "big")
_BATCH = 10_000
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened: `event` is one of `EVENTS`; `detail` is a flat mapping of plain values.

    No code, secret or full phone number may be in `detail`: `append` refuses keys named like one
    and text with a whole international number.
    """

    at: int
    event: str
    user_id: int | None = None
    detail: Mapping[str, object] = field(default_factory=dict)


class VerifyResult(NamedTuple):
    """Whether the chain holds, rows read, the `seq` of the first bad row, and what is wrong."""

    ok: bool
    rows: int
    first_bad: int | None = None
    reason: str = ""


_a = audit.c
_HEAD = Prepared(select(_a.seq, _a.hash).order_by(_a.seq.desc()).limit(1))
_INSERT = Prepared(insert(audit), audit.columns.keys())


def append(connection: Connection, events: Sequence[Event]) -> int:
    """Append rows to the chain within the caller's transaction; the `seq` of the last.

    Call it last: on PostgreSQL it holds the chain's lock until the transaction ends, so everybody
    else's lock must be taken before. `InputError` when an event may not be recorded.
    """
    details = [_checked(event) for event in events]
    lock_chain(connection)
    head = _HEAD.one(connection, {})
    seq, previous = (0, _GENESIS) if head is None else (head[0], head[1])
    rows = []
    for event, detail in zip(events, details, strict=True):
        seq += 1
        previous = _link(previous, seq, event.at, event.user_id, event.event, detail)
        rows.append(
            {
                "seq": seq,
                "at": event.at,
                "user_id": event.user_id,
                "event": event.event,
                "detail": detail,
                "hash": previous,
            }
        )
    if rows:
        _INSERT.many(connection, rows)
    return seq


def lock_chain(connection: Connection) -> None:
    """Let nobody else append until this transaction ends."""
    lock_until_end(connection, _LOCK)


def _checked(event: Event) -> str:
    """The event's detail as canonical JSON, or `InputError` without showing its values."""
    if event.event not in EVENTS:
        raise InputError(f"the audit has no event {event.event!r}")
    if secret := _SECRET_KEYS.intersection(event.detail):
        raise InputError(f"the audit takes no {min(secret)!r}: record a masked form")
    try:
        text = _CANONICAL.encode(dict(event.detail))
    except (TypeError, ValueError):
        raise InputError(f"the detail of an audit {event.event!r} is not plain JSON") from None
    if _FULL_NUMBER.search(text):
        raise InputError(f"the detail of an audit {event.event!r} holds a full phone number")
    if len(text) > _LARGEST_DETAIL:
        raise InputError(f"the detail of an audit {event.event!r} exceeds {_LARGEST_DETAIL} bytes")
    return text


def _link(
    previous: bytes, seq: int, at: int, user_id: int | None, event: str, detail: str
) -> bytes:
    """The row's hash. Written out, for json.dumps of the list takes three times as long."""
    who = "null" if user_id is None else f"{user_id:d}"
    row = f"[{seq:d},{at:d},{who},{_quote(event)},{_quote(detail)}]"
    return sha256(previous + row.encode()).digest()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The signed hash of one row. `kind` is `checkpoint`, or `pruned`: rows up to it are gone."""

    seq: int
    kind: str
    at: int
    hash: bytes
    public_key: bytes
    signature: bytes

    @staticmethod
    def sign(
        signer: Ed25519PrivateKey, seq: int, kind: str, at: int, row_hash: bytes
    ) -> Checkpoint:
        """A checkpoint of that row under that key."""
        signature = signer.sign(_statement(seq, kind, at, row_hash))
        public = signer.public_key().public_bytes_raw()
        return Checkpoint(seq, kind, at, row_hash, public, signature)

    @property
    def genuine(self) -> bool:
        """Whether the signature is the public key's over the rest."""
        try:
            key = Ed25519PublicKey.from_public_bytes(self.public_key)
            key.verify(self.signature, _statement(self.seq, self.kind, self.at, self.hash))
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    def to_json(self) -> str:
        """The anchor to keep elsewhere: one line of JSON, bytes in hexadecimal."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({k: v.hex() if isinstance(v, bytes) else v for k, v in plain.items()})

    @staticmethod
    def from_json(text: str) -> Checkpoint:
        """The inverse of `to_json`; `InputError` when it is no anchor or its signature is false."""
        try:
            parsed = json.loads(text) if len(text) <= _LARGEST_DETAIL else None
        except (ValueError, RecursionError):
            parsed = None
        match parsed:
            case {
                "seq": int(seq),
                "kind": ("checkpoint" | "pruned") as kind,
                "at": int(at),
                "hash": str(row_hash),
                "public_key": str(public_key),
                "signature": str(signature),
            }:
                try:
                    raw = [bytes.fromhex(part) for part in (row_hash, public_key, signature)]
                except ValueError:
                    raise InputError("the anchor holds text that is not hexadecimal") from None
                found = Checkpoint(seq, kind, at, *raw)
            case _:
                raise InputError("the anchor is not one line of JSON as the audit exports it")
        if not found.genuine:
            raise InputError("the anchor's signature does not match: it was altered")
        return found


def _statement(seq: int, kind: str, at: int, row_hash: bytes) -> bytes:
    return json.dumps(["twofa-lab audit", kind, seq, at, row_hash.hex()]).encode()


_c = audit_checkpoints.c
_KEEP = Prepared(
    lambda own_insert: own_insert(audit_checkpoints).on_conflict_do_nothing(),
    Checkpoint.__slots__,
)
_CHECKPOINTS = select(*(_c[name] for name in Checkpoint.__slots__)).order_by(_c.seq)
_ROWS = Prepared(
    select(*audit.columns)
    .where(_a.seq > bindparam("after"), _a.seq <= bindparam("upto"))
    .order_by(_a.seq)
)


def latest_checkpoint(connection: Connection) -> Checkpoint | None:
    """The newest checkpoint kept in the database: the one to export as an anchor."""
    newest = _CHECKPOINTS.order_by(None).order_by(_c.seq.desc()).limit(1)
    row = connection.execute(newest).first()
    return None if row is None else Checkpoint(*row)


def checkpoint(connection: Connection, signer: Ed25519PrivateKey, now: int) -> Checkpoint:
    """Sign the newest row and keep the checkpoint; export it with `to_json`.

    Rows since the former checkpoint are verified first, so that a broken chain is never signed:
    `WorkError` then, and when there is no row at all.
    """
    head = _HEAD.one(connection, {})
    if head is None:
        raise WorkError("the audit is empty: there is nothing to sign")
    mine = signer.public_key().public_bytes_raw()
    known = [c for c in _checkpoints(connection) if c.public_key == mine and c.genuine]
    seq, former = (known[-1].seq, known[-1].hash) if known else (0, _GENESIS)
    found = verify_rows(connection, seq, former, upto=head[0])
    if not found.ok:
        raise WorkError(f"the audit is not signed: row {found.first_bad} {found.reason}")
    made = Checkpoint.sign(signer, head[0], "checkpoint", now, head[1])
    keep(connection, made)
    return made


def keep(connection: Connection, made: Checkpoint) -> None:
    """Store a checkpoint, unless the row has one of that kind."""
    row = {name: getattr(made, name) for name in made.__slots__}
    _KEEP.run(connection, row)


def verify(connection: Connection, anchor: Checkpoint | None = None) -> VerifyResult:
    """Recompute the whole chain and name the first bad row.

    With an anchor, only checkpoints under its key count, and its row must be there (or pruned under
    that key). Without one, a cut tail and a chain rewritten with all its checkpoints go unseen.
    """
    pins: dict[int, bytes] = {}
    pruned: Checkpoint | None = None
    for signed in [*_checkpoints(connection), *([] if anchor is None else [anchor])]:
        if anchor is not None and signed.public_key != anchor.public_key:
            continue
        if not signed.genuine:
            return VerifyResult(False, 0, signed.seq, "has a checkpoint with a false signature")
        if pins.setdefault(signed.seq, signed.hash) != signed.hash:
            return VerifyResult(False, 0, signed.seq, "has checkpoints that contradict each other")
        if signed.kind == "pruned" and (pruned is None or signed.seq > pruned.seq):
            pruned = signed
    seq, previous = (0, _GENESIS) if pruned is None else (pruned.seq, pruned.hash)
    earliest = connection.execute(select(func.min(_a.seq))).scalar_one()
    if earliest is not None and earliest <= seq:
        return VerifyResult(False, 0, earliest, "should have been pruned")
    return verify_rows(connection, seq, previous, pins=pins)


def verify_rows(
    connection: Connection,
    after: int,
    previous: bytes,
    *,
    upto: int | None = None,
    pins: Mapping[int, bytes] | None = None,
) -> VerifyResult:
    """Recompute the chain behind row `after`, whose hash is `previous`, through row `upto`.

    `pins` are hashes known from checkpoints; the chain must reach the last of them.
    """
    pins = pins or {}
    span = {"after": after, "upto": (1 << 62) if upto is None else upto}
    seq, read = after, 0
    with closing(_ROWS.pieces(connection, span, _BATCH)) as pieces:
        for piece in pieces:
            found = _verify_piece(piece, seq, previous, pins)
            read += found.rows
            if not found.ok:
                return found._replace(rows=read)
            seq, previous = piece[-1][0], piece[-1][5]
    wanted = max([upto or 0, *(pin for pin in pins if upto is None or pin <= upto)])
    if seq < wanted:
        return VerifyResult(False, read, seq + 1, f"is missing, as is every row to {wanted}")
    return VerifyResult(True, read)


def _verify_piece(
    rows: Sequence[Any], seq: int, previous: bytes, pins: Mapping[int, bytes]
) -> VerifyResult:
    for count, (number, at, user_id, event, detail, stored) in enumerate(rows):
        seq += 1
        if number != seq:
            return VerifyResult(False, count, seq, "is missing")
        try:
            previous = _link(previous, seq, at, user_id, event, detail)
        except (TypeError, ValueError):  # SQLite stores any type in any column
            return VerifyResult(False, count, seq, "was altered")
        if previous != stored:
            return VerifyResult(False, count, seq, "was altered, moved, or follows another row")
        if seq in pins and pins[seq] != previous:
            return VerifyResult(
                False, count, seq, "or one before it was rewritten since it was signed"
            )
    return VerifyResult(True, len(rows))


def _checkpoints(connection: Connection) -> Iterable[Checkpoint]:
    return [Checkpoint(*row) for row in connection.execute(_CHECKPOINTS)]
