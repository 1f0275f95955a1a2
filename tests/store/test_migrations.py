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
from twofa_lab.store.engine import connect, read, write
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


def test_an_empty_database_is_refused_until_upgraded(tmp_path: Path) -> None:
    engine = connect(str(tmp_path / "new.db"), create=True)
    with pytest.raises(InputError, match="run the upgrade"):
        migrations.check(engine)
    assert migrations.upgrade(engine) is None
    migrations.check(engine)
    engine.dispose()


@pytest.mark.parametrize("call", [migrations.check, migrations.upgrade])
def test_a_newer_database_is_refused(engine: Engine, call: object) -> None:
    with write(engine) as connection:
        connection.execute(text("update alembic_version set version_num = '0999'"))
    with pytest.raises(InputError, match="version 0999, newer than this program's"):
        call(engine)  # type: ignore[operator]


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    engine = connect(str(tmp_path / "other.db"), create=True)
    with write(engine) as connection:
        connection.execute(text("create table invoices (id integer)"))
    with pytest.raises(InputError, match="another program, such as 'invoices'"):
        migrations.upgrade(engine)
    engine.dispose()


def test_an_interrupted_upgrade_leaves_nothing_and_resumes(
    engine: Engine, request: pytest.FixtureRequest
) -> None:
    with write(engine) as connection:
        connection.execute(text("drop table alembic_version"))
        metadata.drop_all(connection)

    def stop(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "CREATE TABLE challenges" in statement:
            raise KeyboardInterrupt

    event.listen(engine, "before_cursor_execute", stop)
    with pytest.raises(KeyboardInterrupt):
        migrations.upgrade(engine)
    event.remove(engine, "before_cursor_execute", stop)
    with read(engine) as connection:
        assert inspect(connection).get_table_names() == []
    assert migrations.upgrade(engine) is None
    migrations.check(engine)
