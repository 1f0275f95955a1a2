"""The frozen first version, interrupted and foreign databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect, text

from twofa_lab.errors import InputError
from twofa_lab.store import migrations
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


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


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
