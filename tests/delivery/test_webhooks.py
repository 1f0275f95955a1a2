import hashlib
import itertools
import json
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.delivery.webhooks import (
    FRESH_SECONDS,
    LARGEST_BODY,
    MemorySeen,
    StatusEvent,
    WebhookError,
    merge,
    read_twilio,
    read_vonage,
    twilio_signature,
)
from twofa_lab.errors import InputError

SECRET = "a signature secret of 32 characters or more"  # noqa: S105 - a test's
TOKEN = "12345"  # noqa: S105 - of the published vectors
NOW = 1_760_000_000
ID = "c11236f4-00bf-4b89-84ba-88b25df97315"
SUMMARY = {
    "request_id": ID,
    "type": "summary",
    "status": "completed",
    "workflow": [
        {"channel": "whatsapp", "status": "expired"},
        {"channel": "sms", "status": "completed"},
    ],
}
EVENT = {"request_id": ID, "type": "event", "channel": "whatsapp", "status": "expired"}


def signed(body: bytes, secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    standard = {
        "iss": "Vonage",
        "iat": NOW,
        "jti": "id-1",
        "payload_hash": hashlib.sha256(body).hexdigest(),
        "application_id": "app",
    }
    return "Bearer " + jwt.encode({**standard, **claims}, secret, algorithm=algorithm)


def read(
    content: Mapping[str, Any] | bytes, authorization: str | None = None, **options: Any
) -> StatusEvent | None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    settings: dict[str, Any] = {
        "signature_secret": SECRET,
        "now_seconds": NOW,
        "seen": MemorySeen(),
    }
    return read_vonage(authorization or signed(body), body, **(settings | options))


def test_a_vonage_summary_is_read() -> None:
    assert read(SUMMARY) == StatusEvent(
        "vonage", ID, "completed", (("sms", "completed"), ("whatsapp", "expired"))
    )


def test_a_channel_s_end_is_not_the_verification_s() -> None:
    assert read(EVENT) == StatusEvent("vonage", ID, "pending", (("whatsapp", "expired"),))


@pytest.mark.parametrize("claims", [
    {"payload_hash": "0" * 64}, {"payload_hash": None}, {"iat": NOW - FRESH_SECONDS - 1},
    {"iat": NOW + FRESH_SECONDS + 1}, {"iat": "now"}, {"iat": None}, {"jti": ""},
    {"jti": None}, {"jti": 7}, {"application_id": "another"},
])  # fmt: skip
def test_a_token_that_does_not_fit_is_refused(claims: dict[str, Any]) -> None:
    body = json.dumps(SUMMARY).encode()
    with pytest.raises(WebhookError):
        read(body, signed(body, **claims), application_id="app")


def test_forged_webhooks_are_refused() -> None:
    body = json.dumps(SUMMARY).encode()
    good = signed(body)
    header, payload, _ = good.removeprefix("Bearer ").split(".")
    unsigned = jwt.encode({"iat": NOW, "jti": "x"}, None, algorithm="none")
    for forged in (
        "", "Bearer", "Bearer ", "Bearer x.y.z", good.replace("Bearer", "Basic"),
        signed(body, "another secret, also of enough characters"), "Bearer " + unsigned,
        f"Bearer {header}.{payload}.", good[:-2], "Bearer " + "A" * 5000,
        signed(body, SECRET + SECRET, "HS512"), "Bearer " + "é" * 9,
    ):  # fmt: skip
        with pytest.raises(WebhookError):
            read_vonage(forged, body, signature_secret=SECRET, now_seconds=NOW, seen=MemorySeen())
    with pytest.raises(WebhookError, match="not the one that was signed"):
        read(body.replace(b"completed", b"cancelled"), good)


def test_a_webhook_that_came_before_is_not_new() -> None:
    seen = MemorySeen()
    assert read(SUMMARY, seen=seen) is not None
    assert read(SUMMARY, seen=seen) is None
    forged = json.dumps(SUMMARY).encode()
    with pytest.raises(WebhookError):  # a refused one does not use up an id
        read(forged, signed(forged, "x" * 40, jti="id-2"), seen=seen)
    assert read(forged, signed(forged, jti="id-2"), seen=seen) is not None


@pytest.mark.parametrize("wrong", [
    {"request_id": 7}, {"request_id": "../x"}, {"status": "great"}, {"status": None},
    {"type": "other"}, {"workflow": None}, {"workflow": [7]}, {"workflow": [{}] * 11},
    {"workflow": [{"channel": "pigeon", "status": "expired"}]},
    {"workflow": [{"channel": "sms", "status": {}}]},
])  # fmt: skip
def test_a_signed_webhook_of_another_shape_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WebhookError):
        read(SUMMARY | wrong)


def test_size_and_secret_have_bounds() -> None:
    with pytest.raises(WebhookError, match="larger"):
        read(b"x" * (LARGEST_BODY + 1))
    with pytest.raises(InputError, match="32 characters"):
        read(SUMMARY, signature_secret="short")  # noqa: S106 - a test's
    for body in (b"[" * 30_000, b"[]", b"{", b""):
        with pytest.raises(WebhookError):
            read(body)


