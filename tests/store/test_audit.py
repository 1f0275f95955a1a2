# ruff: noqa: S608 - tampering is SQL with the tests' own numbers in it
"""The chain names the first bad row for every kind of tampering; the anchor guards its tail."""

from __future__ import annotations

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from twofa_lab.errors import InputError, WorkError
from twofa_lab.store import audit
from twofa_lab.store.audit import Checkpoint, Event
from twofa_lab.store.engine import read, write
from twofa_lab.store.keyring import Keyring

ROWS = 20


@pytest.fixture
def signer(keyring: Keyring) -> Ed25519PrivateKey:
    return keyring.signer()


@pytest.fixture
def chain(engine: Engine, now: int) -> Engine:
    """Twenty rows, appended two at a time, in two transactions."""
    for start in (0, 10):
        with write(engine) as c:
            for i in range(start, start + 10, 2):
                last = audit.append(
                    c,
                    [
                        Event(now + i, "attempt", 7, {"challenge": f"c{i}", "left": 4}),
                        Event(now + i + 1, "outcome", None, {"outcome": "verified"}),
                    ],
                )
    assert last == ROWS
    return engine


def result(engine: Engine, anchor: Checkpoint | None = None) -> audit.VerifyResult:
    with read(engine) as c:
        return audit.verify(c, anchor)


def sql(engine: Engine, *statements: str) -> None:
    with write(engine) as c:
        for statement in statements:
            c.exec_driver_sql(statement)


def signed(engine: Engine, signer: Ed25519PrivateKey, now: int) -> Checkpoint:
    with write(engine) as c:
        return audit.checkpoint(c, signer, now)


def rechain(c: Connection, after: int) -> None:
    """What an attacker with the database does: make every later hash right again."""
    previous = c.execute(text(f"select hash from audit where seq = {after}")).scalar() or bytes(32)
    query = f"select seq, at, user_id, event, detail from audit where seq > {after} order by seq"
    for row in c.execute(text(query)).all():
        canonical = json.dumps(list(row), separators=(",", ":")).encode()
        previous = hashlib.sha256(previous + canonical).digest()
        c.execute(text("update audit set hash = :h where seq = :s"), {"h": previous, "s": row.seq})


def test_an_untouched_chain_verifies(chain: Engine) -> None:
    assert result(chain) == (True, ROWS, None, "")


def test_the_hash_is_the_documented_one(chain: Engine) -> None:
    """Recomputed by json and hashlib alone, from the rows as stored."""
    with write(chain) as c:
        before = c.execute(text("select seq, hash from audit order by seq")).all()
        rechain(c, 0)
        assert c.execute(text("select seq, hash from audit order by seq")).all() == before


def test_an_empty_audit_verifies(engine: Engine) -> None:
    assert result(engine) == (True, 0, None, "")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", "at + 1"),
        ("user_id", "8"),
        ("user_id", "null"),
        ("event", "'login'"),
        ("detail", """'{"challenge":"c4","left":5}'"""),
        ("detail", """'{"challenge": "c4", "left": 4}'"""),
        ("hash", "(select hash from audit where seq = 6)"),
    ],
)
def test_an_edit_is_named(chain: Engine, column: str, value: str) -> None:
    sql(chain, f"update audit set {column} = {value} where seq = 5")
    found = result(chain)
    assert (found.ok, found.rows, found.first_bad) == (False, 4, 5)


@pytest.mark.parametrize("value", ["'abc'", "1.5", "x'00ff'"])
@pytest.mark.parametrize("column", ["at", "user_id", "event", "detail"])
def test_sqlite_takes_any_type_and_the_audit_does_not(
    sqlite_engine: Engine, now: int, column: str, value: str
) -> None:
    with write(sqlite_engine) as c:
        audit.append(c, [Event(now, "login", 7), Event(now, "login", 7)])
    sql(sqlite_engine, f"update audit set {column} = {value} where seq = 1")
    found = result(sqlite_engine)
    assert (found.ok, found.first_bad) == (False, 1)


@pytest.mark.parametrize(("seq", "bad"), [(1, 1), (2, 2), (11, 11)])
def test_a_deletion_at_the_front_or_in_the_middle_is_named(
    chain: Engine, seq: int, bad: int
) -> None:
    sql(chain, f"delete from audit where seq = {seq}")
    found = result(chain)
    assert (found.ok, found.first_bad, found.reason) == (False, bad, "is missing")


