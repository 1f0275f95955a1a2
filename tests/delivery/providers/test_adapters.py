"""What every provider's adapter does alike, against the local provider over HTTP."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.delivery.phone import PhoneNumber, parse
from twofa_lab.delivery.providers.base import (
    DeliveryError,
    Outcome,
    Provider,
    Reason,
    SendRequest,
    Sent,
)
from twofa_lab.delivery.providers.http import Reply
from twofa_lab.delivery.providers.twilio import TwilioCredentials, TwilioVerify
from twofa_lab.delivery.providers.verifynow import VerifyNow, VerifyNowCredentials
from twofa_lab.delivery.providers.vonage import VonageKey, VonageVerify

NAMES = ("twilio", "vonage", "verifynow")


def send(provider: Provider, number: PhoneNumber, channel: str = "sms", **more: Any) -> Sent:
    return provider.send(SendRequest(number, channel, "login-1/0", **more))


@pytest.mark.parametrize("name", NAMES)
def test_the_code_that_arrives_is_the_code(lab: Any, mobile: PhoneNumber, name: str) -> None:
    lab.script(mobile, sms=35)
    provider = lab.adapter(name)
    sent = send(provider, mobile)
    assert lab.local.inbox(mobile) == ()
    lab.clock.advance(3.5)
    (message,) = lab.local.inbox(mobile)
    assert (message.channel, len(message.code)) == ("sms", 6)
    wrong = f"{(int(message.code) + 1) % 10**6:06d}"
    assert provider.check(sent.verification_id, wrong).outcome is Outcome.WRONG_CODE
    assert provider.check(sent.verification_id, message.code).approved
    assert provider.check(sent.verification_id, message.code).outcome is Outcome.GONE


@pytest.mark.parametrize(("name", "checks"), [("twilio", 5), ("vonage", 3), ("verifynow", 5)])
def test_too_many_wrong_codes_end_it(lab: Any, mobile: PhoneNumber, name: str, checks: int) -> None:
    lab.script(mobile, sms=0)
    provider = lab.adapter(name)
    sent = send(provider, mobile)
    outcomes = [provider.check(sent.verification_id, "0").outcome for _ in range(checks + 1)]
    assert set(outcomes[: checks - 1]) == {Outcome.WRONG_CODE}
    assert outcomes[-1] is Outcome.TOO_MANY_ATTEMPTS
    code = lab.local.inbox(mobile)[0].code
    assert provider.check(sent.verification_id, code).outcome is Outcome.TOO_MANY_ATTEMPTS


@pytest.mark.parametrize("name", NAMES)
def test_a_code_of_more_than_ten_minutes_is_dead(lab: Any, mobile: PhoneNumber, name: str) -> None:
    lab.script(mobile, sms=0)
    provider = lab.adapter(name)
    sent = send(provider, mobile)
    code = lab.local.inbox(mobile)[0].code
    lab.clock.advance(600.1)
    outcome = provider.check(sent.verification_id, code).outcome
    assert outcome in (Outcome.EXPIRED, Outcome.GONE)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_id_is_gone(lab: Any, name: str) -> None:
    ids = {"twilio": "VE" + "0" * 32, "vonage": "0" * 8 + "-0000-0000-0000-" + "0" * 12}
    provider = lab.adapter(name)
    assert provider.check(ids.get(name, "999"), "123456").outcome is Outcome.GONE
    provider.cancel(ids.get(name, "999"))


@pytest.mark.parametrize("name", ["twilio", "vonage"])
def test_a_cancelled_verification_takes_no_code(lab: Any, mobile: PhoneNumber, name: str) -> None:
    lab.script(mobile, sms=0)
    provider = lab.adapter(name)
    sent = send(provider, mobile)
    provider.cancel(sent.verification_id)
    provider.cancel(sent.verification_id)
    code = lab.local.inbox(mobile)[0].code
    assert provider.check(sent.verification_id, code).outcome is Outcome.GONE


@pytest.mark.parametrize("name", ["twilio", "vonage"])
def test_our_own_code_can_be_carried(lab: Any, mobile: PhoneNumber, name: str) -> None:
    lab.script(mobile, sms=0)
    provider = lab.adapter(name)
    sent = send(provider, mobile, code="0048291")
    assert lab.local.inbox(mobile)[0].code == "0048291"
    assert provider.check(sent.verification_id, "0048291").approved


@pytest.mark.parametrize("name", NAMES)
def test_sms_to_a_landline_is_refused_by_the_provider_too(
    lab: Any, landline: PhoneNumber, name: str
) -> None:
    with pytest.raises(DeliveryError) as refused:
        send(lab.adapter(name), landline)
    assert not refused.value.maybe_sent
    assert lab.local.messages_sent == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_channel_it_does_not_have_is_refused_before_calling(
    lab: Any, mobile: PhoneNumber, name: str
) -> None:
    with pytest.raises(DeliveryError) as refused:
        send(lab.adapter(name), mobile, "pigeon")
    assert refused.value.reason is Reason.UNSUPPORTED


@pytest.mark.parametrize("name", NAMES)
def test_wrong_credentials_are_named_as_such(
    make_lab: Any, lab: Any, mobile: PhoneNumber, name: str
) -> None:
    other = make_lab()
    provider = other.adapter(name)
    provider._http = lab.client(name)  # the right place, with another run's secrets
    if name == "twilio":  # its service is part of the URL
        service = lab.local.secrets.twilio.service_sid
        mixed = other.local.secrets.twilio
        provider._credentials = type(mixed)(mixed.account_sid, service, mixed.auth_token)
    with pytest.raises(DeliveryError) as refused:
        send(provider, mobile)
    assert refused.value.reason is Reason.CREDENTIALS
    assert lab.local.messages_sent == 0


@pytest.mark.parametrize("name", NAMES)
def test_nothing_listening_is_unreachable(lab: Any, mobile: PhoneNumber, name: str) -> None:
    provider = lab.adapter(name)
    lab.local.close()
    with pytest.raises(DeliveryError) as failed:
        send(provider, mobile)
    assert failed.value.reason is Reason.UNREACHABLE
    assert not failed.value.maybe_sent


class Anything:
    """An `HttpClient` that answers everything alike."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def call(self, method: str, path: tuple[str, ...], **options: Any) -> Reply:
        return Reply(200, {"token": "tok"}) if "token" in path else self.reply