# The vectors of Twilio's own validator tests.
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FIELDS = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}
BODY_HASH = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"


def test_twilio_s_published_signatures() -> None:
    fields = FIELDS.items()
    assert twilio_signature("12345", URL, fields) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    with_port = URL.replace(".com", ".com:443")
    assert twilio_signature("12345", with_port, fields) == "kvajT1Ptam85bY51eRf/AJRuM3w="
    body_url = f"{URL}&bodySHA256={BODY_HASH}"
    assert twilio_signature("12345", body_url) == "a9nBmqA0ju/hNViExpshrM61xv4="
    twice = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234")]
    assert twilio_signature("12345", URL, twice) == "IK+Dwps556ElfBT0I3Rgjkr1wJU="


def twilio_event(status: str = "APPROVED", event_id: str = "NO1") -> dict[str, Any]:
    return {
        "id": event_id,
        "type": f"com.twilio.accountsecurity.verify.verification.{status.lower()}",
        "data": {"verification_sid": "VE1", "verification_status": status},
    }


def post_twilio(content: Any, *, token: str = TOKEN, **wrong: Any) -> tuple[StatusEvent, ...]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    url = f"https://example.org/hook?bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = twilio_signature(token, wrong.pop("signed_url", url))
    given = {"url": url, "signature": signature, "body": body} | wrong
    return read_twilio(**given, auth_token=TOKEN, seen=MemorySeen())


def test_twilio_events_are_read_once() -> None:
    events = [twilio_event("PENDING", "NO1"), twilio_event("APPROVED", "NO2")]
    assert [event.status for event in post_twilio(events)] == ["pending", "completed"]
    assert [event.status for event in post_twilio(twilio_event("EXPIRED"))] == ["expired"]
    assert len(post_twilio([twilio_event(), twilio_event()])) == 1


def test_a_proxy_may_add_or_drop_the_port() -> None:
    body = json.dumps(twilio_event()).encode()
    query = f"?bodySHA256={hashlib.sha256(body).hexdigest()}"
    for signed_url in (f"https://example.org/hook{query}", f"https://example.org:443/hook{query}"):
        for url in (f"https://example.org/hook{query}", f"https://example.org:443/hook{query}"):
            assert post_twilio(body, signed_url=signed_url, url=url)


@pytest.mark.parametrize("wrong", [
    {"token": "forger"}, {"signature": ""}, {"signature": "é"}, {"body": b"[]"},
    {"url": "https://example.org/hook"}, {"url": "https://example.org:x/hook"},
    {"body": b"x" * (LARGEST_BODY + 1)}, {"signed_url": "https://example.org/other"},
])  # fmt: skip
def test_forged_twilio_webhooks_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WebhookError):
        post_twilio(twilio_event(), **wrong)


@pytest.mark.parametrize("content", [
    b"{", b"[" * 60_000, [7], {"id": "NO1"}, [twilio_event() | {"id": "x y"}],
    [twilio_event() | {"type": "com.twilio.other"}], [twilio_event("GREAT")],
    [twilio_event() | {"data": {"verification_sid": None, "verification_status": "APPROVED"}}],
])  # fmt: skip
def test_signed_twilio_webhooks_of_another_shape_are_refused(content: Any) -> None:
    with pytest.raises(WebhookError):
        post_twilio(content)


statuses = st.sampled_from(
    ["pending", "canceled", "expired", "blocked", "rejected", "failed", "completed"]
)
some_events = st.lists(
    st.builds(
        StatusEvent,
        st.just("vonage"),
        st.just(ID),
        statuses,
        st.lists(st.tuples(st.sampled_from(["sms", "voice"]), statuses), max_size=2, unique_by=(
            lambda pair: pair[0])).map(lambda pairs: tuple(sorted(pairs))),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


def merged(events: list[StatusEvent]) -> StatusEvent:
    known = None
    for event in events:
        known = merge(known, event)
    assert known is not None
    return known


@given(some_events)
def test_order_and_repetition_of_webhooks_make_no_difference(events: list[StatusEvent]) -> None:
    expected = merge(merged(events), events[0])
    for order in itertools.permutations(events):
        assert merge(merged([*order, *order]), events[0]) == expected


def test_events_of_different_verifications_do_not_mix() -> None:
    with pytest.raises(ValueError, match="different"):
        merge(StatusEvent("vonage", "a", "pending"), StatusEvent("vonage", "b", "pending"))


def test_the_memory_of_ids_is_bounded() -> None:
    seen = MemorySeen(capacity=2)
    assert [seen.add(name) for name in "abca"] == [True, True, True, True]


@given(st.binary(max_size=200), st.text(max_size=200))
def test_any_bytes_are_refused_in_one_line(body: bytes, authorization: str) -> None:
    with pytest.raises(WebhookError) as refused:
        read_vonage(
            "Bearer " + authorization,
            body,
            signature_secret=SECRET,
            now_seconds=NOW,
            seen=MemorySeen(),
        )
    assert "\n" not in str(refused.value)
    with pytest.raises(WebhookError):
        read_twilio(authorization, "x", body, auth_token=TOKEN, seen=MemorySeen())
