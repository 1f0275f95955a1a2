"""The real flow: a risk decision, a login with a code by SMS, and a world played through it.

- the risk decision of a login whose account has 200 completed logins behind it, in-process, with
  the account's history read from the store and without;
- a whole login with a code by SMS: password step, send, code step, over a SQLite file with
  `synchronous=FULL`, so that every step is durable when it is acknowledged; one thread. Passwords
  are under a fast keyed hash there, for Argon2id is slow on purpose: its time stands beside it;
- where that time goes: the same logins again with clocks on the parts (which cost time themselves);
- a generated world played by `parity`, under two policies.

Run it alone on an idle machine: `python benchmarks/bench_flow.py`. One JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import twofa_lab as lab
from twofa_lab.delivery.providers.simulated import SimulatedProvider
from twofa_lab.flow import answer, login
from twofa_lab.flow.importing import Import, import_accounts
from twofa_lab.flow.passwords import Argon2Passwords
from twofa_lab.flow.rehearsal import Rehearsal
from twofa_lab.flow.service import FlowRules
from twofa_lab.replay.enrolled import FastPasswords, Numbers
from twofa_lab.risk.assess import LoginFacts
from twofa_lab.store import engine as database
from twofa_lab.store import history
from twofa_lab.store.engine import connect, read, write
from twofa_lab.store.history import Origin
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.statements import Prepared

NOW = 1_767_614_400_000
USERS = 200


class Bench:
    """A flow over a file, accounts with a phone, and the phones."""

    def __init__(self, folder: Path) -> None:
        engine = connect(str(folder / "flow.db"), create=True)
        stage = Rehearsal.open(
            lab.Policy.universal(),
            engine=engine,
            passwords=FastPasswords(),
            rules=FlowRules(pumping=None),
            random_bytes=secrets.token_bytes,  # production's, which takes longer
            randbelow=secrets.randbelow,
        )
        self.flow, self.clock, self.exchange = stage.flow, stage.clock, stage.phones.exchange
        self.clock.now = NOW
        numbers = Numbers()
        self.numbers = [numbers.next("GB", "mobile") for _ in range(USERS)]
        hashed = self.flow.passwords.hash("correct horse")
        import_accounts(
            self.flow,
            [
                Import(user, f"user{user}", hashed, NOW, number.e164, "Europe/London", otp=True)
                for user, number in enumerate(self.numbers)
            ],
        )
        for number in self.numbers:
            stage.phones.carrier.script(number, {"sms": 35, "whatsapp": None, "voice": 60})
        with write(engine) as c:
            for user in range(USERS):
                for n in range(200):
                    known = {"device": f"d{n % 9}", "country": "GB", "region": f"r{n % 4}"}
                    at = NOW - (200 - n) * 3_600_000
                    origin = Origin(f"{2119 + n % 5}", "Firefox", (51.5, -0.1), 40 + n % 9)
                    history.record_login(c, user, at, hour=n % 24, origin=origin, **known)

    def sms_login(self, number: int) -> None:
        """Both steps of one login."""
        user = number % USERS
        self.clock.now = NOW + 600_000 * (1 + number)
        # an address of its own each, so that no limit on an address is met
        ip = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        request = login.Request(
            f"user{user}", "correct horse", "d1", ip=ip, country="GB", region="r1",
            asn=2119, browser="Firefox 120.0", place=(51.5, -0.1), rtt_ms=43,
        )  # fmt: skip
        asked = login.begin(self.flow, request)
        self.clock.now += 9_000
        code = self.exchange.inbox(self.numbers[user])[-1].code
        if asked.ticket is None or answer.answer(self.flow, asked.ticket, code).session is None:
            raise SystemExit(f"login {number} did not go through: {asked}")


def rate(act: Callable[[int], None], count: int, first: int = 0) -> dict[str, float]:
    start, worked = time.perf_counter(), time.process_time()
    for number in range(first, first + count):
        act(number)
    seconds = time.perf_counter() - start
    worked = time.process_time() - worked
    return {
        "a_second": round(count / seconds),
        "ms_each": round(1_000 * seconds / count, 3),
        "processor_ms_each": round(1_000 * worked / count, 3),
    }


def decisions(bench: Bench, count: int) -> dict[str, object]:
    """Microseconds of a risk decision, with the history in hand and read from the store."""
    flow = bench.flow
    facts = LoginFacts(NOW, 0, "d1", "GB", "r1")
    with read(flow.engine) as c:
        past = history.load_history(c, 1, NOW - 1_800_000)

        def in_hand() -> None:
            flow.assessor.assess(past, facts)

        def from_store() -> None:
            flow.assessor.assess(history.load_history(c, 1, NOW - 1_800_000), facts)

        found = {"in_hand_us": spread(in_hand, count), "from_store_us": spread(from_store, count)}
    return {"completed_logins": past.completed_logins, **found}


def spread(act: Callable[[], None], count: int) -> dict[str, float]:
    for _ in range(200):
        act()
    taken = np.empty(count)
    for index in range(count):
        start = time.perf_counter_ns()
        act()
        taken[index] = (time.perf_counter_ns() - start) / 1_000
    p50, p99 = np.percentile(taken, [50, 99])
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1)}


@contextmanager
def clocks(parts: dict[str, list[tuple[Any, str]]]) -> Iterator[dict[str, float]]:
    """Clock functions by part, outermost only; seconds by part."""
    spent: dict[str, float] = defaultdict(float)
    before = [(owner, name, getattr(owner, name)) for ps in parts.values() for owner, name in ps]
    inside: list[str] = []

    def clocked(part: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **more: Any) -> Any:
            if inside:
                return act(*given, **more)
            inside.append(part)
            start = time.perf_counter()
            try:
                return act(*given, **more)
            finally:
                spent[part] += time.perf_counter() - start
                inside.pop()

        return run

    for part, functions in parts.items():
        for owner, name in functions:
            setattr(owner, name, clocked(part, getattr(owner, name)))
    try:
        yield spent
    finally:
        for owner, name, act in before:
            setattr(owner, name, act)


def shares(bench: Bench, count: int, first: int) -> dict[str, float]:
    """Milliseconds a login spends in each part."""
    flow = bench.flow
    dbapi = [(Prepared, name) for name in ("run", "one", "value", "all", "many")]
    commits = [(type(flow.engine.dialect), "do_commit"), (type(flow.engine.dialect), "do_rollback")]
    parts = {
        "sql": [*dbapi, *commits, (database, "_identity")],
        "keys": [(Keyring, name) for name in ("encrypt", "decrypt", "mac")],
        "password": [(FastPasswords, "verify")],
        "risk": [(type(flow.assessor), "assess")],
        "provider": [(SimulatedProvider, "send"), (SimulatedProvider, "cancel")],
    }
    with clocks(parts) as spent:
        start = time.perf_counter()
        for number in range(first, first + count):
            bench.sms_login(number)
        whole = time.perf_counter() - start
    found = {part: round(1_000 * seconds / count, 3) for part, seconds in spent.items()}
    rest = round(1_000 * (whole - sum(spent.values())) / count, 3)
    return {**dict(sorted(found.items(), key=lambda part: -part[1])), "rest": rest}


def argon2_ms() -> float:
    passwords = Argon2Passwords()
    kept = passwords.hash("correct horse")
    return round(
        spread(lambda: passwords.verify(kept, "correct horse") and None, 20)["p50"] / 1e3, 1
    )


def fdatasync_ms(folder: Path) -> float:
    """What the disk takes to make one 4 KiB write durable: the floor under every commit."""
    with (folder / "probe").open("wb") as file:
        handle = file.fileno()
        start = time.perf_counter()
        for page in range(100):
            os.pwrite(handle, b"x" * 4_096, 4_096 * page)
            os.fdatasync(handle)
        return round(10 * (time.perf_counter() - start), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logins", type=int, default=1_500)
    parser.add_argument("--played", type=int, default=4_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        rate(bench.sms_login, 100)
        found: dict[str, object] = {
            "risk_decision": decisions(bench, 5_000),
            "sms_login": rate(bench.sms_login, given.logins, 100),
            "sms_login_ms_by_part": shares(bench, 500, 100 + given.logins),
            "argon2id_verify_ms": argon2_ms(),
            "fdatasync_ms": fdatasync_ms(Path(name)),
        }
    world = lab.simulate("us-consumer", users=given.played // 4, days=30, seed=3)
    lab.parity(world, lab.Policy.universal(), 100)
    for policy in (lab.Policy.risk_based(), lab.Policy.universal()):
        played = lab.parity(world, policy, given.played)
        found[f"parity_{policy.name}"] = {
            "logins": played.compared,
            "mismatches": played.mismatches,
            "a_second": round(played.compared / played.seconds),
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
