"""One winner among eight *processes*, which share nothing but the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.flow.conftest import _emptied
from tests.flow.entering import APP, SEED, asked, give_recovery_codes, key_of
from tests.flow.forks import Forks, address_of
from tests.flow.hands import PROCESSES
from tests.flow.lab import ORIGIN, Lab, make_lab
from tests.flow.people import ann
from tests.flow.test_races import sessions_of
from tests.flow.test_trust import TRUSTING
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow.answer import answer
from twofa_lab.flow.usernameless import begin_passkey_login
from twofa_lab.store.engine import connect
from twofa_lab.store.migrations import upgrade


@pytest.fixture(params=["sqlite", "postgresql"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    if request.param == "postgresql":
        yield make_lab(_emptied(request.getfixturevalue("_postgresql")), policy=TRUSTING)
        return
    engine = connect(str(tmp_path / "store.db"), create=True)
    upgrade(engine)
    yield make_lab(engine, policy=TRUSTING)
    engine.dispose()


class Person(NamedTuple):
    """Somebody with an account."""

    user_id: int
    name: str
    phone: str


class Deeds:
    """What the eight are to do, each with an account of its own, as one page or phone holds it."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.people = lab, 100

    def person(self, device: SoftAuthenticator | None = None, **factors: Any) -> Person:
        """Somebody new with these factors."""
        self.people += 1
        number = f"+447400123{self.people}"
        self.lab.reachable(number)
        keys = () if device is None else (key_of(self.lab, device, self.people),)
        who = Person(self.people, f"person {self.people}", number)
        ann(self.lab, **{**who._asdict(), "otp": False, "keys": keys, **factors})
        return who

    def tickets(self, who: Person, count: int = PROCESSES) -> list[str]:
        return [asked(self.lab.login(who.name))[0].text for _ in range(count)]

    def all(self) -> dict[str, dict[str, Any]]:
        """The app's code comes last: the others would make it a step old."""
        return {
            "code": self.code(),
            "recovery code": self.recovery_code(),
            "passkey": self.passkey(),
            "passkey without a name": self.usernameless(),
            "trusted device": self.device(),
            "app": self.app(),
        }

    def code(self) -> dict[str, Any]:
        who = self.person(otp=True)
        return {
            "what": "answer",
            "tickets": self.tickets(who, 1),
            "typed": self.lab.code(who.phone),
        }

    def recovery_code(self) -> dict[str, Any]:
        who = self.person(totp=SEED)
        codes = give_recovery_codes(self.lab, who.user_id)
        return {"what": "answer", "tickets": self.tickets(who), "typed": codes[0]}

    def passkey(self) -> dict[str, Any]:
        device = SoftAuthenticator(synced=True)
        ticket, page = asked(self.lab.login(self.person(device).name))
        typed = device.authenticate(page.options, ORIGIN)
        return {"what": "answer", "tickets": [ticket.text], "typed": typed}

    def usernameless(self) -> dict[str, Any]:
        device = SoftAuthenticator(synced=True)
        self.person(device)
        begun = begin_passkey_login(self.lab.flow)
        typed = device.authenticate(begun.options, ORIGIN)
        return {"what": "usernameless", "tickets": [begun.ticket], "typed": typed}

    def device(self) -> dict[str, Any]:
        who = self.person(totp=SEED)
        ticket, _ = asked(self.lab.login(who.name))
        token = answer(self.lab.flow, ticket, self.lab.shown(APP), trust_device=True).device_token
        assert token is not None
        return {"what": "login", "name": who.name, "token": token}

    def app(self) -> dict[str, Any]:
        tickets = self.tickets(self.person(totp=SEED))
        return {"what": "answer", "tickets": tickets, "typed": self.lab.shown(APP)}


def test_eight_processes_one_winner(lab: Lab, forks: Forks) -> None:
    """A code, a recovery code, a passkey's answer with and without a name, a trusted device's
    token, an app's step.
    """
    deeds = Deeds(lab).all()
    before = sessions_of(lab)
    forks.start(
        "eight",
        url=address_of(lab.flow.engine),
        keyring=lab.flow.keyring.to_json(),
        now=lab.now,
        deeds=list(deeds.values()),
    )
    came = {name: Counter(line.split()) for name, line in zip(deeds, forks.lines(), strict=True)}
    print(f"{lab.flow.engine.dialect.name}, {PROCESSES} processes each: {came}")  # noqa: T201
    assert all(found.total() == PROCESSES for found in came.values())
    assert {name: found["signed_in"] for name, found in came.items()} == dict.fromkeys(deeds, 1)
    assert sessions_of(lab) - before == len(deeds)
    assert lab.audit_holds()
