"""How fast the store is: a whole SMS-challenged login, audit appends, verifying a million rows.

    python benchmarks/bench_store.py [--rows 1000000] [--logins 1500] [--postgresql]

A login is every statement the flow needs, in three durable transactions (password and challenge;
the send; the answer), without password hash, risk decision and provider. Also the share of each
transaction, the processor's time alone, and what the disk takes for one durable write.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, insert, update

from twofa_lab.store import accounts, audit, authenticators, challenges, devices, history, limits
from twofa_lab.store.audit import Event
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import connect, read, write
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.migrations import upgrade
from twofa_lab.store.schema import accounts as accounts_table
from twofa_lab.store.schema import audit as audit_table
from twofa_lab.store.testing import postgresql_cluster

NOW = 1_750_000_000_000
USERS = 200
spent: dict[str, float] = {}


@contextmanager
def clocked(name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    spent[name] = spent.get(name, 0.0) + time.perf_counter() - start


def need(held: bool) -> None:
    if not held:
        raise SystemExit("a step of the benchmark did not do what it measures")


def fill(engine: Engine, keyring: Keyring) -> None:
    """Accounts with a phone and 200 logins of history each."""
    with write(engine) as c:
        for user in range(USERS):
            accounts.add_account(
                c,
                keyring,
                user_id=user,
                name=f"user{user}",
                password_hash="$argon2id$" + "x" * 80,
                created=NOW,
                home_zone="Europe/London",
                phone=f"+1500555{user:04}",
                status="active",
            )
            authenticators.add_authenticator(
                c,
                keyring,
                user_id=user,
                kind="otp",
                label="phone",
                created=NOW,
                confirmed_at=NOW,
                secret=f"+1500555{user:04}".encode(),
            )
            for n in range(10):
                history.record_login(
                    c, user, NOW + n, device=str(n % 4), country="GB", region="LND", hour=n
                )


def login(engine: Engine, keyring: Keyring, number: int) -> None:
    """One SMS-challenged login, as the flow would store it."""
    user, now = number % USERS, NOW + 1_000 * number
    binding = keyring.mac(number.to_bytes(8, "big"), "binding")
    challenge_id = secrets.token_urlsafe(16)
    with clocked("1 password and challenge"), write(engine) as c:
        who = accounts.account_by_name(c, f"user{user}")
        need(who is not None)
        history.load_history(c, user, now - 1_800_000)
        (phone,) = authenticators.authenticators_of(c, user)
        number_in_clear = authenticators.secret_of(keyring, phone).decode()
        counter = SqlCounter(c, keyring)
        for key, limit in ((f"number:{number_in_clear}", 10**6), ("ip:192.0.2.1", 10**6)):
            counter.add_within(key, now, now - 600_000, limit)
        challenges.add_challenge(
            c,
            challenge_id=challenge_id,
            user_id=user,
            authenticator_id=phone.id,
            session_binding=binding,
            purpose="login",
            factor="otp",
            expected=keyring.mac(b"123456", "otp"),
            created=now,
            expires=now + 600_000,
            max_attempts=5,
            context='{"device":"7"}',
        )
        message = challenges.add_message(
            c,
            challenge_id=challenge_id,
            channel="sms",
            provider="simulated",
            idempotency_key=challenge_id,
            created=now,
            masked_number="+1 *** **06",
        )
        audit.append(
            c,
            [
                Event(now, "login", user, {"decision": "challenge", "score": 0.5}),
                Event(now, "challenge", user, {"factor": "otp", "id": challenge_id}),
            ],
        )
    with clocked("2 send"), write(engine) as c:
        challenges.mark_sent(c, message.id, challenge_id, 8_300, now + 200)
        audit.append(c, [Event(now + 200, "send", user, {"channel": "sms", "price": 8300})])
    with clocked("3 answer"), write(engine) as c:
        answered = challenges.challenge(c, challenge_id, binding)
        need(answered is not None)
        attempt = limits.count_attempt(c, answered, now + 9_000, lambda _failures: 0)
        need(attempt.allowed)
        need(challenges.consume_challenge(c, challenge_id, binding, now + 9_000))
        limits.record_success(c, answered, now + 9_000)
        limits.reset_password_failures(c, user, own_device=False)
        challenges.cancel_pending_messages(c, challenge_id)
        devices.add_session(
            c,
            id_hash=keyring.mac(challenge_id.encode(), "session"),
            user_id=user,
            aal=2,
            amr="pwd otp mfa",
            now=now + 9_000,
        )
        history.record_login(c, user, now + 9_000, device="7", country="GB", region="LND", hour=9)
        audit.append(
            c,
            [
                Event(now + 9_000, "attempt", user, {"right": True, "left": attempt.left}),
                Event(now + 9_000, "outcome", user, {"outcome": "verified"}),
            ],
        )


def logins(engine: Engine, count: int) -> dict[str, object]:
    keyring = Keyring.generate()
    fill(engine, keyring)
    for number in range(100):
        login(engine, keyring, number)
    spent.clear()
    start, worked = time.perf_counter(), time.process_time()
    for number in range(100, 100 + count):
        login(engine, keyring, number)
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    shares = {name: round(1_000 * total / count, 3) for name, total in spent.items()}
    with clocked("small"):
        for _ in range(200):  # a value that changes: else SQLite has nothing to make durable
            with write(engine) as c:
                more = accounts_table.c.prompts_declined + 1
                one = update(accounts_table).where(accounts_table.c.user_id == 1)
                c.execute(one.values(prompts_declined=more))
    return {
        "logins_per_second": round(count / seconds),
        "ms_per_login": round(1_000 * seconds / count, 3),
        "processor_ms_per_login": round(1_000 * worked / count, 3),
        "ms_by_transaction": shares,
        "ms_of_one_small_transaction": round(1_000 * spent["small"] / 200, 3),
        "ms_of_one_fdatasync": fdatasync(),
    }


def fdatasync() -> float:
    """What the disk takes to make one 4 KiB write durable: the floor under every commit."""
    with tempfile.TemporaryFile() as file:
        handle = file.fileno()
        os.pwrite(handle, bytes(4_096 * 100), 0)
        os.fsync(handle)
        start = time.perf_counter()
        for page in range(100):
            os.pwrite(handle, b"x" * 4_096, 4_096 * page)
            os.fdatasync(handle)
        return round(10 * (time.perf_counter() - start), 3)


def appends(engine: Engine, count: int = 5_000) -> dict[str, object]:
    """Rows appended in one transaction, so without the commit's share."""
    with write(engine) as c:
        start = time.perf_counter()
        for n in range(count):
            audit.append(c, [Event(NOW, "attempt", n, {"challenge": "c", "left": 4})])
        seconds = time.perf_counter() - start
    return {"us_per_append": round(1e6 * seconds / count, 1)}


