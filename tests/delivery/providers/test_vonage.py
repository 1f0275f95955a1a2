import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.providers.base import DeliveryError, Outcome, Reason, SendRequest
from twofa_lab.delivery.providers.http import Reply
from twofa_lab.delivery.providers.vonage import VonageApplication, VonageKey, VonageVerify
from twofa_lab.errors import InputError

ID = "c11236f4-00bf-4b89-84ba-88b25df97315"


class Canned:
    """An `HttpClient` whose answer is fixed; keeps what it was asked."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.reply = Reply(status, body)
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    def call(self, method: str, path: tuple[str, ...], **options: Any) -> Reply:
        self.calls.append((method, "/".join(path), options))
        return self.reply


def adapter(status: int, body: dict[str, Any], **options: Any) -> VonageVerify:
    http: Any = Canned(status, body)
    return VonageVerify(http, VonageKey("key", "the-secret"), "Lab", **options)


def plan_request(number: PhoneNumber, **more: Any) -> SendRequest:
    settings: dict[str, Any] = {"fallback": ("sms", "voice"), "timeout_seconds": 30.0}
    return SendRequest(number, "whatsapp", "login-1/0", **(settings | more))


def test_the_whole_plan_goes_out_in_one_request(mobile: PhoneNumber) -> None:
    provider = adapter(202, {"request_id": ID}, whatsapp_from="447700900000")
    assert provider.send(plan_request(mobile, code="0048291")).verification_id == ID
    ((method, path, options),) = provider._http.calls  # type: ignore[attr-defined]
    body = options["json_body"]
    assert (method, path, body["brand"], body["code"]) == ("POST", "v2/verify", "Lab", "0048291")
    assert body["workflow"] == [
        {"channel": "whatsapp", "to": "447400123456", "from": "447700900000"},
        {"channel": "sms", "to": "447400123456"},
        {"channel": "voice", "to": "447400123456"},
    ]
    assert body["channel_timeout"] == 30
    assert 1 <= len(body["client_ref"]) <= 16
    assert not options["idempotent"]


def test_vonage_walks_the_plan_with_one_code(lab: Any, mobile: PhoneNumber) -> None:
    lab.script(mobile, whatsapp=700, sms=35, voice=0)
    provider = lab.adapter("vonage")
    sent = provider.send(plan_request(mobile))
    lab.clock.advance(34)
    (message,) = lab.local.inbox(mobile)
    assert (message.channel, lab.local.messages_sent) == ("sms", 2)
    assert provider.check(sent.verification_id, message.code).approved
    lab.clock.advance(600)
    assert lab.local.messages_sent == 2  # the call that was pending never went out
    assert len(lab.local.inbox(mobile)) == 2  # WhatsApp came late


def test_a_second_request_for_a_number_names_the_first(lab: Any, mobile: PhoneNumber) -> None:
    provider = lab.adapter("vonage")
    first = provider.send(plan_request(mobile))
    with pytest.raises(DeliveryError) as refused:
        provider.send(plan_request(mobile))
    assert refused.value.reason is Reason.CONCURRENT
    assert refused.value.verification_id == first.verification_id
    provider.cancel(first.verification_id)
    assert provider.send(plan_request(mobile)) != first


def test_a_resend_ends_the_old_request_and_keeps_our_code(lab: Any, mobile: PhoneNumber) -> None:
    lab.script(mobile, sms=0)
    provider = lab.adapter("vonage")
    first = provider.send(SendRequest(mobile, "sms", "k/0", code="123456"))
    again = provider.send(
        SendRequest(mobile, "sms", "k/1", code="123456", verification_id=first.verification_id)
    )
    assert again != first
    assert {message.code for message in lab.local.inbox(mobile)} == {"123456"}
    assert provider.check(again.verification_id, "123456").approved


def test_without_a_sender_there_is_no_whatsapp(mobile: PhoneNumber) -> None:
    provider = adapter(202, {"request_id": ID})
    assert "whatsapp" not in provider.supports.channels
    with pytest.raises(DeliveryError) as refused:
        provider.send(plan_request(mobile))
    assert refused.value.reason is Reason.UNSUPPORTED


@pytest.mark.parametrize("seconds", [5, 14.9, 30.5, 901])
def test_timeouts_vonage_cannot_keep_are_refused(mobile: PhoneNumber, seconds: float) -> None:
    provider = adapter(202, {"request_id": ID}, whatsapp_from="447700900000")
    with pytest.raises(InputError, match="15-900"):
        provider.send(plan_request(mobile, timeout_seconds=seconds))


@pytest.mark.parametrize(("status", "reason"), [
    (401, Reason.CREDENTIALS), (402, Reason.NO_CREDIT), (403, Reason.BLOCKED),
    (409, Reason.CONCURRENT), (422, Reason.INVALID_NUMBER), (429, Reason.RATE_LIMITED),
    (418, Reason.REFUSED), (500, Reason.UNCERTAIN), (503, Reason.UNCERTAIN),
])  # fmt: skip
def test_statuses_become_reasons(mobile: PhoneNumber, status: int, reason: Reason) -> None:
    with pytest.raises(DeliveryError) as failed:
        adapter(status, {"detail": "+447400123456"}).send(SendRequest(mobile, "sms", "k"))
    assert failed.value.reason is reason
    assert "7400" not in str(failed.value)


@pytest.mark.parametrize("body", [{}, {"request_id": 7}, {"request_id": "../x"}, {"id": ID}])
def test_an_answer_without_a_request_id_is_a_bad_reply(
    mobile: PhoneNumber, body: dict[str, Any]
) -> None:
    with pytest.raises(DeliveryError) as failed:
        adapter(202, body).send(SendRequest(mobile, "sms", "k"))
    assert failed.value.reason is Reason.BAD_REPLY


@pytest.mark.parametrize(("status", "body", "outcome"), [
    (200, {"request_id": ID, "status": "completed"}, Outcome.APPROVED),
    (400, {"title": "Invalid Code"}, Outcome.WRONG_CODE), (404, {}, Outcome.GONE),
    (410, {"title": "Invalid Code"}, Outcome.TOO_MANY_ATTEMPTS),
])  # fmt: skip
def test_checks_become_outcomes(status: int, body: dict[str, Any], outcome: Outcome) -> None:
    assert adapter(status, body).check(ID, "123456").outcome is outcome


@pytest.mark.parametrize("body", [
    {}, {"request_id": ID}, {"status": "completed"}, {"request_id": ID, "status": "pending"},
    {"request_id": ID[::-1], "status": "completed"},
])  # fmt: skip
def test_only_completed_for_this_request_approves(body: dict[str, Any]) -> None:
    with pytest.raises(DeliveryError) as failed:
        adapter(200, body).check(ID, "123456")
    assert failed.value.reason is Reason.BAD_REPLY


def test_an_application_signs_every_call(make_lab: Any, mobile: PhoneNumber) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    lab = make_lab(vonage_public_key=public.decode())
    application = VonageApplication(lab.local.secrets.vonage_application_id, private)
    assert "PRIVATE" not in repr(application)
    provider = VonageVerify(lab.client("vonage"), application, "Lab")
    sent = provider.send(SendRequest(mobile, "sms", "k"))
    stranger_id = lab.local.secrets.vonage_application_id[::-1]
    other = VonageVerify(lab.client("vonage"), VonageApplication(stranger_id, private), "Lab")
    stale = VonageVerify(lab.client("vonage"), application, "Lab", clock=lambda: time.time() - 3600)
    for stranger in (other, stale):
        with pytest.raises(DeliveryError) as refused:
            stranger.cancel(sent.verification_id)
        assert refused.value.reason is Reason.CREDENTIALS
    token = application.authorization(1_760_000_000).removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 60


@pytest.mark.parametrize("brand", ["", "seventeen letters"])
def test_a_brand_has_1_to_16_characters(brand: str) -> None:
    http: Any = Canned(202, {})
    with pytest.raises(InputError, match="brand"):
        VonageVerify(http, VonageKey("a", "b"), brand)
    assert "the-secret" not in repr(VonageKey("key", "the-secret"))
