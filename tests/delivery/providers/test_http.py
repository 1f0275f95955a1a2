import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofa_lab.delivery.providers.base import DeliveryError, Reason
from twofa_lab.delivery.providers.http import (
    HttpClient,
    Reply,
    Timeouts,
    is_loopback,
    parse_object,
)
from twofa_lab.errors import InputError

QUICK = Timeouts(connect=2.0, read=0.25, total=0.5)
Serve = Callable[..., str]


@pytest.fixture
def answers() -> Iterator[Serve]:
    """Start a server that answers each connection with the next of these bytes; gives its URL."""
    listeners: list[socket.socket] = []

    def serve(*replies: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            for reply in replies:
                with suppress(OSError):  # nobody called again, or they hung up: the test is over
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(5)
                        connection.recv(65_536)
                        connection.sendall(reply)

        Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for listener in listeners:
        listener.close()


def ok(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n"
    return head.encode() + body


def call(url: str, method: str = "POST", *, idempotent: bool = False, **options: object) -> Reply:
    with HttpClient("test", url, timeouts=QUICK, sleep=lambda _: None, **options) as client:  # type: ignore[arg-type]
        return client.call(method, ("send",), json_body={}, idempotent=idempotent)


def reason(url: str, **options: object) -> Reason:
    with pytest.raises(DeliveryError) as failed:
        call(url, **options)  # type: ignore[arg-type]
    assert failed.value.__suppress_context__
    return failed.value.reason


def test_an_answer_is_read(answers: Serve) -> None:
    reply = call(answers(ok(b'{"sid": "x"}', "201 Created", "Retry-After: 7\r\n")))
    assert (reply.status, reply.body, reply.retry_after_seconds) == (201, {"sid": "x"}, 7)


@pytest.mark.parametrize("body", [
    b"[]", b"null", b'"x"', b"{", b"\xff\xfe", b'{"a": NaN}', b'{"a": Infinity}', b"{}{}",
    b"[" * 50_000, b'{"a":' * 10_000, b'{"a": ' + b"9" * 10_000 + b"}", b"<html></html>",
])  # fmt: skip
def test_anything_but_a_json_object_is_a_bad_reply(answers: Serve, body: bytes) -> None:
    assert reason(answers(ok(body))) is Reason.BAD_REPLY


def test_an_error_s_body_may_be_anything(answers: Serve) -> None:
    reply = call(answers(ok(b"<html>", "503 Service Unavailable", "Retry-After: soon\r\n")))
    assert (reply.status, reply.body, reply.retry_after_seconds) == (503, {}, None)


def test_a_body_is_cut_off_at_the_limit(answers: Serve) -> None:
    inside, outside = b'{"a": "%s"}' % (b"x" * 90), b'{"a": "%s"}' % (b"x" * 91)
    assert call(answers(ok(inside)), max_bytes=len(inside)).status == 200
    assert reason(answers(ok(outside)), max_bytes=len(inside)) is Reason.BAD_REPLY
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"x" * 65535
    assert reason(answers(chunked), max_bytes=100) is Reason.BAD_REPLY


def test_compressed_bodies_are_not_unpacked(answers: Serve) -> None:
    reply = ok(b"\x1f\x8b", headers="Content-Encoding: gzip\r\n")
    assert reason(answers(reply)) is Reason.BAD_REPLY


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "304 Same"])
def test_redirects_are_not_followed(answers: Serve, status: str) -> None:
    elsewhere = answers(ok(b"{}"))
    url = answers(ok(b"", status, f"Location: {elsewhere}\r\n"))
    assert reason(url) is Reason.BAD_REPLY


@pytest.mark.parametrize("reply", [
    b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", b"SSH-2.0-OpenSSH\r\n", b"\x00" * 100,
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 99999 ?\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000, b"HTTP/1.1 200 OK\r\nA: " + b"x" * 300_000,
])  # fmt: skip
def test_a_broken_answer_leaves_it_uncertain_and_is_not_tried_again(
    answers: Serve, reply: bytes
) -> None:
    # a second connection would get a good answer
    assert reason(answers(reply, ok(b"{}"))) is Reason.UNCERTAIN


