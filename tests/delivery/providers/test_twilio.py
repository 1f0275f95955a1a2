from typing import Any

import pytest

from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.providers.base import DeliveryError, Outcome, Reason, SendRequest
from twofa_lab.delivery.providers.http import Reply
from twofa_lab.delivery.providers.twilio import TwilioCredentials, TwilioVerify
from twofa_lab.errors import InputError

CREDENTIALS = TwilioCredentials("AC" + "1" * 32, "VA" + "2" * 32, "the-secret-token")
SID = "VE" + "a" * 32


class Canned:
    """An `HttpClient` whose answer is fixed; keeps what it was asked."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.reply = Reply(status, body)
        self.calls: list[tuple[str, tuple[str, ...], dict[str, Any]]] = []

    def call(self, method: str, path: tuple[str, ...], **options: Any) -> Reply:
        self.calls.append((method, tuple(path), options))
        return self.reply


def adapter(status: int, body: dict[str, Any]) -> TwilioVerify:
    return TwilioVerify(Canned(status, body), CREDENTIALS)  # type: ignore[arg-type]


def request(number: PhoneNumber, **more: Any) -> SendRequest:
    return SendRequest(number, more.pop("channel", "sms"), "key", **more)


def test_the_request_is_the_documented_one(mobile: PhoneNumber) -> None:
    good = {"sid": SID, "to": "+447400123456", "channel": "call", "status": "pending"}
    provider = adapter(201, good)
    provider.send(request(mobile, channel="voice", code="123456"))
    ((method, path, options),) = provider._http.calls  # type: ignore[attr-defined]
    assert (method, "/".join(path)) == ("POST", f"v2/Services/VA{'2' * 32}/Verifications")
    assert options["form"] == {"To": "+447400123456", "Channel": "call", "CustomCode": "123456"}
    assert options["headers"]["Authorization"].startswith("Basic ")
    assert not options["idempotent"]


@pytest.mark.parametrize(("status", "code", "reason"), [
    (400, 60200, Reason.INVALID_NUMBER), (429, 60203, Reason.RATE_LIMITED),
    (429, 60212, Reason.CONCURRENT), (403, 60605, Reason.BLOCKED), (403, 60410, Reason.BLOCKED),
    (400, 60205, Reason.UNSUPPORTED), (401, 20003, Reason.CREDENTIALS), (400, 99, Reason.REFUSED),
    (429, 20429, Reason.RATE_LIMITED), (500, 20500, Reason.UNCERTAIN), (503, 0, Reason.UNCERTAIN),
])  # fmt: skip
def test_error_codes_become_reasons(
    mobile: PhoneNumber, status: int, code: int, reason: Reason
) -> None:
    with pytest.raises(DeliveryError) as failed:
        adapter(status, {"code": code, "message": "number +447400123456"}).send(request(mobile))
    assert failed.value.reason is reason
    assert "7400" not in str(failed.value)


@pytest.mark.parametrize("wrong", [
    {"sid": "VE1"}, {"sid": 7}, {"sid": None}, {"to": "+447400123457"}, {"channel": "call"},
    {"status": "approved"}, {"sid": "../" + "a" * 31},
])  # fmt: skip
def test_an_answer_of_another_shape_or_number_is_a_bad_reply(
    mobile: PhoneNumber, wrong: dict[str, Any]
) -> None:
    good = {"sid": SID, "to": "+447400123456", "channel": "sms", "status": "pending"}
    assert adapter(201, good).send(request(mobile)).verification_id == SID
    with pytest.raises(DeliveryError) as failed:
        adapter(201, good | wrong).send(request(mobile))
    assert failed.value.reason is Reason.BAD_REPLY


@pytest.mark.parametrize(("body", "outcome"), [
    ({"status": "approved", "valid": True}, Outcome.APPROVED),
    ({"status": "pending", "valid": False}, Outcome.WRONG_CODE),
    ({"status": "expired", "valid": False}, Outcome.EXPIRED),
    ({"status": "max_attempts_reached"}, Outcome.TOO_MANY_ATTEMPTS),
    ({"status": "canceled"}, Outcome.GONE),
])  # fmt: skip
def test_statuses_become_outcomes(body: dict[str, Any], outcome: Outcome) -> None:
    assert adapter(200, {"sid": SID, **body}).check(SID, "123456").outcome is outcome


@pytest.mark.parametrize("body", [
    {"status": "approved", "valid": False}, {"status": "approved"}, {"status": "APPROVED"},
    {"status": "approved", "valid": "true"}, {"status": "pending", "valid": True}, {},
    {"status": "approved", "valid": True, "sid": "VE" + "b" * 32},
])  # fmt: skip
def test_only_a_consistent_answer_about_this_verification_approves(body: dict[str, Any]) -> None:
    with pytest.raises(DeliveryError) as failed:
        adapter(200, {"sid": SID, **body}).check(SID, "123456")
    assert failed.value.reason is Reason.BAD_REPLY


def test_the_next_channel_continues_the_same_verification(lab: Any, mobile: PhoneNumber) -> None:
    lab.script(mobile, whatsapp=0, sms=0, voice=0)
    provider = lab.adapter("twilio")
    sids = {
        provider.send(request(mobile, channel=channel)).verification_id
        for channel in ("whatsapp", "sms", "voice")
    }
    codes = {message.code for message in lab.local.inbox(mobile)}
    assert (len(sids), len(codes), lab.local.messages_sent) == (1, 1, 3)


def test_the_sixth_send_is_refused(lab: Any, mobile: PhoneNumber) -> None:
    provider = lab.adapter("twilio")
    for _ in range(5):
        provider.send(request(mobile))
    with pytest.raises(DeliveryError) as refused:
        provider.send(request(mobile))
    assert refused.value.reason is Reason.RATE_LIMITED
    assert lab.local.messages_sent == 5


def test_a_code_of_impossible_length_is_refused(lab: Any, mobile: PhoneNumber) -> None:
    with pytest.raises(InputError, match="4 to 10"):
        lab.adapter("twilio").send(request(mobile, code="123"))


def test_the_token_does_not_print() -> None:
    assert "secret" not in repr(CREDENTIALS)
