# ruff: noqa: S608 - tampering is SQL with the tests' own numbers in it
"""Every edit, swap and deletion of a small chain, each named by its first bad row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from twofa_lab.store import archive, audit
from twofa_lab.store.audit import Checkpoint, Event
from twofa_lab.store.engine import connect, write
from twofa_lab.store.schema import metadata

ROWS, DAY, NOW = 12, 86_400_000, 1_750_000_000_000
SIGNER = Ed25519PrivateKey.generate()
COLUMNS = ("at", "user_id", "event", "detail", "hash")


@pytest.fixture
def stored() -> Iterator[Connection]:
    """A chain of twelve rows, a day apart."""
    engine = connect("sqlite://")
    with write(engine) as c:
        metadata.create_all(c)
        events = [Event(NOW + i * DAY, "login", i, {"i": i}) for i in range(ROWS)]
        audit.append(c, events)
        yield c
    engine.dispose()


def tampered(c: Connection, anchor: Checkpoint | None, *statements: str) -> audit.VerifyResult:
    """What `verify` says of the chain after these statements, which are then undone."""
    with c.begin_nested() as undone:
        for statement in statements:
            c.exec_driver_sql(statement)
        found = audit.verify(c, anchor)
        undone.rollback()
    return found


def edits(rows: range) -> Iterator[tuple[int, list[str]]]:
    """Each column of each row takes the value another row has there."""
    for seq, column in itertools.product(rows, COLUMNS):
        other = rows[0] if seq != rows[0] else rows[1]
        value = (
            "'logout'" if column == "event" else f"(select {column} from audit where seq = {other})"
        )
        yield seq, [f"update audit set {column} = {value} where seq = {seq}"]


def swaps(rows: range) -> Iterator[tuple[int, list[str]]]:
    """Each two rows change places."""
    for one, other in itertools.combinations(rows, 2):
        moves = ((-1, one), (one, other), (other, -1))
        yield one, [f"update audit set seq = {to} where seq = {was}" for to, was in moves]


def deletions(rows: range, *, renumbered: bool) -> Iterator[tuple[int, list[str]]]:
    """Each run of rows is gone: at the front, in the middle, at the tail, or all of them; with
    `renumbered`, those behind move up to close the gap."""
    for first, last in itertools.combinations_with_replacement(rows, 2):
        cut = [f"delete from audit where seq between {first} and {last}"]
        if renumbered:
            gap = last - first + 1
            cut += [
                f"update audit set seq = {seq - gap} where seq = {seq}"
                for seq in range(last + 1, rows[-1] + 1)
            ]
        yield first, cut


def every(rows: range) -> dict[str, list[tuple[int, list[str]]]]:
    return {
        "edits": [*edits(rows)],
        "reorders": [*swaps(rows)],
        "deletions": [*deletions(rows, renumbered=False)],
        "deletions, renumbered": [*deletions(rows, renumbered=True)],
    }


def all_named(c: Connection, anchor: Checkpoint, rows: range) -> dict[str, int]:
    """How many ways there were, each of which was named by its first bad row."""
    for kind, ways in every(rows).items():
        for bad, statements in ways:
            found = tampered(c, anchor, *statements)
            assert (found.ok, found.first_bad) == (False, bad), (kind, statements, found)
    return {kind: len(ways) for kind, ways in every(rows).items()}


def test_every_tampering_is_named_by_its_first_bad_row(stored: Connection) -> None:
    anchor = audit.checkpoint(stored, SIGNER, NOW)
    assert audit.verify(stored, anchor).ok
    counts = all_named(stored, anchor, range(1, ROWS + 1))
    print(counts)  # noqa: T201 - counts to see
    assert min(counts.values()) >= ROWS


def test_so_it_is_after_pruning(stored: Connection) -> None:
    """Behind a signed mark of what went, and against an anchor from before."""
    old = audit.checkpoint(stored, SIGNER, NOW)
    assert archive.prune(stored, SIGNER, NOW + 6 * DAY, DAY).through == 5
    anchor = audit.checkpoint(stored, SIGNER, NOW)
    rows = range(6, ROWS + 2)  # the row that records the pruning among them
    print(all_named(stored, anchor, rows))  # noqa: T201 - counts to see
    assert audit.verify(stored, old).ok
    front = tampered(stored, old, "delete from audit where seq = 6")
    assert (front.ok, front.first_bad) == (False, 6)


def test_without_an_anchor_only_a_cut_tail_goes_unseen(stored: Connection) -> None:
    """Which is what the anchor is for: the rest is named by the chain alone."""
    ways = [way for found in every(range(1, ROWS + 1)).values() for way in found]
    unseen = [bad for bad, statements in ways if tampered(stored, None, *statements).ok]
    print(f"{len(unseen)} of {len(ways)} unseen")  # noqa: T201 - counts to see
    assert unseen == 2 * list(range(1, ROWS + 1)), "every tail, renumbered or not"
