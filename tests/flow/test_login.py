"""The first step: what is asked for, what is refused, and that neither tells who has an account."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.flow.entering import APP, SEED, WRONG, CountingPasswords, asked, under
from tests.flow.lab import DAY, HOUR, MINUTE, PASSWORD, PASSWORDS, PHONE, SECOND, Lab
from tests.flow.people import ANN, account_of, ann, set_columns, shape
from twofa_lab.delivery.providers.base import DeliveryError, Reason, SendRequest, Sent
from twofa_lab.delivery.providers.simulated import SimulatedProvider
from twofa_lab.errors import InputError
from twofa_lab.flow.answer import answer, leave
from twofa_lab.flow.codes_due import advance, receipt
from twofa_lab.flow.login import login_name
from twofa_lab.flow.sessions import check
from twofa_lab.flow.step import Step
from twofa_lab.risk.policy import Policy
from twofa_lab.store.authenticators import authenticators_of, disable_authenticator
from twofa_lab.store.engine import read, write
from twofa_lab.store.history import load_history
from twofa_lab.store.schema import challenges, messages

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


def test_a_provider_that_is_down_lets_nobody_in(lab: Lab) -> None:
    """ASVS 16.5.3: it fails closed."""
    ann(lab)
    step = _provider_down(lab).login()
    assert (step.status, step.record.outcome, step.session) == ("refused", "undelivered", None)
    assert lab.events("send")[-1][1].count("UNREACHABLE") == 1


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
    """A risky login of somebody without a usable factor is refused, never let in."""
    ann(lab, otp=False)
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


# -- the same work for every name (ASVS 6.3.8) -----------------------------------------------------


def prepared(lab: Lab, state: str) -> dict[str, str]:
    """Bring Ann's account into a state; what to type for it."""
    match state:
        case "unknown":
            return {"name": "nobody", "password": BAD}
        case "not enrolled":
            ann(lab, otp=False)
        case "every factor":
            ann(lab, totp=SEED, push=b"secret")
        case _:
            ann(lab)
    if state in {"locked", "closed", "pending"}:
        set_columns(lab, status=state)
    return {"name": "ann", "password": BAD}


STATES = ("unknown", "active", "not enrolled", "every factor", "pending", "closed", "locked")


def test_one_password_hash_and_as_many_statements_for_every_name(fresh: Callable[[], Lab]) -> None:
    """Between an unknown name and a wrong password lies not one statement; nor for an account that
    is closed or not finished. At a locked one the owner is told, once an hour: the rows of that
    notice are what the first attempt there costs more, and the next cost the same. While passwords
    wait, an unknown name costs one more (its times are no columns of a row) and a locked account
    two (has its owner been told?)."""
    counts: dict[str, list[int]] = {}
    for state in STATES:
        lab, passwords = fresh(), CountingPasswords()
        typed = prepared(lab, state)
        lab = lab.with_rules(passwords=passwords)
        lab.login(**typed)
        statements = shape(lab, lambda lab=lab, typed=typed: lab.login(**typed))  # type: ignore[misc]
        counts[state] = [len(passwords.verified), passwords.hashed, len(statements)]
    print(counts)  # noqa: T201 - counts to see
    assert all(hashes == 2 and fresh == 0 for hashes, fresh, _ in counts.values())
    assert len({statements for _, _, statements in counts.values()}) == 1


def test_as_many_statements_while_passwords_wait(fresh: Callable[[], Lab]) -> None:
    counts = {}
    for state in STATES:
        lab = fresh()
        typed = {**prepared(lab, state), "device": "strange"}
        for _ in range(10):
            lab.login(**typed)
        counts[state] = len(shape(lab, lambda lab=lab, typed=typed: lab.login(**typed)))  # type: ignore[misc]
    print(counts)  # noqa: T201 - counts to see
    assert max(counts.values()) - min(counts.values()) <= 2


