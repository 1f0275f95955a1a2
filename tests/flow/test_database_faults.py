"""The database is locked, read-only, full, gone or fails at any statement: nobody gets in by it.

Every way in raises `WorkError` in one line then; once the database works again, what was asked for
goes on as if nothing had been tried.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, text

from tests.flow.conftest import _emptied
from tests.flow.entering import APP, SEED, asked, key_of
from tests.flow.forks import address_of
from tests.flow.lab import ORIGIN, PHONE, SECOND, Lab, make_lab
from tests.flow.people import MAIL, ann, give_saved_code, mailed
from tests.flow.test_races import sessions_of
from tests.flow.test_trust import TRUSTING
from twofa_lab.errors import WorkError
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow.answer import answer
from twofa_lab.flow.login import Request
from twofa_lab.flow.password_reset import begin_reset, finish_reset
from twofa_lab.flow.recovery import begin_recovery, finish_recovery, prove
from twofa_lab.flow.sessions import check
from twofa_lab.flow.step_up import answer_step_up, begin_step_up
from twofa_lab.flow.usernameless import begin_passkey_login, finish_passkey_login
from twofa_lab.store.engine import connect, read, write
from twofa_lab.store.migrations import upgrade
from twofa_lab.store.statements import Prepared

Act = Callable[[Lab], str]
"""One step that could let somebody in; the status it comes to."""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    engine = connect(str(tmp_path / "store.db"), create=True, busy_timeout_ms=20)
    upgrade(engine)
    yield make_lab(engine, policy=TRUSTING)
    engine.dispose()


@pytest.fixture
def served(_postgresql: Engine) -> Iterator[Lab]:
    """On PostgreSQL, by an engine of its own."""
    _emptied(_postgresql)
    engine = connect(address_of(_postgresql), busy_timeout_ms=20)
    yield make_lab(engine, policy=TRUSTING)
    engine.dispose()


@dataclass
class Ways:
    """Ann with everything ready for each way in, one step before its end."""

    acts: dict[str, Act]

    @classmethod
    def of(cls, lab: Lab) -> Ways:
        device = SoftAuthenticator(synced=True)
        ann(lab, totp=SEED, keys=(key_of(lab, device),))
        token, session = _trusted(lab, device)
        lab.wait(30 * SECOND)
        ticket, page = asked(lab.login())
        typed = device.authenticate(page.options, ORIGIN)
        begun = begin_passkey_login(lab.flow)
        alone = device.authenticate(begun.options, ORIGIN)
        raising, page = asked(begin_step_up(lab.flow, session))
        raised = device.authenticate(page.options, ORIGIN)
        reset = begin_reset(lab.flow, "ann")
        code = mailed(lab, "reset_code")
        saved = give_saved_code(lab)
        recovery = begin_recovery(lab.flow, "ann")
        for kind, proof in (("email", mailed(lab, "recovery_code")), ("saved", saved)):
            recovery = prove(lab.flow, recovery, kind, proof).request or ""  # type: ignore[arg-type]
        here = Request("", "")
        return cls(
            {
                "password": lambda lab: lab.login(device_token=token).status,
                "second factor": lambda lab: answer(lab.flow, ticket, typed).status,
                "passkey alone": lambda lab: (
                    finish_passkey_login(lab.flow, begun.ticket, alone, here).status
                ),
                "step-up": lambda lab: answer_step_up(lab.flow, raising, raised).status,
                "session": lambda lab: "none" if check(lab.flow, session) is None else "running",
                "reset": lambda lab: finish_reset(lab.flow, reset, code, "a better horse").status,
                "recovery": lambda lab: (
                    finish_recovery(lab.flow, recovery, "a third horse").reply.status
                ),
            }
        )

    def refused(self, lab: Lab, message: str) -> None:
        """None of them gets anywhere, and each says why in one line."""
        before = sessions_of(lab)
        for name, act in self.acts.items():
            with pytest.raises(WorkError, match=message) as caught:
                act(lab)
            assert "\n" not in str(caught.value), name
            assert PHONE not in str(caught.value)
            assert MAIL not in str(caught.value)
        assert sessions_of(lab) == before

    def work(self, lab: Lab) -> None:
        """All of them come to their end, each once."""
        came = {name: act(lab) for name, act in self.acts.items() if name != "recovery"}
        assert came == {
            "password": "signed_in",
            "second factor": "signed_in",
            "passkey alone": "signed_in",
            "step-up": "signed_in",
            "session": "none",  # it goes on under the token that the step-up gave
            "reset": "done",
        }
        assert lab.audit_holds()


def _trusted(lab: Lab, device: SoftAuthenticator) -> tuple[str, str]:
    ticket, page = asked(lab.login())
    step = answer(lab.flow, ticket, device.authenticate(page.options, ORIGIN), trust_device=True)
    assert step.device_token is not None
    assert step.session is not None
    return step.device_token, step.session


def test_a_locked_database_lets_nobody_in(lab: Lab) -> None:
    ways = Ways.of(lab)
    other = sqlite3.connect(address_of(lab.flow.engine), isolation_level=None)
    other.execute("begin immediate")
    ways.refused(lab, "is locked by another process: try again")
    other.execute("rollback")
    other.close()
    ways.work(lab)


def test_locked_tables_let_nobody_in(served: Lab) -> None:
    ways = Ways.of(served)
    other = create_engine(served.flow.engine.url)
    with other.begin() as c:
        c.execute(text("lock table accounts, sessions, rate_events in share mode"))
        ways.refused(served, "is locked by another transaction: try again")
    other.dispose()
    ways.work(served)


@pytest.mark.parametrize("database", ["lab", "served"])
def test_a_read_only_database_lets_nobody_in(database: str, request: pytest.FixtureRequest) -> None:
    lab: Lab = request.getfixturevalue(database)
    ways = Ways.of(lab)
    reader = connect(address_of(lab.flow.engine), read_only=True)
    ways.refused(lab.with_rules(engine=reader), "is read-only")
    reader.dispose()
    ways.work(lab)


def test_a_full_disk_lets_nobody_in(lab: Lab) -> None:
    """Logins are made until no page is left. What was handed out is there; then nothing more is."""
    ways = Ways.of(lab)
    ann(lab, user_id=6, name="bob", phone="+447400123457", totp=SEED, otp=False)
    with write(lab.flow.engine) as c:
        pages = c.execute(text("pragma page_count")).scalar_one()
        c.execute(text(f"pragma max_page_count={pages}"))
    before, handed_out = sessions_of(lab), 0

    def bob() -> str:
        lab.wait(30 * SECOND)
        ticket, _ = asked(lab.login("bob"))
        return answer(lab.flow, ticket, lab.shown(APP)).status

    while (came := _status(bob)) == "signed_in":
        handed_out += 1
    assert came == "error"
    assert sessions_of(lab) == before + handed_out
    assert lab.audit_holds()
    print(f"{handed_out} logins until the disk was full, none after")  # noqa: T201 - a count to see
    for name, act in ways.acts.items():  # some need no new page and go on; none goes half way
        before, opens = sessions_of(lab), name not in {"step-up", "session", "reset"}
        done = _status(partial(act, lab)) in {"signed_in", "done"}
        assert sessions_of(lab) == before + (done and opens), name
    assert lab.audit_holds()
    with write(lab.flow.engine) as c:
        c.execute(text("pragma max_page_count=1000000"))
    assert bob() == "signed_in"


def _status(act: Callable[[], str]) -> str:
    try:
        return act()
    except WorkError as error:
        assert "its disk is full" in str(error)  # noqa: PT017 - it may also be none
        return "error"


def test_a_database_that_is_gone_and_back(lab: Lab, tmp_path: Path) -> None:
    ways = Ways.of(lab)
    (tmp_path / "away").mkdir()
    names = [path.name for path in tmp_path.glob("store.db*")]
    before = sessions_of(lab)
    for name in names:
        (tmp_path / name).rename(tmp_path / "away" / name)
    for act in ways.acts.values():
        with pytest.raises(WorkError, match=r"removed or replaced|cannot be opened"):
            act(lab)
    assert not (tmp_path / "store.db").exists(), "no empty database is made in its place"
    for name in names:
        (tmp_path / "away" / name).rename(tmp_path / name)
    assert sessions_of(lab) == before
    ways.work(lab)


def test_a_server_that_is_gone_and_back(served: Lab) -> None:
    ways = Ways.of(served)
    killer = create_engine(served.flow.engine.url)
    before = sessions_of(served)
    for act in ways.acts.values():
        with read(served.flow.engine) as c:
            mine = c.execute(text("select pg_backend_pid()")).scalar_one()
        with killer.connect() as c:
            c.execute(text("select pg_terminate_backend(:pid)"), {"pid": mine})
        with pytest.raises(WorkError, match="is gone"):
            act(served)
    assert sessions_of(served) == before
    killer.dispose()
    ways.work(served)


class Faulty:
    """Counts statements and commits, and fails at one of them as a disk would."""

    def __init__(self, at: int) -> None:
        self.at, self.seen = at, itertools.count(1)

    def check(self, *_: object) -> None:
        if next(self.seen) == self.at:
            raise sqlite3.OperationalError("disk I/O error")


@contextmanager
def failing(engine: Engine, at: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database fails at its n-th statement or commit, whichever way it is sent."""
    faulty, real = Faulty(at), Prepared._send

    def send(self: Prepared, *given: object) -> object:
        faulty.check()
        return real(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Prepared, "_send", send)
    names = ("before_cursor_execute", "commit")
    for name in names:
        event.listen(engine, name, faulty.check)
    try:
        yield
    finally:
        for name in names:
            event.remove(engine, name, faulty.check)
        monkeypatch.setattr(Prepared, "_send", real)


@pytest.mark.parametrize(
    "way", ["password", "second factor", "passkey alone", "step-up", "reset", "recovery"]
)
def test_a_fault_at_any_statement_lets_nobody_in(
    fresh: Callable[[], Lab], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever statement fails: an error, no session, nothing done by half; then it works."""
    failed = 0
    for at in itertools.count(1):
        lab = fresh()
        lab = replace(lab, flow=replace(lab.flow, policy=TRUSTING))
        act = Ways.of(lab).acts[way]
        before, rows = sessions_of(lab), len(lab.events())
        try:
            with failing(lab.flow.engine, at, monkeypatch):
                act(lab)
        except WorkError:
            failed += 1
            assert sessions_of(lab) == before
            assert lab.audit_holds()
            assert len(lab.events()) == rows, "nor is anything on the record that did not happen"
            assert act(lab) in {"signed_in", "done"}
        else:
            break
    print(f"{way}: {failed} statements, each failed once, and nobody got in")  # noqa: T201
    assert failed > 5
