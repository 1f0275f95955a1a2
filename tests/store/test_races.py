"""Many at once, one winner: threads on both databases, processes on SQLite; and kill -9.

Each test prints how many tried and how many won (`pytest -s` shows it).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, Engine, func, select

from twofa_lab.store import audit, limits
from twofa_lab.store.accounts import account, add_account
from twofa_lab.store.audit import Event
from twofa_lab.store.authenticators import (
    add_authenticator,
    authenticators_of,
    bump_sign_count,
    burn_totp_step,
    recovery_codes_with_prefix,
    replace_recovery_codes,
    use_recovery_code,
)
from twofa_lab.store.challenges import (
    Challenge,
    add_challenge,
    add_message,
    challenge,
    consume_challenge,
    replace_code,
)
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.devices import Rotation, rotate_token, trust_device
from twofa_lab.store.engine import read, write
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.schema import messages, rate_events
from twofa_lab.store.support import approve, request_approval, use_approval

HASH = "not a password's"

THREADS = 50
S = b"session"
T = TypeVar("T")


def no_wait(_failures: int) -> int:
    return 0


def race(engine: Engine, act: Callable[[Connection, int], T], threads: int = THREADS) -> list[T]:
    """Run `act` in a transaction of its own on every thread, all let go at once."""
    start = threading.Barrier(threads)

    def run(number: int) -> T:
        start.wait()
        with write(engine) as connection:
            return act(connection, number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def one_winner(engine: Engine, act: Callable[[Connection, int], bool]) -> None:
    won = race(engine, act)
    print(f"{engine.dialect.name}: {len(won)} tried, {sum(won)} succeeded")  # noqa: T201 - a count to see
    assert (len(won), sum(won)) == (THREADS, 1)


def opened(
    c: Connection, user: int, now: int, name: str = "c1", device: int | None = None
) -> Challenge:
    add_challenge(
        c,
        challenge_id=name,
        user_id=user,
        authenticator_id=device,
        session_binding=S,
        purpose="login",
        factor="otp",
        expected=b"hash",
        created=now,
        expires=now + 600_000,
        max_attempts=5,
    )
    found = challenge(c, name, S)
    assert found is not None
    return found


@pytest.fixture
def device(engine: Engine, keyring: Keyring, user: int, now: int) -> int:
    with write(engine) as c:
        return add_authenticator(
            c, keyring, user_id=user, kind="otp", label="", created=now, confirmed_at=now
        )


def test_one_right_code(engine: Engine, user: int, device: int, now: int) -> None:
    """The whole answer to a challenge: count, consume, reset, audit."""
    with write(engine) as c:
        opened(c, user, now, device=device)

    def answer(c: Connection, _number: int) -> bool:
        one = challenge(c, "c1", S)
        assert one is not None
        if not limits.count_attempt(c, one, now, no_wait).allowed:
            return False
        won = consume_challenge(c, "c1", S, now)
        if won:
            limits.record_success(c, one, now)
        audit.append(c, [Event(now, "attempt", user, {"right": won})])
        return won

    one_winner(engine, answer)
    with read(engine) as c:
        assert audit.verify(c).ok


def test_one_totp_step(engine: Engine, device: int) -> None:
    one_winner(engine, lambda c, _n: burn_totp_step(c, device, 57_000_000))


def test_one_sign_count(engine: Engine, device: int) -> None:
    one_winner(engine, lambda c, _n: bump_sign_count(c, device, 1, backed_up=False))


def test_one_recovery_code(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        replace_recovery_codes(c, user, "lookup", "s", [("aa", b"h")], now)
        (code,) = recovery_codes_with_prefix(c, user, "aa")
    one_winner(engine, lambda c, _n: use_recovery_code(c, user, code.id, now))


def test_one_passkey_challenge(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        opened(c, user, now)
    one_winner(engine, lambda c, _n: consume_challenge(c, "c1", S, now))


def test_one_device_token(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        trust_device(
            c,
            user_id=user,
            device="7",
            series="s",
            token_hash=b"t0",
            now=now,
            expires=now + 1_000,
        )

    def rotate(c: Connection, number: int) -> bool:
        following = b"next %d" % number
        outcome = rotate_token(
            c, series="s", device="7", presented=b"t0", following=following, now=now
        )
        return outcome is Rotation.ROTATED

    one_winner(engine, rotate)
    after = race(
        engine,
        lambda c, n: rotate_token(
            c, series="s", device="7", presented=b"next %d" % n, following=b"x", now=now
        ),
    )
    assert set(after) == {Rotation.UNKNOWN}, "the copies killed the series"


def test_one_approval(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        number = request_approval(
            c,
            user_id=user,
            action="x",
            reason="r",
            requested_by="kim",
            now=now,
            expires=now + 9,
        )
    one_winner(engine, lambda c, n: approve(c, number, f"colleague {n}", now))
    one_winner(engine, lambda c, _n: use_approval(c, number, user_id=user, action="x", now=now))


def test_one_send(engine: Engine, user: int, now: int) -> None:
    with write(engine) as c:
        opened(c, user, now)

    def send(c: Connection, _number: int) -> tuple[int, bool]:
        return add_message(
            c,
            challenge_id="c1",
            channel="sms",
            provider="p",
            idempotency_key="k",
            created=now,
            masked_number="*",
        )

    made = race(engine, send)
    assert len({number for number, _new in made}) == 1
    assert sum(new for _number, new in made) == 1
    with read(engine) as c:
        assert c.execute(select(func.count()).select_from(messages)).scalar_one() == 1


def test_one_limit(engine: Engine, keyring: Keyring) -> None:
    won = race(engine, lambda c, n: SqlCounter(c, keyring).add_within("k", n, 0, 7))
    assert sum(won) == 7
    with read(engine) as c:
        assert c.execute(select(func.count()).select_from(rate_events)).scalar_one() == 7


def test_parallel_guesses_never_pass_a_limit(
    engine: Engine, user: int, device: int, now: int
) -> None:
    """A thousand wrong guesses, with resends between them, over twenty sessions in two waves of
    ten: five a challenge, and the account's own limit of 60 over all of them."""
    with write(engine) as c:
        for n in range(20):
            opened(c, user, now, f"c{n}", device)

    def guesses(thread: int, wave: int) -> list[str]:
        outcomes = []
        for k in range(25):
            with write(engine) as c:
                one = challenge(c, f"c{10 * wave + (thread + k) % 10}", S)
                assert one is not None
                attempt = limits.count_attempt(c, one, now, no_wait, lock_after=60)
                if attempt.allowed:
                    limits.record_failure(c, one, now)
                outcomes.append(attempt.refused or "counted")
            with write(engine) as c:
                replace_code(c, one.id, S, b"resent", now)
        return outcomes

    for wave, wanted in enumerate(({"counted": 50, "spent": 450}, {"counted": 10, "locked": 490})):
        with ThreadPoolExecutor(20) as pool:
            per_thread = pool.map(guesses, range(20), [wave] * 20)
            counted = Tally(outcome for outcomes in per_thread for outcome in outcomes)
        print(f"{engine.dialect.name}: {counted.total()} guesses, {dict(counted)}")  # noqa: T201 - a count to see
        assert counted == wanted
    with read(engine) as c:
        who = account(c, user)
        (found,) = authenticators_of(c, user)
        used = [challenge(c, f"c{n}", S) for n in range(20)]
    assert who is not None
    assert who.factor_failures == found.consecutive_failures == 60
    assert [one.attempts for one in used[:10] if one] == [5] * 10
    assert sum(one.attempts for one in used[10:] if one) == 10


