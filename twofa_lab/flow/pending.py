"""What an open challenge must still know when it is answered; sealed while it waits.

It holds a phone number, and a code that fallback channels must still be able to carry, so the store
keeps it only as AES-GCM ciphertext bound to the account; the code itself is *checked* against a
keyed hash, and the whole is dropped once the challenge is over.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from twofa_lab.delivery.dispatch import Delivery, SendRecord
from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.plan import PlanState
from twofa_lab.store.history import UNKNOWN, Origin
from twofa_lab.store.keyring import Keyring

__all__ = ["Pending"]

_FIELD = "challenges.context"


@dataclass(frozen=True, slots=True)
class Pending:
    """A login between its two steps (or a session's step-up; then most of it is unused).

    Times in ms UTC. `tried` are the factors offered before this one; `attempts`, `messages` and
    `microusd` what they came to. `approved` is a push that the phone said yes to.
    """

    started: int
    device: str = ""
    country: str = ""
    region: str = ""
    hour: int = 0
    own_device: bool = False
    bits: int = 0
    failures: int = 0
    score: float = 0.0
    decision: int = 1
    tried: tuple[str, ...] = ()
    attempts: int = 0
    messages: int = 0
    microusd: int = 0
    approved: bool = False
    subject: str = ""
    origin: Origin = UNKNOWN
    delivery: Delivery | None = field(default=None, repr=False)

    def seal(self, keyring: Keyring, user_id: int) -> str:
        """As the store keeps it."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "delivery"}
        if self.delivery is not None:
            plain["delivery"] = _written(self.delivery)
        sealed = keyring.encrypt(json.dumps(plain).encode(), user_id, _FIELD)
        return base64.b64encode(sealed).decode()

    @classmethod
    def unseal(cls, keyring: Keyring, user_id: int, text: str | None) -> Self:
        """The inverse; `WorkError` when it was altered or moved from another account."""
        sealed = base64.b64decode(text or "")
        plain = json.loads(keyring.decrypt(sealed, user_id, _FIELD))
        delivery = plain.pop("delivery", None)
        plain["tried"] = tuple(plain["tried"])
        origin = _origin(*plain.pop("origin", ()))  # one begun before an upgrade has none
        return cls(**plain, origin=origin, delivery=None if delivery is None else _read(delivery))

    def after(self, factor: str, attempts: int) -> Self:
        """The same login moving on to another factor after this one."""
        sent = self.delivery.messages if self.delivery else 0
        return replace(
            self,
            tried=(*self.tried, factor),
            attempts=self.attempts + attempts,
            messages=self.messages + sent,
            approved=False,
            delivery=None,
        )


def _origin(
    network: str = "", browser: str = "", place: list[float] | None = None, rtt_ms: int = 0
) -> Origin:
    return Origin(network, browser, None if place is None else (place[0], place[1]), rtt_ms)


def _written(delivery: Delivery) -> dict[str, Any]:
    plain = {name: getattr(delivery, name) for name in delivery.__slots__}
    plain["number"] = [getattr(delivery.number, name) for name in PhoneNumber.__slots__]
    plain["plan"] = asdict(delivery.plan)
    plain["records"] = [[r.channel, r.at_ds, r.result] for r in delivery.records]
    return plain


def _read(plain: dict[str, Any]) -> Delivery:
    plan = {**plain["plan"], "channels": tuple(plain["plan"]["channels"])}
    return Delivery(
        **{
            **plain,
            "number": PhoneNumber(*plain["number"]),
            "plan": PlanState(**plan),
            "verification_ids": tuple(plain["verification_ids"]),
            "records": tuple(SendRecord(*record) for record in plain["records"]),
        }
    )
