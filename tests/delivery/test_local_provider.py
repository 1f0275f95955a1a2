"""The local provider as whoever runs it meets it: bounds, tokens, loopback, silence."""

import http.client
import json
import logging
import socket
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from twofa_lab.delivery import local_provider
from twofa_lab.delivery.carrier import ScriptedCarrier, SimulatedCarrier
from twofa_lab.delivery.dispatch import Dispatcher
from twofa_lab.delivery.ledger import MemoryLedger
from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.plan import FallbackPlan
from twofa_lab.delivery.providers.base import SendRequest
from twofa_lab.delivery.providers.http import Timeouts
from twofa_lab.errors import InputError, WorkError


def call(
    lab: Any, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(urlsplit(lab.local.url).netloc, timeout=5)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else {}
    finally:
        connection.close()


def inbox(lab: Any, number: PhoneNumber, token: str | None = None) -> tuple[int, dict[str, Any]]:
    bearer = f"Bearer {lab.local.secrets.handset_token if token is None else token}"
    return call(lab, "GET", f"/handset/messages?number={quote(number.e164)}", Authorization=bearer)


def test_a_handset_shows_what_has_arrived(lab: Any, mobile: PhoneNumber) -> None:
    lab.script(mobile, sms=35)
    lab.adapter("twilio").send(SendRequest(mobile, "sms", "k"))
    assert inbox(lab, mobile) == (200, {"messages": []})
    lab.clock.advance(3.5)
    status, body = inbox(lab, mobile)
    assert status == 200
    assert [(m["channel"], m["arrived_ms"] - m["sent_ms"]) for m in body["messages"]] == [
        ("sms", 3500)
    ]


@pytest.mark.parametrize("token", ["", "wrong", "\u00c3\u00a9"])
def test_a_handset_asks_for_its_token(lab: Any, mobile: PhoneNumber, token: str) -> None:
    assert inbox(lab, mobile, token)[0] == 401
    assert call(lab, "GET", "/handset/messages?number=x")[0] == 401
    assert call(lab, "POST", "/handset/sim-swap", b"{}")[0] == 401


def test_a_handset_s_faults_are_errors_not_tracebacks(lab: Any, capfd: Any) -> None:
    bearer = {"Authorization": f"Bearer {lab.local.secrets.handset_token}"}
    assert call(lab, "GET", "/handset/messages?number=12", **bearer)[0] == 400
    assert call(lab, "GET", "/handset/messages", **bearer)[0] == 400
    assert call(lab, "POST", "/handset/sim-swap", b"[]", **bearer)[0] == 400
    assert capfd.readouterr().err == ""


def test_a_sim_can_be_swapped_by_hand(lab: Any, mobile: PhoneNumber) -> None:
    bearer = f"Bearer {lab.local.secrets.handset_token}"
    body = json.dumps({"number": mobile.e164}).encode()
    assert call(lab, "POST", "/handset/sim-swap", body, Authorization=bearer)[0] == 204
    operator = f"Bearer {lab.local.secrets.sim_swap_token}"
    question = json.dumps({"phoneNumber": mobile.e164, "maxAge": 1}).encode()
    answer = call(lab, "POST", "/sim-swap/v2/check", question, Authorization=operator)
    assert answer == (200, {"swapped": True})
    odd = json.dumps({"phoneNumber": "12"}).encode()
    assert call(lab, "POST", "/sim-swap/v2/check", odd, Authorization=operator)[0] == 400


def test_another_host_s_name_is_refused(lab: Any, mobile: PhoneNumber) -> None:
    bearer = f"Bearer {lab.local.secrets.handset_token}"
    path = f"/handset/messages?number={quote(mobile.e164)}"
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
        assert call(lab, "GET", path, Host=host, Authorization=bearer)[0] == 421
    assert call(lab, "GET", path, Host="localhost:1", Authorization=bearer)[0] == 200


def test_requests_are_bounded(lab: Any) -> None:
    assert call(lab, "POST", "/v2/verify", b"x", Content_Length="70000")[0] == 413
    assert call(lab, "POST", "/v2/verify", b"x", Content_Length="-1")[0] == 413
    assert call(lab, "POST", "/v2/verify", b"x", Content_Length="9" * 50)[0] == 413
    assert call(lab, "GET", "/nothing/here")[0] == 404
    chunked = {"Transfer_Encoding": "chunked"}
    assert call(lab, "POST", "/v2/verify", b"0\r\n\r\n", **chunked)[0] == 411


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{", b'{"brand": 7}', b'{"brand": "Lab", "workflow": "sms"}',
    b'{"brand": "Lab", "workflow": [7]}', b'{"brand": "Lab", "workflow": [{"channel": []}]}',
    b'{"brand": "Lab", "workflow": [{"channel": "sms", "to": 7}]}',
    b'{"brand": "Lab", "workflow": [{"channel": "sms", "to": "12"}]}',
    b'{"brand": "Lab", "workflow": [{"channel": "whatsapp", "to": "447400123456"}]}',
    b'{"brand": "Lab", "workflow": [{"channel": "sms", "to": "447400123456"}], "code": "!"}',
    b'{"brand": "Lab", "workflow": [{"channel": "sms", "to": "447400123456"}], "code_length": 3}',
    b'{"brand": "Lab", "workflow": [{"channel": "sms", "to": "447400123456"}], '
    b'"channel_timeout": "x"}',
])  # fmt: skip
def test_odd_vonage_requests_are_refused_as_vonage_does(lab: Any, body: bytes, capfd: Any) -> None:
    basic = lab.local.secrets.vonage.authorization(0)
    status, problem = call(lab, "POST", "/v2/verify", body, Authorization=basic)
    assert (status, problem["title"]) == (422, "Invalid params")
    assert lab.local.messages_sent == 0
    assert capfd.readouterr().err == ""


