"""One HTTP call to a provider, bounded in every direction.

- Time: connecting, each read and the call as a whole have a limit. The limit for the whole is put
  under every read of the socket, so that an answer that drips in byte by byte, headers included,
  still ends on time.
- Size: the answer's body is cut off at `max_bytes`.
- Redirects are never followed, environment proxies never used, compressed bodies never asked for.
- Retries: a connection that was never made is retried, since nothing was sent; what came after
  that, only for calls the caller says are idempotent.

`httpcore`, the engine inside `httpx`, is used directly: `httpx` writes every URL to its log, and
one of the providers has codes and phone numbers in its URLs.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpcore

from twofa_lab.delivery.providers.base import DeliveryError, Reason
from twofa_lab.errors import InputError

__all__ = ["HttpClient", "Reply", "Timeouts", "is_loopback", "parse_object"]

_RETRIES = 2
_BACKOFF_SECONDS = 0.1
_NOT_SENT = (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout)
_deadline: ContextVar[float] = ContextVar("deadline")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, for each read, and for the call as a whole with its retries.

    Assumption: a person waits at a challenge, and 67 % leave within 30 s (published).
    """

    connect: float = 3.0
    read: float = 5.0
    total: float = 10.0


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """A provider's answer: status and JSON object (empty where the body is)."""

    status: int
    body: Mapping[str, Any]
    retry_after_seconds: int | None = None

    def text(self, key: str, pattern: str = r".{1,200}") -> str | None:
        """The string at that key if it is there and matches the pattern as a whole."""
        value = self.body.get(key)
        return value if isinstance(value, str) and re.fullmatch(pattern, value) else None

    def number(self, key: str) -> int | None:
        """The whole number at that key, also where it was written as a string."""
        value = self.body.get(key)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def inner(self, key: str) -> Reply:
        """The object at that key as a reply of the same status; empty where there is none."""
        value = self.body.get(key)
        return Reply(self.status, value if isinstance(value, dict) else {})


class HttpClient:
    """Calls one provider at `base_url`; must be https unless the host is this machine.

    Close it, or use it as a context manager. Safe to share between threads.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        *,
        timeouts: Timeouts | None = None,
        max_bytes: int = 65_536,
        ssl_context: ssl.SSLContext | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise InputError(f"{provider}: the base URL must be http(s)://host[:port][/path]")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise InputError(f"{provider}: the base URL must be https unless it is this machine")
        self._provider = provider
        self._base_url = base_url.rstrip("/")
        self._timeouts = timeouts or Timeouts()
        self._max_bytes = max_bytes
        self._monotonic = monotonic
        self._sleep = sleep
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context, network_backend=_BoundedBackend(monotonic)
        )

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close pooled connections."""
        self._pool.close()

    def call(
        self,
        method: str,
        path: Iterable[str],
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        json_body: Mapping[str, Any] | None = None,
        idempotent: bool = False,
    ) -> Reply:
        """One call; `path` comes in segments, each quoted. `idempotent` allows retries.

        Raises `DeliveryError`: UNREACHABLE where nothing was sent, else UNCERTAIN or BAD_REPLY.
        """
        url = "/".join((self._base_url, *(quote(segment, safe="") for segment in path)))
        if query:
            url += "?" + urlencode(query)
        fields = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
        content = b""
        if form is not None:
            content = urlencode(form).encode()
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        elif json_body is not None:
            content = json.dumps(json_body).encode()
            fields["Content-Type"] = "application/json"
        if method != "GET":
            fields["Content-Length"] = str(len(content))
        deadline = self._monotonic() + self._timeouts.total
        token = _deadline.set(deadline)
        try:
            return self._tries(method, url, fields, content, deadline, idempotent)
        finally:
            _deadline.reset(token)

    def _tries(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
        deadline: float,
        idempotent: bool,
    ) -> Reply:
        for attempt in range(_RETRIES + 1):
            pause = _BACKOFF_SECONDS * 2**attempt
            last = attempt == _RETRIES or self._monotonic() + pause >= deadline
            try:
                reply = self._exchange(method, url, headers, content)
            except DeliveryError as error:
                # the original exception may quote the URL, so it is not chained
                if last or not (idempotent or not error.maybe_sent):
                    raise error from None
            else:
                if last or not (idempotent and reply.status >= 500):
                    return reply
            self._sleep(pause)
        raise AssertionError("unreachable")  # pragma: no cover

    def _exchange(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> Reply:
        limits = self._timeouts
        timeout = {"connect": limits.connect, "read": limits.read, "write": limits.read}
        try:
            with self._pool.stream(
                method,
                url,
                headers=list(headers.items()),
                content=content,
                extensions={"timeout": {**timeout, "pool": limits.connect}},
            ) as response:
                fields = {name.lower(): value for name, value in response.headers}
                body = self._bounded(response.iter_stream())
        except _NOT_SENT:
            raise DeliveryError(self._provider, Reason.UNREACHABLE) from None
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
            raise DeliveryError(self._provider, Reason.UNCERTAIN) from None
        if 300 <= response.status < 400 or fields.get(b"content-encoding", b"identity") != (
            b"identity"
        ):
            raise DeliveryError(self._provider, Reason.BAD_REPLY)
        return Reply(response.status, self._object(response.status, body), _seconds(fields))

    def _bounded(self, chunks: Iterable[bytes]) -> bytes:
        body = bytearray()
        for chunk in chunks:
            body += chunk
            if len(body) > self._max_bytes:
                raise DeliveryError(self._provider, Reason.BAD_REPLY)
        return bytes(body)

    def _object(self, status: int, body: bytes) -> Mapping[str, Any]:
        """The body's JSON object. An error's body may be anything; its status says enough."""
        if status == 204 or not body:
            return {}
        content = parse_object(body)
        if content is None and status < 400:
            raise DeliveryError(self._provider, Reason.BAD_REPLY)
        return content or {}


class _BoundedBackend(httpcore.NetworkBackend):
    """Opens connections whose every operation also ends by the call's deadline."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._backend = httpcore.SyncBackend()
        self._monotonic = monotonic

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, self._monotonic, httpcore.ConnectTimeout)
        stream = self._backend.connect_tcp(host, port, left, local_address, socket_options)
        return _BoundedStream(stream, self._monotonic)


class _BoundedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, monotonic: Callable[[], float]) -> None:
        self._stream = stream
        self._monotonic = monotonic

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, self._monotonic, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, self._monotonic, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, self._monotonic, httpcore.ConnectTimeout)
        stream = self._stream.start_tls(ssl_context, server_hostname, left)
        return _BoundedStream(stream, self._monotonic)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(
    timeout: float | None,
    monotonic: Callable[[], float],
    expired: type[httpcore.TimeoutException],
) -> float:
    left = _deadline.get() - monotonic()
    if left <= 0:
        raise expired
    return left if timeout is None else min(timeout, left)


def parse_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in the body, or None if it is anything else (NaN and depth included).

    >>> parse_object(b'{"a": 1}'), parse_object(b'[1]'), parse_object(b'{"a": NaN}')
    ({'a': 1}, None, None)
    """
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    return host in ("127.0.0.1", "::1", "localhost")


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _seconds(fields: Mapping[bytes, bytes]) -> int | None:
    """The Retry-After header in seconds, where it is a sensible whole number."""
    value = fields.get(b"retry-after", b"")
    return int(value) if re.fullmatch(rb"[0-9]{1,5}", value) else None
