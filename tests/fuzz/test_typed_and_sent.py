"""What people type and what providers, browsers and anchors send: spoilt, never a traceback."""

from __future__ import annotations

import hashlib
import json
import random
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from threading import Thread
from typing import Any

import cbor2
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from tests.fuzz.mutations import (
    TOKENS,
    count,
    rng_of,
    spoilt,
    spoilt_many,
    spoilt_value,
    survives,
    text_of,
)
from twofa_lab.delivery import phone
from twofa_lab.delivery.providers.base import DeliveryError, Provider, Reason, SendRequest
from twofa_lab.delivery.providers.http import HttpClient, Reply, Timeouts, parse_object
from twofa_lab.delivery.providers.twilio import TwilioCredentials, TwilioVerify
from twofa_lab.delivery.providers.verifynow import VerifyNow, VerifyNowCredentials
from twofa_lab.delivery.providers.vonage import VonageKey, VonageVerify
from twofa_lab.delivery.webhooks import (
    LARGEST_BODY,
    MemorySeen,
    WebhookError,
    read_twilio,
    read_vonage,
    twilio_signature,
)
from twofa_lab.errors import InputError
from twofa_lab.factors import recovery_codes, typed
from twofa_lab.factors.passkey_refusals import LONGEST_ANSWER, CeremonyError
from twofa_lab.factors.passkeys import (
    RelyingParty,
    authentication,
    presented,
    registration,
    verify_authentication,
    verify_registration,
)
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow.login import login_name
from twofa_lab.store.audit import Checkpoint
from twofa_lab.store.keyring import Keyring

FULL_WIDTH = str.maketrans("0123456789", "".join(map(chr, range(0xFF10, 0xFF1A))))
NUMBERS = [
    text.encode()
    for text in (
        "+44 7400 123456", "(650) 253-0000", "+49 (0)30 123456", "07400123456", "+8613800138000",
        "+1-202-555-0167", "tel:+1-650-253-0000", "00447400123456".translate(FULL_WIDTH),
        "+44 20 7183 8750 ext 4",
    )
]  # fmt: skip


def texts(samples: list[bytes], name: str, plain: int) -> Iterator[str]:
    for data in spoilt_many(samples, count(plain), rng_of(name)):
        yield text_of(data)
    yield from (token.decode("utf-8", "surrogatepass") for token in TOKENS)


def test_phone_numbers() -> None:
    rng = rng_of("regions")

    def read(text: str) -> None:
        region = rng.choice((None, "US", "GB", "DE", "CN", "ZZ", "gb", ""))
        found = phone.parse(text, region)
        assert found.e164.startswith("+")
        assert found.e164[1:].isdigit()
        assert found.e164 not in repr(found)

    whole = ("7400123456", "6502530000", "2025550167", "13800138000")
    survives("phone numbers", texts(NUMBERS, "numbers", 2_000), read, never_said=whole)
    with pytest.raises(InputError, match="at most 64 characters"):
        phone.parse("+" + "1" * 10**6)


def test_typed_codes_and_names() -> None:
    samples = [
        b"123456",
        b"123-456",
        b" 12 34 56 ",
        "123456".translate(FULL_WIDTH).encode(),
        b"7kq4 m2xp 9tdr w3hb",
        b"OIL0-1UUU",
    ]

    def read(text: str) -> None:
        for found in (typed.digits_of(text, 6), typed.base32_of(text, 16)):
            assert found is None or found.isascii()
        assert typed.digits_of(text, 6) is None or len(text) <= 128
        recovery_codes.parse(text)
        assert len(login_name(text)) <= 320 * 18  # NFKC's longest expansion

    survives("typed codes", texts(samples, "codes", 2_000), read)


@given(st.text(max_size=200))
def test_any_text_typed_anywhere_is_taken_or_refused(text: str) -> None:
    typed.digits_of(text, 6)
    typed.base32_of(text, 16)
    login_name(text)
    with suppress(InputError):
        phone.parse(text, "GB")


# -- providers -------------------------------------------------------------------------------------

REPLIES: list[Any] = [
    {"sid": "VE0123456789abcdef0123456789abcdef", "status": "pending", "to": "+447400123456"},
    {"sid": "VE0123456789abcdef0123456789abcdef", "status": "approved", "valid": True},
    {"code": 60202, "message": "Max check attempts reached", "status": 429},
    {"request_id": "c11236f4-00bf-4b89-84ba-88b25df97315"},
    {"request_id": "c11236f4-00bf-4b89-84ba-88b25df97315", "status": "completed"},
    {"title": "Conflict", "detail": "x", "request_id": "c11236f4-00bf-4b89-84ba-88b25df97315"},
    {"responseCode": 200, "message": "SUCCESS", "data": {"verificationId": "3039", "mobileNumber":
     "7400123456", "responseCode": "200", "timeout": "60", "authToken": "x"}, "token": "abc"},
    {"responseCode": 200, "data": {"verificationStatus": "VERIFICATION_COMPLETED",
     "responseCode": 200, "verificationId": 3039}, "status": 200, "token": "t"},
]  # fmt: skip


