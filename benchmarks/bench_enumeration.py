"""Does time tell which login names exist? A rank test on calls for names of two kinds.

Each pair is what a stranger can ask about two kinds of names: unknown ones, accounts without a
second factor, accounts with two and a history, names whose passwords wait, locked accounts. Each
name is asked about once in a pair, from an address of its own, the two kinds in random turns, so
that a slow moment meets both. Printed for each pair: the medians, the probability that a call of
the first kind takes longer than one of the second (0.5: no telling), and the p value of the
two-sided Mann-Whitney test. With 2,000 calls each the standard error of that probability is 0.009;
of twenty pairs without a difference one has p below 0.05.

By default there is nothing to hide behind but the beat: passwords under one fast hash, a database
in memory, and a beat of 20 ms, which takes eight minutes. `--shipped` is what the package does:
Argon2id, a file whose every commit reaches the disk, a beat of 100 ms, and takes forty.

Two pairs test the test. "Without the beat" shows what the beat hides; "some microseconds after the
beat" must be told apart.

Run it alone: `python benchmarks/bench_enumeration.py`.
"""

from __future__ import annotations

import argparse
import random
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

import twofa_lab as lab
from twofa_lab.delivery.phone import parse
from twofa_lab.factors.totp import TotpSecret
from twofa_lab.flow.beat import Beat
from twofa_lab.flow.importing import Import, import_accounts
from twofa_lab.flow.login import Request, begin
from twofa_lab.flow.password_reset import begin_reset
from twofa_lab.flow.passwords import Argon2Passwords
from twofa_lab.flow.rehearsal import Rehearsal
from twofa_lab.flow.service import Flow
from twofa_lab.replay.enrolled import FastPasswords, Numbers
from twofa_lab.store import history
from twofa_lab.store.counter import SqlCounter
from twofa_lab.store.engine import connect, write
from twofa_lab.store.schema import accounts

NOW = 1_767_614_400_000
WARM = 50
"""Calls of each kind before those that count."""

Act = Callable[[str, int], object]


class Names:
    """A service with as many accounts of two kinds: `bare0`, ... and `rich0`, ..."""

    def __init__(self, folder: Path | None, count: int, beat: Beat) -> None:
        engine = connect("sqlite://" if folder is None else str(folder / "store.db"), create=True)
        passwords = FastPasswords() if folder is None else Argon2Passwords()
        stage = Rehearsal.open(
            lab.Policy.risk_based(),
            engine=engine,
            passwords=passwords,
            random_bytes=secrets.token_bytes,
            randbelow=secrets.randbelow,
            beat=beat,
        )
        self.flow: Flow = stage.flow
        self.count = count
        stage.clock.now = NOW
        numbers, kept = Numbers(), passwords.hash("correct horse")
        factors = {"otp": True, "totp": TotpSecret(b"k" * 20)}
        wanted: list[Import] = []
        for n in range(count):
            for kind in ("bare", "rich"):
                rich: dict[str, Any] = factors | {"email": f"e{n}@example.com"}
                number = numbers.next("GB", "mobile").e164
                given = (f"{kind}{n}", kept, NOW, number, "Europe/London")
                user_id = 2 * n + (kind == "rich")
                wanted.append(Import(user_id, *given, **(rich if kind == "rich" else {})))
        import_accounts(self.flow, wanted)
        with write(engine) as c:
            for user_id in range(1, 2 * count, 2):
                for day in range(12):
                    known = {"device": f"d{day % 5}", "country": "GB", "region": f"r{day % 3}"}
                    at = NOW - (12 - day) * 86_400_000
                    history.record_login(c, user_id, at, hour=day, **known)

    def wrong_password(self, name: str, n: int) -> object:
        request = Request(name, "a wrong one", "new", ip=address(n), country="GB", region="r1")
        return begin(self.flow, request)

    def reset(self, name: str, n: int) -> object:
        return begin_reset(self.flow, name, ip=address(n))

    def let_wait(self) -> None:
        """As after ten wrong passwords for each name."""
        wait = {"stranger_failures": 10, "stranger_wait_until": NOW + 60_000}
        with write(self.flow.engine) as c:
            c.execute(accounts.update().values(**wait))
            counter = SqlCounter(c, self.flow.keyring)
            for n in range(self.count):
                for _ in range(10):
                    counter.add(f"unknown:nobody{n}", NOW)

    def lock(self) -> None:
        """All accounts; the owner of each is told of the next attempt."""
        with write(self.flow.engine) as c:
            c.execute(accounts.update().values(status="locked", stranger_wait_until=0))


def address(n: int) -> str:
    return f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


def timed(act: Act, one: str, other: str, names: int, seed: int) -> tuple[Any, Any]:
    """Microseconds of calls for so many names of each kind, in random turns."""
    turns = [(kind, n) for n in range(names) for kind in (one, other)]
    shuffler = random.Random(seed)  # noqa: S311 - the order of turns, no secret
    for start in range(0, len(turns), 2):
        if shuffler.random() < 0.5:
            turns[start], turns[start + 1] = turns[start + 1], turns[start]
    taken: dict[str, list[float]] = {one: [], other: []}
    for number, (kind, n) in enumerate(turns):
        start = time.perf_counter_ns()
        act(f"{kind}{n}", number)
        taken[kind].append((time.perf_counter_ns() - start) / 1_000)
    return np.array(taken[one][WARM:]), np.array(taken[other][WARM:])


def told_apart(label: str, first: Any, second: Any) -> str:
    ranks = mannwhitneyu(first, second, method="asymptotic")
    longer = ranks.statistic / (len(first) * len(second))
    medians = f"{np.median(first):10,.0f} {np.median(second):10,.0f}"
    return f"{label:46} {medians}   {longer:.4f}   {ranks.pvalue:.3g}"


def pairs(names: Names, bare: Callable[[], Names]) -> Iterator[tuple[str, Act, str, str]]:
    """What is compared: its label, the call, two kinds of names. In this order: some lock."""
    wrong = names.wrong_password

    def slower(name: str, n: int) -> None:
        wrong(name.replace("slow", "bare").replace("same", "bare"), n)
        if name.startswith("slow"):
            parse("+447400123456")

    yield "wrong password: unknown, enrolled", wrong, "nobody", "rich"
    yield "wrong password: not enrolled, enrolled", wrong, "bare", "rich"
    yield "password reset: unknown, with e-mail", names.reset, "nobody", "rich"
    yield "some microseconds after the beat: more, none", slower, "slow", "same"
    names.let_wait()
    yield "waiting: unknown, enrolled", wrong, "nobody", "rich"
    names.lock()
    yield "locked and its owner told: unknown, locked", wrong, "none", "bare"
    yield "without the beat: unknown, enrolled", bare().wrong_password, "nobody", "rich"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--beat-ms", type=float, default=20.0)
    parser.add_argument("--shipped", action="store_true", help="Argon2id, a file, the flow's beat.")
    parser.add_argument("--only", default="", help="Pairs whose label holds this.")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folders = (Path(name) / str(n) for n in count())

        def service(beat: Beat) -> Names:
            folder = next(folders) if given.shipped else None
            if folder is not None:
                folder.mkdir()
            return Names(folder, given.calls + WARM, beat)

        names = service(Beat() if given.shipped else Beat(given.beat_ms / 1e3))
        print(f"{'pair: first, second':46} {'median':>10} {'us':>10}   longer   p")
        for label, act, one, other in pairs(names, lambda: service(Beat(0))):
            if given.only in label:
                taken = timed(act, one, other, names.count, given.seed)
                print(told_apart(label, *taken), flush=True)


if __name__ == "__main__":
    main()
