"""Retention, legal hold and pruning keep the rest verifiable; the export reads back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, text

from twofa_lab.errors import InputError, WorkError
from twofa_lab.store import archive, audit
from twofa_lab.store.audit import Checkpoint, Event
from twofa_lab.store.engine import read, write

DAY = 86_400_000
SIGNER = Ed25519PrivateKey.generate()


@pytest.fixture
def chain(engine: Engine, now: int) -> Engine:
    """Ten rows, a day apart, of accounts 0, 1, 2 in turn."""
    with write(engine) as c:
        audit.append(c, [Event(now + i * DAY, "login", i % 3, {"i": i}) for i in range(10)])
    return engine


def prune(engine: Engine, now: int, **more: int) -> archive.PruneResult:
    with write(engine) as c:
        return archive.prune(c, SIGNER, now, **more)


def verify(engine: Engine, anchor: Checkpoint | None = None) -> audit.VerifyResult:
    with read(engine) as c:
        return audit.verify(c, anchor)


def sql(engine: Engine, statement: str) -> None:
    with write(engine) as c:
        c.execute(text(statement))


def test_four_years_by_default(chain: Engine, now: int) -> None:
    assert archive.RETENTION_MS == 4 * 365.25 * DAY
    assert prune(chain, now + archive.RETENTION_MS) == (0, 0, False)
    assert prune(chain, now + archive.RETENTION_MS + 1) == (1, 1, False)


def test_the_rest_verifies_after_pruning(chain: Engine, now: int) -> None:
    with write(chain) as c:
        anchor = audit.checkpoint(c, SIGNER, now)
    assert prune(chain, now + 5 * DAY, retention_ms=DAY) == (4, 4, False)
    found = verify(chain, anchor)
    assert (found.ok, found.rows) == (True, 7), "six of ten, and the row that records the pruning"
    with read(chain) as c:
        last = c.execute(text("select event, detail from audit order by seq desc limit 1")).one()
    assert tuple(last) == ("audit_pruned", '{"rows":4,"through":4}')
    assert prune(chain, now + 7 * DAY, retention_ms=DAY) == (2, 6, False)
    assert verify(chain, anchor).ok


def test_an_anchor_of_pruned_rows_still_serves(chain: Engine, now: int) -> None:
    with write(chain) as c:
        anchor = audit.checkpoint(c, SIGNER, now)
    assert prune(chain, now + 50 * DAY, retention_ms=DAY).rows == 10
    assert verify(chain, anchor) == (True, 1, None, "")
    with write(chain) as c:
        audit.append(c, [Event(now, "login", 7)])
        audit.checkpoint(c, SIGNER, now)
    assert verify(chain, anchor) == (True, 2, None, "")


def test_what_pruning_left_is_still_guarded(chain: Engine, now: int) -> None:
    with write(chain) as c:
        anchor = audit.checkpoint(c, SIGNER, now)
    prune(chain, now + 5 * DAY, retention_ms=DAY)
    sql(chain, "delete from audit where seq = 5")
    assert verify(chain, anchor).first_bad == 5
    sql(chain, "delete from audit_checkpoints")
    assert verify(chain, anchor).first_bad == 1, "a front that is gone without its marker"


def test_a_forged_marker_does_not_hide_a_cut_front(chain: Engine, now: int) -> None:
    with write(chain) as c:
        anchor = audit.checkpoint(c, SIGNER, now)
        row = c.execute(text("select hash from audit where seq = 3")).scalar_one()
        forged = Checkpoint.sign(Ed25519PrivateKey.generate(), 3, "pruned", now, row)
        audit.keep(c, forged)
    sql(chain, "delete from audit where seq <= 3")
    assert verify(chain, anchor).first_bad == 1


def test_rows_that_come_back_are_named(chain: Engine, now: int) -> None:
    prune(chain, now + 5 * DAY, retention_ms=DAY)
    sql(
        chain,
        "insert into audit select 4, at, user_id, event, detail, hash from audit where seq = 5",
    )
    found = verify(chain)
    assert (found.first_bad, found.reason) == (4, "should have been pruned")


def test_a_broken_front_is_not_pruned_away(chain: Engine, now: int) -> None:
    sql(chain, "update audit set user_id = 9 where seq = 2")
    with pytest.raises(WorkError, match="not pruned: row 2 was altered"):
        prune(chain, now + 5 * DAY, retention_ms=DAY)
    assert verify(chain).first_bad == 2


def test_pruning_needs_the_key_that_pruned_before(chain: Engine, now: int) -> None:
    prune(chain, now + 5 * DAY, retention_ms=DAY)
    with pytest.raises(WorkError, match="went without this key"), write(chain) as c:
        archive.prune(c, Ed25519PrivateKey.generate(), now + 7 * DAY, DAY)


def test_a_clock_that_stepped_back_prunes_nothing_young(engine: Engine, now: int) -> None:
    with write(engine) as c:
        audit.append(c, [Event(at, "login", 1) for at in (now, now + 9 * DAY, now + 1, now + 2)])
    assert prune(engine, now + 5 * DAY, retention_ms=DAY) == (1, 1, False)


def test_a_hold_keeps_its_rows_and_those_after(chain: Engine, now: int) -> None:
    with write(chain) as c:
        hold = archive.place_hold(c, user_id=2, reason="case 7", placed_by="kim", now=now)
    assert prune(chain, now + 9 * DAY, retention_ms=DAY) == (2, 2, True)
    assert prune(chain, now + 9 * DAY, retention_ms=DAY) == (0, 0, True)
    with write(chain) as c:
        assert archive.release_hold(c, hold, "lee", now + 9 * DAY)
        assert not archive.release_hold(c, hold, "lee", now + 9 * DAY)
    found = prune(chain, now + 9 * DAY, retention_ms=DAY)
    assert (found.rows, found.held) == (6, False)
    assert verify(chain).ok


def test_a_hold_on_everybody(chain: Engine, now: int) -> None:
    with write(chain) as c:
        archive.place_hold(c, user_id=None, reason="case 8", placed_by="kim", now=now)
    assert prune(chain, now + 99 * DAY, retention_ms=DAY) == (0, 0, True)


def test_holds_are_on_the_record(chain: Engine, now: int) -> None:
    with write(chain) as c:
        hold = archive.place_hold(c, user_id=1, reason="case 7", placed_by="kim", now=now)
        archive.release_hold(c, hold, "lee", now)
        events = c.execute(text("select detail from audit where event = 'legal_hold'")).scalars()
        assert sorted(events) == [
            f'{{"hold":{hold},"state":"placed"}}',
            f'{{"hold":{hold},"state":"released"}}',
        ]
        for call in (
            lambda: archive.place_hold(c, user_id=1, reason="", placed_by="kim", now=now),
            lambda: archive.release_hold(c, hold, "", now),
            lambda: archive.prune(c, SIGNER, now, 0),
        ):
            with pytest.raises(InputError):
                call()


def test_holds_are_listed_with_their_ends(engine: Engine, now: int) -> None:
    with write(engine) as c:
        first = archive.place_hold(c, user_id=1, reason="case 7", placed_by="kim", now=now)
        archive.place_hold(c, user_id=None, reason="case 8", placed_by="kim", now=now + 1)
        archive.release_hold(c, first, "lee", now + 2)
        assert [one[1:] for one in archive.holds(c)] == [
            (1, "case 7", "kim", now, "lee", now + 2),
            (None, "case 8", "kim", now + 1, None, None),
        ]


def test_a_hold_that_is_being_placed_is_waited_for(postgresql_engine: Engine, now: int) -> None:
    """Pruning that had looked for holds before it would delete rows held since."""
    with write(postgresql_engine) as c:
        audit.append(c, [Event(now, "login", 1)])
    with ThreadPoolExecutor() as pool:
        with write(postgresql_engine) as c:
            archive.place_hold(c, user_id=1, reason="case 7", placed_by="kim", now=now)
            pruning = pool.submit(prune, postgresql_engine, now + 9 * DAY, retention_ms=DAY)
            wait([pruning], timeout=0.5)
            assert not pruning.done()
        assert pruning.result(timeout=10) == (0, 0, True)


def test_an_empty_audit_is_not_pruned(engine: Engine, now: int) -> None:
    assert prune(engine, now) == (0, 0, False)


def test_the_export_reads_back(chain: Engine, tmp_path: Path, now: int) -> None:
    path = tmp_path / "audit.parquet"
    path.write_text("an older export")
    with read(chain) as c:
        assert archive.export(c, path) == 10
    table = pq.read_table(path)
    assert table.column("seq").to_pylist() == list(range(1, 11))
    assert table.column("at").cast("int64").to_pylist() == [now + i * DAY for i in range(10)]
    assert str(table.schema.field("at").type) == "timestamp[ms, tz=UTC]"
    assert table.column("detail").to_pylist()[3] == '{"i":3}'
    assert len(table.column("hash").to_pylist()[0]) == 32
    assert [p.name for p in tmp_path.iterdir() if "audit" in p.name] == ["audit.parquet"]


def test_an_export_nowhere_is_one_line(chain: Engine, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="cannot write"), read(chain) as c:
        archive.export(c, tmp_path / "no" / "audit.parquet")


def test_an_empty_audit_exports(engine: Engine, tmp_path: Path) -> None:
    with read(engine) as c:
        assert archive.export(c, tmp_path / "audit.parquet") == 0
    assert pq.read_table(tmp_path / "audit.parquet").num_rows == 0
