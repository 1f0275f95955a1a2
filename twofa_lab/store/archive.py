"""Keeping the audit: retention, legal hold, pruning, export to Parquet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from twofa_lab.errors import InputError, WorkError
from twofa_lab.store.audit import Checkpoint, Event, append, keep, lock_chain, verify_rows
from twofa_lab.store.schema import audit, audit_checkpoints, legal_holds
from twofa_lab.store.statements import Prepared

__all__ = [
    "RETENTION_MS",
    "Hold",
    "PruneResult",
    "export",
    "holds",
    "place_hold",
    "prune",
    "release_hold",
]

RETENTION_MS = 1_461 * 86_400_000
"""Four years, a leap day among them: how long audit rows stay unless told otherwise."""

_a = audit.c
_h = legal_holds.c
_c = audit_checkpoints.c
_ROWS = Prepared(select(*audit.columns).order_by(_a.seq))
_BATCH = 50_000


class PruneResult(NamedTuple):
    """Rows deleted, and the `seq` of the last of them (0: none was due)."""

    rows: int
    through: int
    held: bool
    """A legal hold kept rows that were due."""


class Hold(NamedTuple):
    """A legal hold: on whose rows (None: everybody's), why, who placed and who released it (None:
    it is in force), and when.
    """

    id: int
    user_id: int | None
    reason: str
    placed_by: str
    placed_at: int
    released_by: str | None
    released_at: int | None


def holds(connection: Connection) -> list[Hold]:
    """Every legal hold there ever was, in the order they were placed."""
    columns = (_h[name] for name in Hold._fields)
    return [Hold(*row) for row in connection.execute(select(*columns).order_by(_h.id))]


def place_hold(
    connection: Connection, *, user_id: int | None, reason: str, placed_by: str, now: int
) -> int:
    """Forbid pruning the rows of an account, or with None of everybody; the hold's id.

    The chain is pruned from the front only, so a held row also keeps all the rows after it.
    """
    if not reason or not placed_by:
        raise InputError("a legal hold needs a reason and who places it")
    row = {"user_id": user_id, "reason": reason, "placed_by": placed_by, "placed_at": now}
    made = connection.execute(insert(legal_holds).values(row).returning(_h.id)).scalar_one()
    append(connection, [Event(now, "legal_hold", user_id, {"hold": made, "state": "placed"})])
    return int(made)


def release_hold(connection: Connection, hold_id: int, released_by: str, now: int) -> bool:
    """End a hold; False when it had ended or never was."""
    if not released_by:
        raise InputError("the release of a legal hold needs who releases it")
    ended = (
        update(legal_holds)
        .where(_h.id == hold_id, _h.released_at.is_(None))
        .values(released_by=released_by, released_at=now)
    )
    if connection.execute(ended).rowcount != 1:
        return False
    append(connection, [Event(now, "legal_hold", None, {"hold": hold_id, "state": "released"})])
    return True


def prune(
    connection: Connection,
    signer: Ed25519PrivateKey,
    now: int,
    retention_ms: int = RETENTION_MS,
) -> PruneResult:
    """Delete the oldest rows that are past retention and not held, from the front of the chain.

    A signed `pruned` checkpoint takes their place, so the rest verifies from there. What is about
    to go is verified first: `WorkError`, and nothing is deleted, when it does not hold.
    """
    if retention_ms <= 0:
        raise InputError("the audit's retention must be longer than nothing")
    lock_chain(connection)  # a hold that is being placed is waited for, and then obeyed
    first = connection.execute(select(func.min(_a.seq))).scalar_one()
    due = _due(connection, now - retention_ms)
    cut = min(due, _held(connection, due))
    if first is None or cut < first:
        return PruneResult(0, 0, held=due > cut)
    _verify_front(connection, signer, first, cut)
    row_hash = connection.execute(select(_a.hash).where(_a.seq == cut)).scalar_one()
    marker = Checkpoint.sign(signer, cut, "pruned", now, row_hash)
    rows = cut - first + 1
    # first, so that there is always a row for the next one to follow
    append(connection, [Event(now, "audit_pruned", None, {"rows": rows, "through": cut})])
    connection.execute(delete(audit).where(_a.seq <= cut))
    connection.execute(delete(audit_checkpoints).where(_c.seq <= cut))
    keep(connection, marker)
    return PruneResult(rows, cut, held=due > cut)


def _due(connection: Connection, before: int) -> int:
    """The last `seq` of the longest front whose rows are all older."""
    younger = connection.execute(select(func.min(_a.seq)).where(_a.at >= before)).scalar_one()
    if younger is not None:
        return int(younger) - 1
    return int(connection.execute(select(func.max(_a.seq))).scalar_one() or 0)


def _held(connection: Connection, due: int) -> int:
    """The last `seq` before the first row under a hold, or `due`."""
    active = select(_h.user_id).where(_h.released_at.is_(None))
    held = or_(_a.user_id.in_(active), active.where(_h.user_id.is_(None)).exists())
    first = connection.execute(select(func.min(_a.seq)).where(held, _a.seq <= due)).scalar_one()
    return due if first is None else int(first) - 1


def _verify_front(connection: Connection, signer: Ed25519PrivateKey, first: int, cut: int) -> None:
    previous = bytes(32)
    if first > 1:
        before = select(*(_c[name] for name in Checkpoint.__slots__)).where(
            _c.kind == "pruned", _c.seq == first - 1
        )
        row = connection.execute(before).first()
        marker = None if row is None else Checkpoint(*row)
        mine = signer.public_key().public_bytes_raw()
        if marker is None or marker.public_key != mine or not marker.genuine:
            raise WorkError(f"the audit is not pruned: rows before {first} went without this key")
        previous = marker.hash
    found = verify_rows(connection, first - 1, previous, upto=cut)
    if not found.ok:
        raise WorkError(f"the audit is not pruned: row {found.first_bad} {found.reason}")


def export(connection: Connection, path: Path) -> int:
    """Write the audit to a Parquet file, replacing it only once complete; how many rows.

    Columns: seq, at (timestamp, ms, UTC), user_id, event (dictionary), detail (JSON text), hash.
    """
    import pyarrow as pa  # heavy, and few callers export
    import pyarrow.parquet as pq

    shape = pa.schema(
        [
            ("seq", pa.int64()),
            ("at", pa.timestamp("ms", tz="UTC")),
            ("user_id", pa.int64()),
            ("event", pa.string()),
            ("detail", pa.string()),
            ("hash", pa.binary()),
        ]
    )
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    written = 0
    try:
        with pq.ParquetWriter(partial, shape, compression="zstd") as writer:
            for piece in _ROWS.pieces(connection, {}, _BATCH):
                values = zip(zip(*piece, strict=True), shape, strict=True)
                arrays = [pa.array(column, field.type) for column, field in values]
                writer.write_batch(pa.record_batch(arrays, schema=shape))
                written += len(piece)
        partial.replace(path)
    except OSError as error:
        raise WorkError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
    return written