def test_a_deletion_with_renumbering_is_named(chain: Engine) -> None:
    sql(chain, "delete from audit where seq = 5")
    for seq in range(6, ROWS + 1):
        sql(chain, f"update audit set seq = {seq - 1} where seq = {seq}")
    assert result(chain).first_bad == 5


def test_a_reorder_is_named(chain: Engine) -> None:
    sql(
        chain,
        "update audit set seq = -4 where seq = 4",
        "update audit set seq = 4 where seq = 9",
        "update audit set seq = 9 where seq = -4",
    )
    assert result(chain).first_bad == 4


def test_an_insertion_is_named(chain: Engine) -> None:
    sql(
        chain,
        f"insert into audit select {ROWS + 1}, at, user_id, event, detail, hash"
        f" from audit where seq = {ROWS}",
    )
    assert result(chain).first_bad == ROWS + 1


def test_a_cut_tail_shows_against_the_anchor(
    chain: Engine, signer: Ed25519PrivateKey, now: int
) -> None:
    anchor = signed(chain, signer, now)
    assert result(chain, anchor).ok
    sql(chain, f"delete from audit where seq > {ROWS - 3}")
    found = result(chain)
    assert (found.ok, found.first_bad) == (False, ROWS - 2), "the checkpoint in the database"
    sql(chain, "delete from audit_checkpoints")
    assert result(chain).ok, "unseen without an anchor: that is why there is one"
    found = result(chain, anchor)
    assert (found.ok, found.first_bad) == (False, ROWS - 2)
    assert f"every row to {ROWS}" in found.reason
    sql(chain, "delete from audit")
    assert result(chain, anchor).first_bad == 1


def test_a_rewritten_chain_shows_against_the_anchor(
    chain: Engine, signer: Ed25519PrivateKey, now: int
) -> None:
    anchor = signed(chain, signer, now)
    sql(chain, "update audit set user_id = 8 where seq = 5", "delete from audit_checkpoints")
    with write(chain) as c:
        rechain(c, 4)
        forged = Checkpoint.sign(
            Ed25519PrivateKey.generate(),
            ROWS,
            "checkpoint",
            now,
            c.execute(text(f"select hash from audit where seq = {ROWS}")).scalar_one(),
        )
        audit.keep(c, forged)
    assert result(chain).ok
    found = result(chain, anchor)
    assert (found.ok, found.first_bad) == (False, ROWS)
    assert "rewritten since it was signed" in found.reason


def test_earlier_checkpoints_narrow_down_a_rewrite(
    chain: Engine, signer: Ed25519PrivateKey, now: int
) -> None:
    with write(chain) as c:
        row = c.execute(text("select hash from audit where seq = 10")).scalar_one()
        audit.keep(c, Checkpoint.sign(signer, 10, "checkpoint", now, row))
    anchor = signed(chain, signer, now)
    sql(chain, "update audit set user_id = 8 where seq = 5")
    with write(chain) as c:
        rechain(c, 4)
    assert result(chain, anchor).first_bad == 10


def test_rows_after_the_anchor_verify_too(
    chain: Engine, signer: Ed25519PrivateKey, now: int
) -> None:
    anchor = signed(chain, signer, now)
    with write(chain) as c:
        audit.append(c, [Event(now, "login", 7)] * 3)
    assert result(chain, anchor) == (True, ROWS + 3, None, "")
    sql(chain, f"update audit set at = 1 where seq = {ROWS + 2}")
    assert result(chain, anchor).first_bad == ROWS + 2


def test_a_forged_checkpoint_is_named(chain: Engine, signer: Ed25519PrivateKey, now: int) -> None:
    anchor = signed(chain, signer, now)
    sql(chain, "update audit_checkpoints set hash = (select hash from audit where seq = 3)")
    found = result(chain, anchor)
    assert (found.ok, found.first_bad) == (False, ROWS)
    assert "false signature" in found.reason


def test_contradicting_checkpoints_are_named(
    chain: Engine, signer: Ed25519PrivateKey, now: int
) -> None:
    with write(chain) as c:
        audit.keep(c, Checkpoint.sign(signer, ROWS, "checkpoint", now, bytes(32)))
    honest = Checkpoint.sign(signer, ROWS, "checkpoint", now, bytes(31) + b"\x01")
    assert "contradict" in result(chain, honest).reason


def test_a_broken_chain_is_not_signed(chain: Engine, signer: Ed25519PrivateKey, now: int) -> None:
    sql(chain, "update audit set user_id = 8 where seq = 5")
    with pytest.raises(WorkError, match="row 5 was altered"):
        signed(chain, signer, now)