class Answering:
    """In an `HttpClient`'s place: answers every call with one body, read as the client reads it."""

    def __init__(self) -> None:
        self.status, self.body = 200, b""

    def call(self, *_: Any, **__: Any) -> Reply:
        content = parse_object(self.body)
        if content is None and self.status < 400:
            raise DeliveryError("fuzz", Reason.BAD_REPLY)
        return Reply(self.status, content or {})


def bodies(values: list[Any], rng: random.Random, plain: int) -> Iterator[bytes]:
    """JSON bodies spoilt as values and as bytes."""
    samples = [json.dumps(value).encode() for value in values]
    yield from samples
    for _ in range(count(plain) // 2):
        yield json.dumps(spoilt_value(rng.choice(values), rng)).encode()
        yield spoilt(rng.choice(samples), rng, samples)


def test_provider_replies() -> None:
    http, number, rng = Answering(), phone.parse("+447400123456"), rng_of("replies")
    providers: list[Provider] = [
        TwilioVerify(http, TwilioCredentials("AC", "VA", "secret")),  # type: ignore[arg-type]
        VonageVerify(http, VonageKey("key", "secret"), "Brand"),  # type: ignore[arg-type]
        VerifyNow(http, VerifyNowCredentials("C-1", "a@example.com", "pw")),  # type: ignore[arg-type]
    ]
    request = SendRequest(number, "sms", "login-1/0")
    statuses = (200, 200, 200, 201, 202, 204, 400, 401, 404, 409, 410, 422, 429, 500, 503)

    def read(body: bytes) -> None:
        http.body, http.status = body, rng.choice(statuses)
        provider = rng.choice(providers)
        match rng.randrange(3):
            case 0:
                sent = provider.send(request)
                assert 1 <= len(sent.verification_id) <= 200
            case 1:
                assert isinstance(provider.check("3039", "123456").approved, bool)
            case _:
                provider.cancel("3039")

    survives("provider replies", bodies(REPLIES, rng, 3_000), read, errors=(DeliveryError,))


def test_what_a_provider_s_server_says_over_the_wire() -> None:
    """Status lines, headers and bodies spoilt; the call ends with a reply or a `DeliveryError`."""
    rng, said = rng_of("wire"), [b""]
    samples = [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
        b'Connection: close\r\n\r\n{"a": 1 }',
        b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'9\r\n{"a": 1 }\r\n0\r\n\r\n',
    ]
    quick = Timeouts(connect=5.0, read=0.2, total=0.5)

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # the test is over
                return
            with connection, suppress(OSError):
                connection.recv(65_536)
                connection.sendall(said[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def read(reply: bytes) -> None:
            said[0] = reply
            with HttpClient("fuzz", url, timeouts=quick, sleep=lambda _: None) as client:
                assert client.call("POST", ("send",), json_body={}).status >= 100

        inputs = spoilt_many(samples, count(60), rng)
        survives("provider replies on the wire", inputs, read, errors=(DeliveryError,))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


# -- webhooks --------------------------------------------------------------------------------------

SECRET = "a signature secret of 32 characters or more"  # noqa: S105 - a test's
NOW = 1_760_000_000
VONAGE: list[Any] = [
    {"request_id": "c11236f4-00bf-4b89-84ba-88b25df97315", "type": "summary", "status": "completed",
     "workflow": [{"channel": "whatsapp", "status": "expired"}, {"channel": "sms",
     "status": "completed"}]},
    {"request_id": "c11236f4-00bf-4b89-84ba-88b25df97315", "type": "event", "channel": "sms",
     "status": "expired"},
]  # fmt: skip
TWILIO: list[Any] = [
    [{"specversion": "1.0", "id": "EZ1", "type":
      "com.twilio.accountsecurity.verify.verification.approved", "data": {"verification_sid":
      "VE0123", "verification_status": "APPROVED", "channel": "sms"}}],
]  # fmt: skip


def test_vonage_webhooks_signed_and_not() -> None:
    rng = rng_of("vonage")

    def read(body: bytes) -> None:
        claims: Any = {"iat": NOW, "jti": "id-1", "payload_hash": hashlib.sha256(body).hexdigest()}
        if rng.random() < 0.3:
            claims = {
                **claims,
                rng.choice(list(claims)): rng.choice((None, "", 10**40, [], {}, "x")),
            }
        token = "Bearer " + jwt.encode(claims, SECRET, algorithm="HS256")
        if rng.random() < 0.2:
            token = text_of(spoilt(token.encode(), rng))
        read_vonage(token, body, signature_secret=SECRET, now_seconds=NOW, seen=MemorySeen())

    survives("vonage webhooks", bodies(VONAGE, rng, 2_000), read, errors=(WebhookError,))
    with pytest.raises(WebhookError, match="larger than 65536 bytes"):
        read(b" " * (LARGEST_BODY + 1))


def test_twilio_webhooks_signed_and_not() -> None:
    rng = rng_of("twilio")

    def read(body: bytes) -> None:
        digest = hashlib.sha256(body).hexdigest()
        url = f"https://example.com/hook?bodySHA256={digest}"
        signature = twilio_signature("token", url)
        if rng.random() < 0.2:
            signature = text_of(spoilt(signature.encode(), rng))
        if rng.random() < 0.2:
            url = text_of(spoilt(url.encode(), rng))
        read_twilio(url, signature, body, auth_token="token", seen=MemorySeen())  # noqa: S106

    survives("twilio webhooks", bodies(TWILIO, rng, 2_000), read, errors=(WebhookError,))


# -- WebAuthn --------------------------------------------------------------------------------------

ORIGIN = "https://example.org"
RP = RelyingParty("example.org", "Example", (ORIGIN,))


def spoilt_answer(answer: str, rng: random.Random) -> str:
    """A browser's answer spoilt at one of its layers: text, JSON, CBOR, client data, bytes."""
    layer = rng.randrange(5)
    if layer == 0:
        return text_of(spoilt(answer.encode(), rng))
    parsed = json.loads(answer)
    if layer == 1:
        return json.dumps(spoilt_value(parsed, rng))
    response = parsed["response"]
    names = [name for name in response if isinstance(response[name], str)]
    name = "clientDataJSON" if layer == 2 else rng.choice(names)
    data = base64url_to_bytes(response[name])
    if name == "clientDataJSON" and rng.random() < 0.7:
        data = json.dumps(spoilt_value(json.loads(data), rng)).encode()
    elif name == "attestationObject" and layer == 3:
        data = _cbor(spoilt_value(cbor2.loads(data), rng), data)
    else:
        data = spoilt(data, rng)
    response[name] = bytes_to_base64url(data)
    return json.dumps(parsed)


def _cbor(value: Any, otherwise: bytes) -> bytes:
    try:
        return cbor2.dumps(value)
    except (ValueError, UnicodeError, cbor2.CBOREncodeError):
        return otherwise


def test_webauthn_registrations() -> None:
    rng, asked = rng_of("registration"), registration(RP, user_handle=b"h" * 32, user_name="ann")
    answer = SoftAuthenticator().register(asked.options, ORIGIN)

    def read(text: str) -> None:
        verify_registration(RP, asked.challenge, text, user_handle=b"h" * 32)

    inputs = (spoilt_answer(answer, rng) for _ in range(count(1_500)))
    survives("webauthn registrations", inputs, read, errors=(CeremonyError,))
    with pytest.raises(CeremonyError, match="malformed"):
        read(json.dumps({"pad": "x" * LONGEST_ANSWER}))


def test_webauthn_authentications() -> None:
    rng, device = rng_of("authentication"), SoftAuthenticator(synced=True)
    asked = registration(RP, user_handle=b"h" * 32, user_name="ann")
    record = verify_registration(
        RP, asked.challenge, device.register(asked.options, ORIGIN), user_handle=b"h" * 32
    )
    sign_in = authentication(RP, [record.credential_id])
    answer = device.authenticate(sign_in.options, ORIGIN)
    right = verify_authentication(RP, sign_in.challenge, answer, record)

    def read(text: str) -> None:
        presented(text)
        assert verify_authentication(RP, sign_in.challenge, text, record) == right

    inputs = (spoilt_answer(answer, rng) for _ in range(count(1_500)))
    survives("webauthn authentications", inputs, read, errors=(CeremonyError,))


# -- anchors of the audit and keyrings -------------------------------------------------------------


def test_audit_checkpoints() -> None:
    signer = Keyring.generate().signer()
    anchor = json.loads(Checkpoint.sign(signer, 7, "checkpoint", NOW, bytes(32)).to_json())
    inputs = (text_of(body) for body in bodies([anchor], rng_of("anchors"), 2_000))
    came = survives("audit checkpoints", inputs, Checkpoint.from_json)
    assert came["refused"] > came["taken"]


def test_keyrings() -> None:
    """Never taken for another keyring, and what is refused does not print a key."""
    plain = Keyring.generate().to_json()
    key = json.loads(plain)["keys"]["k1"]
    inputs = [text_of(body) for body in bodies([json.loads(plain)], rng_of("keyrings"), 2_000)]

    survives("keyrings", inputs, Keyring.from_json, never_said=(key[:12], key[-12:]))


def test_the_client_data_of_any_mapping_is_refused_in_words() -> None:
    answers: list[Mapping[str, Any]] = [{}, {"response": {}}, {"rawId": 1, "response": []}]
    for answer in answers:
        with pytest.raises(CeremonyError):
            presented(json.dumps(answer))
