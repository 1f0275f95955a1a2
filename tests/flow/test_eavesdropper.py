"""An adversary who knows the password and sees everything once it was used: it opens nothing again.

Random walks: the owner signs in by every factor, steps up, trusts the device, logs out and resets,
while time passes; the adversary tries whatever was used, wherever it may be typed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from tests.flow.entering import Equipped, asked, give_recovery_codes
from tests.flow.hands import unlimited
from tests.flow.lab import DAY, HOUR, MINUTE, ORIGIN, PASSWORD, SECOND, Lab
from tests.flow.people import mailed
from tests.flow.test_trust import TRUSTING
from twofa_lab.errors import InputError
from twofa_lab.flow.answer import another_factor, answer
from twofa_lab.flow.login import Request
from twofa_lab.flow.password_reset import begin_reset, finish_reset
from twofa_lab.flow.sessions import check, log_out
from twofa_lab.flow.step import Step, Ticket
from twofa_lab.flow.step_up import answer_step_up, begin_step_up
from twofa_lab.flow.usernameless import begin_passkey_login, finish_passkey_login

WALKS, STEPS = 20, 30
FACTORS = ("otp", "totp", "push", "passkey", "hardware_key")


class Walk:
    """One walk: what the owner does leaves its traces in `seen`."""

    def __init__(self, lab: Lab, dice: random.Random) -> None:
        rules = {"randbelow": dice.randrange, "policy": TRUSTING}
        self.lab, self.dice = unlimited(lab).with_rules(**rules), dice
        self.mine = Equipped.of(self.lab)
        self.mine.lab = self.lab
        self.codes = list(give_recovery_codes(self.lab))
        self.seen: list[str] = [PASSWORD, ""]
        self.tickets: list[str] = []
        self.last: tuple[str, str, str] | tuple[()] = ()
        self.session = self.token = ""
        self.came: Counter[str] = Counter()

    # -- the owner

    def own_login(self) -> None:
        step = self.lab.login(device_token=self.token)
        self.seen.append(self.token)
        self.token = step.device_token or ""
        if step.status == "asked":
            step = self._by(step, answer, trust_device=self.dice.random() < 0.5)
            self.token = step.device_token or self.token
        self._now(step)

    def own_step_up(self) -> None:
        step = begin_step_up(self.lab.flow, self.session, password=PASSWORD)
        if step.status == "asked":
            self._now(self._by(step, answer_step_up))

    def own_passkey(self) -> None:
        begun = begin_passkey_login(self.lab.flow)
        response = self.mine.passkey.authenticate(begun.options, ORIGIN)
        self._now(finish_passkey_login(self.lab.flow, begun.ticket, response, Request("", "")))
        self._used(begun.ticket, response, "passkey")

    def own_log_out(self) -> None:
        log_out(self.lab.flow, self.session)
        self.seen.append(self.session)
        self.session = ""

    def own_reset(self) -> None:
        """To the same password, which the adversary knows."""
        request = begin_reset(self.lab.flow, "ann")
        code = mailed(self.lab, "reset_code")
        if finish_reset(self.lab.flow, request, code, PASSWORD).status == "done":
            self._used(request, code)
            self.seen += [self.session, self.token]
            self.session = self.token = ""

    def _by(self, step: Step, act: Callable[..., Step], **more: bool) -> Step:
        """Answer by a random factor, or a recovery code; what was shown is seen afterwards."""
        ticket, page = asked(step)
        wanted = self.dice.choice(FACTORS)
        if page.factor != wanted:
            step = another_factor(self.lab.flow, ticket, wanted)
            if step.status != "asked":
                return step
            ticket, page = asked(step)
        if self.codes and self.dice.random() < 0.15:
            typed = self.codes.pop()
        else:
            typed = self.mine.typed(ticket, page)
        done = act(self.lab.flow, ticket, typed, **more)
        self._used(ticket.text, typed, page.factor)
        self.seen.append(page.number)
        return done

    def _used(self, ticket: str, typed: str, factor: str = "totp") -> None:
        self.last = (ticket, typed, factor)
        self.tickets.append(ticket)
        self.seen.append(typed)

    def _now(self, step: Step) -> None:
        self.came[f"owner: {step.status}"] += 1
        if step.session:
            log_out(self.lab.flow, self.session)  # the browser holds one session
            self.seen.append(self.session)
            self.session = step.session

    # -- the adversary

    def attack(self) -> None:
        """One used text at one door: a login of one's own, an old ticket, a session, a device."""
        lab, flow, text = self.lab, self.lab.flow, self._text()
        doors: list[Callable[[], Step | None]] = [
            lambda: self._fresh(text),
            lambda: lab.login(device_token=text) if text != self.token else None,
            lambda: self._fresh(text),
            lambda: answer(flow, Ticket.read(self._ticket()), text),
            lambda: answer_step_up(flow, Ticket.read(self._ticket()), text),
            lambda: finish_passkey_login(flow, self._ticket(), text, Request("", "")),
            lambda: finish_passkey_login(
                flow, begin_passkey_login(flow).ticket, text, Request("", "")
            ),
            lambda: Step("signed_in") if text != self.session and check(flow, text) else None,
            lambda: Step(finish_reset(flow, self._ticket(), text, PASSWORD + "!").status),
            lambda: Step(finish_reset(flow, begin_reset(flow, "ann"), text, PASSWORD + "!").status),
            lambda: begin_step_up(flow, text, password=PASSWORD) if text != self.session else None,
        ]
        try:
            step = self.dice.choice(doors)()
        except InputError:
            step = None
        status = "refused" if step is None else step.status
        self.came[f"adversary: {status}"] += 1
        assert status not in {"signed_in", "done"}
        assert step is None or step.session is None

    def _fresh(self, text: str, wanted: str = "") -> Step:
        step = self.lab.strange_login()
        if step.status != "asked":
            return step
        ticket, page = asked(step)
        wanted = wanted or self.dice.choice(FACTORS)
        if page.factor != wanted:
            step = another_factor(self.lab.flow, ticket, wanted)
        return step if step.ticket is None else answer(self.lab.flow, step.ticket, text)

    def replay(self) -> None:
        """The last answer once more: at its own ticket for every purpose, and in a new login by the
        same factor.
        """
        if not self.last:
            return
        ticket, typed, factor = self.last
        for act in (answer, answer_step_up):
            with suppress(InputError):
                assert act(self.lab.flow, Ticket.read(ticket), typed).session is None
        with suppress(InputError):
            assert finish_reset(self.lab.flow, ticket, typed, PASSWORD + "!").status != "done"
        again = finish_passkey_login(self.lab.flow, ticket, typed, Request("", ""))
        assert again.session is None
        assert self._fresh(typed, factor).session is None
        self.came["adversary: replayed"] += 1

    def _text(self) -> str:
        """What was seen lately, more often than what is old."""
        return self.dice.choice(self.seen[-3:] if self.dice.random() < 0.6 else self.seen)

    def _ticket(self) -> str:
        return self.dice.choice(self.tickets) if self.tickets else "a.b"

    def step(self) -> None:
        acts = [self.own_login, self.own_login, self.own_step_up, self.own_passkey,
                self.own_log_out, self.own_reset, self.attack, self.attack]  # fmt: skip
        self.dice.choice(acts)()
        self.replay()
        self.attack()
        passed = (0, SECOND, 31 * SECOND, MINUTE, 10 * MINUTE, HOUR, DAY, -60 * SECOND)
        self.lab.wait(self.dice.choice(passed))


def test_what_was_used_opens_nothing_again(fresh: Callable[[], Lab]) -> None:
    came: Counter[str] = Counter()
    for seed in range(WALKS):
        walk = Walk(fresh(), random.Random(seed))  # noqa: S311 - repeatable on purpose
        for _ in range(STEPS):
            walk.step()
        assert walk.lab.audit_holds()
        came += walk.came
    print(f"{WALKS} walks of {STEPS} steps: {dict(came)}")  # noqa: T201 - counts to see
    assert came["owner: signed_in"] > 100
    assert sum(n for who, n in came.items() if who.startswith("adversary")) > 800
