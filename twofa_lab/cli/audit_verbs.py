"""The verbs `audit verify`, `export`, `checkpoint`, `prune`, and those of legal holds (`hold`,
`release`, `holds`), over the store's audit chain.

A database is the path of an SQLite file or a URL. None is ever created, and reading verbs open it
read-only. What does not let itself be opened, or holds no audit of this program, is wrong input.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofa_lab.cli.verbs import Json, show
from twofa_lab.errors import InputError, WorkError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from twofa_lab.store.audit import Checkpoint

__all__ = ["audit"]

audit = typer.Typer(
    name="audit",
    no_args_is_help=True,
    help="Verify, export, sign, hold or prune the hash-chained audit of a store.",
)

Database = Annotated[str, typer.Argument(help="An SQLite file or a postgresql:// URL.")]
By = Annotated[str, typer.Option("--by", help="Who does so.")]
_DAY = "%Y-%m-%d"


@audit.command()
def verify(
    database: Database,
    anchor: Annotated[
        Path | None, typer.Option(help="A checkpoint kept elsewhere: shows a cut tail as well.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Recompute the whole chain; status 1 and the first bad row where it does not hold."""
    from twofa_lab.store.audit import verify as recompute
    from twofa_lab.store.engine import read

    signed = None if anchor is None else _read_anchor(anchor)
    with _opened(database, read_only=True) as engine, read(engine) as connection:
        found = recompute(connection, signed)
    content = {**found._asdict(), "anchor": None if signed is None else signed.seq}
    against = (
        "no anchor was given, so a cut tail would not show"
        if signed is None
        else f"the anchor of row {signed.seq} is met"
    )
    if found.ok or as_json:
        show(as_json, content, f"The chain of {found.rows:,} rows holds; {against}.")
    if not found.ok:
        raise WorkError(f"the audit does not verify: row {found.first_bad} {found.reason}")


@audit.command()
def export(
    database: Database,
    out: Annotated[Path, typer.Option(help="A new Parquet file.")],
    as_json: Json = False,
) -> None:
    """Write the audit as Parquet, for a notebook."""
    from twofa_lab.store.archive import export as write_parquet
    from twofa_lab.store.engine import read

    _must_be_new(out)
    with _opened(database, read_only=True) as engine, read(engine) as connection:
        rows = write_parquet(connection, out)
    show(as_json, {"path": str(out), "rows": rows}, f"{rows:,} rows written to {out}")


@audit.command()
def checkpoint(
    database: Database,
    out: Annotated[Path, typer.Option(help="A new file for the anchor: keep it elsewhere.")],
    as_json: Json = False,
) -> None:
    """Verify what is new, sign the newest row and write the anchor (needs the keyring)."""
    from twofa_lab.store.audit import checkpoint as sign
    from twofa_lab.store.engine import write
    from twofa_lab.store.keyring import Keyring

    signer = Keyring.from_environment(os.environ).signer()
    _must_be_new(out)
    with _opened(database) as engine, write(engine) as connection:
        made = sign(connection, signer, _now_ms())
        with out.open("x", encoding="utf-8") as file:
            file.write(made.to_json() + "\n")
    content = {"path": str(out), "seq": made.seq, "hash": made.hash.hex()}
    show(as_json, content, f"row {made.seq} signed; its anchor is in {out}")