def test_vonage_s_next_workflow_moves_on_early(lab: Any, mobile: PhoneNumber) -> None:
    basic = lab.local.secrets.vonage.authorization(0)
    fallback = SendRequest(mobile, "whatsapp", "k", fallback=("sms",))
    sent = lab.adapter("vonage").send(fallback)
    path = f"/v2/verify/{sent.verification_id}/next_workflow"
    assert call(lab, "POST", path, Authorization=basic)[0] == 200
    assert lab.local.messages_sent == 2
    assert call(lab, "POST", path, Authorization=basic)[0] == 409
    assert call(lab, "POST", path)[0] == 401
    unknown = path.replace(sent.verification_id, "0" * 36)
    assert call(lab, "POST", unknown, Authorization=basic)[0] == 404


@pytest.mark.parametrize("form", ["", "To=%2B12", "To=%2B447400123456&Channel=fax", "%ff",
                                  "To=%2B447400123456&Channel=sms&CustomCode=1"])  # fmt: skip
def test_odd_twilio_requests_are_refused_as_twilio_does(lab: Any, form: str) -> None:
    credentials = lab.local.secrets.twilio
    path = f"/v2/Services/{credentials.service_sid}/Verifications"
    status, error = call(lab, "POST", path, form.encode(), Authorization=credentials.basic)
    assert (status, error["code"]) == (400, 60200)


