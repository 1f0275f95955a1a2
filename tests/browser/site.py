"""A small site over the real flow: one page, one person, loopback only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from tests.flow.lab import PASSWORD, PLACE, Lab
from twofa_lab.errors import InputError, WorkError
from twofa_lab.flow.answer import answer
from twofa_lab.flow.enrolment import begin_passkey, finish_passkey
from twofa_lab.flow.login import Request
from twofa_lab.flow.step import Step
from twofa_lab.flow.usernameless import begin_passkey_login, finish_passkey_login

PAGE = Path(__file__).with_name("page.html").read_bytes()


@dataclass
class Site:
    """What the page's posts do. Ann is signed up; her latest session registers keys."""

    lab: Lab
    session: str
    ticket: Any = None
    lock: Lock = field(default_factory=Lock)

    def act(self, path: str, body: dict[str, Any]) -> Any:
        """The answer to one post, as it goes back in JSON."""
        acts: dict[str, Callable[[dict[str, Any]], Any]] = {
            "/register": self.register,
            "/registered": self.registered,
            "/sign-in": self.sign_in,
            "/signed-in": self.signed_in,
            "/nameless": self.nameless,
            "/named": self.named,
        }
        with self.lock:
            return acts[path](body)

    def register(self, body: dict[str, Any]) -> Any:
        new = begin_passkey(self.lab.flow, self.session, body["kind"])
        self.ticket = new.ticket
        return json.loads(new.options)

    def registered(self, body: dict[str, Any]) -> Any:
        try:
            finish_passkey(self.lab.flow, self.session, self.ticket, body["answer"])
        except (InputError, WorkError) as error:
            return {"status": "refused", "why": str(error)}
        return {"status": "registered"}

    def sign_in(self, _: dict[str, Any]) -> Any:
        step = self.lab.strange_login()
        assert step.ask is not None
        self.ticket = step.ticket
        return json.loads(step.ask.options)

    def signed_in(self, body: dict[str, Any]) -> Any:
        return self._ended(answer(self.lab.flow, self.ticket, body["answer"]))

    def nameless(self, _: dict[str, Any]) -> Any:
        asked = begin_passkey_login(self.lab.flow)
        self.ticket = asked.ticket
        return json.loads(asked.options)

    def named(self, body: dict[str, Any]) -> Any:
        here = Request("", PASSWORD, *PLACE)
        return self._ended(finish_passkey_login(self.lab.flow, self.ticket, body["answer"], here))

    def _ended(self, step: Step) -> Any:
        self.session = step.session or self.session
        return {"status": step.status, "level": step.session_level}


@contextmanager
def serving(make: Callable[[str], Site]) -> Iterator[tuple[str, Site]]:
    """Serve the site `make` builds for an origin, until the block ends: the origin and the site.

    The server listens on 127.0.0.1; the page is asked for as localhost, the one origin without
    TLS at which browsers do WebAuthn.
    """
    sites: list[Site] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200 if self.path.startswith("/?") or self.path == "/" else 404, PAGE, "html")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(200, json.dumps(sites[0].act(self.path, body)).encode(), "json")

        def _send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header(
                "Content-Type", {"html": "text/html", "json": "application/json"}[kind]
            )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        origin = f"http://localhost:{server.server_port}"
        sites.append(make(origin))
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield origin, sites[0]
        server.shutdown()
        thread.join()
