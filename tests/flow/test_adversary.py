"""As its adversary: everything that was ever handed out or shown is tried at every door.

One test holds all of it at once: tickets, sealed requests and tokens of every purpose and of two
accounts, with every code, recovery code, key's answer and token, at every function that takes an
answer. Each is tried on a copy of the same state; only what was meant to open a door does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pyotp
import pytest

from tests.flow.entering import (
    APP,
    PUSH_SECRET,
    SEED,
    approve,
    asked,
    give_recovery_codes,
    key_of,
    prefer,
)
from tests.flow.hands import unlimited
from tests.flow.lab import ORIGIN, PHONE, SECOND, Lab, sign_up_of
from tests.flow.people import ANN, ann, give_saved_code, mailed, set_columns
from twofa_lab.errors import InputError
from twofa_lab.factors.passkey_refusals import CeremonyError
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.factors.totp import TotpSecret
from twofa_lab.flow import support
from twofa_lab.flow.addresses import begin_email, verify_email
from twofa_lab.flow.answer import another_factor, answer
from twofa_lab.flow.enrolment import add_phone, begin_passkey, finish_passkey
from twofa_lab.flow.login import Request
from twofa_lab.flow.password_reset import begin_reset, finish_reset
from twofa_lab.flow.push_answers import push_answer
from twofa_lab.flow.recovery import (
    answer_second_proof,
    ask_second_proof,
    begin_recovery,
    finish_recovery,
    prove,
)
from twofa_lab.flow.sessions import Proof, check, open_session
from twofa_lab.flow.sign_up import begin_sign_up, verify_phone
from twofa_lab.flow.step import Step, Ticket
from twofa_lab.flow.step_up import answer_step_up, begin_step_up
from twofa_lab.flow.usernameless import begin_passkey_login, finish_passkey_login
from twofa_lab.store.engine import write

BOB, BOBS_PHONE = 6, "+447400123457"
BOBS_SEED = TotpSecret(b"another secret of 20")
NEW = "a better horse"


@dataclass
class Loot:
    """What an adversary may hold: `handles` by name, `typed` by name, and what opens what
    (`door`, handle, typed).
    """

    handles: dict[str, str] = field(default_factory=dict)
    typed: dict[str, str] = field(default_factory=dict)
    meant: set[tuple[str, str, str]] = field(default_factory=set)

    def ticket(self, name: str, step: Step, door: str, **answers: str) -> Step:
        """Keep a ticket, and what answers it."""
        assert step.ticket is not None
        self.handles[name] = step.ticket.text
        self.right(name, door, **answers)
        return step

    def right(self, name: str, door: str, **answers: str) -> None:
        for what, text in answers.items():
            self.typed[what] = text
            self.meant.add((door, name, what))


def session_of(lab: Lab, user_id: int = ANN) -> str:
    with write(lab.flow.engine) as c:
        proof = Proof(2, ("pwd", "otp", "mfa"))
        return open_session(lab.flow, c, user_id, proof, "cookie", lab.now)


def by(lab: Lab, step: Step, kind: str) -> Step:
    """The same login or step-up, by that factor."""
    ticket, page = asked(step)
    return step if page.factor == kind else another_factor(lab.flow, ticket, kind)


def code(lab: Lab, number: str = PHONE) -> str:
    """The newest code on that phone, read without time passing for anybody else."""
    found = lab.code(number, 5 * SECOND)
    lab.wait(-5 * SECOND)
    return found


def collected(lab: Lab) -> Loot:
    """Two accounts with all they can have, and every kind of request under way at once."""
    loot, device, bobs = Loot(), SoftAuthenticator(synced=True), SoftAuthenticator(synced=True)
    ann(lab, totp=SEED, push=PUSH_SECRET, keys=(key_of(lab, device),))
    set_columns(lab, password_changed_at=0)
    ann(lab, user_id=BOB, name="bob", phone=BOBS_PHONE, email="bob@example.com",
        totp=BOBS_SEED, keys=(key_of(lab, bobs, BOB),))  # fmt: skip
    lab.reachable(BOBS_PHONE)
    ten, saved = give_recovery_codes(lab), give_saved_code(lab)
    session, theirs = session_of(lab), session_of(lab, BOB)
    spare = {"one of ten": ten[0]}

    for door, opens in (
        ("login", lambda: lab.login(device="new")),
        ("step-up", lambda: begin_step_up(lab.flow, session)),
    ):
        step = loot.ticket(f"{door} by phone", by(lab, opens(), "otp"), door, **spare)
        loot.right(f"{door} by phone", door, **{f"code of {door}": code(lab)})
        app = loot.ticket(f"{door} by app", by(lab, opens(), "totp"), door, **spare)
        loot.right(f"{door} by app", door, app=lab.shown(APP))
        assert app.ask is not None
        step = loot.ticket(f"{door} by key", by(lab, opens(), "passkey"), door, **spare)
        assert step.ask is not None
        response = device.authenticate(step.ask.options, ORIGIN)
        loot.right(f"{door} by key", door, **{f"key's answer to {door}": response})
        push = loot.ticket(f"{door} by push", by(lab, opens(), "push"), door, **spare)
        ticket, page = asked(push)
        loot.typed[f"number of {door}"] = page.number
    ticket, page = asked(loot.ticket("approved", by(lab, lab.login(device="new"), "push"), "login"))
    assert approve(lab, ticket, page.number) == "approved"
    loot.typed["nothing"] = ""

    step = loot.ticket("bob's login", by(lab, lab.login("bob"), "totp"), "login")
    loot.right("bob's login", "login", **{"bob's app": lab.shown(pyotp.TOTP(BOBS_SEED.base32))})

    lab.reachable("+447400123458")
    new = begin_sign_up(lab.flow, sign_up_of("carol", "+447400123458"))
    loot.ticket("sign-up", new, "sign-up", **{"code of sign-up": code(lab, "+447400123458")})
    begun = begin_email(lab.flow, session, "new@example.com")
    loot.ticket("address", begun, "address", **{"code of address": mailed(lab, "code")})
    making = begin_passkey(lab.flow, session)
    loot.handles["new key"] = making.ticket.text
    made = SoftAuthenticator(synced=True).register(making.options, ORIGIN)
    loot.right("new key", "new key", registration=made)
    alone = begin_passkey_login(lab.flow)
    loot.handles["key alone"] = alone.ticket
    loot.right("key alone", "key alone", **{
        "key's answer alone": device.authenticate(alone.options, ORIGIN)
    })  # fmt: skip

    loot.handles["reset"] = begin_reset(lab.flow, "ann")
    loot.right("reset", "reset", **{"code of reset": mailed(lab, "reset_code")})
    loot.handles["recovery"] = begin_recovery(lab.flow, "ann")
    loot.right("recovery", "proof by e-mail", **{"code of recovery": mailed(lab, "recovery_code")})
    loot.right("recovery", "proof by saved code", saved=saved)
    once = begin_recovery(lab.flow, "ann")
    proved = prove(lab.flow, once, "email", mailed(lab, "recovery_code")).request or ""
    loot.handles["recovery, half proved"] = proved
    loot.right("recovery, half proved", "proof by saved code", saved=saved)
    step = loot.ticket("second proof", ask_second_proof(lab.flow, proved, "phone"), "second proof")
    loot.right("second proof", "second proof", **{"code of second proof": code(lab)})
    loot.handles["bob's recovery"] = begin_recovery(lab.flow, "bob")

    lab.wait(30 * SECOND)  # the app's next step, for the device's trust
    token = _trust(lab, device)
    loot.handles |= {"session": session, "bob's session": theirs, "device": token}
    loot.typed |= {"the session": session, "the device": token, "the password": NEW}
    for app in ("login by app", "step-up by app"):
        loot.right(app, app.partition(" ")[0], app=lab.shown(APP))
    for name in loot.handles:
        if name == "approved":  # whatever is typed beside it: the app said yes
            loot.meant |= {("login", name, what) for what in loot.typed}
    loot.meant |= {("session", name, "nothing") for name in ("session", "bob's session")}
    loot.meant |= {("device", "device", "nothing")}
    return loot


def _trust(lab: Lab, device: SoftAuthenticator) -> str:
    prefer(lab, "passkey")
    ticket, page = asked(lab.login())
    typed = device.authenticate(page.options, ORIGIN)
    token = answer(lab.flow, ticket, typed, trust_device=True).device_token
    assert token is not None
    return token


def doors(lab: Lab, loot: Loot) -> dict[str, Callable[[str, str], bool]]:
    """Every function that takes an answer: whether a handle and a text get anywhere with it."""
    flow, session, half = lab.flow, loot.handles["session"], loot.handles["recovery, half proved"]
    here = Request("", "")

    def steps(act: Callable[..., Step]) -> Callable[[str, str], bool]:
        return lambda handle, typed: (
            act(flow, Ticket.read(handle), typed).status in {"signed_in", "done"}
        )

    def proof(kind: Any) -> Callable[[str, str], bool]:
        return lambda handle, typed: prove(flow, handle, kind, typed).status == "asked"

    return {
        "login": steps(answer),
        "step-up": steps(answer_step_up),
        "sign-up": steps(verify_phone),
        "address": steps(verify_email),
        "second proof": lambda handle, typed: (
            answer_second_proof(flow, half, Ticket.read(handle), typed).status == "asked"
        ),
        "new key": lambda handle, typed: bool(
            finish_passkey(flow, session, Ticket.read(handle), typed)
        ),
        "new key for bob": lambda handle, typed: bool(
            finish_passkey(flow, loot.handles["bob's session"], Ticket.read(handle), typed)
        ),
        "key alone": lambda handle, typed: (
            finish_passkey_login(flow, handle, typed, here).status == "signed_in"
        ),
        "reset": lambda handle, typed: finish_reset(flow, handle, typed, NEW).status == "done",
        "proof by e-mail": proof("email"),
        "proof by saved code": proof("saved"),
        "end of recovery": lambda handle, typed: (
            finish_recovery(flow, handle, NEW + typed[:20]).session is not None
        ),
        "session": lambda handle, _typed: check(flow, handle) is not None,
        "device": lambda handle, _typed: lab.login(device_token=handle).status == "signed_in",
        "device of bob": lambda handle, _typed: (
            lab.login("bob", device_token=handle).status == "signed_in"
        ),
        "step-up of a session": lambda handle, typed: (
            begin_step_up(flow, handle, password=typed).status == "signed_in"
        ),
    }


def test_what_one_purpose_gave_out_opens_no_other(lab: Lab) -> None:
    lab = unlimited(lab)
    loot = collected(lab)
    with lab.flow.engine.connect() as c:
        raw: Any = c.connection.dbapi_connection
    before, at, tried, opened = raw.serialize(), lab.now, Counter[str](), set()
    for door, use in doors(lab, loot).items():
        once = door in {"session", "device", "device of bob"}  # what is typed is not looked at
        for handle, text in loot.handles.items():
            for what, typed in {"nothing": ""}.items() if once else loot.typed.items():
                raw.deserialize(before)
                lab.time[0] = at
                tried[door] += 1
                try:
                    if use(text, typed):
                        opened.add((door, handle, what))
                except (InputError, CeremonyError):
                    pass
    raw.deserialize(before)
    print(  # noqa: T201 - counts to see
        f"{tried.total()} tries at {len(tried)} doors with {len(loot.handles)} handles and "
        f"{len(loot.typed)} texts: {len(opened)} open, as meant"
    )
    assert opened == loot.meant


def test_a_number_that_was_never_verified_is_no_factor(lab: Lab) -> None:
    """A sign-up nobody finished opens no login and keeps no name; an account without a verified
    number enrols none."""
    lab.reachable(PHONE)
    asked(begin_sign_up(lab.flow, sign_up_of("ann")))
    assert lab.login("ann").status == "refused"
    ann(lab, otp=False)
    set_columns(lab, phone=None)
    with pytest.raises(InputError, match="no verified phone number"):
        add_phone(lab.flow, session_of(lab))


def test_a_recovery_that_a_hold_stopped_does_not_go_on_once_it_is_lifted(lab: Lab) -> None:
    """A thief has both proofs; the owner calls, support holds the account and later unlocks it."""
    ann(lab)
    reset = begin_reset(lab.flow, "ann")
    thiefs = begin_recovery(lab.flow, "ann")
    for kind, typed in (("email", mailed(lab, "recovery_code")), ("saved", give_saved_code(lab))):
        thiefs = prove(lab.flow, thiefs, kind, typed).request or ""  # type: ignore[arg-type]
    lab.wait(SECOND)
    assert support.hold(lab.flow, "agent.one", ANN, case="C-1")
    given = {"reason": "locked_out", "evidence": "document_by_video", "case": "C-2"}
    number = support.request(lab.flow, "agent.one", ANN, "unlock", **given)  # type: ignore[arg-type]
    assert support.approve(lab.flow, "agent.two", number)
    assert support.perform(lab.flow, "agent.one", number) == "unlock"
    assert finish_recovery(lab.flow, thiefs, NEW).reply.status == "refused"
    assert finish_reset(lab.flow, reset, mailed(lab, "reset_code"), NEW).status == "refused"
    assert lab.login(device="new").status == "asked", "the owner's password is the one it was"


def test_nobody_registers_a_key_of_somebody_else(lab: Lab) -> None:
    """Bob brings a key with the id of Ann's: he is refused, and hers goes on working."""
    lab = unlimited(lab)
    device, twin = (
        SoftAuthenticator(synced=True, random_bytes=lambda size: b"7" * size) for _ in range(2)
    )
    ann(lab, otp=False, keys=(key_of(lab, device),))
    ann(lab, user_id=BOB, name="bob", phone=BOBS_PHONE)
    bobs = session_of(lab, BOB)
    making = begin_passkey(lab.flow, bobs)
    made = twin.register(making.options, ORIGIN)
    with pytest.raises(InputError, match="registered already"):
        finish_passkey(lab.flow, bobs, making.ticket, made)
    ticket, page = asked(lab.login())
    typed = device.authenticate(page.options, ORIGIN)
    assert answer(lab.flow, ticket, typed).status == "signed_in"


