"""The stage: a whole service, the same every time, and nothing that leaves."""

from __future__ import annotations

import pytest

from twofa_lab.errors import WorkError
from twofa_lab.flow.answer import answer
from twofa_lab.flow.codes_due import advance
from twofa_lab.flow.rehearsal import MONDAY, Rehearsal
from twofa_lab.flow.sign_up import SignUp, begin_sign_up, verify_phone
from twofa_lab.flow.step import Step
from twofa_lab.risk.policy import Policy

NUMBER = "+447400123456"


def asked(stage: Rehearsal) -> Step:
    return begin_sign_up(stage.flow, SignUp("ann", NUMBER, "correct horse"))


def test_the_same_seed_gives_the_same_codes() -> None:
    codes = []
    for seed in (1, 1, 2):
        stage = Rehearsal.open(Policy.risk_based(), seed)
        stage.reach(NUMBER, whatsapp=1.0)
        asked(stage)
        stage.wait(seconds=1)
        codes.append(stage.read(NUMBER))
    assert codes[0] == codes[1] != codes[2]


def test_a_phone_is_empty_until_a_message_arrives() -> None:
    stage = Rehearsal.open(Policy.risk_based())
    stage.reach(NUMBER, whatsapp=None, sms=2.0)
    step = asked(stage)
    stage.report(NUMBER)
    assert step.ask is not None
    assert stage.until(step.ask.next_send_ms) == MONDAY + 30_000
    assert step.ticket is not None
    advance(stage.flow, step.ticket)
    with pytest.raises(WorkError, match="no message has arrived"):
        stage.read(NUMBER)
    stage.wait(seconds=2)
    assert verify_phone(stage.flow, step.ticket, stage.read(NUMBER)).status == "signed_in"
    assert answer(stage.flow, step.ticket, "123456").status == "refused"


def test_nothing_due_is_nothing_to_wait_for() -> None:
    with pytest.raises(WorkError, match="nothing is due"):
        Rehearsal.open(Policy.universal()).until(None)
