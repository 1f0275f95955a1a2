"""A lab whose codes travel over HTTP, through a real adapter and the local provider."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tests.flow.lab import PHONE, SECOND, Lab
from tests.flow.people import ann
from twofa_lab.delivery.local.faults import parse_fault
from twofa_lab.delivery.local_provider import LocalProvider
from twofa_lab.delivery.providers.base import Provider
from twofa_lab.delivery.providers.http import HttpClient, Timeouts
from twofa_lab.delivery.providers.twilio import TwilioVerify
from twofa_lab.delivery.providers.verifynow import VerifyNow
from twofa_lab.delivery.providers.vonage import VonageVerify
from twofa_lab.flow.codes_due import advance
from twofa_lab.flow.step import Step, Ticket
from twofa_lab.store.challenges import Message, messages_of
from twofa_lab.store.engine import read

PROVIDERS = ("twilio", "vonage", "verifynow")
QUICK = Timeouts(connect=2.0, read=0.1, total=0.2)


class Wired:
    """A flow whose codes go over HTTP, and the handset that gets them."""

    def __init__(self, lab: Lab, name: str, local: LocalProvider, stack: ExitStack) -> None:
        self.local, self.name = local, name
        self.handset = stack.enter_context(HttpClient("handset", local.url))
        http = HttpClient(name, local.url, timeouts=QUICK, sleep=lambda _seconds: None)
        stack.enter_context(http)
        self.lab = lab.with_rules(provider=self._adapter(http), prices=lambda *_: 1_000)
        ann(self.lab, whatsapp=True)

    def _adapter(self, http: HttpClient) -> Provider:
        secrets = self.local.secrets
        if self.name == "twilio":
            return TwilioVerify(http, secrets.twilio)
        if self.name == "vonage":
            return VonageVerify(http, secrets.vonage, "Lab", whatsapp_from="447700900000")
        return VerifyNow(http, secrets.verifynow)

    def fault(self, *texts: str) -> None:
        self.local.faults.set(*map(parse_fault, texts))

    def inbox(self) -> list[dict[str, Any]]:
        """What is on the handset, read over HTTP."""
        reply = self.handset.call(
            "GET",
            ("handset", "messages"),
            headers={"Authorization": f"Bearer {self.local.secrets.handset_token}"},
            query={"number": PHONE},
            idempotent=True,
        )
        found: list[dict[str, Any]] = reply.body["messages"]
        return found

    def code(self, wait_ms: int = 10 * SECOND) -> str:
        self.lab.wait(wait_ms)
        return str(self.inbox()[-1]["code"])

    def sent(self, ticket: Ticket) -> list[Message]:
        with read(self.lab.flow.engine) as c:
            return messages_of(c, ticket.challenge_id)

    def status(self) -> str:
        """What the provider makes of the newest verification."""
        newest = self.local.exchanges[self.name].newest(self.lab.reachable(PHONE))
        assert newest is not None
        return newest.status


def walk(wired: Wired, ticket: Ticket, until_ms: int) -> Step:
    """A page that asks every five seconds what is due."""
    start = wired.lab.now
    step = advance(wired.lab.flow, ticket)
    while wired.lab.now < start + until_ms:
        wired.lab.wait(5 * SECOND)
        wired.local.tick()
        step = advance(wired.lab.flow, ticket)
    return step
