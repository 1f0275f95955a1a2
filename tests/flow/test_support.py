"""Support: two people, once, within a day, nothing secret, and the owner hears of it."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.flow.lab import DAY, PASSWORD, PHONE, SECOND, Lab
from tests.flow.people import ANN, MAIL, account_of, ann, another, mailed, set_columns
from twofa_lab.errors import InputError
from twofa_lab.flow import sessions, support
from twofa_lab.flow.answer import answer
from twofa_lab.flow.notices import NOTICES
from twofa_lab.flow.password_reset import begin_reset, finish_reset
from twofa_lab.flow.recovery import (
    answer_second_proof,
    ask_second_proof,
    begin_recovery,
    finish_recovery,
    prove,
)
from twofa_lab.flow.sessions import Proof, open_session
from twofa_lab.flow.support import approve, hold, perform, request
from twofa_lab.store.authenticators import authenticators_of
from twofa_lab.store.engine import read, write
from twofa_lab.store.support import approval

IP = "192.0.2.1"
NEW = "a better horse"


def asked(lab: Lab, action: str = "unlock", **changed: Any) -> int:
    plain = {"reason": "locked_out", "evidence": "document_by_video", "case": "C-1042"}
    return request(lab.flow, "agent.one", ANN, action, **{**plain, **changed})  # type: ignore[arg-type]


def approved(lab: Lab, action: str = "unlock") -> int:
    number = asked(lab, action)
    assert approve(lab.flow, "agent.two", number)
    return number


def session_of(lab: Lab) -> str:
    with write(lab.flow.engine) as c:
        return open_session(lab.flow, c, ANN, Proof(2, ("pwd", "otp", "mfa")), "", lab.now)


def locked_out(lab: Lab) -> None:
    set_columns(lab, factor_failures=100, factor_wait_until=lab.now + 3_600_000)


def test_two_people_unlock_an_account_after_a_hundred_failures(both: Lab) -> None:
    lab = both
    ann(lab)
    locked_out(lab)
    assert lab.login().record.outcome == "locked"
    number = asked(lab)
    with pytest.raises(InputError, match="not approved"):
        perform(lab.flow, "agent.one", number)
    assert approve(lab.flow, "agent.two", number)
    assert perform(lab.flow, "agent.one", number) == "unlock"
    step = lab.login(device="new")
    assert step.status == "asked", "the factor is the one it was, and is asked for"
    assert step.ticket is not None
    assert answer(lab.flow, step.ticket, lab.code(PHONE)).status == "signed_in"
    for kind in ("support_requested", "support_unlocked"):
        assert [letter.to for letter in lab.notices(kind)] == [MAIL, PHONE]
    said = [detail for _, detail in lab.events("support")]
    assert ['"what":"requested"' in said[0], '"what":"approved"' in said[1]] == [True, True]
    assert '"what":"performed"' in said[2]
    assert lab.audit_holds()


@pytest.mark.parametrize("agent", ["agent.one", " Agent.ONE "])
def test_nobody_approves_their_own_request(lab: Lab, agent: str) -> None:
    ann(lab)
    number = asked(lab)
    assert not approve(lab.flow, agent, number)
    assert approve(lab.flow, "agent.two", number)
    assert not approve(lab.flow, "agent.three", number), "once is enough"
    assert not approve(lab.flow, "agent.two", 999)
    assert '"what":"not approved"' in lab.events("support")[1][1]


def test_an_approval_is_spent_once_by_one_of_the_two(lab: Lab) -> None:
    ann(lab)
    locked_out(lab)
    number = approved(lab)
    with pytest.raises(InputError, match="no such request"):
        perform(lab.flow, "agent.three", number)
    with pytest.raises(InputError, match="no such request"):
        perform(lab.flow, "agent.one", number + 1)
    assert perform(lab.flow, "agent.two", number) == "unlock"
    locked_out(lab)
    with pytest.raises(InputError, match="carried out"):
        perform(lab.flow, "agent.two", number)


def test_many_perform_at_once_and_one_does(threads: Lab) -> None:
    ann(threads)
    locked_out(threads)
    number, start = approved(threads), threading.Barrier(8)

    def act(_: int) -> str:
        start.wait()
        try:
            return perform(threads.flow, "agent.one", number)
        except InputError:
            return "refused"

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(act, range(8)))
    assert won.count("unlock") == 1


def test_a_request_lasts_a_day_to_approve_and_to_perform(lab: Lab) -> None:
    ann(lab)
    locked_out(lab)
    late = asked(lab)
    number = approved(lab)
    lab.wait(DAY)
    assert not approve(lab.flow, "agent.two", late)
    with pytest.raises(InputError, match="over a day"):
        perform(lab.flow, "agent.one", number)
    assert lab.login().record.outcome == "locked"


def test_what_does_not_fit_the_account_is_refused_and_not_spent(lab: Lab) -> None:
    ann(lab)
    number = approved(lab)
    with pytest.raises(InputError, match="not locked"):
        perform(lab.flow, "agent.one", number)
    locked_out(lab)
    with lab.flow.engine.begin() as c:
        c.exec_driver_sql("update authenticators set disabled_at = 1")
    with pytest.raises(InputError, match="request recover"):
        perform(lab.flow, "agent.one", number)
    with read(lab.flow.engine) as connection:
        found = approval(connection, number)
    assert found is not None
    assert found.used_at is None


@pytest.mark.parametrize(
    "changed",
    [
        {"reason": "her password is hunter2"},
        {"evidence": "mother's maiden name"},
        {"action": "set_password"},
        {"case": "+44 7400 123456"},
        {"case": ""},
    ],
)
def test_only_what_is_enumerated_is_recorded(lab: Lab, changed: dict[str, str]) -> None:
    ann(lab)
    with pytest.raises(InputError):
        asked(lab, **changed)
    assert lab.events("support") == []


@pytest.mark.parametrize("status", ["pending", "closed"])
def test_there_must_be_an_account_in_use(lab: Lab, status: str) -> None:
    ann(lab)
    set_columns(lab, status=status)
    with pytest.raises(InputError, match="no such account"):
        asked(lab)
    with pytest.raises(InputError, match="no such account"):
        hold(lab.flow, "agent.one", 999, case="C-1")


def recovering(lab: Lab) -> str:
    """Support has proofed Ann, and she has begun to recover; her request."""
    perform(lab.flow, "agent.one", approved(lab, "recover"))
    lab.wait(SECOND)
    return begin_recovery(lab.flow, "ann", ip=IP)


def by_email(lab: Lab, begun: str) -> str:
    reply = prove(lab.flow, begun, "email", mailed(lab, "recovery_code"))
    assert reply.request is not None
    return reply.request


def test_support_and_one_code_recover_an_account(both: Lab) -> None:
    lab = both
    ann(lab)
    session = session_of(lab)
    begun = recovering(lab)
    with read(lab.flow.engine) as c:
        assert all(one.disabled_at is not None for one in authenticators_of(c, ANN))
    assert sessions.check(lab.flow, session) is None
    assert lab.notices("support_recovery")
    assert finish_recovery(lab.flow, begun, NEW).reply.status == "refused", "support alone is one"
    done = finish_recovery(lab.flow, by_email(lab, begun), NEW)
    assert (done.reply.status, account_of(lab).status) == ("done", "recovery")
    lab.wait(SECOND)
    again = by_email(lab, begin_recovery(lab.flow, "ann", ip=IP))
    assert finish_recovery(lab.flow, again, NEW).reply.status == "refused", "its proof is spent"


def test_support_and_the_phone_recover_an_account_without_a_mailbox(lab: Lab) -> None:
    ann(lab)
    begun = recovering(lab)
    step = ask_second_proof(lab.flow, begun, "phone", ip=IP)
    assert step.ticket is not None
    reply = answer_second_proof(lab.flow, begun, step.ticket, lab.code(PHONE))
    assert reply.request is not None
    assert finish_recovery(lab.flow, reply.request, NEW).reply.status == "done"


def test_until_then_neither_password_nor_mailbox_opens_the_account(lab: Lab) -> None:
    ann(lab)
    recovering(lab)
    assert lab.login().record.outcome == "wrong_password", "the old one is void"
    assert lab.login(password="").record.outcome == "wrong_password"
    sent = len(lab.outbox.letters)
    assert finish_reset(lab.flow, begin_reset(lab.flow, "ann"), "123456", NEW).status == "refused"
    assert len(lab.outbox.letters) == sent


def test_supports_proof_lasts_a_day(lab: Lab) -> None:
    ann(lab)
    recovering(lab)
    lab.wait(DAY)
    late = by_email(lab, begin_recovery(lab.flow, "ann", ip=IP))
    assert finish_recovery(lab.flow, late, NEW).reply.status == "refused"


def test_not_me_stops_everything_at_once(lab: Lab) -> None:
    ann(lab)
    begun = recovering(lab)
    request_of_thief = by_email(lab, begun)
    assert hold(lab.flow, "agent.three", ANN, case="C-1043")
    assert finish_recovery(lab.flow, request_of_thief, NEW).reply.status == "refused"
    assert lab.notices("held")
    assert not hold(lab.flow, "agent.three", ANN, case="C-1043")
    number = asked(lab, "unlock")
    assert approve(lab.flow, "agent.two", number)
    with pytest.raises(InputError, match="request recover"):
        perform(lab.flow, "agent.one", number)
    begun = recovering(lab)
    assert finish_recovery(lab.flow, by_email(lab, begun), NEW).reply.status == "done"


def test_a_hold_is_lifted_by_two(lab: Lab) -> None:
    ann(lab)
    session = session_of(lab)
    parked = lab.login()
    assert parked.ticket is not None
    assert hold(lab.flow, "agent.one", ANN, case="C-1")
    assert sessions.check(lab.flow, session) is None
    assert answer(lab.flow, parked.ticket, lab.code(PHONE)).status == "refused"
    assert lab.login().record.outcome == "locked"
    perform(lab.flow, "agent.one", approved(lab))
    assert lab.login(password=PASSWORD, device="x").status == "asked"


def test_unlocking_opens_resets_at_their_hard_stop(lab: Lab) -> None:
    ann(lab)
    limits = lab.flow.policy.limits.model_copy(update={"throttle_after": 100, "lock_after": 5})
    lab = lab.with_rules(policy=lab.flow.policy.model_copy(update={"limits": limits}))
    begun = begin_reset(lab.flow, "ann")
    for _ in range(5):
        finish_reset(lab.flow, begun, another(mailed(lab, "reset_code")), NEW)
    set_columns(lab, factor_failures=5)
    perform(lab.flow, "agent.one", approved(lab))
    begun = begin_reset(lab.flow, "ann")
    assert finish_reset(lab.flow, begun, mailed(lab, "reset_code"), NEW).status == "done"


def test_the_runbook_names_what_the_code_takes() -> None:
    text = (Path(__file__).parents[2] / "docs" / "support-runbook.md").read_text(encoding="utf-8")
    for word in (*get_args(support.Action), *get_args(support.Reason), *get_args(support.Evidence)):
        assert f"`{word}`" in text, f"the runbook does not tell of {word}"
    called = set(re.findall(r"support\.(\w+)\(", text))
    assert called == {"request", "approve", "perform", "hold"} <= set(support.__all__)
    told = (NOTICES[kind] for kind in ("support_requested", "support_unlocked", "support_recovery"))
    plain = " ".join(text.split())
    assert all(words in plain for words in told)