def test_the_decoy_is_hashed_for_who_does_not_exist(lab: Lab) -> None:
    passwords = CountingPasswords()
    ann(lab)
    counted = lab.with_rules(passwords=passwords)
    counted.login("nobody")
    counted.login()
    assert passwords.verified[0] == passwords.decoy
    assert passwords.verified[1] == account_of(lab).password_hash


# -- a trusted device's token must not be lost on the way ------------------------------------------


def trusting(lab: Lab) -> tuple[Lab, str]:
    """Ann on a trusted device; its token."""
    ann(lab, totp=SEED)
    ticket, _ = asked(lab.login())
    step = answer(lab.flow, ticket, lab.shown(APP), trust_device=True)
    assert step.device_token is not None
    lab.wait(HOUR)
    return lab, step.device_token


def _codes_wait(lab: Lab) -> Lab:
    set_columns(lab, factor_wait_until=lab.now + 1)
    return lab


def _no_factor_left(lab: Lab) -> Lab:
    return _without(lab, "otp", "totp")


def _provider_down(lab: Lab) -> Lab:
    class Down(SimulatedProvider):
        def send(self, request: SendRequest) -> Sent:
            raise DeliveryError(self.name, Reason.UNREACHABLE)

    return _without(lab, "totp").with_rules(provider=Down(lab.exchange))


def _without(lab: Lab, *kinds: str) -> Lab:
    with write(lab.flow.engine) as c:
        for one in authenticators_of(c, ANN):
            if one.kind in kinds:
                disable_authenticator(c, one.id, lab.now)
    return lab


@pytest.mark.parametrize("trouble", [_codes_wait, _no_factor_left, _provider_down])
def test_an_exchanged_token_is_handed_back_whatever_comes_of_the_login(
    lab: Lab, trouble: Callable[[Lab], Lab]
) -> None:
    """Else the owner's next login would show one that was exchanged, and look like a thief's."""
    lab, token = trusting(lab)
    # trusted, but the score is too high for trust to lift
    policy = Policy.risk_based().model_copy(update={"trust_below": 0.0, "challenge_at": 0.0})
    troubled = trouble(lab.with_rules(policy=policy))
    step = troubled.login(device_token=token)
    assert step.status in {"wait", "refused"}
    assert step.device_token not in {None, token}
    assert lab.login(device_token=step.device_token or "").status == "signed_in"
    assert lab.notices("device_copied") == []


def test_a_denied_login_exchanges_no_token(lab: Lab) -> None:
    """Its answer is that of a wrong password, to the last cookie."""
    lab, token = trusting(lab)
    denying = lab.with_rules(policy=Policy(name="denies", challenge_at=0.0, deny_at=0.0))
    assert denying.login(device_token=token).device_token is None
    assert lab.login(device_token=token).status == "signed_in"


def test_what_a_challenge_had_to_know_goes_with_it(both: Lab) -> None:
    """The number and the code wait as ciphertext, and not a moment longer than the challenge."""
    lab = both
    ann(lab)
    for end in ("verified", "failed", "left"):
        ticket, _ = asked(lab.strange_login())
        with read(lab.flow.engine) as c:
            assert c.execute(challenges.select().where(challenges.c.state == "open")).one().context
        if end == "left":
            leave(lab.flow, ticket)
        for _ in range(5 if end == "failed" else 0):
            answer(lab.flow, ticket, WRONG)
        if end == "verified":
            answer(lab.flow, ticket, lab.code(PHONE))
        lab.wait(HOUR)
    with read(lab.flow.engine) as c:
        kept = c.execute(challenges.select()).all()
        sent = c.execute(messages.select()).all()
    assert sorted(row.state for row in kept) == ["cancelled", "consumed", "failed"]
    assert [row.context for row in kept] == [None] * 3
    assert len(sent) == 3
    assert all(PHONE[3:] not in row.masked_number for row in sent)
