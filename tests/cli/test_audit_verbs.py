"""The verbs of the audit: what holds, what does not, and what is no database of ours."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.calls import Refused, Told
from twofa_lab.cli.main import run
from twofa_lab.store import audit
from twofa_lab.store.accounts import add_account
from twofa_lab.store.audit import Event
from twofa_lab.store.engine import connect, write
from twofa_lab.store.keyring import ENVIRONMENT_VARIABLE, Keyring
from twofa_lab.store.migrations import upgrade

DAY = 86_400_000
FIRST = 1_577_880_000_000  # 2020-01-01 12:00 UTC
VERBS = ("verify", "export", "checkpoint", "prune", "hold", "release", "holds")
WANTED: dict[str, tuple[str, ...]] = {
    "hold": ("--everyone", "--reason", "case 7", "--by", "kim"),
    "release": ("1", "--by", "kim"),
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten audit rows, noon after noon, and a keyring in the environment."""
    path = tmp_path / "store.db"
    engine = connect(str(path), create=True)
    upgrade(engine)
    with write(engine) as c:
        audit.append(c, [Event(FIRST + i * DAY, "login", i % 3, {"i": i}) for i in range(10)])
    engine.dispose()
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, Keyring.generate().to_json())
    return path


def spoil(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


def arguments(verb: str, database: str | Path, folder: Path) -> list[str | Path]:
    out = ["--out", folder / "out"] if verb in ("export", "checkpoint") else []
    return ["audit", verb, database, *WANTED.get(verb, ()), *out]


def test_a_whole_chain_verifies_without_a_keyring(
    told: Told, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    before = store.read_bytes()
    found = told("audit", "verify", store)
    assert found == {"ok": True, "rows": 10, "first_bad": None, "reason": "", "anchor": None}
    assert told("audit", "verify", f"sqlite:///{store}") == found
    assert run(["audit", "verify", str(store)]) == 0
    assert "The chain of 10 rows holds; no anchor was given" in capsys.readouterr().out
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ("update audit set detail = '{}' where seq = 4", 4),
        ("delete from audit where seq = 1", 1),
        ("delete from audit where seq between 6 and 7", 6),
        ("update audit set seq = -seq where seq in (2, 3)", -3),
    ],
)
def test_the_first_bad_row_is_named(
    refused: Refused,
    store: Path,
    statement: str,
    first_bad: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(store, statement)
    line = refused("audit", "verify", store, status=1)
    wanted = "the audit does not verify: row "
    assert wanted in line
    assert run(["audit", "verify", str(store), "--json"]) == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert not found["ok"]
    assert f"row {found['first_bad']} {found['reason']}" in line
    assert printed.err.count("\n") == 1
    if first_bad > 0:
        assert found["first_bad"] == first_bad


def test_an_anchor_shows_a_cut_tail(
    told: Told, refused: Refused, store: Path, tmp_path: Path
) -> None:
    anchor = tmp_path / "anchor.json"
    made = told("audit", "checkpoint", store, "--out", anchor)
    assert made["seq"] == 10
    assert told("audit", "verify", store, "--anchor", anchor)["anchor"] == 10
    for table in ("audit", "audit_checkpoints"):
        spoil(store, f"delete from {table} where seq > 8")  # noqa: S608 - two names above
    assert told("audit", "verify", store)["ok"], "unseen without it"
    line = refused("audit", "verify", store, "--anchor", anchor, status=1)
    assert "row 9 is missing, as is every row to 10" in line


def test_a_false_anchor_is_refused(
    told: Told, refused: Refused, store: Path, tmp_path: Path
) -> None:
    anchor = tmp_path / "anchor.json"
    told("audit", "checkpoint", store, "--out", anchor)
    assert f"{anchor} exists" in refused("audit", "checkpoint", store, "--out", anchor)
    anchor.write_text(anchor.read_text().replace('"seq": 10', '"seq": 9'))
    assert "was altered" in refused("audit", "verify", store, "--anchor", anchor)
    anchor.write_bytes(b"\xff" * 20_000)
    assert f"{anchor}: the anchor is not" in refused("audit", "verify", store, "--anchor", anchor)
    assert "cannot read" in refused("audit", "verify", store, "--anchor", tmp_path / "none")


def test_a_broken_chain_is_neither_signed_nor_pruned(
    refused: Refused, store: Path, tmp_path: Path
) -> None:
    spoil(store, "update audit set at = at + 1 where seq = 2")
    line = refused("audit", "checkpoint", store, "--out", tmp_path / "a.json", status=1)
    assert "not signed: row 2" in line
    assert not (tmp_path / "a.json").exists()
    assert "not pruned: row 2" in refused("audit", "prune", store, status=1)


def test_the_export_holds_every_row(
    told: Told, refused: Refused, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "audit.parquet"
    assert told("audit", "export", store, "--out", out) == {"path": str(out), "rows": 10}
    table = pq.read_table(out)
    assert table.column("seq").to_pylist() == [*range(1, 11)]
    assert table.column("detail").to_pylist()[3] == '{"i":3}'
    before = store.read_bytes()
    assert f"{store} exists" in refused("audit", "export", store, "--out", store)
    assert store.read_bytes() == before
    where = tmp_path / "none" / "audit.parquet"
    assert str(where) in refused("audit", "export", store, "--out", where, status=1)


def test_pruning_keeps_the_rest_verifiable(told: Told, store: Path) -> None:
    assert told("audit", "prune", store, "--before", "2020-01-05") == {
        "rows": 4,
        "through": 4,
        "held": False,
    }
    found = told("audit", "verify", store)
    assert (found["ok"], found["rows"]) == (True, 7), "six, and the row that says so"
    assert told("audit", "prune", store)["rows"] == 6, "older than four years"


@pytest.mark.parametrize("day", ["2999-01-01", "yesterday", "2020-02-30"])
def test_pruning_wants_a_past_day(refused: Refused, store: Path, day: str) -> None:
    assert day in refused("audit", "prune", store, "--before", day)


def test_a_hold_keeps_rows_that_are_due(
    told: Told, refused: Refused, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a keyring too: a hold is written into the chain and signs nothing."""
    engine = connect(str(store))
    with write(engine) as c:
        row = {"name": "ann", "password_hash": "none", "created": FIRST, "home_zone": "UTC"}
        add_account(c, Keyring.generate(), user_id=1, status="active", **row)
    engine.dispose()
    why = ("--reason", "case 7", "--by", "kim")
    placed = told("audit", "hold", store, "--account", " Ann", *why)
    assert placed == {"hold": 1, "user_id": 1}
    assert told("audit", "prune", store) == {"rows": 1, "through": 1, "held": True}
    assert run(["audit", "holds", str(store)]) == 0
    assert " 1 user 1: case 7; placed" in capsys.readouterr().out
    assert told("audit", "release", store, "1", "--by", "lee") == {"hold": 1, "released_by": "lee"}
    assert "no hold 1 in force" in refused("audit", "release", store, "1", "--by", "lee")
    (one,) = told("audit", "holds", store)["holds"]
    assert (one["placed_by"], one["released_by"], one["released_at"] > FIRST) == (
        "kim",
        "lee",
        True,
    )
    assert told("audit", "prune", store)["rows"] == 9
    assert told("audit", "verify", store)["ok"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--account", "nobody"], "no account has the login name 'nobody'"),
        (["--account", "ann", "--everyone"], "--account or on --everyone"),
        ([], "--account or on --everyone"),
        (["--everyone", "--reason", ""], "needs a reason"),
    ],
)
def test_a_hold_on_nobody_is_refused(
    refused: Refused, store: Path, options: list[str], named: str
) -> None:
    assert named in refused("audit", "hold", store, "--reason", "case 7", "--by", "kim", *options)


@pytest.mark.parametrize("verb", ["checkpoint", "prune"])
@pytest.mark.parametrize("value", ["", "{}", "@nowhere"])
def test_signing_needs_a_keyring(
    refused: Refused,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    value: str,
) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, value)
    assert "keyring" in refused(*arguments(verb, store, tmp_path)).lower()


def _missing(_path: Path) -> None: ...


def _empty(path: Path) -> None:
    path.touch()


def _text(path: Path) -> None:
    path.write_text("not a database" * 100, encoding="utf-8")


def _folder(path: Path) -> None:
    path.mkdir()


def _foreign(path: Path) -> None:
    spoil(path, "create table invoices (id integer)")


def _newer(path: Path) -> None:
    spoil(path, "create table alembic_version (version_num text)")
    spoil(path, "insert into alembic_version values ('0999')")


def _of_another_migrator(path: Path) -> None:
    spoil(path, "create table alembic_version (number integer)")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "make", [_missing, _empty, _text, _folder, _foreign, _newer, _of_another_migrator]
)
@pytest.mark.usefixtures("store")
def test_what_is_no_store_is_refused_and_left_alone(
    refused: Refused, tmp_path: Path, verb: str, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "other.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    assert "the database" in refused(*arguments(verb, path, tmp_path))
    assert (path.read_bytes() if path.is_file() else None) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "url",
    ["mysql://host/name", "://", "postgresql://host:port/name", "postgresql://me:pw@127.0.0.1:1/x"],
)
@pytest.mark.usefixtures("store")
def test_a_url_that_leads_nowhere_is_refused(refused: Refused, url: str) -> None:
    line = refused("audit", "verify", url)
    assert "the database" in line or "store on" in line
    assert "pw" not in line
