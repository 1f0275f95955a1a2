"""A whole service in the process: a scripted carrier, a clock set by hand, an outbox to read."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import pyotp
from sqlalchemy import Engine

from twofa_lab.delivery.carrier import ScriptedCarrier
from twofa_lab.delivery.exchange import Exchange
from twofa_lab.delivery.phone import PhoneNumber, parse
from twofa_lab.delivery.providers.simulated import SimulatedProvider
from twofa_lab.factors.passkeys import RelyingParty
from twofa_lab.factors.recovery_codes import HashCost, RecoveryRules
from twofa_lab.flow.beat import Beat
from twofa_lab.flow.enrolment import begin_totp, confirm_totp
from twofa_lab.flow.login import Request, begin
from twofa_lab.flow.notices import NOTICES
from twofa_lab.flow.passwords import Argon2Passwords
from twofa_lab.flow.service import Flow, FlowRules
from twofa_lab.flow.sign_up import SignUp, begin_sign_up, verify_phone
from twofa_lab.flow.step import Step
from twofa_lab.flow.step_up import answer_step_up, begin_step_up
from twofa_lab.risk.policy import Policy
from twofa_lab.store import accounts, audit
from twofa_lab.store.authenticators import Authenticator, authenticators_of
from twofa_lab.store.engine import read
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.schema import audit as audit_table

NOW = 1_767_614_400_000  # 5 January 2026, noon UTC
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
PHONE = "+447400123456"
ORIGIN = "https://example.com"
ARRIVES = {"whatsapp": 20, "sms": 35, "voice": 50}
PASSWORD = "correct horse"  # noqa: S105 - nobody's
PLACE = ("cookie", "", "192.0.2.1", "GB", "London")
_devices = itertools.count()
PASSWORDS = Argon2Passwords(passes=1, memory_kib=8)


def sign_up_of(name: str = "ann", number: str = PHONE, **changed: Any) -> SignUp:
    """A sign-up from the same device and place as `Lab.login`."""
    plain = SignUp(name, number, PASSWORD, "Europe/London", None, "cookie", *PLACE[2:])
    return replace(plain, **changed)


class Letter(NamedTuple):
    """Something the outbox sent: how, to whom, what about, in which words."""

    channel: str
    to: str
    kind: str
    text: str


@dataclass
class RecordingOutbox:
    """Keeps what was sent."""

    letters: list[Letter] = field(default_factory=list)
    pushes: list[tuple[bytes, str]] = field(default_factory=list)

    def email(self, address: str, kind: str, text: str) -> None:
        self.letters.append(Letter("email", address, kind, text))

    def text_message(self, number: str, kind: str, text: str) -> None:
        self.letters.append(Letter("sms", number, kind, text))

    def push(self, token: bytes, request_id: str) -> None:
        self.pushes.append((token, request_id))


@dataclass
class Lab:
    """One service and the world around it."""

    flow: Flow
    carrier: ScriptedCarrier
    exchange: Exchange
    outbox: RecordingOutbox
    time: list[int]

    @property
    def now(self) -> int:
        return self.time[0]

    def wait(self, ms: int) -> int:
        """Let time pass; the time then."""
        self.time[0] += ms
        return self.time[0]

    def reachable(self, number: str, delays: dict[str, int | None] | None = None) -> PhoneNumber:
        """Messages to that number arrive, after `delays` in tenths of a second."""
        found = parse(number)
        self.carrier.script(found, ARRIVES if delays is None else delays)
        return found

    def code(self, number: str, wait_ms: int = 5_000) -> str:
        """The newest code on that phone, after a while."""
        self.wait(wait_ms)
        return self.exchange.inbox(parse(number))[-1].code

    def sign_up(self, name: str = "ann", number: str = PHONE) -> str:
        """Somebody new with a verified number and no second factor; their session."""
        self.reachable(number)
        step = begin_sign_up(self.flow, sign_up_of(name, number))
        assert step.ticket is not None
        done = verify_phone(self.flow, step.ticket, self.code(number))
        assert done.session is not None
        return done.session

    def enrol_app(self, session: str) -> tuple[int, pyotp.TOTP, tuple[str, ...]]:
        """Enrol an authenticator app: its id, the app, and the recovery codes it came with."""
        new = begin_totp(self.flow, session)
        app = pyotp.TOTP(new.enrolment.secret.base32)
        added = confirm_totp(self.flow, session, new.authenticator_id, self.shown(app))
        assert added is not None
        return added.authenticator_id, app, added.recovery_codes

    def shown(self, app: pyotp.TOTP) -> str:
        """What an app shows now."""
        return app.at(self.now // 1000)

    def step_up(self, session: str, app: pyotp.TOTP) -> str:
        """Raise a session by the app's next code; its new token."""
        self.wait(30 * SECOND)
        step = begin_step_up(self.flow, session)
        assert step.ticket is not None
        raised = answer_step_up(self.flow, step.ticket, self.shown(app))
        assert raised.session is not None
        return raised.session

    def login(self, name: str = "ann", **changed: str) -> Step:
        """The first step of a login from the device of `sign_up_of`."""
        return begin(self.flow, replace(Request(name, PASSWORD, *PLACE), **changed))

    def strange_login(self, name: str = "ann") -> Step:
        """A login that is challenged: from a device that nobody has used before."""
        return self.login(name, device=f"device {next(_devices)}")

    def stored(self, name: str = "ann") -> list[Authenticator]:
        """The account's authenticators, whatever became of them."""
        with read(self.flow.engine) as c:
            account = accounts.account_by_name(c, name)
            assert account is not None
            return authenticators_of(c, account.user_id)

    def kinds(self) -> list[str]:
        """Kinds of the account's usable factors, oldest first."""
        return [one.kind for one in self.stored() if one.usable]

    def notices(self, kind: str) -> list[Letter]:
        """Letters with that kind's words."""
        return [letter for letter in self.outbox.letters if NOTICES[kind] in letter.text]

    def events(self, *names: str) -> list[tuple[str, str]]:
        """Audit rows in order, (event, detail), of these events or of all."""
        with read(self.flow.engine) as c:
            rows = c.execute(
                audit_table.select().with_only_columns(audit_table.c.event, audit_table.c.detail)
            ).all()
        return [(event, detail) for event, detail in rows if not names or event in names]

    def audit_holds(self) -> bool:
        with read(self.flow.engine) as c:
            return audit.verify(c).ok

    def with_rules(self, **changed: Any) -> Lab:
        """The same service under other values of `Flow`."""
        return replace(self, flow=replace(self.flow, **changed))


def make_lab(engine: Engine, **changed: Any) -> Lab:
    time = [NOW]
    carrier, outbox = ScriptedCarrier(), RecordingOutbox()
    exchange = Exchange(carrier, lambda: time[0])
    defaults: dict[str, Any] = {
        "policy": Policy.risk_based(),
        "relying_party": RelyingParty("example.com", "Example", (ORIGIN,)),
        "outbox": outbox,
        "passwords": PASSWORDS,
        "rules": FlowRules(recovery=RecoveryRules(cost=HashCost(memory_kib=8))),
        "prices": lambda _channel, _country: 8_300,
        "clock": lambda: time[0],
        "beat": Beat(0),
    }
    flow = Flow(engine, Keyring.generate(), SimulatedProvider(exchange), **{**defaults, **changed})
    lab = Lab(flow, carrier, exchange, outbox, time)
    lab.reachable(PHONE)
    return lab
