"""Webhooks from providers: is it theirs, is it fresh, is it new, and what does it say.

A webhook reports; it never lets anybody in. Only a checked code does that, so that a forged
"completed" gains nothing even where a signing secret has leaked.

- Vonage signs a JWT (HS256) with the account's signature secret and puts the body's SHA-256 in it.
- Twilio signs URL and form fields, or for JSON the URL that carries the body's SHA-256 (HMAC-SHA1
  with the auth token; the choice of hash is Twilio's).

The same webhook may come twice (its id is remembered) and webhooks may come in any order: `merge`
takes the most advanced status, so that the result depends on neither.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit, urlunsplit

from twofa_lab.delivery.providers.http import parse_object
from twofa_lab.delivery.providers.twilio import TWILIO_CHANNELS
from twofa_lab.errors import InputError

__all__ = [
    "MemorySeen",
    "SeenIds",
    "StatusEvent",
    "WebhookError",
    "merge",
    "read_twilio",
    "read_vonage",
    "twilio_signature",
]

LARGEST_BODY = 65_536
FRESH_SECONDS = 300
"""A Vonage webhook's token is refused when issued longer ago, or ahead. Assumption: 5 minutes."""

_RANKS = {
    "pending": 0,
    "canceled": 1,
    "expired": 1,
    "blocked": 1,
    "rejected": 1,
    "failed": 1,
    "completed": 2,
}
_VONAGE_STATUS = {
    "completed": "completed",
    "failed": "failed",
    "blocked": "blocked",
    "expired": "expired",
    "user_rejected": "rejected",
    "cancelled": "canceled",
    "pending": "pending",
    "unused": "pending",
}
_TWILIO_STATUS = {
    "pending": "pending",
    "approved": "completed",
    "canceled": "canceled",
    "expired": "expired",
    "max_attempts_reached": "failed",
}
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_TWILIO_TYPE = "com.twilio.accountsecurity.verify.verification."


class WebhookError(InputError):
    """The webhook is refused: answer 4xx and change nothing."""


class SeenIds(Protocol):
    """Remembers ids; must be atomic between threads and processes."""

    def add(self, event_id: str) -> bool:
        """Remember the id; False where it was known."""
        ...


