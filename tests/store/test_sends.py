"""A send is claimed once and durably, a webhook counts once, whoever asks at the same time."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count

import pytest
from sqlalchemy import Engine, func, select, text

from twofa_lab.delivery.ledger import send_once
from twofa_lab.delivery.phone import parse
from twofa_lab.delivery.providers.base import (
    Checked,
    DeliveryError,
    Outcome,
    Reason,
    SendRequest,
    Sent,
    Supports,
)
from twofa_lab.delivery.webhooks import WebhookError, read_twilio, twilio_signature
from twofa_lab.errors import WorkError
from twofa_lab.store.engine import connect, read, write
from twofa_lab.store.schema import seen_webhooks, send_claims
from twofa_lab.store.sends import Claim, SqlLedger, SqlSeen
from twofa_lab.store.support import tidy

REQUEST = SendRequest(parse("+447400123456"), "sms", "login-1/0")
THREADS = 50
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
    name: str = "counting"
    supports: Supports = SUPPORTS
    sends: int = 0
    numbers: count[int] = field(default_factory=lambda: count(1))

    def send(self, request: SendRequest) -> Sent:
        self.sends += 1
        if self.errors:
            raise self.errors.pop(0)
        return Sent(f"v{next(self.numbers)}")

    def check(self, verification_id: str, code: str) -> Checked:
        return Checked(Outcome.GONE)

    def cancel(self, verification_id: str) -> None: ...


@pytest.fixture
def ledger(engine: Engine, now: int) -> SqlLedger:
    return SqlLedger(engine, lambda: now)


def test_life_of_a_claim(ledger: SqlLedger) -> None:
    assert ledger.claim("a") is None
    assert ledger.claim("b") is None
    assert ledger.claim("a") == Claim(None)
    ledger.settle("a", "v1")
    assert [ledger.claim("a"), ledger.claim("b")] == [Claim("v1"), Claim(None)]
    ledger.release("b")
    assert ledger.claim("b") is None


def test_what_was_answered_stays_as_it_is(ledger: SqlLedger) -> None:
    ledger.claim("a")
    ledger.settle("a", "v1")
    ledger.settle("a", "v2")
    ledger.release("a")
    assert ledger.claim("a") == Claim("v1")


def test_one_key_in_fifty_threads_is_sent_once(engine: Engine, ledger: SqlLedger) -> None:
    provider = Counting()

    def attempt(_: int) -> str:
        try:
            return send_once(provider, ledger, REQUEST).verification_id
        except DeliveryError as error:
            return error.reason.name

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(attempt, range(THREADS)))
    print(f"{engine.dialect.name}: {len(answers)} tried, {provider.sends} sent")  # noqa: T201 - a count to see
    assert provider.sends == 1
    assert set(answers) <= {"v1", "IN_PROGRESS"}
    assert ledger.claim(REQUEST.key) == Claim("v1")
    with read(engine) as c:
        assert c.execute(select(send_claims.c.claims)).scalars().all() == [THREADS + 1]


@pytest.mark.parametrize("reason", list(Reason))
def test_only_a_send_that_certainly_failed_may_be_tried_again(
    ledger: SqlLedger, reason: Reason
) -> None:
    failed = DeliveryError("counting", reason)
    provider = Counting([failed])
    with pytest.raises(DeliveryError):
        send_once(provider, ledger, REQUEST)
    assert ledger.claim(REQUEST.key) == (Claim(None) if failed.maybe_sent else None)


def test_a_claim_outlives_its_process(sqlite_engine: Engine, now: int) -> None:
    """Killed during the call: after the restart nothing is sent a second time."""
    with pytest.raises(RuntimeError):
        send_once(
            Counting([RuntimeError("killed")]), SqlLedger(sqlite_engine, lambda: now), REQUEST
        )
    path = str(sqlite_engine.url.database).removeprefix("file://")
    again, provider = connect(path), Counting()
    with pytest.raises(DeliveryError, match="not sent again"):
        send_once(provider, SqlLedger(again, lambda: now + 1), REQUEST)
    assert provider.sends == 0
    again.dispose()


def test_nothing_is_sent_that_cannot_be_claimed(sqlite_engine: Engine, now: int) -> None:
    provider = Counting()
    with write(sqlite_engine) as c:
        c.execute(text("drop table send_claims"))
    with pytest.raises(WorkError, match="has no tables"):
        send_once(provider, SqlLedger(sqlite_engine, lambda: now), REQUEST)
    assert provider.sends == 0


def test_a_webhook_counts_once_and_only_when_its_work_was_done(engine: Engine, now: int) -> None:
    with read(engine) as c:  # never commits
        assert SqlSeen(c, now).add("vonage:1")
    for wanted in (True, False):
        with write(engine) as c:
            assert SqlSeen(c, now).add("vonage:1") == wanted


def test_one_webhook_in_fifty_threads_counts_once(engine: Engine, now: int) -> None:
    def receive(_: int) -> bool:
        with write(engine) as c:
            return SqlSeen(c, now).add("twilio:1")

    with ThreadPoolExecutor(THREADS) as pool:
        won = list(pool.map(receive, range(THREADS)))
    print(f"{engine.dialect.name}: {len(won)} came, {sum(won)} counted")  # noqa: T201 - a count to see
    assert (len(won), sum(won)) == (THREADS, 1)


def test_a_signed_webhook_that_comes_twice_says_nothing_new(engine: Engine, now: int) -> None:
    event = {
        "type": "com.twilio.accountsecurity.verify.verification.approved",
        "id": "NO1",
        "data": {"verification_sid": "VE1", "verification_status": "APPROVED"},
    }
    body = json.dumps([event]).encode()
    url = f"https://example.org/hook?bodySHA256={hashlib.sha256(body).hexdigest()}"

    def receive(signature: str) -> int:
        with write(engine) as c:
            seen = SqlSeen(c, now)
            return len(read_twilio(url, signature, body, auth_token="key", seen=seen))  # noqa: S106 - a test's

    with pytest.raises(WebhookError):
        receive("forged")
    assert [receive(twilio_signature("key", url)) for _ in range(3)] == [1, 0, 0]


def test_tidying_forgets_old_claims_and_webhooks(engine: Engine, now: int) -> None:
    for at in (now - 1, now):
        SqlLedger(engine, lambda at=at: at).claim(f"send {at}")
        with write(engine) as c:
            SqlSeen(c, at).add(f"webhook {at}")
    with write(engine) as c:
        assert tidy(c, now) == 2
        for table in (send_claims, seen_webhooks):
            assert c.execute(select(func.count()).select_from(table)).scalar_one() == 1
