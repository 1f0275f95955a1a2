"""Idempotent sending: one key, one message, one verification id.

No provider here has an idempotency key of its own, so the promise is ours: the key is claimed
before the call and settled after it. A second send with the same key returns the first one's id.
Where the first one's answer was lost the key stays claimed, and a second send is refused rather
than risked: a message may have left, and would be paid for twice.
"""

from __future__ import annotations

from threading import Lock
from typing import Protocol

from twofa_lab.delivery.providers.base import DeliveryError, Provider, Reason, SendRequest, Sent
from twofa_lab.errors import InputError
from twofa_lab.store.sends import Claim

__all__ = ["Claim", "MemoryLedger", "SendLedger", "send_once"]


class SendLedger(Protocol):
    """Remembers which keys were sent; must be atomic between threads and processes."""

    def claim(self, key: str) -> Claim | None:
        """Claim a new key and return None, or return what is known of one claimed before."""
        ...

    def settle(self, key: str, verification_id: str) -> None:
        """The send of a claimed key was answered with that id."""
        ...

    def release(self, key: str) -> None:
        """The send of a claimed key certainly did not happen: it may be tried again."""
        ...


class MemoryLedger:
    """A `SendLedger` in memory, for one process."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}
        self._lock = Lock()

    def claim(self, key: str) -> Claim | None:
        """See `SendLedger.claim`."""
        with self._lock:
            known = self._claims.get(key)
            if known is None:
                self._claims[key] = Claim(None)
            return known

    def settle(self, key: str, verification_id: str) -> None:
        """See `SendLedger.settle`."""
        with self._lock:
            self._claims[key] = Claim(verification_id)

    def release(self, key: str) -> None:
        """See `SendLedger.release`."""
        with self._lock:
            self._claims.pop(key, None)


def send_once(
    provider: Provider, ledger: SendLedger, request: SendRequest, *, lost: bool = False
) -> Sent:
    """Send, unless this key was sent before; then return the same verification id.

    `DeliveryError` with reason IN_PROGRESS if an earlier send of the key has no known answer.
    `lost`: the answer to an earlier message of this verification was; where the provider says that
    one is under way, that is it.
    """
    known = ledger.claim(request.key)
    if known is not None:
        if known.verification_id is None:
            raise DeliveryError(provider.name, Reason.IN_PROGRESS)
        return Sent(known.verification_id)
    try:
        sent = provider.send(request)
    except (DeliveryError, InputError) as error:
        if lost and isinstance(error, DeliveryError) and error.verification_id is not None:
            ledger.settle(request.key, error.verification_id)
            return Sent(error.verification_id)
        # what is wrong with the request itself was found before anything was sent
        if isinstance(error, InputError) or not error.maybe_sent:
            ledger.release(request.key)
        raise
    ledger.settle(request.key, sent.verification_id)
    return sent