def test_an_idempotent_call_is_tried_again(answers: Serve) -> None:
    busy = ok(b"", "503 Busy")
    assert call(answers(b"", busy, ok(b'{"a": 1}')), idempotent=True).body == {"a": 1}
    assert call(answers(busy, busy, busy), idempotent=True).status == 503
    assert call(answers(busy, ok(b"{}"))).status == 503


def test_a_connection_that_was_never_made_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    pauses: list[float] = []
    with (
        HttpClient("test", f"http://127.0.0.1:{port}", sleep=pauses.append) as client,
        pytest.raises(DeliveryError) as failed,
    ):
        client.call("POST", ("send",), form={"To": "x"})
    assert failed.value.reason is Reason.UNREACHABLE
    assert not failed.value.maybe_sent
    assert pauses == [0.1, 0.2]


def test_retries_end_with_the_time_for_the_whole_call() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    client = HttpClient(
        "test",
        f"http://127.0.0.1:{port}",
        timeouts=Timeouts(total=0.15),
        monotonic=lambda: now[0],
        sleep=sleep,
    )
    with client, pytest.raises(DeliveryError):
        client.call("GET", ("token",), idempotent=True)
    assert now[0] == pytest.approx(0.1)


@pytest.mark.parametrize("url", [
    "http://api.example.org", "ftp://127.0.0.1", "127.0.0.1", "https://", "https://a.example/?x=1",
])  # fmt: skip
def test_only_https_or_this_machine(url: str) -> None:
    with pytest.raises(InputError, match="base URL"):
        HttpClient("test", url)


def test_a_server_without_our_trust_is_not_talked_to(answers: Serve) -> None:
    url = answers(b"\x15\x03\x01\x00\x02\x02\x28", b"", b"").replace("http://", "https://")
    assert reason(url, ssl_context=ssl.create_default_context()) is Reason.UNREACHABLE


def test_path_segments_cannot_leave_their_place(answers: Serve) -> None:
    seen: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            seen.append(connection.recv(65_536))
            connection.sendall(ok(b"{}"))

    Thread(target=run, daemon=True).start()
    with (
        listener,
        HttpClient("test", f"http://127.0.0.1:{listener.getsockname()[1]}") as client,
    ):
        client.call("GET", ("v2", "../admin?x#y", "a\r\nX: 1"), query={"n": "+1 & 2"})
    first = seen[0].split(b"\r\n")[0]
    assert first == b"GET /v2/..%2Fadmin%3Fx%23y/a%0D%0AX%3A%201?n=%2B1+%26+2 HTTP/1.1"


def test_nothing_of_a_call_reaches_the_logs(
    answers: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with HttpClient("test", answers(ok(b'{"code": "483920"}'))) as client:
        client.call(
            "POST", ("x",), headers={"authToken": "tok-77"}, query={"code": "483920"},
            form={"To": "+447400123456"},
        )  # fmt: skip
    for secret in ("483920", "tok-77", "7400123456"):
        assert secret not in caplog.text


@given(st.binary(max_size=300) | st.text().map(str.encode))
def test_any_bytes_are_an_object_or_none(body: bytes) -> None:
    content = parse_object(body)
    assert content is None or isinstance(content, dict)


def test_fields_are_taken_only_in_their_shape() -> None:
    reply = Reply(200, {"a": "x", "b": 1, "c": "7", "d": True, "e": {"f": "y"}, "g": "x\n"})
    assert (reply.text("a"), reply.text("b"), reply.text("a", "y"), reply.text("z")) == (
        "x", None, None, None,
    )  # fmt: skip
    assert (reply.number("b"), reply.number("c"), reply.number("d"), reply.number("a")) == (
        1, 7, None, None,
    )  # fmt: skip
    assert reply.inner("e").text("f") == "y"
    assert reply.inner("a").body == {}
    assert reply.text("g") is None
    assert "body" not in repr(reply)


def test_loopback_is_this_machine_and_nothing_else() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert not is_loopback("127.0.0.1.example.org")
    assert not is_loopback("")
