"""Webhooks that come twice, out of order or forged, from the local provider into the flow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.flow.entering import WRONG, asked
from tests.flow.lab import Lab
from tests.flow.wired import Wired
from tests.receiver import receiving
from twofa_lab.delivery import local_provider
from twofa_lab.delivery.webhooks import StatusEvent, WebhookError, read_twilio, read_vonage
from twofa_lab.flow.answer import answer
from twofa_lab.flow.codes_due import receipt
from twofa_lab.store.engine import write
from twofa_lab.store.sends import SqlSeen

Post = tuple[str, Any, bytes]
FAULTS = ("", "webhook-twice", "webhook-out-of-order", "webhook-forged")


class Edge:
    """An application's end of the webhooks: reads each with the store's memory of ids, and tells
    the flow what arrived."""

    def __init__(self, wired: Wired, posts: list[Post]) -> None:
        self.wired, self.posts = wired, posts
        self.refused = self.known = 0
        self.reported: list[tuple[str, str]] = []

    def take_all(self, url: str) -> None:
        self.wired.local.drain_webhooks()
        while self.posts:
            path, headers, body = self.posts.pop(0)
            try:
                events = self._read(url.removesuffix("/hook") + path, headers, body)
            except WebhookError:
                self.refused += 1
                continue
            self.known += not events
            for event in events:
                self._tell(event)

    def _read(self, url: str, headers: Any, body: bytes) -> tuple[StatusEvent, ...]:
        secrets, flow = self.wired.local.secrets, self.wired.lab.flow
        with write(flow.engine) as c:
            seen = SqlSeen(c, flow.clock())
            if self.wired.name == "twilio":
                signature, token = headers["X-Twilio-Signature"], secrets.twilio.auth_token
                return read_twilio(url, signature, body, auth_token=token, seen=seen)
            event = read_vonage(
                headers["Authorization"],
                body,
                signature_secret=secrets.vonage_signature_secret,
                now_seconds=int(time.time()),
                seen=seen,
            )
        return () if event is None else (event,)

    def _tell(self, event: StatusEvent) -> None:
        flow = self.wired.lab.flow
        for channel, status in event.channels:
            if status == "completed" and receipt(
                flow, event.verification_id, channel, arrived=True
            ):
                self.reported.append((event.verification_id, channel))


@contextmanager
def hooked(lab: Lab, name: str) -> Iterator[tuple[Edge, str]]:
    """A flow over HTTP whose provider posts webhooks; its edge, and the URL they go to."""
    posts: list[Post] = []

    def take(*post: Any) -> int:
        posts.append(post)
        return 200

    with ExitStack() as stack:
        url = stack.enter_context(receiving(take))
        hooks: dict[str, Any] = {f"{name}_webhooks": url}
        local = local_provider.serve(lab.carrier, clock=lab.flow.clock, **hooks)
        yield Edge(Wired(lab, name, stack.enter_context(local), stack), posts), url


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["twilio", "vonage"])
def test_a_webhook_lets_nobody_in_and_changes_nothing_twice(
    lab: Lab, name: str, fault: str
) -> None:
    """The same login with each fault: the forged one says that the code was right before it was
    typed, and a right code is still what it takes. Each message is reported once at most."""
    with hooked(lab, name) as (edge, url):
        wired, lab = edge.wired, edge.wired.lab
        if fault:
            wired.fault(fault)
        ticket, _ = asked(lab.strange_login())
        edge.take_all(url)
        assert lab.events("session") == [], "whatever a webhook says"
        assert answer(lab.flow, ticket, WRONG).status == "asked"
        code = wired.code()
        edge.take_all(url)
        assert answer(lab.flow, ticket, code).status == "signed_in"
        assert answer(lab.flow, ticket, code).status == "refused"
        wired.local.close()  # sends what was held back
        edge.take_all(url)
    counts = (edge.refused, edge.known, len(edge.reported), len(lab.events("delivery")))
    print(name, fault or "no fault", counts)  # noqa: T201 - refused, known, reported, audited
    sent = 2  # of a message, and of the end
    reported = int(name == "vonage")  # Twilio's events name no channel
    known = sent * int(fault == "webhook-twice" and name == "twilio")  # Vonage signs each anew
    assert counts == (sent * int(fault == "webhook-forged"), known, reported, reported)
    assert wired.local.messages_sent == 1
    assert len(lab.events("session")) == 1
    assert lab.audit_holds()
