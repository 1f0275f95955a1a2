"""The first step: what is asked for, what is refused, and that neither tells who has an account."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.flow.entering import WRONG, CountingPasswords, asked, under
from tests.flow.lab import DAY, HOUR, MINUTE, PASSWORD, PASSWORDS, PHONE, SECOND, Lab
from tests.flow.people import ANN, account_of, ann, set_columns
from twofa_lab.errors import InputError
from twofa_lab.flow.answer import answer, leave
from twofa_lab.flow.codes_due import advance, receipt
from twofa_lab.flow.login import login_name
from twofa_lab.flow.sessions import check
from twofa_lab.flow.step import Step
from twofa_lab.risk.policy import Policy
from twofa_lab.store.engine import read
from twofa_lab.store.history import load_history

BAD = "a wrong horse"


def familiar(lab: Lab) -> Lab:
    """Ann, who has logged in from here before."""
    ann(lab, whatsapp=True)
    ticket, _ = asked(lab.login())
    assert answer(lab.flow, ticket, lab.code(PHONE)).status == "signed_in"
    lab.wait(DAY)
    return lab


def outcomes(lab: Lab) -> list[str]:
    return [detail.split('"outcome":"')[1].split('"')[0] for _, detail in lab.events("outcome")]


def test_the_guides_eight_steps(both: Lab) -> None:
    """Password (1, 2), signals (3), let in below the threshold (4); above it a factor is asked for
    (5), delivered and typed (6), checked (7), and the login completed (8)."""
    lab = familiar(both)
    calm = lab.login()
    assert (calm.status, calm.record.decision, calm.record.outcome) == (
        "signed_in",
        "allow",
        "allowed",
    )
    risky = lab.strange_login()
    ticket, page = asked(risky)
    assert (risky.record.decision, risky.record.score) == ("challenge", 0.5)
    assert (page.factor, page.left, page.next_send_ms) == ("otp", 5, lab.now + 30 * SECOND)
    assert page.masked.endswith("56")
    assert PHONE not in str(risky.public())
    done = answer(lab.flow, ticket, lab.code(PHONE))
    assert (done.status, done.record.outcome, done.record.attempts) == ("signed_in", "verified", 1)
    assert (done.record.messages, done.record.microusd) == (1, 8_300)
    assert calm.session is not None
    assert done.session is not None
    levels = [check(lab.flow, session) for session in (calm.session, done.session)]
    assert [(state.user_id, state.aal) for state in levels if state] == [(ANN, 1), (ANN, 2)]
    wanted = ["login", "challenge", "send", "attempt", "outcome", "session"]
    assert [name for name, _ in lab.events()][-6:] == wanted
    assert lab.audit_holds()


def test_only_a_completed_login_enters_the_history(lab: Lab) -> None:
    familiar(lab)
    ticket, _ = asked(lab.login(device="never completed"))
    leave(lab.flow, ticket)
    lab.login(device="wrong", password=BAD)
    with read(lab.flow.engine) as c:
        past = load_history(c, ANN, 0)
    assert (past.completed_logins, set(past.devices)) == (1, {"cookie"})
    assert past.failed_at == (lab.now,)


def _wrong(lab: Lab) -> Step:
    return lab.login(password=BAD)


def _password_waits(lab: Lab) -> Step:
    set_columns(lab, own_device_wait_until=lab.now + 1)
    return lab.login()


def _code_waits(lab: Lab) -> Step:
    set_columns(lab, factor_wait_until=lab.now + 1)
    return lab.strange_login()


def _locked(lab: Lab) -> Step:
    set_columns(lab, factor_failures=100)
    return lab.login()


def _held(lab: Lab) -> Step:
    set_columns(lab, status="locked")
    return lab.login()


def _denied(lab: Lab) -> Step:
    denying = lab.with_rules(policy=Policy(name="denies", challenge_at=0.1, deny_at=0.4))
    return denying.strange_login()


def _too_many_messages(lab: Lab) -> Step:
    for _ in range(3):
        lab.strange_login()
    return lab.strange_login()


def _nothing_arrives(lab: Lab) -> Step:
    lab.reachable(PHONE, {})
    ticket, _ = asked(lab.strange_login())
    for channel in ("whatsapp", "sms", "voice"):
        verification = lab.exchange.newest(lab.reachable(PHONE, {}))
        assert verification is not None
        assert receipt(lab.flow, verification.verification_id, channel, arrived=False)
        lab.wait(30 * SECOND)
        step = advance(lab.flow, ticket)
    assert step.status == "asked"
    return leave(lab.flow, ticket)


def _left(lab: Lab) -> Step:
    ticket, _ = asked(lab.strange_login())
    return leave(lab.flow, ticket)


def _five_wrong(lab: Lab) -> Step:
    ticket, _ = asked(lab.strange_login())
    steps = [answer(lab.flow, ticket, WRONG) for _ in range(5)]
    assert [step.status for step in steps] == ["asked"] * 4 + ["refused"]
    return steps[-1]


def _too_late(lab: Lab) -> Step:
    ticket, _ = asked(lab.strange_login())
    code = lab.code(PHONE)
    lab.wait(10 * MINUTE - 5_000 + 1)
    return answer(lab.flow, ticket, code)


def _in_time(lab: Lab) -> Step:
    ticket, _ = asked(lab.strange_login())
    code = lab.code(PHONE)
    lab.wait(10 * MINUTE - 5_000)
    return answer(lab.flow, ticket, code)


@pytest.mark.parametrize(
    ("act", "status", "outcome"),
    [
        (_wrong, "refused", "wrong_password"),
        (_password_waits, "wait", "rate_limited"),
        (_code_waits, "wait", "rate_limited"),
        (_locked, "refused", "locked"),
        (_held, "refused", "locked"),
        (_denied, "refused", "denied"),
        (_too_many_messages, "refused", "rate_limited"),
        (_nothing_arrives, "refused", "undelivered"),
        (_left, "refused", "abandoned"),
        (_five_wrong, "refused", "failed"),
        (_too_late, "refused", "expired"),
        (_in_time, "signed_in", "verified"),
    ],
)
def test_every_outcome(lab: Lab, act: Callable[[Lab], Step], status: str, outcome: str) -> None:
    """And each is audited, once."""
    familiar(lab)
    before = len(outcomes(lab))
    step = act(lab)
    assert (step.status, step.record.outcome) == (status, outcome)
    assert outcomes(lab)[before:] == [outcome]
    assert (step.session is not None) == (status == "signed_in")
    assert lab.audit_holds()


def test_a_refusal_never_says_why(lab: Lab) -> None:
    """ASVS 6.3.8: unknown, wrong, denied, locked, held, closed and half signed-up read the same."""
    familiar(lab)
    seen = [lab.login("nobody").public(), _wrong(lab).public(), _denied(lab).public()]
    for columns in ({"factor_failures": 100}, {"status": "locked"}, {"status": "closed"}):
        set_columns(lab, **{"factor_failures": 0, **columns})
        seen += [lab.login().public(), lab.login(password=BAD).public()]
    set_columns(lab, factor_failures=0, status="pending")
    seen.append(lab.login().public())
    assert len(seen) == 10
    assert all(one == seen[0] for one in seen)


@pytest.mark.parametrize("state", ["active", "locked", "pending", "closed", "unknown"])
def test_every_name_comes_to_wait_alike(lab: Lab, state: str) -> None:
    """Ten wrong passwords from a strange device: the eleventh waits, and the wait grows."""
    if state != "unknown":
        ann(lab)
        set_columns(lab, status=state)
    steps = []
    for _ in range(11):
        steps.append(lab.login(password=BAD, device="strange").public())
        lab.wait(SECOND)
    until = lab.now - 2 * SECOND + 30 * SECOND
    assert [step["status"] for step in steps] == ["refused"] * 10 + ["wait"]
    assert steps[-1]["retry_ms"] == until
    lab.time[0] = until - 1
    assert lab.login(password=BAD, device="strange").public()["status"] == "wait"
    lab.wait(1)
    assert lab.login(password=BAD, device="strange").public()["status"] == "refused"
    assert lab.login(password=BAD, device="strange").retry_ms == until + 60 * SECOND


def test_a_strangers_guesses_do_not_keep_the_owner_out(lab: Lab) -> None:
    """ASVS 6.1.1: known devices are counted apart."""
    familiar(lab)
    for _ in range(11):
        step = lab.login(password=BAD, device="strange")
    assert step.status == "wait"
    assert lab.login(device="strange").status == "wait", "even with the right password"
    assert lab.login().status == "asked", "the owner is asked, for strangers guessed just now"
    lab.wait(HOUR)
    assert lab.login().status == "signed_in"


def test_a_login_forgives_passwords_of_its_own_side_only(lab: Lab) -> None:
    familiar(lab)
    lab.login(password=BAD)
    lab.login(password=BAD, device="strange")
    lab.wait(HOUR)
    assert lab.login().status == "signed_in"
    who = account_of(lab)
    assert (who.own_device_failures, who.stranger_failures) == (0, 1)


def test_an_allowed_login_forgives_no_wrong_code(lab: Lab) -> None:
    """Only a verified second factor does: NIST SP 800-63B-4 3.2.2."""
    familiar(lab)
    ticket, _ = asked(lab.strange_login())
    answer(lab.flow, ticket, WRONG)
    assert lab.login().status == "signed_in"
    assert account_of(lab).factor_failures == 1
    assert answer(lab.flow, ticket, lab.code(PHONE)).status == "signed_in"
    assert account_of(lab).factor_failures == 0


def test_a_password_changed_meanwhile_is_a_wrong_one(lab: Lab) -> None:
    familiar(lab)

    class Changing(CountingPasswords):
        def verify(self, stored: str, password: str) -> bool:
            set_columns(lab, password_hash=PASSWORDS.hash("another horse"))
            return super().verify(stored, password)

    step = lab.with_rules(passwords=Changing()).login()
    assert step.record.outcome == "wrong_password"


@pytest.mark.parametrize("typed", ["ann", " ANN ", "Ａｎｎ"])  # noqa: RUF001 - full-width letters
def test_a_name_is_one_however_it_is_written(lab: Lab, typed: str) -> None:
    familiar(lab)
    assert login_name(typed) == "ann"
    assert lab.login(typed).status == "signed_in"


def test_an_unknown_address_is_no_obstacle(lab: Lab) -> None:
    """The limits on an address do not hold where a site hands none over; the others do."""
    ann(lab)
    assert [lab.login(ip="").status for _ in range(4)] == ["asked"] * 3 + ["refused"]


def test_what_is_no_address_is_refused_whoever_asks(lab: Lab) -> None:
    ann(lab)
    for name, password in (("ann", PASSWORD), ("ann", BAD), ("nobody", BAD)):
        with pytest.raises(InputError, match="IP address"):
            lab.login(name, password=password, ip="1.2.3.4, 5.6.7.8")
    assert lab.events("login") == []


def test_nothing_is_sent_while_codes_wait(lab: Lab) -> None:
    ann(lab)
    set_columns(lab, factor_wait_until=lab.now + 1)
    assert lab.login().retry_ms == lab.now + 1
    assert lab.exchange.messages_sent == 0
    lab.wait(1)
    assert lab.login().status == "asked"


def test_no_factor_no_login(lab: Lab) -> None:
    """A risky login of somebody with neither a factor nor a phone is refused, never let in."""
    ann(lab, otp=False)
    set_columns(lab, phone=None)
    step = lab.login()
    assert (step.status, step.record.decision, step.record.outcome) == (
        "refused",
        "challenge",
        "abandoned",
    )


def test_every_message_refused_is_a_clear_refusal(lab: Lab) -> None:
    """A landline where only SMS may be used: nothing is sent, nobody is let in."""
    by_sms = under(
        lab, fallback=Policy.universal().fallback.model_copy(update={"channels": ("sms",)})
    )
    ann(by_sms, phone="+442071838750")
    step = by_sms.login()
    assert (step.status, step.record.outcome) == ("refused", "undelivered")
    assert lab.exchange.messages_sent == 0
