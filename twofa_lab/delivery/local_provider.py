"""A verification provider on this machine, wire-compatible with the real ones.

It speaks Twilio Verify v2, Vonage Verify v2 and VerifyNow v3, plays a simulated carrier, lets a
simulated person read what arrived on their phone, answers SIM-swap checks, sends webhooks, and has
any of the faults in `twofa_lab.delivery.local.faults`. It listens on 127.0.0.1 only, and whatever
shows a code asks for a token. Nothing is logged.

>>> from twofa_lab.delivery.carrier import ScriptedCarrier
>>> from twofa_lab.delivery.phone import parse
>>> from twofa_lab.delivery.providers.base import SendRequest
>>> from twofa_lab.delivery.providers.http import HttpClient
>>> from twofa_lab.delivery.providers.twilio import TwilioVerify
>>> number, carrier = parse("+447400123456"), ScriptedCarrier()
>>> carrier.script(number, {"sms": 0})
>>> with serve(carrier) as local, HttpClient("twilio", local.url) as http:
...     provider = TwilioVerify(http, local.secrets.twilio)
...     sent = provider.send(SendRequest(number, "sms", key="login-1"))
...     provider.check(sent.verification_id, local.inbox(number)[0].code).approved
True
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType

from twofa_lab.delivery.carrier import Carrier
from twofa_lab.delivery.exchange import Exchange, InboxMessage
from twofa_lab.delivery.local.faults import Fault, FaultInjector
from twofa_lab.delivery.local.handset import HandsetApi, SimSwapApi
from twofa_lab.delivery.local.server import LocalServer
from twofa_lab.delivery.local.twilio import TwilioApi
from twofa_lab.delivery.local.verifynow import VerifyNowApi
from twofa_lab.delivery.local.vonage import VonageApi
from twofa_lab.delivery.local.webhooks import TwilioWebhooks, VonageWebhooks, WebhookSender
from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.providers.http import is_loopback
from twofa_lab.delivery.providers.twilio import TwilioCredentials
from twofa_lab.delivery.providers.verifynow import VerifyNowCredentials
from twofa_lab.delivery.providers.vonage import VonageKey
from twofa_lab.errors import InputError, WorkError

__all__ = ["LocalProvider", "LocalSecrets", "serve"]


def serve(
    carrier: Carrier,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Callable[[], int] | None = None,
    faults: Iterable[Fault] = (),
    vonage_webhooks: str | None = None,
    twilio_webhooks: str | None = None,
    vonage_public_key: str | None = None,
) -> LocalProvider:
    """Start a local provider; use it as a context manager or call its `close`.

    `port` 0 takes a free one; `clock` gives milliseconds since 1970 UTC (default: this machine's).
    Webhooks go to the URLs given, on this machine. `InputError` for any other host than loopback,
    `WorkError` where the port is taken.
    """
    if not is_loopback(host):
        raise InputError("the local provider listens on this machine only: 127.0.0.1")
    hidden = LocalSecrets.drawn()
    injector = FaultInjector(faults)
    senders: dict[str, WebhookSender] = {}
    if vonage_webhooks:
        style = VonageWebhooks(
            vonage_webhooks, hidden.vonage_signature_secret, hidden.vonage_application_id
        )
        senders["vonage"] = WebhookSender(style, injector)
    if twilio_webhooks:
        events = TwilioWebhooks(twilio_webhooks, hidden.twilio.auth_token)
        senders["twilio"] = WebhookSender(events, injector)
    return LocalProvider(
        carrier,
        (host, port),
        clock or (lambda: time.time_ns() // 1_000_000),
        injector,
        hidden,
        senders,
        vonage_public_key,
    )


@dataclass(frozen=True, slots=True)
class LocalSecrets:
    """Credentials and tokens of one run of the local provider, drawn afresh at each start."""

    twilio: TwilioCredentials
    vonage: VonageKey
    verifynow: VerifyNowCredentials
    vonage_application_id: str
    vonage_signature_secret: str = field(repr=False)
    handset_token: str = field(repr=False)
    sim_swap_token: str = field(repr=False)

    @classmethod
    def drawn(cls) -> LocalSecrets:
        """New ones from the system's secure generator."""
        return cls(
            TwilioCredentials(
                "AC" + secrets.token_hex(16), "VA" + secrets.token_hex(16), secrets.token_hex(16)
            ),
            VonageKey(secrets.token_hex(4), secrets.token_hex(8)),
            VerifyNowCredentials(
                "C-" + secrets.token_hex(8), "lab@example.org", secrets.token_urlsafe(16)
            ),
            str(uuid.uuid4()),
            secrets.token_hex(24),
            secrets.token_urlsafe(24),
            secrets.token_urlsafe(24),
        )


class LocalProvider:
    """A running local provider, made by `serve`.

    `url` is the base URL of the three APIs, `sim_swap_url` that of the SIM-swap check, `secrets`
    what a client needs, `faults.set(…)` changes the faults, `exchanges` are the back offices.
    """

    def __init__(
        self,
        carrier: Carrier,
        address: tuple[str, int],
        clock: Callable[[], int],
        faults: FaultInjector,
        hidden: LocalSecrets,
        senders: dict[str, WebhookSender],
        vonage_public_key: str | None,
    ) -> None:
        self.secrets = hidden
        self.faults = faults
        self._senders = senders
        self.exchanges = _exchanges(carrier, clock, senders)
        self.sims = SimSwapApi(clock, hidden.sim_swap_token)
        self.verifynow_api = VerifyNowApi(self.exchanges["verifynow"], hidden.verifynow, clock)
        apis = (
            TwilioApi(self.exchanges["twilio"], hidden.twilio),
            VonageApi(
                self.exchanges["vonage"],
                hidden.vonage,
                hidden.vonage_application_id,
                vonage_public_key,
            ),
            self.verifynow_api,
            self.sims,
            HandsetApi(self.exchanges.values(), self.sims, hidden.handset_token),
        )
        routes = [route for api in apis for route in api.routes]
        try:
            self._server = LocalServer(address, routes, faults, self.tick)
        except WorkError:
            self._close_senders()
            raise
        self.url = self._server.url
        self.sim_swap_url = self.url + "/sim-swap/v2"

    def __enter__(self) -> LocalProvider:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, drop connections, send held webhooks."""
        self._server.close()
        self._close_senders()

    def inbox(self, number: PhoneNumber) -> tuple[InboxMessage, ...]:
        """What has arrived on a number by now, over whichever provider, earliest first."""
        found = [
            message for exchange in self.exchanges.values() for message in exchange.inbox(number)
        ]
        return tuple(sorted(found, key=lambda message: message.arrived_ms))

    @property
    def messages_sent(self) -> int:
        """Messages handed to the carrier since the start: what would be billed."""
        return sum(exchange.messages_sent for exchange in self.exchanges.values())

    def tick(self) -> None:
        """Bring every plan up to the present. The server does so by itself every 20 ms."""
        for exchange in self.exchanges.values():
            exchange.advance_all()

    def drain_webhooks(self) -> None:
        """Wait until every webhook so far was posted or given up."""
        for sender in self._senders.values():
            sender.drain()

    def _close_senders(self) -> None:
        for sender in self._senders.values():
            sender.close()


def _exchanges(
    carrier: Carrier, clock: Callable[[], int], senders: dict[str, WebhookSender]
) -> dict[str, Exchange]:
    """One back office a provider, each with its provider's kind of id and number of checks."""
    listeners = {name: sender.listen for name, sender in senders.items()}
    numbers = count(1)
    return {
        "twilio": Exchange(
            carrier,
            clock,
            max_checks=5,
            make_id=lambda: "VE" + secrets.token_hex(16),
            listener=listeners.get("twilio"),
        ),
        "vonage": Exchange(
            carrier,
            clock,
            max_checks=3,
            make_id=lambda: str(uuid.uuid4()),
            listener=listeners.get("vonage"),
        ),
        "verifynow": Exchange(carrier, clock, make_id=lambda: str(next(numbers))),
    }