def test_the_chain_holds_under_concurrency(engine: Engine, now: int) -> None:
    race(
        engine,
        lambda c, n: audit.append(c, [Event(now, "login", n), Event(now, "outcome", n)]),
    )
    with read(engine) as c:
        assert audit.verify(c) == (True, 2 * THREADS, None, "")


PROCESSES = """
import os, sys
from twofa_lab.store.authenticators import burn_totp_step, use_recovery_code
from twofa_lab.store.challenges import consume_challenge
from twofa_lab.store.engine import connect, write
path, device, code, user, now = sys.argv[1], *map(int, sys.argv[2:])
start, go = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        os.close(go)
        engine = connect(path)
        os.read(start, 1)  # returns once the parent closes its end
        won = []
        for act in (
            lambda c: consume_challenge(c, "c1", b"session", now),
            lambda c: burn_totp_step(c, device, 57_000_000),
            lambda c: use_recovery_code(c, user, code, now),
        ):
            with write(engine) as connection:
                won.append(int(act(connection)))
        os.write(1, (" ".join(map(str, won)) + "\\n").encode())
        os._exit(0)
os.close(go)
for _ in range(8):
    os.wait()
"""


def _start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - this interpreter, our own script
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_eight_processes_one_winner_each(
    sqlite_engine: Engine, keyring: Keyring, tmp_path: Path, now: int
) -> None:
    with write(sqlite_engine) as c:
        add_account(c, keyring, user_id=7, name="a", password_hash=HASH, created=0, home_zone="UTC")
        device = add_authenticator(
            c, keyring, user_id=7, kind="totp", label="", created=now, secret=b"s"
        )
        opened(c, 7, now)
        replace_recovery_codes(c, 7, "lookup", "s", [("aa", b"h")], now)
        (code,) = recovery_codes_with_prefix(c, 7, "aa")
    family = _start(PROCESSES, tmp_path / "store.db", device, code.id, 7, now)
    results = [line.split() for line in family.communicate(timeout=20)[0].splitlines()]
    print(f"{len(results)} processes: {results}")  # noqa: T201 - a count to see
    assert len(results) == 8
    assert [sum(map(int, column)) for column in zip(*results, strict=True)] == [1, 1, 1]


STORM = """
import sys
from twofa_lab.store.audit import Event, append
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import connect, write
from twofa_lab.store.keyring import Keyring
engine = connect(sys.argv[1])
keyring = Keyring.generate()
print("ready", flush=True)
sys.stdin.readline()
number = int(sys.argv[2])
while True:
    with write(engine) as connection:
        SqlCounter(connection, keyring).add("k", number)
        append(connection, [Event(number, "login"), Event(number, "outcome")])
    print(number, flush=True)  # noqa: T201 - a count to see
    number += 1
"""


def test_kill_9_in_a_write_storm_loses_nothing_acknowledged(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    """The row and its two audit rows are there together or not at all, and the chain verifies."""
    kills, acknowledged = 4, 0
    waiting = [_start(STORM, tmp_path / "store.db", k * 1_000_000) for k in range(kills)]
    for k, process in enumerate(waiting):
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("\n")
        process.stdin.flush()
        for _ in range(20 + 7 * k):
            process.stdout.readline()
        time.sleep(0.001 * k)
        process.send_signal(signal.SIGKILL)
        seen = process.communicate()[0].split("\n")
        acknowledged += 20 + 7 * k + sum(line.isdigit() for line in seen[:-1])
        with read(sqlite_engine) as c:
            rows = c.execute(select(func.count()).select_from(rate_events)).scalar_one()
            found = audit.verify(c)
        assert rows >= acknowledged
        assert (found.ok, found.rows) == (True, 2 * rows)
        acknowledged = rows  # what was committed but not yet acknowledged is there to stay
    print(f"{kills} kills, {acknowledged} commits, none lost")  # noqa: T201 - a count to see