@audit.command()
def prune(
    database: Database,
    before: Annotated[
        datetime | None,
        typer.Option(formats=[_DAY], help="Rows older than this day (UTC); default four years."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Delete the oldest rows, past retention and not held; the rest still verifies (keyring)."""
    from twofa_lab.store.archive import RETENTION_MS
    from twofa_lab.store.archive import prune as delete_front
    from twofa_lab.store.engine import write
    from twofa_lab.store.keyring import Keyring

    signer = Keyring.from_environment(os.environ).signer()
    now, retention = _now_ms(), RETENTION_MS
    if before is not None:
        retention = now - int(before.replace(tzinfo=UTC).timestamp() * 1000)
        if retention <= 0:
            raise InputError(f"--before {before:{_DAY}}: name a day that is past")
    with _opened(database) as engine, write(engine) as connection:
        done = delete_front(connection, signer, now, retention)
    text = f"{done.rows:,} rows deleted" + (f", through row {done.through}" if done.rows else "")
    text += "; a legal hold kept others that were due" if done.held else ""
    show(as_json, done._asdict(), text)


@audit.command()
def hold(
    database: Database,
    reason: Annotated[str, typer.Option(help="Why, as the file number of a case.")],
    by: By,
    account: Annotated[str | None, typer.Option(help="A login name.")] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="All rows.")] = False,
    as_json: Json = False,
) -> None:
    """Forbid pruning an account's rows, and so all after its first, until the hold is released."""
    from twofa_lab.store.archive import place_hold
    from twofa_lab.store.engine import write

    if (account is None) != everyone:
        raise InputError("a legal hold is on one --account or on --everyone")
    with _opened(database) as engine, write(engine) as connection:
        user_id = None if account is None else _user_id(connection, account)
        made = place_hold(connection, user_id=user_id, reason=reason, placed_by=by, now=_now_ms())
    whose = "everybody" if account is None else account
    show(as_json, {"hold": made, "user_id": user_id}, f"hold {made} placed on {whose}")


@audit.command()
def release(
    database: Database,
    number: Annotated[int, typer.Argument(metavar="HOLD", help="Its number, as `holds` shows.")],
    by: By,
    as_json: Json = False,
) -> None:
    """End a legal hold."""
    from twofa_lab.store.archive import release_hold
    from twofa_lab.store.engine import write

    with _opened(database) as engine, write(engine) as connection:
        if not release_hold(connection, number, by, _now_ms()):
            raise InputError(f"there is no hold {number} in force: `audit holds` lists them")
    show(as_json, {"hold": number, "released_by": by}, f"hold {number} released")


@audit.command()
def holds(database: Database, as_json: Json = False) -> None:
    """List every legal hold, in force or released."""
    from twofa_lab.store.archive import holds as all_holds
    from twofa_lab.store.engine import read

    with _opened(database, read_only=True) as engine, read(engine) as connection:
        found = all_holds(connection)
    lines = []
    for one in found:
        whose = "everybody" if one.user_id is None else f"user {one.user_id}"
        state = "in force" if one.released_at is None else f"released {_day(one.released_at)}"
        state += "" if one.released_by is None else f" by {one.released_by}"
        placed = f"placed {_day(one.placed_at)} by {one.placed_by}"
        lines.append(f"{one.id:4} {whose}: {one.reason}; {placed}; {state}")
    content = {"holds": [one._asdict() for one in found]}
    show(as_json, content, "\n".join(lines) or "no legal hold was ever placed")


@contextmanager
def _opened(database: str, *, read_only: bool = False) -> Iterator[Engine]:
    from twofa_lab.store.engine import connect
    from twofa_lab.store.migrations import check

    looked_at = connect(database, read_only=True)  # opened to write, a strange file would change
    try:
        check(looked_at)
    except WorkError as error:
        raise InputError(str(error)) from None
    finally:
        looked_at.dispose()
    engine = connect(database, read_only=read_only)
    try:
        yield engine
    finally:
        engine.dispose()


def _read_anchor(path: Path) -> Checkpoint:
    from twofa_lab.store.audit import Checkpoint

    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(10_000)
    except OSError as error:
        raise InputError(f"cannot read the anchor {path}: {error.strerror}") from None
    try:
        return Checkpoint.from_json(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _user_id(connection: Connection, account: str) -> int:
    from twofa_lab.flow.login import login_name
    from twofa_lab.store.accounts import account_by_name

    found = account_by_name(connection, login_name(account))
    if found is None:
        raise InputError(f"no account has the login name {account!r}")
    return found.user_id


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime(_DAY)


def _must_be_new(path: Path) -> None:
    if path.exists():
        raise InputError(f"{path} exists: name a new file")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
