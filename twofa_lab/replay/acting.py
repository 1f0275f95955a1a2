"""A simulated person, or attacker, at a real challenge: they do what their row says they would.

They read the code from the phone it was sent to, type it or mistype it, ask for another, scan, tap,
give up. Nothing here decides whether they get in: the flow does. Times are moved on a clock that
the flow reads too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyotp

from twofa_lab.catalog.efficacy import WAYS
from twofa_lab.catalog.factors import CODE_LIFE_SECONDS, ENTRY_PERCENT
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow import answer, codes_due, push_answers
from twofa_lab.flow.rehearsal import Clock, Phones
from twofa_lab.flow.service import Flow
from twofa_lab.flow.step import Step, Ticket
from twofa_lab.replay.challenge import Means
from twofa_lab.replay.enrolled import Identity
from twofa_lab.tables import FACTORS, NEVER

__all__ = ["Actor"]

_LIFE_MS = CODE_LIFE_SECONDS * 1000


@dataclass
class Actor:
    """Who is asked at one login: the account's own person, or an attacker with their means.

    Whoever reads the app sees when its code was used, and waits for the next. `read_from` is the
    channel that the code came by.
    """

    flow: Flow
    clock: Clock
    phones: Phones
    who: Identity
    means: Means
    trusts: bool
    read_from: str = "none"

    def play(self, step: Step) -> Step:
        """Go through a challenge to its end."""
        while step.status == "asked" and step.ask is not None and step.ticket is not None:
            factor = step.ask.factor
            if factor == "otp":
                return self._code(step)
            act = self.means.entry_ds * ENTRY_PERCENT[FACTORS.index(factor)] // 100 * 100
            if self._works(factor):
                return self._act(step, step.ticket, factor, act)
            self.clock.now += act
            if not self.flow.policy.allow_weaker_factor:
                return answer.leave(self.flow, step.ticket)
            step = answer.another_factor(self.flow, step.ticket)
        return step

    def _works(self, factor: str) -> bool:
        if self.means.is_attack:
            return bool(self.means.defeats & 1 << WAYS.index(factor))
        if factor in {"passkey", "hardware_key"}:
            return self.means.passkey_works
        return self.means.phone_at_hand

    def _act(self, step: Step, ticket: Ticket, factor: str, act: int) -> Step:
        """Answer with a factor that works, wrong codes of an app first."""
        if factor == "totp":
            return self._app(step, ticket, act)
        self.clock.now += act
        typed = ""
        if factor == "push":
            self._approve(step)
        else:
            held = self.who.passkey if factor == "passkey" else self.who.hardware_key
            assert isinstance(held, SoftAuthenticator)  # noqa: S101 - the people table says so
            assert step.ask is not None  # noqa: S101 - this step asks
            origin = self.flow.relying_party.origins[0]
            typed = held.authenticate(step.ask.options, origin)
        return answer.answer(self.flow, ticket, typed, trust_device=self.trusts)

    def _approve(self, step: Step) -> None:
        """Read the number off the page, and type it into the app."""
        token, request_id = self.phones.requests[-1]
        number = step.ask.number if step.ask is not None else ""
        proof = push_answers.proof_of_app(token, request_id, number, approved=True)
        push_answers.push_answer(self.flow, request_id, number, proof, approved=True)

    def _app(self, step: Step, ticket: Ticket, act: int) -> Step:
        secret, rules = self.who.totp, self.flow.rules.totp
        assert secret is not None  # noqa: S101 - the people table says so
        app = pyotp.TOTP(secret.base32)
        for _ in range(self.means.wrong_codes):
            self.clock.now += act
            step = answer.answer(self.flow, ticket, self._wrong_app_code(app))
            if step.status != "asked":
                return step
        self.clock.now += act
        fresh = (self.who.app_step + 1) * rules.step_seconds * 1000
        if self.clock.now < fresh:  # the code on show was used; in whole tenths of a second
            self.clock.now += -((self.clock.now - fresh) // 100) * 100
        shown = self.clock.now // (rules.step_seconds * 1000)
        step = answer.answer(self.flow, ticket, app.generate_otp(shown), trust_device=self.trusts)
        if step.status == "signed_in":
            self.who.app_step = shown
        return step

    def _wrong_app_code(self, app: pyotp.TOTP) -> str:
        """Six digits that are no code of the time, nor of the steps beside it."""
        step = self.clock.now // 30_000
        near = {app.generate_otp(max(0, step + off)) for off in (-1, 0, 1)}
        return next(code for code in ("000000", "111111", "222222", "333333") if code not in near)

    def _reads(self, channel: str) -> bool:
        if self.means.is_attack:
            return bool(self.means.defeats & 1 << WAYS.index(channel))
        return self.means.phone_at_hand

    def _code(self, step: Step) -> Step:
        """Wait for a code and type it through; see `replay.challenge` for what people do."""
        means, shown = self.means, self.clock.now
        entry = means.entry_ds * 100
        entries = min(means.wrong_codes + 1, self.flow.policy.max_attempts)
        gives_up = shown + min(means.patience_ds * 100, _LIFE_MS)
        typed, asked_again, sent = 0, False, 0
        while (ticket := step.ticket) is not None and step.ask is not None:
            sent = self._receipts(sent)
            arrives, channel, code = self._first_to_arrive(shown)
            if arrives is not None and arrives <= gives_up:
                acts = arrives + (typed + 1) * entry
                done = min(arrives + entries * entry, shown + _LIFE_MS)
            else:
                arrives, acts, done = None, gives_up, gives_up
            due = step.ask.next_send_ms
            wants = means.resends and not asked_again and due is None
            again = shown + sent * self.flow.plan.timeout_ds * 100
            if due is not None and due < done and due <= acts:
                self.clock.now = due
                step = codes_due.advance(self.flow, ticket)
            elif wants and again < gives_up and (arrives is None or arrives > again):
                self.clock.now, asked_again = again, True
                step = codes_due.resend(self.flow, ticket)
            elif arrives is None:
                self.clock.now = acts
                return answer.leave(self.flow, ticket)
            else:
                self.clock.now, self.read_from = acts, channel
                step = self._type(ticket, code, right=typed == means.wrong_codes, due=due)
                typed += 1
        return step

    def _type(self, ticket: Ticket, code: str, *, right: bool, due: int | None) -> Step:
        digits = code if right else f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"
        step = answer.answer(self.flow, ticket, digits, trust_device=self.trusts)
        if step.status == "asked" and step.ask is not None:
            return replace(step, ask=replace(step.ask, next_send_ms=due))
        return step

    def _first_to_arrive(self, shown: int) -> tuple[int | None, str, str]:
        """When the first message that this party can read arrives, by which channel, its code."""
        best: tuple[int | None, str, str] = (None, "none", "")
        verification = self.phones.exchange.newest(self.who.number)
        if verification is None or verification.created_ms < shown:
            return best
        for channel, _, arrives in verification.messages:
            if (
                arrives is not None
                and self._reads(channel)
                and (best[0] is None or arrives < best[0])
            ):
                best = arrives, channel, verification.code
        return best

    def _receipts(self, told: int) -> int:
        """The carrier reports messages that will never arrive; how many were sent by now."""
        verification = self.phones.exchange.newest(self.who.number)
        if verification is None:
            return told
        for channel, _, arrives in verification.messages[told:]:
            if arrives is None:
                codes_due.receipt(self.flow, verification.verification_id, channel, arrived=False)
        return len(verification.messages)

    def script(self) -> None:
        """Set the fate of every message to this number during this login."""
        means = self.means
        delays = {"whatsapp": means.whatsapp_ds, "sms": means.sms_ds, "voice": means.voice_ds}
        known = {channel: None if ds == NEVER else ds for channel, ds in delays.items()}
        resend = None if means.resend_ds == NEVER else means.resend_ds
        self.phones.carrier.script(self.who.number, known, resend)
