"""Bring a database to this version's tables, with Alembic, from the first version on.

The whole upgrade is one transaction on both databases: interrupted, it leaves the old version.
A new migration is a module in `versions` and a new `HEAD`; tests hold `HEAD`, the newest migration
and `schema` together.
"""

from __future__ import annotations

import importlib.resources

from sqlalchemy import Connection, Engine, inspect, text

from twofa_lab.errors import InputError
from twofa_lab.store.engine import read, write
from twofa_lab.store.statements import lock_until_end

__all__ = ["HEAD", "check", "upgrade"]

HEAD = "0003"
"""The version this program's tables have."""

_LOCK = int.from_bytes(b"2fa-migr", "big")


def upgrade(engine: Engine) -> str | None:
    """Create the tables or bring them up to date; the version before (None: an empty database).

    `InputError` when the database was made by a newer version, or holds somebody else's tables.
    """
    with write(engine) as connection:
        lock_until_end(connection, _LOCK)
        before = _version(connection)
        if before is None and (tables := inspect(connection).get_table_names()):
            raise InputError(
                f"the database already holds tables of another program, such as {tables[0]!r}"
            )
        if before != HEAD:
            _run(connection, before)
    return before


def check(engine: Engine) -> None:
    """`InputError` unless the tables are of this version: the first thing a program does."""
    with read(engine) as connection:
        version = _version(connection)
    if version is None:
        raise InputError("the database has no tables of this program yet: run the upgrade")
    if version != HEAD:
        _refuse_unknown(version)
        raise InputError(f"the database has version {version}, not {HEAD}: run the upgrade")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar()


def _refuse_unknown(version: str) -> None:
    known = importlib.resources.files(__name__).joinpath("versions").iterdir()
    if not any(module.name.startswith(f"v{version}_") for module in known):
        raise InputError(
            f"the database has version {version}, newer than this program's {HEAD}: "
            "install the newer program"
        )


def _run(connection: Connection, before: str | None) -> None:
    from alembic import command  # half a second that only an upgrade needs
    from alembic.config import Config

    if before is not None:
        _refuse_unknown(before)
    with importlib.resources.as_file(importlib.resources.files(__name__)) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
