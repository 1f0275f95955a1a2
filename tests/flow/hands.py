"""What a process of its own does in a test: one of eight that do the same, or one that is killed.

`forks` runs these. `given` is JSON: the database, the keyring, and what the test says.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, event

from tests.flow.entering import APP, asked
from tests.flow.lab import PHONE, SECOND, Lab, make_lab
from tests.flow.test_trust import TRUSTING
from twofa_lab.flow.answer import answer
from twofa_lab.flow.login import Request
from twofa_lab.flow.step import Step, Ticket
from twofa_lab.flow.usernameless import finish_passkey_login
from twofa_lab.store.engine import connect
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.migrations import upgrade
from twofa_lab.store.rotation import rotate

__all__ = ["DEEDS", "PROCESSES", "tell", "unlimited", "warm_up"]

PROCESSES = 8


def tell(*words: object) -> None:
    """One line to the test, whole or not at all."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def opened(given: dict[str, Any]) -> Engine:
    return connect(given["url"], busy_timeout_ms=30_000)


def unlimited(lab: Lab) -> Lab:
    """The same service asking at every login, without limits on sending."""
    rules = replace(lab.flow.rules, send_limits=None, pumping=None)
    return lab.with_rules(policy=TRUSTING, rules=rules)


def served(given: dict[str, Any]) -> Lab:
    """The test's service, at the test's time, in this process."""
    lab = unlimited(make_lab(opened(given)))
    lab.time[0] = given["now"]
    return lab.with_rules(keyring=Keyring.from_json(given["keyring"]))


def warm_up() -> None:
    """Load before any fork what each process would load at its first login."""
    engine = connect("sqlite://")
    upgrade(engine)
    make_lab(engine).login("nobody")
    engine.dispose()


def eight(given: dict[str, Any]) -> None:
    """Eight processes let go at once, deed by deed; a line a deed says what their steps came to."""
    gates = [os.pipe() for _ in given["deeds"]]
    told, out = os.pipe()
    for number in range(PROCESSES):
        if os.fork() == 0:
            lab = served(given)
            for deed, (gate, close) in zip(given["deeds"], gates, strict=True):
                os.close(close)
                os.read(gate, 1)  # returns once the parent closes its end
                os.write(out, f"{_do(lab, deed, number).status}\n".encode())
            os._exit(0)
    with os.fdopen(told) as lines:
        for _, close in gates:
            os.close(close)
            tell(*(lines.readline().strip() for _ in range(PROCESSES)))
    for _ in range(PROCESSES):
        os.wait()


def _do(lab: Lab, deed: dict[str, Any], number: int) -> Step:
    """One process's part in one deed; where there are eight tickets each has its own."""
    if deed["what"] == "login":
        return lab.login(deed["name"], device_token=deed["token"])
    ticket = deed["tickets"][number % len(deed["tickets"])]
    if deed["what"] == "usernameless":
        return finish_passkey_login(lab.flow, ticket, deed["typed"], Request("", ""))
    return answer(lab.flow, Ticket.read(ticket), deed["typed"])


def storm(given: dict[str, Any]) -> None:
    """Log in again and again, Ann by a code and Bob by his app; tell each step once it is durable:
    `asked ticket code now`, then `in session`."""
    lab = served(given)
    for name in itertools.cycle(("ann", "bob")):
        lab.wait(30 * SECOND)
        ticket, _ = asked(lab.login(name))
        code = lab.code(PHONE) if name == "ann" else lab.shown(APP)
        tell("asked", name, ticket.text, code, lab.now)
        tell("in", answer(lab.flow, ticket, code).session)


def rotation(given: dict[str, Any]) -> None:
    """Rotate to the keyring's active key, a value a transaction."""
    engine = opened(given)
    event.listen(engine, "commit", lambda _: tell("commit"))
    tell("done", rotate(engine, Keyring.from_json(given["keyring"]), batch=1))


def migration(given: dict[str, Any]) -> None:
    """Upgrade; stop at one statement for the test to kill this process."""
    engine, seen = opened(given), itertools.count()

    def stop(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.lstrip().upper().startswith(("CREATE", "ALTER", "INSERT", "UPDATE")):
            number = next(seen)
            tell("statement", number)
            if number == given["stop_at"]:
                tell("waiting")
                sys.stdin.readline()

    event.listen(engine, "before_cursor_execute", stop)
    upgrade(engine)
    tell("done")


DEEDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "eight": eight,
    "storm": storm,
    "rotation": rotation,
    "migration": migration,
}
