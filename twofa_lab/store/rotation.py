"""Rotate encryption keys: re-encrypt every row under the active key, in small transactions.

Each row is replaced only if it still holds the ciphertext that was read, so a writer in between
loses nothing; rows under the active key are skipped, so a rotation that was interrupted goes on
where it stopped when it is called again.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, Engine, func, literal, select, update

from twofa_lab.store.engine import read, write
from twofa_lab.store.keyring import Keyring, key_prefix
from twofa_lab.store.schema import ENCRYPTED, field_name

__all__ = ["keys_in_use", "rotate"]


def rotate(engine: Engine, keyring: Keyring, batch: int = 500) -> int:
    """Re-encrypt what is not under the keyring's active key; how many values.

    `WorkError` at the first value that does not decrypt: what was done until then stays done.
    Drop the old key once `keys_in_use` no longer names it.
    """
    done = 0
    for column in ENCRYPTED:
        last: int | None = None
        while True:
            with write(engine) as connection:
                last, changed = _rotate_batch(connection, keyring, column, last, batch)
            done += changed
            if last is None:
                break
    return done


def _rotate_batch(
    connection: Connection, keyring: Keyring, column: Column[Any], last: int | None, batch: int
) -> tuple[int | None, int]:
    """Re-encrypt up to `batch` values with keys above `last`; the last key seen, how many."""
    key = next(iter(column.table.primary_key.columns))
    user = column.table.c.user_id
    prefix = key_prefix(keyring.active)
    stale = select(key, user, column).where(
        column.is_not(None), func.substr(column, 1, len(prefix)) != literal(prefix)
    )
    if last is not None:
        stale = stale.where(key > last)
    rows = connection.execute(stale.order_by(key).limit(batch)).all()
    changed = 0
    name = field_name(column)
    for number, user_id, old in rows:
        new = keyring.encrypt(keyring.decrypt(old, user_id, name), user_id, name)
        swap = update(column.table).where(key == number, column == old).values({column: new})
        changed += connection.execute(swap).rowcount
    return (rows[-1][0] if len(rows) == batch else None), changed


def keys_in_use(engine: Engine, keyring: Keyring) -> dict[str, int]:
    """How many values are under each key id; what is under none of the keyring's counts as `?`."""
    counts: dict[str, int] = {}
    with read(engine) as connection:
        for column in ENCRYPTED:
            filled = select(func.count()).where(column.is_not(None))
            left = int(connection.execute(filled).scalar_one())
            for key_id in keyring.ids:
                prefix = key_prefix(key_id)
                under = filled.where(func.substr(column, 1, len(prefix)) == literal(prefix))
                found = int(connection.execute(under).scalar_one())
                counts[key_id] = counts.get(key_id, 0) + found
                left -= found
            counts["?"] = counts.get("?", 0) + left
    return {key_id: count for key_id, count in counts.items() if count}