def test_a_checkpoint_verifies_only_what_is_new(
    chain: Engine, signer: Ed25519PrivateKey, now: int
) -> None:
    first = signed(chain, signer, now)
    with write(chain) as c:
        audit.append(c, [Event(now, "login", 7)])
    second = signed(chain, signer, now)
    assert (first.seq, second.seq) == (ROWS, ROWS + 1)
    with read(chain) as c:
        assert audit.latest_checkpoint(c) == second
    assert signed(chain, signer, now) == second, "nothing new, so the same row again"


def test_an_empty_audit_has_nothing_to_sign(
    engine: Engine, signer: Ed25519PrivateKey, now: int
) -> None:
    with pytest.raises(WorkError, match="nothing to sign"):
        signed(engine, signer, now)
    with read(engine) as c:
        assert audit.latest_checkpoint(c) is None


def test_the_anchor_travels_as_one_line(chain: Engine, signer: Ed25519PrivateKey, now: int) -> None:
    anchor = signed(chain, signer, now)
    line = anchor.to_json()
    assert "\n" not in line
    assert Checkpoint.from_json(line) == anchor
    parsed = json.loads(line)
    for change in (
        {"seq": 1},
        {"kind": "pruned"},
        {"at": 1},
        {"hash": "00" * 32},
        {"public_key": "00" * 32},
        {"signature": "00" * 64},
        {"public_key": ""},
    ):
        with pytest.raises(InputError, match="signature does not match"):
            Checkpoint.from_json(json.dumps({**parsed, **change}))
    for text_, message in (
        ("", "not one line"),
        ("[]", "not one line"),
        ("[" * 4_000, "not one line"),
        ("x" * 10_000, "not one line"),
        (json.dumps({**parsed, "seq": "1"}), "not one line"),
        (json.dumps({**parsed, "hash": "zz"}), "not hexadecimal"),
    ):
        with pytest.raises(InputError, match=message):
            Checkpoint.from_json(text_)


@given(st.text(max_size=300))
def test_no_text_is_an_anchor(junk: str) -> None:
    with pytest.raises(InputError):
        Checkpoint.from_json(junk)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event(1, "nonsense"), "no event 'nonsense'"),
        (Event(1, "send", 1, {"code": "123456"}), "takes no 'code'"),
        (Event(1, "send", 1, {"phone": "x"}), "takes no 'phone'"),
        (Event(1, "send", 1, {"to": "+15005550006"}), "full phone number"),
        (Event(1, "send", 1, {"to": "call +44 7700 900000 now"}), "full phone number"),
        (Event(1, "send", 1, {"to": "+1 (500) 555-0006"}), "full phone number"),
        (Event(1, "send", 1, {"x": "y" * 5_000}), "exceeds"),
        (Event(1, "send", 1, {"x": float("nan")}), "not plain JSON"),
        (Event(1, "send", 1, {"x": b"bytes"}), "not plain JSON"),  # type: ignore[dict-item]
    ],
)
def test_what_may_not_be_recorded(engine: Engine, event: Event, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught, write(engine) as c:
        audit.append(c, [Event(1, "login"), event])
    for secret in ("123456", "5005550006", "900000"):
        assert secret not in str(caught.value)
    assert result(engine).rows == 0


def test_masked_numbers_may_be_recorded(engine: Engine) -> None:
    with write(engine) as c:
        assert audit.append(c, [Event(1, "send", 1, {"to": "+1 *** *** 0006"})]) == 1
        assert audit.append(c, []) == 1


def test_a_rolled_back_transaction_leaves_no_row(chain: Engine, now: int) -> None:
    def fail() -> None:
        with write(chain) as c:
            audit.append(c, [Event(now, "login", 7)])
            raise WorkError("no")

    with pytest.raises(WorkError, match="no"):
        fail()
    assert result(chain) == (True, ROWS, None, "")


plain = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=20)


@given(st.dictionaries(st.text(max_size=8), plain, max_size=4), st.integers(-(2**62), 2**62))
def test_the_row_is_canonical_json(detail: dict[str, int | str | bool | None], at: int) -> None:
    """The hand-written form equals json.dumps, for any text."""
    text_ = json.dumps(detail, sort_keys=True, separators=(",", ":"))
    for user in (None, 7, -(2**63)):
        row = json.dumps([3, at, user, "login", text_], separators=(",", ":"))
        wanted = hashlib.sha256(b"p" * 32 + row.encode()).digest()
        assert audit._link(b"p" * 32, 3, at, user, "login", text_) == wanted