@pytest.mark.parametrize("odd", ["\x00", "\ud800", "\x1b[2J", "x" * 100_000])
def test_text_that_a_database_cannot_take_is_refused_as_any_other(both: Lab, odd: str) -> None:
    """PostgreSQL takes no NUL and no half of a surrogate pair; a stranger may send either."""
    lab = both
    ann(lab)
    unknown = lab.login("nobody").public()
    for name in (odd, f"ann{odd}"):
        assert lab.login(name).public() == unknown
        assert finish_reset(lab.flow, begin_reset(lab.flow, name), "000000", NEW).status
        assert prove(lab.flow, begin_recovery(lab.flow, name), "saved", odd).status == "refused"
    assert lab.login(password=odd).public() == unknown
    ticket, _ = asked(lab.strange_login())
    for text in (f"{odd}.{odd}", f"{ticket.challenge_id}.{odd}", f"{odd}.{ticket.secret}"):
        with suppress(InputError):
            assert answer(lab.flow, Ticket.read(text), "000000").status == "refused"
    assert answer(lab.flow, ticket, odd).status == "asked"
    assert check(lab.flow, odd) is None
    assert lab.strange_login().status == "asked"
    assert lab.login(device_token=f"{odd}.{odd}.{odd}", device="new").status == "asked"
    assert finish_passkey_login(lab.flow, odd, odd, Request("", "")).status == "refused"
    assert push_answer(lab.flow, odd, odd, odd.encode(errors="replace"), approved=True) == "used"
