from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

import pytest

from twofa_lab.delivery.ledger import MemoryLedger, send_once
from twofa_lab.delivery.phone import PhoneNumber
from twofa_lab.delivery.providers.base import (
    Checked,
    DeliveryError,
    Outcome,
    Reason,
    SendRequest,
    Sent,
    Supports,
)
from twofa_lab.errors import InputError

SUPPORTS = Supports(
    frozenset(("sms",)),
    native_fallback=False,
    own_code=True,
    one_code=True,
    cancel=True,
    code_lengths=range(4, 11),
)


@dataclass
class Counting:
    """A provider that counts its sends, and fails them as told."""

    errors: list[Exception] = field(default_factory=list)
    sends: int = 0
    name: str = "counting"
    supports: Supports = SUPPORTS
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def send(self, request: SendRequest) -> Sent:
        self.sends += 1
        if self.errors:
            raise self.errors.pop(0)
        return Sent(f"v{next(self.numbers)}")

    def check(self, verification_id: str, code: str) -> Checked:
        return Checked(Outcome.GONE)

    def cancel(self, verification_id: str) -> None: ...


def request(number: PhoneNumber, key: str = "login-1/0") -> SendRequest:
    return SendRequest(number, "sms", key)


def test_a_key_is_sent_once_and_keeps_its_id(mobile: PhoneNumber) -> None:
    provider, ledger = Counting(), MemoryLedger()
    first = send_once(provider, ledger, request(mobile))
    assert send_once(provider, ledger, request(mobile)) == first
    assert provider.sends == 1
    assert send_once(provider, ledger, request(mobile, "login-1/1")) != first


def test_fifty_threads_with_one_key_send_once(mobile: PhoneNumber) -> None:
    provider, ledger = Counting(), MemoryLedger()

    def attempt(_: int) -> str:
        try:
            return send_once(provider, ledger, request(mobile)).verification_id
        except DeliveryError as error:
            return error.reason.name

    with ThreadPoolExecutor(50) as pool:
        answers = set(pool.map(attempt, range(200)))
    assert provider.sends == 1
    assert answers <= {"v1", "IN_PROGRESS"}
    assert "v1" in answers


@pytest.mark.parametrize("reason", list(Reason))
def test_only_a_send_that_certainly_failed_may_be_tried_again(
    mobile: PhoneNumber, reason: Reason
) -> None:
    provider, ledger = Counting([DeliveryError("counting", reason)]), MemoryLedger()
    with pytest.raises(DeliveryError) as failed:
        send_once(provider, ledger, request(mobile))
    if failed.value.maybe_sent:
        with pytest.raises(DeliveryError) as again:
            send_once(provider, ledger, request(mobile))
        assert again.value.reason is Reason.IN_PROGRESS
        assert provider.sends == 1
    else:
        assert send_once(provider, ledger, request(mobile)).verification_id == "v1"
        assert provider.sends == 2


def test_a_request_found_wrong_before_sending_frees_its_key(mobile: PhoneNumber) -> None:
    provider, ledger = Counting([InputError("a code has 4 to 8 digits")]), MemoryLedger()
    with pytest.raises(InputError):
        send_once(provider, ledger, request(mobile))
    assert send_once(provider, ledger, request(mobile)).verification_id == "v1"


def test_a_crash_in_between_keeps_the_key_claimed(mobile: PhoneNumber) -> None:
    provider, ledger = Counting([RuntimeError("killed")]), MemoryLedger()
    with pytest.raises(RuntimeError):
        send_once(provider, ledger, request(mobile))
    with pytest.raises(DeliveryError, match="not sent again"):
        send_once(provider, ledger, request(mobile))
