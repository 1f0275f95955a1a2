"""Webhooks over HTTP, from the local provider to a small receiver as an application has one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.receiver import receiving
from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.providers.base import SendRequest
from twofa_lab.delivery.webhooks import (
    MemorySeen,
    StatusEvent,
    WebhookError,
    merge,
    read_twilio,
    read_vonage,
)
from twofa_lab.errors import InputError


@dataclass
class Receiver:
    """Reads webhooks with the functions under test; keeps what they said and what was refused."""

    read: Callable[..., list[StatusEvent]] | None = None
    answer: int = 200
    url: str = ""
    posts: int = 0
    refused: int = 0
    events: list[StatusEvent] = field(default_factory=list)

    def take(self, url: str, headers: Any, body: bytes) -> int:
        self.posts += 1
        assert self.read is not None
        try:
            self.events += self.read(url, headers, body)
        except WebhookError:
            self.refused += 1
            return 401
        return self.answer

    @property
    def known(self) -> StatusEvent:
        known = None
        for event in self.events:
            known = merge(known, event)
        assert known is not None
        return known


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    def take(path: str, headers: Any, body: bytes) -> int:
        return receiver.take(receiver.url.removesuffix("/hook") + path, headers, body)

    with receiving(take) as url:
        receiver.url = url
        yield receiver


@pytest.fixture
def vonage(make_lab: Any, receiver: Receiver, clock: Any) -> Any:
    import time

    lab = make_lab(vonage_webhooks=receiver.url)
    seen = MemorySeen()

    def read(url: str, headers: Any, body: bytes) -> list[StatusEvent]:
        event = read_vonage(
            headers["Authorization"],
            body,
            signature_secret=lab.local.secrets.vonage_signature_secret,
            now_seconds=int(time.time()),
            seen=seen,
            application_id=lab.local.secrets.vonage_application_id,
        )
        return [] if event is None else [event]

    receiver.read = read
    return lab


def verify(lab: Any, number: PhoneNumber, name: str = "vonage") -> str:
    """One verification: WhatsApp is lost, SMS arrives, the right code is entered."""
    lab.script(number, sms=0)
    provider = lab.adapter(name)
    fallback = ("sms",) if name == "vonage" else ()
    channel = "whatsapp" if fallback else "sms"
    sent = provider.send(SendRequest(number, channel, "login-1", fallback=fallback))
    lab.clock.advance(30)
    lab.local.tick()
    assert provider.check(sent.verification_id, lab.local.inbox(number)[0].code).approved
    lab.local.drain_webhooks()
    return str(sent.verification_id)


def test_a_verification_is_reported_step_by_step(
    vonage: Any, receiver: Receiver, mobile: PhoneNumber
) -> None:
    request_id = verify(vonage, mobile)
    assert [event.status for event in receiver.events] == ["pending", "pending", "completed"]
    assert receiver.known == StatusEvent(
        "vonage", request_id, "completed", (("sms", "completed"), ("whatsapp", "expired"))
    )


@pytest.mark.parametrize(("fault", "posts", "refused"), [
    ("webhook-twice", 6, 0), ("webhook-out-of-order", 3, 0), ("webhook-forged", 6, 3),
])  # fmt: skip
def test_webhook_faults_change_nothing(
    vonage: Any, receiver: Receiver, mobile: PhoneNumber, fault: str, posts: int, refused: int
) -> None:
    vonage.fault(fault)
    request_id = verify(vonage, mobile)
    vonage.local.close()  # sends what an out-of-order provider still held back
    assert (receiver.posts, receiver.refused) == (posts, refused)
    assert receiver.known.verification_id == request_id
    assert receiver.known.status == "completed"
    assert receiver.known.channels == (("sms", "completed"), ("whatsapp", "expired"))


def test_webhooks_really_come_out_of_order(
    vonage: Any, receiver: Receiver, mobile: PhoneNumber
) -> None:
    vonage.fault("webhook-out-of-order:1")
    verify(vonage, mobile)
    assert [dict(event.channels) for event in receiver.events][:2] == [
        {"sms": "pending"},
        {"whatsapp": "pending"},
    ]


def test_a_receiver_that_fails_is_tried_again(
    vonage: Any, receiver: Receiver, mobile: PhoneNumber
) -> None:
    receiver.answer = 500
    verify(vonage, mobile)
    assert receiver.posts == 9
    assert receiver.known.status == "completed"


@pytest.mark.parametrize("status", ["canceled", "expired"])
def test_other_ends_are_reported_too(
    vonage: Any, receiver: Receiver, mobile: PhoneNumber, status: str
) -> None:
    provider = vonage.adapter("vonage")
    sent = provider.send(SendRequest(mobile, "sms", "login-1"))
    if status == "canceled":
        provider.cancel(sent.verification_id)
    else:
        vonage.clock.advance(601)
        vonage.local.tick()
    vonage.local.drain_webhooks()
    assert receiver.known.status == status


@pytest.mark.parametrize("fault", ["", "webhook-twice", "webhook-forged"])
def test_twilio_s_events_are_signed_too(
    make_lab: Any, receiver: Receiver, mobile: PhoneNumber, fault: str
) -> None:
    lab = make_lab(twilio_webhooks=receiver.url)
    seen = MemorySeen()

    def read(url: str, headers: Any, body: bytes) -> list[StatusEvent]:
        token = lab.local.secrets.twilio.auth_token
        return list(
            read_twilio(url, headers["X-Twilio-Signature"], body, auth_token=token, seen=seen)
        )

    receiver.read = read
    if fault:
        lab.fault(fault)
    sid = verify(lab, mobile, "twilio")
    assert receiver.refused == (2 if fault == "webhook-forged" else 0)
    assert [event.status for event in receiver.events] == ["pending", "completed"]
    assert receiver.known.verification_id == sid


def test_webhooks_go_to_this_machine_only(make_lab: Any) -> None:
    for option in ("vonage_webhooks", "twilio_webhooks"):
        for url in ("https://example.org/hook", "http://[::1", "http://localhost:x/", "file:///x"):
            with pytest.raises(InputError, match="this machine"):
                make_lab(**{option: url})
