"""Older versions, interrupted and foreign databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, event, insert, inspect, select, text

from twofa_lab.errors import InputError
from twofa_lab.store import migrations
from twofa_lab.store.authenticators import authenticators_of
from twofa_lab.store.engine import read, write
from twofa_lab.store.schema import metadata


def test_an_upgraded_database_has_the_tables_of_the_schema(engine: Engine) -> None:
    with read(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_checks_of_the_migration_are_those_of_the_schema(engine: Engine) -> None:
    """compare_metadata does not look at CHECK constraints."""
    with read(engine) as connection:
        found = inspect(connection)
        for table in metadata.sorted_tables:
            there = {check["name"] for check in found.get_check_constraints(table.name)}
            wanted = {c.name for c in table.constraints if type(c).__name__ == "CheckConstraint"}
            assert there == {f"ck_{table.name}_{name}" for name in wanted}


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return made


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(config()).get_heads() == [migrations.HEAD]


def test_upgrading_again_changes_nothing(engine: Engine) -> None:
    assert migrations.upgrade(engine) == migrations.HEAD
    migrations.check(engine)


def test_an_empty_database_is_refused_until_upgraded(empty_engine: Engine) -> None:
    with pytest.raises(InputError, match="run the upgrade"):
        migrations.check(empty_engine)
    assert migrations.upgrade(empty_engine) is None
    migrations.check(empty_engine)


def test_a_newer_database_is_refused(empty_engine: Engine) -> None:
    migrations.upgrade(empty_engine)
    with write(empty_engine) as connection:
        connection.execute(text("update alembic_version set version_num = '0999'"))
    for call in (migrations.check, migrations.upgrade):
        with pytest.raises(InputError, match="version 0999, newer than this program's"):
            call(empty_engine)


def test_another_programs_database_is_refused(empty_engine: Engine) -> None:
    with write(empty_engine) as connection:
        connection.execute(text("create table invoices (id integer)"))
    with pytest.raises(InputError, match="another program, such as 'invoices'"):
        migrations.upgrade(empty_engine)


def test_an_interrupted_upgrade_leaves_nothing_and_resumes(empty_engine: Engine) -> None:
    def stop(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "CREATE TABLE challenges" in statement:
            raise KeyboardInterrupt

    event.listen(empty_engine, "before_cursor_execute", stop)
    with pytest.raises(KeyboardInterrupt):
        migrations.upgrade(empty_engine)
    event.remove(empty_engine, "before_cursor_execute", stop)
    with read(empty_engine) as connection:
        assert inspect(connection).get_table_names() == []
    assert migrations.upgrade(empty_engine) is None
    migrations.check(empty_engine)


ROWS: dict[str, dict[str, object]] = {
    "accounts": {
        "user_id": 7,
        "name": "ada",
        "phone": b"sealed",
        "password_hash": "not a password's",
        "created": 1,
        "home_zone": "UTC",
        "whatsapp": True,
        "password_changed_at": 2,
        "factor_failures": 3,
    },
    "authenticators": {
        "id": 4,
        "user_id": 7,
        "kind": "passkey",
        "label": "key",
        "created": 1,
        "credential_id": b"credential",
        "sign_count": 9,
        "backup_state": True,
        "consecutive_failures": 2,
    },
    "challenges": {
        "id": "c",
        "user_id": 7,
        "authenticator_id": 4,
        "session_binding": b"s",
        "purpose": "login",
        "factor": "passkey",
        "created": 1,
        "expires": 2,
        "max_attempts": 5,
    },
    "history": {
        "user_id": 7,
        "kind": "device",
        "value": "a-cookie",
        "count": 3,
        "first_seen": 1,
        "last_seen": 9,
        "trusted_at": 5,
    },
    "audit": {"seq": 1, "at": 1, "event": "login", "detail": "{}", "hash": bytes(32)},
}


def made_by_the_first_version(engine: Engine) -> dict[str, list[dict[str, object]]]:
    """Tables of version 0001 with a few rows in them; what they hold."""
    with write(engine) as connection:
        old = config()
        old.attributes["connection"] = connection
        command.upgrade(old, "0001")
        shape = MetaData()
        shape.reflect(connection)
        for name, row in ROWS.items():
            connection.execute(insert(shape.tables[name]), row)
        return {
            name: [dict(row) for row in connection.execute(select(shape.tables[name])).mappings()]
            for name in ROWS
        }


def test_an_older_database_keeps_its_rows(empty_engine: Engine) -> None:
    before = made_by_the_first_version(empty_engine)
    with pytest.raises(InputError, match="version 0001, not"):
        migrations.check(empty_engine)
    assert migrations.upgrade(empty_engine) == "0001"
    migrations.check(empty_engine)
    with read(empty_engine) as connection:
        for name, rows in before.items():
            found = connection.execute(select(metadata.tables[name])).mappings().all()
            assert [{key: row[key] for key in rows[0]} for row in found] == rows, name
        (passkey,) = authenticators_of(connection, 7)
        assert (passkey.sign_count, passkey.aaguid, passkey.transports) == (9, None, None)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_an_interrupted_upgrade_of_an_older_database_resumes(empty_engine: Engine) -> None:
    made_by_the_first_version(empty_engine)

    def stop(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "ADD COLUMN transports" in statement:
            raise KeyboardInterrupt

    event.listen(empty_engine, "before_cursor_execute", stop)
    with pytest.raises(KeyboardInterrupt):
        migrations.upgrade(empty_engine)
    event.remove(empty_engine, "before_cursor_execute", stop)
    with read(empty_engine) as connection:
        assert not inspect(connection).has_table("send_claims")
    assert migrations.upgrade(empty_engine) == "0001"
    migrations.check(empty_engine)
