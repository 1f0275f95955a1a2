"""The local provider's HTTP server: routes, bounds, faults. It logs nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from twofa_lab.delivery.local.faults import FaultInjector
from twofa_lab.delivery.local.wire import Request, Response, Route
from twofa_lab.delivery.providers.http import is_loopback
from twofa_lab.errors import WorkError

__all__ = ["LocalServer"]

LARGEST_REQUEST = 65_536
OVERSIZED_REPLY = 2 * 1024 * 1024
DRIP_SECONDS = 0.05
ELSEWHERE = "https://elsewhere.invalid/"
_POLL_SECONDS = 0.02


class LocalServer:
    """Serves `routes` on a loopback address in threads until closed.

    `tick` is called every 20 ms. Faults strike every route but those named "handset".
    """

    def __init__(
        self,
        address: tuple[str, int],
        routes: Sequence[Route],
        faults: FaultInjector,
        tick: Callable[[], None],
    ) -> None:
        try:
            self._server = _Server(address, routes, faults, tick)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or "no such port"
            raise WorkError(f"cannot listen on {address[0]}:{address[1]}: {why}") from None
        host, port = self._server.server_address[:2]
        self.url = f"http://{host!s}:{port}"
        self._thread = Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._server.stopping.set()
        self._server.shutdown()
        self._thread.join(timeout=10)
        self._server.server_close()
        self._server.drop_connections()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        routes: Sequence[Route],
        faults: FaultInjector,
        tick: Callable[[], None],
    ) -> None:
        self.routes = routes
        self.faults = faults
        self.stopping = Event()
        self._tick = tick
        self._connections: set[socket.socket] = set()
        self._lock = Lock()
        super().__init__(address, _Handler)

    def service_actions(self) -> None:
        self._tick()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        with self._lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # closed by the other side already

    def handle_error(self, request: Any, client_address: Any) -> None:
        import sys

        # a client that hangs up is what several faults are for
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "twofa-lab"
    sys_version = ""
    timeout = 10
    disable_nagle_algorithm = True  # headers and body are two writes: 40 ms each call without

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing: request lines hold numbers and codes."""

    @property
    def _lab(self) -> _Server:
        return cast(_Server, self.server)

    def _handle(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or len(length) > 9 or int(length) > LARGEST_REQUEST:
            self.close_connection = True
            return self._reply(Response(413, {"error": "the request is too large"}))
        if self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            return self._reply(Response(411, {"error": "give the request's length"}))
        body = self.rfile.read(int(length))
        if not is_loopback(urlsplit("//" + self.headers.get("Host", "")).hostname or ""):
            # a web page whose name was made to point here
            return self._reply(Response(421, {"error": "this server is for this machine only"}))
        parts = urlsplit(self.path)
        request = Request(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            body,
        )
        for route in self._lab.routes:
            groups = route.match(request)
            if groups is not None:
                return self._answer(route, request, groups)
        return self._reply(Response(404, {"error": "no such operation"}))

    def _answer(self, route: Route, request: Request, groups: dict[str, str]) -> None:
        fault = None if route.name == "handset" else self._lab.faults.strike(route.name)
        if fault == "429":
            return self._reply(Response(429, {}, {"Retry-After": "30"}))
        if fault == "5xx":
            return self._reply(Response(503, {}))
        if fault == "redirect":
            return self._reply(Response(307, {}, {"Location": ELSEWHERE}))
        response = route.answer(request, **groups)
        if fault == "5xx-after-send":
            return self._reply(Response(503, {}))
        if fault == "timeout-after-send":
            self.close_connection = True
            self._lab.stopping.wait(60)
            return None
        return self._reply(response, fault)

    def _reply(self, response: Response, fault: str | None = None) -> None:
        content = b"" if response.body is None else json.dumps(response.body).encode()
        if fault == "malformed-json":
            content = content[: len(content) // 2] or b"{"
        elif fault == "oversized-json":
            content = b'{"padding": "' + b"x" * OVERSIZED_REPLY + b'"}'
        headers = {
            "Content-Type": "application/json",
            **response.headers,
            "Cache-Control": "no-store",
            "Content-Length": str(len(content)),
        }
        if self.close_connection:
            headers["Connection"] = "close"
        if fault == "slow-headers":
            head = f"HTTP/1.1 {response.status} OK\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            return self._drip(head.encode() + b"\r\n" + content)
        self.send_response(response.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if fault == "slow-drip":
            return self._drip(content)
        self.wfile.write(content)
        return None

    def _drip(self, content: bytes) -> None:
        for byte in content:
            if self._lab.stopping.wait(DRIP_SECONDS):
                return
            self.wfile.write(bytes([byte]))