def verifying(engine: Engine, rows: int) -> dict[str, object]:
    with write(engine) as c:
        head = audit._HEAD.one(c, {})
        seq, previous = (0, bytes(32)) if head is None else head
        batch = []
        for n in range(rows):
            seq += 1
            detail = f'{{"challenge":"{n:022}","channel":"sms","left":4,"right":false}}'
            previous = audit._link(previous, seq, NOW + n, n % 5_000, "attempt", detail)
            batch.append(
                {
                    "seq": seq,
                    "at": NOW + n,
                    "user_id": n % 5_000,
                    "event": "attempt",
                    "detail": detail,
                    "hash": previous,
                }
            )
            if len(batch) == 20_000:
                c.execute(insert(audit_table), batch)
                batch.clear()
        if batch:
            c.execute(insert(audit_table), batch)
    with read(engine) as c:
        start, worked = time.perf_counter(), time.process_time()
        found = audit.verify(c)
        seconds, worked = time.perf_counter() - start, time.process_time() - worked
    need(found.ok)
    return {
        "rows": found.rows,
        "seconds": round(seconds, 2),
        "processor_seconds": round(worked, 2),
    }


def measure(engine: Engine, arguments: argparse.Namespace) -> dict[str, object]:
    upgrade(engine)
    found = {
        "login": logins(engine, arguments.logins),
        "append": appends(engine),
        "verify": verifying(engine, arguments.rows),
    }
    engine.dispose()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--logins", type=int, default=1_500)
    parser.add_argument("--postgresql", action="store_true")
    arguments = parser.parse_args()
    if arguments.postgresql:
        with postgresql_cluster() as url:
            need(url is not None)
            found = measure(connect(url), arguments)
    else:
        with tempfile.TemporaryDirectory() as folder:
            engine = connect(str(Path(folder) / "store.db"), create=True)
            found = measure(engine, arguments)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
