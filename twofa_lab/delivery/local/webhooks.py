"""Webhooks the local provider sends: bodies, signatures, and a thread that posts them in order."""

from __future__ import annotations

import hashlib
import json
import queue
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import httpcore

from twofa_lab.delivery.exchange import Verification
from twofa_lab.delivery.local.faults import FaultInjector
from twofa_lab.delivery.providers.http import is_loopback
from twofa_lab.delivery.webhooks import twilio_signature
from twofa_lab.errors import InputError

__all__ = ["TwilioWebhooks", "VonageWebhooks", "WebhookSender"]

_TRIES = 3
_VONAGE_STATUS = {
    "approved": "completed",
    "canceled": "cancelled",
    "expired": "expired",
    "max_attempts_reached": "failed",
}
Headers = dict[bytes | str, bytes | str]


@dataclass(frozen=True, slots=True)
class VonageWebhooks:
    """How Vonage words and signs a webhook."""

    url: str
    signature_secret: str
    application_id: str

    def body(self, verification: Verification, channel: str | None) -> bytes:
        """An event for a message sent on `channel`, the summary at the end (None)."""
        content: dict[str, Any] = {"request_id": verification.verification_id}
        if channel is not None:
            sent_ms = verification.messages[-1][1]
            content |= {"type": "event", "channel": channel, "status": "pending"}
            content |= {"triggered_at": _iso(sent_ms)}
        else:
            status = _VONAGE_STATUS[verification.status]
            last = len(verification.messages) - 1
            content |= {"type": "summary", "status": status}
            content |= {
                "submitted_at": _iso(verification.created_ms),
                "finalized_at": _iso(verification.finalized_ms or verification.created_ms),
                "workflow": [
                    {
                        "channel": name,
                        "initiated_at": _iso(sent_ms),
                        "status": status if index == last else "expired",
                    }
                    for index, (name, sent_ms, _) in enumerate(verification.messages)
                ],
            }
        return json.dumps(content).encode()

    def forged(self, verification: Verification) -> bytes:
        """What a forger would like us to believe."""
        return json.dumps(
            {
                "request_id": verification.verification_id,
                "type": "summary",
                "status": "completed",
                "workflow": [],
            }
        ).encode()

    def signed(self, body: bytes, *, forged: bool = False) -> tuple[str, Headers]:
        """URL and headers of the request that carries the body."""
        import jwt

        claims = {
            "iss": "Vonage",
            "iat": int(time.time()),
            "jti": str(uuid.uuid4()),
            "application_id": self.application_id,
            "payload_hash": hashlib.sha256(body).hexdigest(),
        }
        secret = "forger" * 8 if forged else self.signature_secret
        return self.url, {"Authorization": "Bearer " + jwt.encode(claims, secret, "HS256")}


@dataclass(frozen=True, slots=True)
class TwilioWebhooks:
    """How Twilio words and signs a verification-status event."""

    url: str
    auth_token: str

    def body(self, verification: Verification, channel: str | None) -> bytes:
        """One event: pending for a message sent, else the final status."""
        return self._event(verification, verification.status if channel is None else "pending")

    def forged(self, verification: Verification) -> bytes:
        """What a forger would like us to believe."""
        return self._event(verification, "approved")

    def _event(self, verification: Verification, status: str) -> bytes:
        event = {
            "specversion": "1.0",
            "type": f"com.twilio.accountsecurity.verify.verification.{status}",
            "id": "NO" + uuid.uuid4().hex,
            "data": {
                "verification_sid": verification.verification_id,
                "verification_status": status.upper(),
            },
        }
        return json.dumps([event]).encode()

    def signed(self, body: bytes, *, forged: bool = False) -> tuple[str, Headers]:
        """URL and headers of the request that carries the body."""
        url = f"{self.url}?bodySHA256={hashlib.sha256(body).hexdigest()}"
        token = "forger" if forged else self.auth_token
        return url, {"X-Twilio-Signature": twilio_signature(token, url)}


class WebhookSender:
    """Posts webhooks to a URL on this machine, one after another, each again until accepted.

    Has the webhook faults. `drain` waits until everything queued was posted or given up.
    """

    def __init__(self, style: VonageWebhooks | TwilioWebhooks, faults: FaultInjector) -> None:
        if not _is_here(style.url):
            raise InputError("the local provider sends webhooks to this machine only")
        self._style = style
        self._faults = faults
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=10_000)
        self._held: bytes | None = None
        self._stopping = Event()
        self._pool = httpcore.ConnectionPool()
        self._thread = Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def listen(self, verification: Verification, channel: str | None) -> None:
        """Queue the webhook of something that happened; an `Exchange` calls it."""
        body = self._style.body(verification, channel)
        forged = self._style.forged(verification)
        self._queue.put(lambda: self._deliver(body, forged))

    def drain(self) -> None:
        """Wait until the queue is empty."""
        self._queue.join()

    def close(self) -> None:
        """Send what is held back, then stop."""
        self._queue.put(None)
        self._thread.join(timeout=10)
        self._stopping.set()
        self._pool.close()

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            try:
                task()
            finally:
                self._queue.task_done()
        if self._held is not None:
            self._post(self._held)
        self._queue.task_done()

    def _deliver(self, body: bytes, forged: bytes) -> None:
        if self._faults.strike_webhook("webhook-forged"):
            self._post(forged, forged=True)
        if self._held is not None:
            self._post(body)
            held, self._held = self._held, None
            self._post(held)
        elif self._faults.strike_webhook("webhook-out-of-order"):
            self._held = body
        else:
            self._post(body)
            if self._faults.strike_webhook("webhook-twice"):
                self._post(body)

    def _post(self, body: bytes, *, forged: bool = False) -> None:
        for attempt in range(_TRIES):
            url, headers = self._style.signed(body, forged=forged)
            timeout = dict.fromkeys(("connect", "read", "write", "pool"), 2.0)
            try:
                response = self._pool.request(
                    "POST",
                    url,
                    headers={**headers, "Content-Type": "application/json"},
                    content=body,
                    extensions={"timeout": timeout},
                )
            except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
                pass
            else:
                if response.status < 300 or forged:
                    return
            self._stopping.wait(0.05 * 2**attempt)


def _is_here(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and port != 0 and is_loopback(parts.hostname or "")


def _iso(ms: int) -> str:
    stamp = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")
