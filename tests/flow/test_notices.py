"""Notices: to every validated address, after the commit, and never a word to an attacker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.flow.lab import HOUR, NOW, PASSWORD, PASSWORDS, PHONE, Lab, RecordingOutbox
from twofa_lab.flow.answer import answer
from twofa_lab.flow.importing import Import, import_accounts
from twofa_lab.flow.login import Request, begin
from twofa_lab.flow.notices import NOTICES, alarm, mask_email, tell
from twofa_lab.flow.push_answers import proof_of_app, push_answer
from twofa_lab.flow.service import Flow
from twofa_lab.flow.step import Step
from twofa_lab.store import accounts, support
from twofa_lab.store.audit import Event
from twofa_lab.store.engine import read, write
from twofa_lab.store.support import notices_of

EMAIL = "ann@example.com"
PUSH = b"p" * 32


def import_ann(lab: Lab, **changed: object) -> None:
    ann = Import(5, "ann", PASSWORDS.hash(PASSWORD), NOW - 1, PHONE, email=EMAIL, otp=True)
    import_accounts(lab.flow, [replace(ann, **changed)])  # type: ignore[arg-type]


def fail(lab: Lab) -> Step:
    """Somebody with the password types five wrong codes."""
    step = lab.strange_login()
    code = lab.code(PHONE)
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for _ in range(5):
        done = answer(lab.flow, step.ticket, wrong)
    return done


def told(lab: Lab, kind: str) -> list[tuple[str, str]]:
    return [(letter.channel, letter.to) for letter in lab.notices(kind)]


EVERYWHERE = [("email", EMAIL), ("sms", PHONE)]


def test_a_failed_challenge_is_told_everywhere_masked_in_the_store(both: Lab) -> None:
    import_ann(both)
    assert fail(both).status == "refused"
    assert told(both, "challenge_failed") == EVERYWHERE
    with read(both.flow.engine) as c:
        kept = [(one.kind, one.channel, one.masked_address) for one in notices_of(c, 5)]
    assert kept == [
        ("challenge_failed", "email", "a•••@example.com"),
        ("challenge_failed", "sms", "+44•••••••56"),
    ]
    assert len(both.events("notice")) == 2
    assert EMAIL not in repr(both.events())
    assert both.flow.rules.not_you in both.outbox.letters[0].text
    assert both.audit_holds()


def test_suspicion_is_told_once_an_hour(lab: Lab) -> None:
    import_ann(lab)
    fail(lab)
    lab.wait(10 * 60_000)
    fail(lab)
    assert told(lab, "challenge_failed") == EVERYWHERE
    lab.wait(HOUR)
    fail(lab)
    assert told(lab, "challenge_failed") == EVERYWHERE * 2


def test_a_denied_login_is_told_and_looks_like_a_wrong_password(lab: Lab) -> None:
    import_ann(lab)
    lab = lab.with_rules(policy=lab.flow.policy.model_copy(update={"deny_at": 0.5}))
    denied = lab.strange_login()
    assert denied.record.outcome == "denied"
    assert told(lab, "login_denied") == EVERYWHERE
    wrong = begin(lab.flow, Request("ann", "wrong horse", "elsewhere"))
    assert denied.public() == wrong.public()


def test_a_copied_token_of_trust_is_told(lab: Lab) -> None:
    import_ann(lab)
    step = lab.login()
    first = answer(lab.flow, step.ticket, lab.code(PHONE), trust_device=True).device_token
    assert first is not None
    assert lab.login(device_token=first).status == "signed_in"
    lab.login(device_token=first)
    assert told(lab, "device_copied") == EVERYWHERE


def test_a_locked_account_is_told_of_logins(lab: Lab) -> None:
    import_ann(lab)
    with write(lab.flow.engine) as c:
        accounts.set_status(c, 5, "locked", was="active")
    locked = lab.login()
    assert locked.record.outcome == "locked"
    assert told(lab, "locked") == EVERYWHERE
    assert locked.public() == begin(lab.flow, Request("nobody", PASSWORD, "x")).public()


@pytest.mark.parametrize("approved", [True, False])
def test_a_push_denied_or_answered_wrongly_is_told(lab: Lab, approved: bool) -> None:
    import_ann(lab, push=PUSH)
    step = lab.strange_login()
    assert step.ask is not None
    number = f"{(int(step.ask.number) + 1) % 10**6:06d}"
    request = lab.outbox.pushes[-1][1]
    proof = proof_of_app(PUSH, request, number, approved=approved)
    push_answer(lab.flow, request, number, proof, approved=approved)
    assert told(lab, "challenge_failed") == EVERYWHERE


def test_nothing_is_told_of_what_is_usual(lab: Lab) -> None:
    import_ann(lab)
    step = lab.login()
    answer(lab.flow, step.ticket, "000001")
    answer(lab.flow, step.ticket, lab.code(PHONE))
    begin(lab.flow, Request("ann", "wrong horse", "elsewhere"))
    lab.login()
    assert lab.outbox.letters == []
    assert lab.events("notice") == []


def test_an_answer_does_not_depend_on_whether_anybody_can_be_told(lab: Lab) -> None:
    import_ann(lab)
    reachable = fail(lab).public()
    with write(lab.flow.engine) as c:
        accounts.set_email(c, lab.flow.keyring, 5, None)
        accounts.set_phone(c, lab.flow.keyring, 5, None, line_type="mobile", whatsapp=False)
    lab.wait(HOUR)
    assert fail(lab).public() == reachable
    assert told(lab, "challenge_failed") == EVERYWHERE  # those of the first time


def test_a_landline_gets_no_text_message(lab: Lab) -> None:
    import_ann(lab, line_type="landline")
    with write(lab.flow.engine) as c:
        account = accounts.account(c, 5)
        assert account is not None
        letters, _ = tell(lab.flow, c, account, "recovered", lab.now)
    assert [letter.channel for letter in letters] == ["email"]


def test_a_number_that_was_never_verified_gets_none(lab: Lab) -> None:
    import_ann(lab)
    with write(lab.flow.engine) as c:
        accounts.set_status(c, 5, "pending", was="active")
        account = accounts.account(c, 5)
        assert account is not None
        letters, _ = tell(lab.flow, c, account, "recovered", lab.now)
    assert [letter.channel for letter in letters] == ["email"]


class Looking(RecordingOutbox):
    """An outbox that looks, from outside, whether the notice is written down when it leaves."""

    flow: Flow
    kept: int = -1

    def email(self, address: str, kind: str, text: str) -> None:
        with read(self.flow.engine) as c:
            self.kept = len(notices_of(c, 5))


def test_a_notice_leaves_after_the_commit(threads: Lab) -> None:
    looking = Looking()
    lab = threads.with_rules(outbox=looking)
    looking.flow = lab.flow
    import_ann(lab)
    fail(lab)
    assert looking.kept == 2


def test_what_is_rolled_back_is_not_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    import_ann(lab)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(support, "add_notice", broken)
    with pytest.raises(RuntimeError):
        fail(lab)
    assert lab.outbox.letters == []
    assert lab.events("notice") == []


def test_an_event_of_nobody_alarms_nobody(lab: Lab) -> None:
    events = [Event(lab.now, "outcome", None, {"outcome": "failed"})]
    events.append(Event(lab.now, "outcome", 404, {"outcome": "failed"}))
    with write(lab.flow.engine) as c:
        assert alarm(lab.flow, c, events) == []
    assert len(events) == 2


def test_every_notice_fits_two_text_messages_and_shows_no_label(lab: Lab) -> None:
    for words in NOTICES.values():
        assert len(f"{words} (codes to your phone). Not you? {lab.flow.rules.not_you}") <= 306
    assert mask_email("x") == "•••@x"