def fixed(name: str, reply: Reply) -> Provider:
    http: Any = Anything(reply)
    if name == "twilio":
        return TwilioVerify(http, TwilioCredentials("AC", "VA", "x"))
    if name == "vonage":
        return VonageVerify(http, VonageKey("k", "s"), "Lab")
    return VerifyNow(http, VerifyNowCredentials("C", "e", "p"))


KNOWN_KEYS = (
    "sid", "to", "channel", "status", "valid", "code", "request_id", "title", "responseCode",
    "data", "verificationId", "mobileNumber", "verificationStatus",
)  # fmt: skip
KNOWN_VALUES = (
    "VE" + "a" * 32, "+447400123456", "7400123456", "sms", "pending", "approved", "completed",
    "c11236f4-00bf-4b89-84ba-88b25df97315", 200, "200", 60202, 702, True, "Invalid Code", "20",
    "VERIFICATION_COMPLETED",
)  # fmt: skip
values = st.sampled_from(KNOWN_VALUES) | st.none() | st.booleans() | st.integers() | st.text()
objects = st.recursive(
    st.dictionaries(st.sampled_from(KNOWN_KEYS) | st.text(), values, max_size=6),
    lambda inner: st.dictionaries(
        st.sampled_from(KNOWN_KEYS), values | inner | st.lists(inner, max_size=2), max_size=6
    ),
    max_leaves=6,
)
replies = st.builds(
    Reply, st.sampled_from([200, 201, 202, 204, 400, 401, 404, 409, 410, 429, 500]), objects
)


@given(st.sampled_from(NAMES), replies)
def test_any_reply_is_an_answer_or_one_clear_error(name: str, reply: Reply) -> None:
    provider = fixed(name, reply)
    for attempt in (
        lambda: send(provider, parse("+447400123456")).verification_id,
        lambda: provider.check("20", "123456").outcome,
        lambda: provider.cancel("20"),
    ):
        try:
            answer = attempt()
        except DeliveryError as error:
            text = str(error)
        else:
            text = str(answer)
        assert "\n" not in text
        assert "7400123456" not in text


@given(st.sampled_from(NAMES), replies)
def test_no_reply_about_something_else_approves(name: str, reply: Reply) -> None:
    # nothing the strategy can build names this verification
    try:
        checked = fixed(name, reply).check("0" * 34, "123456")
    except DeliveryError:
        return
    assert not checked.approved
