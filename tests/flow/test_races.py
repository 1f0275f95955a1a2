"""Many hands, one winner, through the whole flow: 50 threads on SQLite (a file) and PostgreSQL.

Each test prints how many tried and what came of it (`pytest -s` shows it).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flow.conftest import _emptied
from tests.flow.entering import (
    APP,
    PUSH_SECRET,
    SEED,
    approve,
    asked,
    challenge_of,
    give_recovery_codes,
    key_of,
    under,
)
from tests.flow.lab import ORIGIN, PHONE, SECOND, Lab, make_lab
from tests.flow.people import ANN, account_of, ann, another
from tests.flow.test_trust import TRUSTING
from twofa_lab.factors.soft_authenticator import SoftAuthenticator
from twofa_lab.flow.answer import answer
from twofa_lab.flow.codes_due import advance, resend
from twofa_lab.flow.step import Step
from twofa_lab.store.authenticators import authenticators_of, recovery_codes_left
from twofa_lab.store.devices import trusted_devices_of
from twofa_lab.store.engine import connect, read
from twofa_lab.store.migrations import upgrade

THREADS = 50


@pytest.fixture(params=["sqlite", "postgresql"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    if request.param == "postgresql":
        yield make_lab(_emptied(request.getfixturevalue("_postgresql")))
        return
    engine = connect(str(tmp_path / "store.db"), create=True, busy_timeout_ms=30_000)
    upgrade(engine)
    yield make_lab(engine)
    engine.dispose()


def race(lab: Lab, act: Callable[[int], Step], threads: int = THREADS) -> Counter[str]:
    """Let all go at once; what their steps came to."""
    start = threading.Barrier(threads)

    def run(number: int) -> str:
        start.wait()
        return act(number).status

    with ThreadPoolExecutor(threads) as pool:
        came = Counter(pool.map(run, range(threads)))
    print(f"{lab.flow.engine.dialect.name}: {came.total()} tried, {dict(came)}")  # noqa: T201
    assert lab.audit_holds()
    return came


def sessions_of(lab: Lab) -> int:
    with read(lab.flow.engine) as c:
        return int(c.exec_driver_sql("select count(*) from sessions").scalar_one())


def test_one_code_one_session(lab: Lab) -> None:
    ann(lab)
    ticket, _ = asked(lab.strange_login())
    code = lab.code(PHONE)
    came = race(lab, lambda _n: answer(lab.flow, ticket, code))
    assert came == {"signed_in": 1, "refused": THREADS - 1}
    assert sessions_of(lab) == 1
    assert account_of(lab).factor_failures == 0
    assert challenge_of(lab, ticket).attempts == 1


def test_one_recovery_code_one_session_over_many_challenges(lab: Lab) -> None:
    ann(lab, totp=SEED, otp=False)
    lab = under(lab)
    codes = give_recovery_codes(lab)
    tickets = [asked(lab.login())[0] for _ in range(THREADS)]
    came = race(lab, lambda n: answer(lab.flow, tickets[n], codes[0]))
    assert came["signed_in"] == sessions_of(lab) == 1
    with read(lab.flow.engine) as c:
        assert recovery_codes_left(c, ANN) == 9
    lab.wait(3600 * SECOND)
    assert answer(lab.flow, asked(lab.login())[0], codes[1]).status == "signed_in"


def test_one_app_step_one_session_over_many_challenges(lab: Lab) -> None:
    ann(lab, totp=SEED, otp=False)
    lab = under(lab)
    tickets = [asked(lab.login())[0] for _ in range(THREADS)]
    code = lab.shown(APP)
    came = race(lab, lambda n: answer(lab.flow, tickets[n], code))
    assert came["signed_in"] == sessions_of(lab) == 1


@pytest.mark.parametrize("synced", [True, False])
def test_one_passkey_challenge_one_session(lab: Lab, synced: bool) -> None:
    device = SoftAuthenticator(synced=synced)
    ann(lab, otp=False, keys=(key_of(lab, device),))
    lab = under(lab)
    ticket, page = asked(lab.login())
    response = device.authenticate(page.options, ORIGIN)
    came = race(lab, lambda _n: answer(lab.flow, ticket, response))
    assert came == {"signed_in": 1, "refused": THREADS - 1}
    assert sessions_of(lab) == 1


def test_one_approval_one_session(lab: Lab) -> None:
    ann(lab, push=PUSH_SECRET, otp=False)
    lab = under(lab)
    ticket, page = asked(lab.login())
    assert approve(lab, ticket, page.number) == "approved"
    came = race(lab, lambda _n: answer(lab.flow, ticket, ""))
    assert came == {"signed_in": 1, "refused": THREADS - 1}


def test_one_device_token_lets_in_once_and_its_copies_kill_the_series(lab: Lab) -> None:
    ann(lab, totp=SEED, otp=False)
    lab = lab.with_rules(policy=TRUSTING)
    ticket, _ = asked(lab.login())
    token = answer(lab.flow, ticket, lab.shown(APP), trust_device=True).device_token or ""
    before = sessions_of(lab)
    came = race(lab, lambda _n: lab.login(device_token=token))
    assert came == {"signed_in": 1, "asked": THREADS - 1}
    assert sessions_of(lab) == before + 1
    with read(lab.flow.engine) as c:
        assert trusted_devices_of(c, ANN, lab.now) == []
    assert len(lab.events("device_revoked")) == 1


def test_a_thousand_parallel_guesses_never_pass_a_limit(lab: Lab) -> None:
    """Over twenty sessions with the next channel and resends in between: five a challenge at most,
    ten for the account before codes wait, no session."""
    ann(lab, whatsapp=True)
    lab = lab.with_rules(rules=replace(lab.flow.rules, send_limits=None, pumping=None))
    tickets = [asked(lab.strange_login())[0] for _ in range(20)]
    lab.wait(30 * SECOND)
    for ticket in tickets[::2]:
        advance(lab.flow, ticket)
    lab.wait(5 * SECOND)
    codes = {message.code for message in lab.exchange.inbox(lab.reachable(PHONE))}
    wrong = next(code for code in ("000000", "111111", "222222") if code not in codes)

    def guesses(number: int) -> Counter[str]:
        came: Counter[str] = Counter()
        for k in range(50):
            ticket = tickets[(number + k) % len(tickets)]
            came[answer(lab.flow, ticket, wrong).status] += 1
            if k % 10 == 5:
                resend(lab.flow, ticket)
        return came

    with ThreadPoolExecutor(20) as pool:
        came = sum(pool.map(guesses, range(20)), Counter[str]())
    counted = [challenge_of(lab, ticket).attempts for ticket in tickets]
    print(  # noqa: T201 - counts to see
        f"{lab.flow.engine.dialect.name}: {came.total()} guesses over {len(tickets)} sessions and "
        f"{lab.exchange.messages_sent} messages: {dict(came)}, {sum(counted)} counted"
    )
    assert came.total() == 1_000
    assert max(counted) <= 5
    assert sum(counted) == account_of(lab).factor_failures == 10
    assert sessions_of(lab) == 0
    assert lab.audit_holds()
    assert answer(lab.flow, tickets[0], next(iter(codes))).status == "refused"


def test_the_lock_holds_over_parallel_challenges(lab: Lab) -> None:
    """Where nothing waits, the hard stop at a hundred is what holds: not one code more is checked,
    by the account or by its app."""
    ann(lab, totp=SEED, otp=False)
    limits = under(lab).flow.policy.limits.model_copy(update={"throttle_after": 100})
    lab = under(lab, limits=limits)
    tickets = [asked(lab.login())[0] for _ in range(30)]
    wrong = another(lab.shown(APP))

    def guesses(number: int) -> None:
        for k in range(10):
            answer(lab.flow, tickets[(number * 7 + k) % len(tickets)], wrong)

    with ThreadPoolExecutor(30) as pool:
        list(pool.map(guesses, range(30)))
    counted = [challenge_of(lab, ticket).attempts for ticket in tickets]
    print(f"{lab.flow.engine.dialect.name}: 300 guesses, {sum(counted)} counted")  # noqa: T201
    with read(lab.flow.engine) as c:
        (app,) = authenticators_of(c, ANN)
    assert max(counted) <= 5
    assert sum(counted) == account_of(lab).factor_failures == app.consecutive_failures == 100
    assert sessions_of(lab) == 0
    assert lab.login().record.outcome == "locked"


def test_parallel_wrong_passwords_come_to_wait(lab: Lab) -> None:
    """No more are looked at than are free, however many are tried at once."""
    ann(lab)
    came = race(lab, lambda _n: lab.login(password="a wrong horse"))  # noqa: S106
    assert came == {"refused": 10, "wait": THREADS - 10}
    assert account_of(lab).stranger_failures == 10
