"""A headless Chromium driven over its DevTools protocol, with virtual authenticators.

The WebAuthn domain of the protocol is what makes and spoils authenticators, so the protocol is
spoken directly; websocket-client carries it. The browser resolves no name but localhost.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--no-default-browser-check",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)  # fmt: skip
PATIENCE = 60.0
"""Seconds for the browser to start or to answer, on a machine under load."""


def installed() -> str | None:
    """A browser of this family on the machine."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab: commands of the protocol, and the page's functions called."""

    def __init__(self, url: str) -> None:
        self._socket = websocket.create_connection(url, timeout=PATIENCE, suppress_origin=True)
        self._sent = 0

    def close(self) -> None:
        self._socket.close()

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command; its result. Events that come meanwhile are passed over."""
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._sent:
                assert "error" not in message, message
                return message["result"]

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)
        end = time.monotonic() + PATIENCE
        while not self._is_there(url):
            assert time.monotonic() < end, f"{url} did not load"
            time.sleep(0.02)

    def _is_there(self, url: str) -> bool:
        return self.run("document.readyState === 'complete' && location.href") == url

    def run(self, script: str) -> Any:
        """The value of an expression in the page, awaited."""
        done = self.send(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")


class Authenticator:
    """A virtual authenticator of a tab."""

    def __init__(self, page: Page, **options: Any) -> None:
        self._page = page
        plain = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
        }
        made = page.send("WebAuthn.addVirtualAuthenticator", options=plain | options)
        self._id = made["authenticatorId"]

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        return self._page.send(f"WebAuthn.{method}", authenticatorId=self._id, **params)

    def remove(self) -> None:
        self._send("removeVirtualAuthenticator")

    def keys(self) -> list[dict[str, Any]]:
        """Its credentials, private keys and counters included."""
        return self._send("getCredentials")["credentials"]

    def take(self, key: dict[str, Any]) -> None:
        """Put a credential into it."""
        self._send("addCredential", credential=key)

    def remove_key(self, key: dict[str, Any]) -> None:
        """Take a credential out of it."""
        self._send("removeCredential", credentialId=key["credentialId"])

    def verify_user(self, verifies: bool) -> None:
        """Whether PIN or finger will be right."""
        self._send("setUserVerified", isUserVerified=verifies)

    def spoil(self, **bits: bool) -> None:
        """Make every answer wrong: `isBogusSignature`, `isBadUV`, `isBadUP`."""
        self._send("setResponseOverrideBits", **bits)

    def mark(self, key: dict[str, Any], **properties: bool) -> None:
        """Change `backupEligibility` or `backupState` of a credential."""
        self._send("setCredentialProperties", credentialId=key["credentialId"], **properties)


@contextmanager
def browser(binary: str, folder: Path) -> Iterator[Page]:
    """Start the browser with a profile of its own in `folder`; its tab, until the block ends."""
    command = [binary, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the browser found above
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        page = Page(_tab(folder, process))
        try:
            page.send("WebAuthn.enable")
            yield page
            page.send("Browser.close")
        finally:
            page.close()
    finally:
        try:
            process.wait(PATIENCE / 4)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tab(folder: Path, process: subprocess.Popen[bytes]) -> str:
    """The tab's address, once the browser has written its port down."""
    said, end = folder / "DevToolsActivePort", time.monotonic() + PATIENCE
    while not (said.exists() and said.read_text().strip()):
        log = (folder / "chromium.log").read_text(errors="replace")[-2_000:]
        assert process.poll() is None, f"the browser ended at once: {log}"
        assert time.monotonic() < end, f"the browser did not start: {log}"
        time.sleep(0.05)
    port = int(said.read_text().split()[0])
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
        if tabs:
            return tabs[0]["webSocketDebuggerUrl"]
        assert time.monotonic() < end, "the browser opened no tab"
        time.sleep(0.05)
