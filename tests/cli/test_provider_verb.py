"""The verb `provider` in a process of its own: it answers HTTP and ends when it is asked to."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from tests.cli.calls import Refused, Told
from tests.receiver import receiving
from twofa_lab.cli.main import run
from twofa_lab.delivery.carrier import ScriptedCarrier
from twofa_lab.delivery.local.faults import FAULTS
from twofa_lab.delivery.local_provider import serve
from twofa_lab.delivery.phone import parse
from twofa_lab.delivery.providers.base import DeliveryError, Provider, Reason, SendRequest
from twofa_lab.delivery.providers.http import HttpClient, Timeouts
from twofa_lab.delivery.providers.twilio import TwilioCredentials, TwilioVerify
from twofa_lab.delivery.providers.vonage import VonageKey, VonageVerify

NUMBER = "+447400123456"
QUICK_SEED = "165"  # the number's first WhatsApp message arrives after 0.6 s


@contextmanager
def provider(*options: str) -> Iterator[subprocess.Popen[str]]:
    script = Path(sys.executable).with_name("twofa-lab")
    with subprocess.Popen(  # noqa: S603 - our own script
        [script, "provider", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], how: signal.Signals) -> tuple[int, str, str]:
    process.send_signal(how)
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def call(url: str, authorization: str, form: dict[str, str] | None = None) -> tuple[int, Any]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    headers = {"Authorization": authorization, "Content-Type": "application/x-www-form-urlencoded"}
    where = parts.path + ("?" + parts.query if parts.query else "")
    try:
        method, body = ("GET", None) if form is None else ("POST", urlencode(form))
        connection.request(method, where, body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"{}")
    finally:
        connection.close()


def test_a_code_is_sent_read_and_checked_until_ctrl_c() -> None:
    with provider("--json", "--seed", QUICK_SEED, "--fault", "429:1@send") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        twilio, inbox = told["twilio"], told["inbox"]
        basic = TwilioCredentials(
            twilio["account_sid"], twilio["service_sid"], twilio["auth_token"]
        ).basic
        form = {"To": NUMBER, "Channel": "whatsapp"}
        assert call(twilio["url"], basic, form)[0] == 429, "the fault that was asked for"
        status, sent = call(twilio["url"], basic, form)
        assert (status, sent["status"]) == (201, "pending")

        read = f"{inbox['url']}?number={quote(NUMBER)}"
        assert call(read, "Bearer wrong")[0] == 401
        messages: list[dict[str, Any]] = []
        while not messages:
            time.sleep(0.05)
            messages = call(read, f"Bearer {inbox['token']}")[1]["messages"]
        check = twilio["url"].removesuffix("Verifications") + "VerificationCheck"
        code = {"VerificationSid": sent["sid"], "Code": messages[0]["code"]}
        assert call(check, basic, code)[1]["status"] == "approved"
        assert ended(process, signal.SIGINT) == (0, "", "")
    with pytest.raises(ConnectionRefusedError):
        call(read, "")


def attempts(twilio: dict[str, str], number: str) -> int:
    """One more send to a number; how many of its verification the provider counts."""
    basic = TwilioCredentials(
        twilio["account_sid"], twilio["service_sid"], twilio["auth_token"]
    ).basic
    status, sent = call(twilio["url"], basic, {"To": number, "Channel": "sms"})
    assert status == 201
    return len(sent["send_code_attempts"])


def test_every_fault_of_the_api_can_be_rehearsed_from_the_command_line() -> None:
    """Each strikes once, in the order given. What it did was what `FAULTS` says of it: where the
    message had left, the next send is the second one, and a blind retry would have paid twice."""
    wanted = {
        "429": Reason.RATE_LIMITED,
        "malformed-json": Reason.BAD_REPLY,
        "oversized-json": Reason.BAD_REPLY,
        "redirect": Reason.BAD_REPLY,
    }
    names = [name for name in FAULTS if not name.startswith("webhook-")]
    options = [option for name in names for option in ("--fault", f"{name}:1@send")]
    reasons: list[Reason] = []
    with provider("--json", *options) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        twilio = told["twilio"]
        credentials = TwilioCredentials(
            twilio["account_sid"], twilio["service_sid"], twilio["auth_token"]
        )
        with HttpClient("twilio", told["url"], timeouts=Timeouts(2.0, 0.2, 0.4)) as http:
            adapter = TwilioVerify(http, credentials)
            for index, name in enumerate(names):
                request = SendRequest(parse(f"+4474001234{index:02d}"), "sms", name)
                with pytest.raises(DeliveryError) as failed:
                    adapter.send(request)
                reasons.append(failed.value.reason)
        sends = [attempts(twilio, f"+4474001234{index:02d}") for index in range(len(names))]
    for name, reason, counted in zip(names, reasons, sends, strict=True):
        print(f"{name:20} {reason.name:13} {counted}")  # noqa: T201 - what each fault did
        assert reason is wanted.get(name, Reason.UNCERTAIN)
        assert counted == (2 if "do the work" in FAULTS[name] else 1)


@pytest.mark.parametrize("dialect", ["twilio", "vonage"])
def test_every_fault_of_webhooks_can_be_rehearsed_from_the_command_line(dialect: str) -> None:
    """A forged one, then the second before the first, then each twice."""
    came: list[bytes] = []

    def take(_path: str, _headers: Any, body: bytes) -> int:
        came.append(body)
        return 200

    faults = ("webhook-forged:1", "webhook-out-of-order:1", "webhook-twice:1")
    options = [option for fault in faults for option in ("--fault", fault)]
    with (
        receiving(take) as url,
        provider("--json", f"--{dialect}-webhooks", url, *options) as process,
    ):
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        with HttpClient(dialect, told["url"]) as http:
            given = told[dialect]
            if dialect == "twilio":
                keys = ("account_sid", "service_sid", "auth_token")
                adapter: Provider = TwilioVerify(
                    http, TwilioCredentials(*(given[key] for key in keys))
                )
            else:
                key = VonageKey(given["api_key"], given["api_secret"])
                adapter = VonageVerify(http, key, "Lab")
            ids = [
                adapter.send(SendRequest(parse(f"+44740012345{n}"), "sms", str(n))).verification_id
                for n in range(3)
            ]
        assert ended(process, signal.SIGINT) == (0, "", ""), "what was held back is sent"
    about = [next(n for n, one in enumerate(ids) if one in body.decode()) for body in came]
    assert about == [0, 1, 0, 2, 2]


def test_what_each_fault_does_is_told(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    assert told("provider", "--list-faults") == FAULTS
    assert run(["provider", "--list-faults"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FAULTS)
    assert all(does in line for does, line in zip(FAULTS.values(), lines, strict=True))


def test_the_lines_for_people_name_every_url_and_it_ends_when_terminated() -> None:
    with provider() as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(7)]
        assert ended(process, signal.SIGTERM) == (0, "", "")
    url = lines[0].split()[2].rstrip(",")
    assert url.startswith("http://127.0.0.1:")
    assert [line.split()[0] for line in lines[1:6]] == [
        "twilio",
        "vonage",
        "verifynow",
        "sim_swap",
        "inbox",
    ]
    assert all(line.split()[1].startswith(url + "/") for line in lines[1:6])
    assert lines[6].startswith("Read a phone: curl -H 'Authorization: Bearer ")


def test_a_taken_port_is_named(refused: Refused) -> None:
    with serve(ScriptedCarrier()) as other:
        port = str(urlsplit(other.url).port)
        assert f"cannot listen on 127.0.0.1:{port}" in refused("provider", "--port", port, status=1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "Ctrl-C works again"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--fault", "rain"], ", ".join(FAULTS)),
        (["--fault", "429@noon"], "noon"),
        (["--port", "70000"], "--port"),
        (["--seed", "-1"], "--seed"),
        (["--vonage-webhooks", "https://example.org/hook"], "this machine"),
        (["--twilio-webhooks", "http://[::1"], "this machine"),
        (["--twilio-webhooks", "file://localhost/x"], "this machine"),
    ],
)
def test_a_wrong_call_is_one_line(refused: Refused, options: list[str], named: str) -> None:
    assert named in refused("provider", *options)
