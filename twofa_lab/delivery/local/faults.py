"""Faults the local provider can be told to have, so that an outage can be rehearsed.

A fault is written `NAME[:TIMES][@OPERATION]`: `429:2@send` refuses the next two sends,
`slow-drip` drips every answer. Operations: send, check, cancel, token, sim-swap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

from twofa_lab.errors import InputError

__all__ = ["FAULTS", "Fault", "FaultInjector", "parse_fault"]

FAULTS = {
    "429": "refuse with 429 and Retry-After; nothing is sent",
    "5xx": "fail with 503 before anything is done",
    "5xx-after-send": "do the work, then fail with 503",
    "timeout-after-send": "do the work, then never answer",
    "slow-drip": "do the work, then send the body a byte at a time",
    "slow-headers": "do the work, then send the headers a byte at a time",
    "malformed-json": "do the work, then cut the JSON short",
    "oversized-json": "do the work, then answer with megabytes of JSON",
    "redirect": "redirect to another host",
    "webhook-twice": "send every webhook twice",
    "webhook-out-of-order": "hold every webhook back until the one after it was sent",
    "webhook-forged": "before every webhook send a forged one that says the code was right",
}
"""What each fault does. Those after "do the work" are where a blind retry would pay twice."""

OPERATIONS = ("send", "check", "cancel", "token", "sim-swap")
_FAULT = re.compile(r"([a-z0-9-]+)(?::([1-9][0-9]{0,5}))?(?:@([a-z-]+))?")


@dataclass(slots=True)
class Fault:
    """A fault, how often it still strikes (None: always), at which operation (None: any)."""

    name: str
    times: int | None = None
    operation: str | None = None


def parse_fault(text: str) -> Fault:
    """Read `NAME[:TIMES][@OPERATION]`; `InputError` names what there is.

    >>> parse_fault("429:2@send")
    Fault(name='429', times=2, operation='send')
    """
    match = _FAULT.fullmatch(text)
    name, times, operation = match.groups() if match else (text, None, None)
    if name not in FAULTS:
        raise InputError(f"no fault {name!r}: name one of {', '.join(FAULTS)}")
    if operation is not None and operation not in OPERATIONS:
        raise InputError(f"no operation {operation!r}: name one of {', '.join(OPERATIONS)}")
    return Fault(name, int(times) if times else None, operation)


class FaultInjector:
    """Hands out the faults set, each as often as it was asked for. Safe between threads."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = Lock()
        self._faults = list(faults)

    def set(self, *faults: Fault) -> None:
        """Replace all faults; none: behave."""
        with self._lock:
            self._faults = list(faults)

    def strike(self, operation: str) -> str | None:
        """The fault to have at this call of an API, or None."""
        names = [name for name in FAULTS if not name.startswith("webhook-")]
        return self._take(names, operation)

    def strike_webhook(self, name: str) -> bool:
        """Whether the webhook fault of that name is to be had now."""
        return self._take([name], None) is not None

    def _take(self, names: Iterable[str], operation: str | None) -> str | None:
        with self._lock:
            for fault in self._faults:
                if fault.name not in names or fault.operation not in (None, operation):
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._faults.remove(fault)
                return fault.name
        return None