def test_every_route_asks_for_credentials(lab: Any, mobile: PhoneNumber) -> None:
    """Whatever is asked without them, nothing is shown or sent."""
    service = f"/v2/Services/{lab.local.secrets.twilio.service_sid}"
    one, number = "/v2/verify/" + "0" * 36, quote(mobile.e164)
    asked = [
        ("POST", f"{service}/Verifications"), ("POST", f"{service}/VerificationCheck"),
        ("POST", f"{service}/Verifications/VE{'0' * 32}"), ("POST", "/v2/verify"), ("POST", one),
        ("DELETE", one), ("POST", f"{one}/next_workflow"), ("GET", "/auth/v1/authentication/token"),
        ("POST", "/verification/v3/send"), ("GET", "/verification/v3/validateOtp"),
        ("POST", "/sim-swap/v2/check"), ("GET", f"/handset/messages?number={number}"),
        ("POST", "/handset/sim-swap"),
    ]  # fmt: skip
    routes = lab.local._server._server.routes
    assert len(asked) == len(routes)
    for route in routes:
        mine = [(method, path) for method, path in asked if route.method == method
                and route.pattern.fullmatch(path.partition("?")[0])]  # fmt: skip
        assert len(mine) == 1, route
        assert call(lab, *mine[0])[0] == 401, route
        assert call(lab, *mine[0], Authorization="Bearer x", authToken="x")[0] == 401, route
    assert lab.local.messages_sent == 0


def test_it_listens_on_this_machine_only() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):  # noqa: S104 - must be refused
        with pytest.raises(InputError, match=r"127\.0\.0\.1"):
            local_provider.serve(ScriptedCarrier(), host=host)


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WorkError, match=f"cannot listen on 127.0.0.1:{port}"):
            local_provider.serve(ScriptedCarrier(), port=port)
    with pytest.raises(WorkError, match="cannot listen"):
        local_provider.serve(ScriptedCarrier(), port=70_000)


def test_closing_ends_requests_that_are_under_way(lab: Any, mobile: PhoneNumber) -> None:
    lab.fault("timeout-after-send")
    with socket.create_connection(urlsplit(lab.local.url).netloc.split(":")) as connection:
        connection.settimeout(30)
        request = "GET /auth/v1/authentication/token HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall(request.encode())
        lab.local.close()
        try:
            answer = connection.recv(100)
        except ConnectionError:  # it had not even been accepted
            answer = b""
        assert answer == b""


def test_no_code_number_or_secret_is_logged_or_printed(
    lab: Any, mobile: PhoneNumber, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    lab.script(mobile, sms=0, whatsapp=0)
    codes = set()
    for name in ("twilio", "vonage", "verifynow"):
        provider = lab.adapter(name, Timeouts())
        sent = provider.send(SendRequest(mobile, "sms", name))
        codes.add(lab.local.inbox(mobile)[-1].code)
        provider.check(sent.verification_id, "000000")
        provider.cancel(sent.verification_id)
    inbox(lab, mobile)
    secrets = lab.local.secrets
    hidden = {
        secrets.twilio.auth_token, secrets.vonage.api_secret, secrets.verifynow.password,
        secrets.handset_token, secrets.sim_swap_token, secrets.vonage_signature_secret,
    }  # fmt: skip
    printed = capfd.readouterr()
    everything = caplog.text + printed.out + printed.err
    everything += repr(lab) + repr(secrets) + repr(lab.local.inbox(mobile))
    for secret in {*codes, *hidden, "7400123456"}:
        assert secret not in everything


def test_a_simulated_carrier_can_be_watched_over_http(clock: Any, mobile: PhoneNumber) -> None:
    from twofa_lab.delivery.providers.http import HttpClient
    from twofa_lab.delivery.providers.twilio import TwilioVerify

    plan = FallbackPlan(("whatsapp", "sms", "voice"), 30)
    with (
        local_provider.serve(SimulatedCarrier(7), clock=clock) as local,
        HttpClient("twilio", local.url) as client,
    ):
        provider = TwilioVerify(client, local.secrets.twilio)
        dispatcher = Dispatcher(provider, MemoryLedger(), clock)
        for index in range(5):
            delivery = dispatcher.start(
                f"login-{index}", mobile, plan, whatsapp=True, ip="127.0.0.1"
            )
            clock.advance(20)
            message = local.inbox(mobile)[-1]
            delivery, checked = dispatcher.check(delivery, message.code)
            assert checked.approved  # with seed 7 none of these five is lost
        assert local.messages_sent == 5
