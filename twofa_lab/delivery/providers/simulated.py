"""A provider within the process: the simulated carrier without HTTP, for replayed worlds."""

from __future__ import annotations

from twofa_lab.delivery.exchange import Exchange
from twofa_lab.delivery.providers.base import (
    Checked,
    DeliveryError,
    Outcome,
    Reason,
    SendRequest,
    Sent,
    Supports,
)

__all__ = ["SimulatedProvider"]

_OUTCOMES = {
    "pending": Outcome.WRONG_CODE,
    "max_attempts_reached": Outcome.TOO_MANY_ATTEMPTS,
    "expired": Outcome.EXPIRED,
    "approved": Outcome.GONE,
    "canceled": Outcome.GONE,
}


class SimulatedProvider:
    """Sends through an `Exchange`; the plan is walked by whoever calls, one message at a time.

    >>> from twofa_lab.delivery.carrier import ScriptedCarrier
    >>> from twofa_lab.delivery.phone import parse
    >>> now, carrier, number = [0], ScriptedCarrier(), parse("+447400123456")
    >>> carrier.script(number, {"sms": 35})
    >>> exchange = Exchange(carrier, clock=lambda: now[0])
    >>> provider = SimulatedProvider(exchange)
    >>> sent = provider.send(SendRequest(number, "sms", key="login-1"))
    >>> now[0] = 3_500
    >>> (message,) = exchange.inbox(number)
    >>> provider.check(sent.verification_id, message.code).approved
    True
    """

    name = "simulated"
    supports = Supports(
        channels=frozenset(("whatsapp", "sms", "voice")),
        native_fallback=False,
        own_code=True,
        one_code=True,
        cancel=True,
        code_lengths=range(4, 11),
    )

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def send(self, request: SendRequest) -> Sent:
        """See `Provider.send`."""
        if request.verification_id is None:
            opened = self._exchange.open(
                request.number, request.channel, code=request.code, code_length=request.code_length
            )
            return Sent(opened.verification_id)
        verification = self._exchange.find(request.verification_id)
        if verification is None or verification.status != "pending":
            raise DeliveryError(self.name, Reason.REFUSED)
        self._exchange.send_again(verification, request.channel)
        return Sent(request.verification_id)

    def check(self, verification_id: str, code: str) -> Checked:
        """See `Provider.check`."""
        verification = self._exchange.find(verification_id)
        if verification is None:
            return Checked(Outcome.GONE)
        if self._exchange.check(verification, code):
            return Checked(Outcome.APPROVED)
        return Checked(_OUTCOMES[verification.status])

    def cancel(self, verification_id: str) -> None:
        """See `Provider.cancel`."""
        verification = self._exchange.find(verification_id)
        if verification is not None:
            self._exchange.close(verification)
