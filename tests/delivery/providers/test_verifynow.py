from typing import Any

import pytest

from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.providers.base import DeliveryError, Outcome, Reason, SendRequest
from twofa_lab.delivery.providers.http import Reply
from twofa_lab.delivery.providers.verifynow import VerifyNow, VerifyNowCredentials
from twofa_lab.errors import InputError

CREDENTIALS = VerifyNowCredentials("C-1", "lab@example.org", "the-password")


class Canned:
    """An `HttpClient` that gives a token, then a fixed answer; keeps what it was asked."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.reply = Reply(status, body)
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    def call(self, method: str, path: tuple[str, ...], **options: Any) -> Reply:
        self.calls.append((method, "/".join(path), options))
        return Reply(200, {"status": 200, "token": "tok"}) if "auth" in path else self.reply


def adapter(status: int, body: dict[str, Any]) -> VerifyNow:
    http: Any = Canned(status, body)
    return VerifyNow(http, CREDENTIALS)


def request(number: PhoneNumber, channel: str = "sms", **more: Any) -> SendRequest:
    return SendRequest(number, channel, "login-1/0", **more)


def answer(**data: Any) -> dict[str, Any]:
    return {"responseCode": 200, "message": "SUCCESS", "data": data}


def test_the_requests_are_the_documented_ones(mobile: PhoneNumber) -> None:
    provider = adapter(200, answer(verificationId="20", mobileNumber="7400123456"))
    assert provider.send(request(mobile, "whatsapp")).verification_id == "20"
    assert provider.send(request(mobile)).verification_id == "20"
    token, first, second = provider._http.calls  # type: ignore[attr-defined]
    assert token[:2] == ("GET", "auth/v1/authentication/token")
    assert token[2]["query"]["key"] == "dGhlLXBhc3N3b3Jk"
    assert first[:2] == ("POST", "verification/v3/send")
    assert first[2]["headers"] == {"authToken": "tok"}
    assert first[2]["query"] == {
        "countryCode": "44",
        "mobileNumber": "7400123456",
        "flowType": "WHATSAPP",
        "otpLength": "6",
        "customerId": "C-1",
    }
    assert second[2]["query"]["flowType"] == "SMS"
    assert not first[2].get("idempotent")


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("code", "reason"), [
    (501, Reason.CREDENTIALS), (506, Reason.CONCURRENT), (508, Reason.NO_CREDIT),
    (805, Reason.NO_CREDIT), (511, Reason.BLOCKED), (700, Reason.REFUSED),
    (800, Reason.RATE_LIMITED), (999, Reason.REFUSED),
])  # fmt: skip
def test_response_codes_become_reasons_whatever_the_status(
    mobile: PhoneNumber, status: int, code: int, reason: Reason
) -> None:
    for written in (code, str(code)):
        with pytest.raises(DeliveryError) as failed:
            adapter(status, {"responseCode": written, "message": "x"}).send(request(mobile))
        assert failed.value.reason is reason


@pytest.mark.parametrize("body", [
    {}, {"responseCode": None}, answer(), answer(verificationId="x", mobileNumber="7400123456"),
    answer(verificationId="20"), answer(verificationId="20", mobileNumber="7400123457"),
    {"responseCode": 200, "data": [1]},
])  # fmt: skip
def test_an_answer_of_another_shape_or_number_is_a_bad_reply(
    mobile: PhoneNumber, body: dict[str, Any]
) -> None:
    with pytest.raises(DeliveryError) as failed:
        adapter(200, body).send(request(mobile))
    assert failed.value.reason is Reason.BAD_REPLY


@pytest.mark.parametrize(("status", "body", "outcome"), [
    (200, answer(verificationId="20", verificationStatus="VERIFICATION_COMPLETED"),
     Outcome.APPROVED),
    (200, answer(verificationId=20, verificationStatus="VERIFIED"), Outcome.APPROVED),
    (200, answer(verificationId="20", verificationStatus="VERIFICATION_PENDING"),
     Outcome.WRONG_CODE),
    (400, {"responseCode": 702}, Outcome.WRONG_CODE), (200, {"responseCode": "702"},
     Outcome.WRONG_CODE),
    (400, {"responseCode": 703}, Outcome.GONE), (400, {"responseCode": 705}, Outcome.EXPIRED),
    (400, {"responseCode": 505}, Outcome.GONE),
    (400, {"responseCode": 800}, Outcome.TOO_MANY_ATTEMPTS),
])  # fmt: skip
def test_checks_become_outcomes(status: int, body: dict[str, Any], outcome: Outcome) -> None:
    assert adapter(status, body).check("20", "123456").outcome is outcome


@pytest.mark.parametrize("body", [
    {}, answer(verificationStatus="VERIFICATION_COMPLETED"),
    answer(verificationId="21", verificationStatus="VERIFICATION_COMPLETED"),
])  # fmt: skip
def test_only_an_answer_about_this_verification_approves(body: dict[str, Any]) -> None:
    with pytest.raises(DeliveryError):
        adapter(200, body).check("20", "123456")


def test_an_expired_token_is_renewed_once(lab: Any, mobile: PhoneNumber) -> None:
    lab.script(mobile, sms=0)
    provider = lab.adapter("verifynow")
    sent = provider.send(request(mobile))
    lab.local.verifynow_api.revoke_token()
    assert provider.check(sent.verification_id, lab.local.inbox(mobile)[0].code).approved
    assert lab.local.messages_sent == 1


def test_every_message_has_an_id_and_a_code_of_its_own(lab: Any, mobile: PhoneNumber) -> None:
    lab.script(mobile, sms=0, whatsapp=0)
    provider = lab.adapter("verifynow")
    first = provider.send(request(mobile, "whatsapp"))
    second = provider.send(request(mobile, "sms"))
    whatsapp, sms = lab.local.inbox(mobile)
    assert first != second
    assert provider.check(second.verification_id, sms.code).approved
    assert provider.check(first.verification_id, whatsapp.code).approved


def test_a_repeat_within_its_minute_is_refused(lab: Any, mobile: PhoneNumber) -> None:
    provider = lab.adapter("verifynow")
    provider.send(request(mobile))
    lab.clock.advance(59)
    with pytest.raises(DeliveryError) as refused:
        provider.send(request(mobile))
    assert refused.value.reason is Reason.CONCURRENT
    lab.clock.advance(1)
    provider.send(request(mobile))
    assert lab.local.messages_sent == 2


def test_what_it_cannot_do_is_refused_before_calling(mobile: PhoneNumber) -> None:
    provider = adapter(200, {})
    for wrong in (request(mobile, "voice"), request(mobile, code="123456")):
        with pytest.raises(DeliveryError) as refused:
            provider.send(wrong)
        assert refused.value.reason is Reason.UNSUPPORTED
    with pytest.raises(InputError, match="4 to 8"):
        provider.send(request(mobile, code_length=9))
    assert provider._http.calls == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", [
    "5xx", "timeout-after-send", "malformed-json", "oversized-json", "redirect", "slow-drip",
    "slow-headers",
])  # fmt: skip
def test_without_a_token_nothing_was_sent(lab: Any, mobile: PhoneNumber, fault: str) -> None:
    lab.fault(fault + "@token")
    with pytest.raises(DeliveryError) as failed:
        lab.adapter("verifynow").send(request(mobile))
    assert not failed.value.maybe_sent
    assert lab.local.messages_sent == 0


def test_the_password_does_not_print() -> None:
    assert "the-password" not in repr(CREDENTIALS)