class MemorySeen:
    """`SeenIds` in memory, for one process: the latest `capacity` ids.

    >>> seen = MemorySeen()
    >>> seen.add("a"), seen.add("a")
    (True, False)
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._capacity = capacity
        self._lock = Lock()

    def add(self, event_id: str) -> bool:
        """See `SeenIds.add`."""
        with self._lock:
            if event_id in self._ids:
                return False
            self._ids[event_id] = None
            if len(self._ids) > self._capacity:
                self._ids.popitem(last=False)
            return True


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """What is known of a verification: its status and that of each channel tried.

    A status is one of pending, canceled, expired, blocked, rejected, failed, completed.
    """

    provider: str
    verification_id: str
    status: str
    channels: tuple[tuple[str, str], ...] = ()


def merge(known: StatusEvent | None, event: StatusEvent) -> StatusEvent:
    """Join an event to what is known; order and repetition make no difference.

    >>> sent = StatusEvent("vonage", "id", "pending", (("sms", "pending"),))
    >>> done = StatusEvent("vonage", "id", "completed")
    >>> merge(done, sent) == merge(sent, done)
    True
    """
    if known is None:
        return event
    if (known.provider, known.verification_id) != (event.provider, event.verification_id):
        raise ValueError("events of different verifications")
    channels = dict(known.channels)
    for channel, status in event.channels:
        channels[channel] = _further(channels.get(channel, "pending"), status)
    return StatusEvent(
        known.provider,
        known.verification_id,
        _further(known.status, event.status),
        tuple(sorted(channels.items())),
    )


def read_vonage(
    authorization: str,
    body: bytes,
    *,
    signature_secret: str,
    now_seconds: int,
    seen: SeenIds,
    application_id: str | None = None,
) -> StatusEvent | None:
    """Read a Vonage webhook; None where it came before. `WebhookError` for everything else.

    `authorization` is the header's value, `signature_secret` has at least 32 characters.
    """
    if len(signature_secret) < 32:
        raise InputError("the signature secret of webhooks needs at least 32 characters")
    content = _checked_size(body)
    claims = _vonage_claims(authorization, signature_secret)
    digest = hashlib.sha256(body).hexdigest()
    issued, token_id = claims.get("iat"), claims.get("jti")
    if not hmac.compare_digest(_bytes(str(claims.get("payload_hash"))), _bytes(digest)):
        raise WebhookError("webhook refused: the body is not the one that was signed")
    if not isinstance(issued, int) or abs(now_seconds - issued) > FRESH_SECONDS:
        raise WebhookError("webhook refused: its token is not of this moment")
    if application_id is not None and claims.get("application_id") != application_id:
        raise WebhookError("webhook refused: it is of another application")
    if not isinstance(token_id, str) or not _ID.fullmatch(token_id):
        raise WebhookError("webhook refused: its token has no id")
    event = _vonage_event(parse_object(content) or {})
    return event if seen.add("vonage:" + token_id) else None


def read_twilio(
    url: str, signature: str, body: bytes, *, auth_token: str, seen: SeenIds
) -> tuple[StatusEvent, ...]:
    """Read a Twilio event webhook (JSON); without events that came before.

    `url` is the full URL Twilio called, query included, `signature` its X-Twilio-Signature header.
    """
    content = _checked_size(body)
    given = _bytes(signature)
    if not any(
        hmac.compare_digest(given, _bytes(twilio_signature(auth_token, form)))
        for form in _with_and_without_port(url)
    ):
        raise WebhookError("webhook refused: the signature is wrong")
    digest = parse_qs(urlsplit(url).query).get("bodySHA256", [""])[0].lower()
    if not hmac.compare_digest(_bytes(digest), hashlib.sha256(body).hexdigest().encode()):
        raise WebhookError("webhook refused: the body is not the one that was signed")
    try:
        events = json.loads(content)
    except (ValueError, RecursionError):
        raise WebhookError("webhook refused: it is not JSON") from None
    found = [_twilio_event(event) for event in (events if isinstance(events, list) else [events])]
    return tuple(event for event_id, event in found if seen.add("twilio:" + event_id))


def twilio_signature(auth_token: str, url: str, fields: Iterable[tuple[str, str]] = ()) -> str:
    """Twilio's signature of a request: HMAC-SHA1 over the URL and the sorted form fields.

    >>> fields = {"CallSid": "CA1234567890ABCDE", "Digits": "1234", "From": "+14158675309",
    ...           "To": "+18005551212", "Caller": "+14158675309"}
    >>> twilio_signature("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", fields.items())
    'RSOYDt4T1cUTdK1PDd93/VVr8B8='
    """
    text = url + "".join(name + value for name, value in sorted(set(fields)))
    return base64.b64encode(hmac.digest(auth_token.encode(), _bytes(text), "sha1")).decode()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # a header's stray bytes may come as surrogates


def _further(one: str, other: str) -> str:
    return max(one, other, key=lambda status: (_RANKS[status], status))


def _checked_size(body: bytes) -> bytes:
    if len(body) > LARGEST_BODY:
        raise WebhookError(f"webhook refused: larger than {LARGEST_BODY} bytes")
    return body


def _vonage_claims(authorization: str, signature_secret: str) -> dict[str, Any]:
    import jwt

    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or len(token) > 4096:
        raise WebhookError("webhook refused: it is not signed")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            signature_secret,
            algorithms=["HS256"],
            # times are checked by the clock passed in
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise WebhookError("webhook refused: the signature is wrong") from None
    return claims


def _vonage_event(body: Mapping[str, Any]) -> StatusEvent:
    request_id, kind = body.get("request_id"), body.get("type")
    status = _VONAGE_STATUS.get(str(body.get("status")))
    if not isinstance(request_id, str) or not _ID.fullmatch(request_id) or status is None:
        raise WebhookError("webhook refused: no known status in it")
    if kind == "event":
        # a channel's own end is not the verification's; the summary says that
        return StatusEvent(
            "vonage", request_id, "pending", ((_channel(body.get("channel")), status),)
        )
    steps = body.get("workflow")
    if kind != "summary" or not isinstance(steps, list) or len(steps) > 10:
        raise WebhookError("webhook refused: of no known kind")
    channels: dict[str, str] = {}
    for step in steps:
        step_status = (
            _VONAGE_STATUS.get(str(step.get("status"))) if isinstance(step, dict) else None
        )
        if step_status is None:
            raise WebhookError("webhook refused: no known status in it")
        channel = _channel(step.get("channel"))
        channels[channel] = _further(channels.get(channel, "pending"), step_status)
    return StatusEvent("vonage", request_id, status, tuple(sorted(channels.items())))


def _twilio_event(event: Any) -> tuple[str, StatusEvent]:
    data = event.get("data") if isinstance(event, dict) else None
    if not isinstance(data, dict) or not str(event.get("type")).startswith(_TWILIO_TYPE):
        raise WebhookError("webhook refused: of no known kind")
    event_id, sid = event.get("id"), data.get("verification_sid")
    status = _TWILIO_STATUS.get(str(data.get("verification_status")).lower())
    if status is None or not all(
        isinstance(value, str) and _ID.fullmatch(value) for value in (event_id, sid)
    ):
        raise WebhookError("webhook refused: no known status in it")
    return str(event_id), StatusEvent("twilio", str(sid), status)


def _channel(name: object) -> str:
    if not isinstance(name, str) or name not in TWILIO_CHANNELS:
        raise WebhookError("webhook refused: of no known channel")
    return name


def _with_and_without_port(url: str) -> tuple[str, ...]:
    """Proxies add or drop the port; Twilio's own validators accept both forms."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise WebhookError("webhook refused: its URL is not one") from None
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return (
        url,
        urlunsplit(parts._replace(netloc=host)),
        urlunsplit(parts._replace(netloc=f"{host}:{port}")),
    )
