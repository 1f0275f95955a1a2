"""Sessions say what was proved and when: levels fall with time, and nothing raises them again."""

from __future__ import annotations

import pytest

from tests.flow.lab import DAY, HOUR, SECOND, Lab
from tests.flow.people import ANN, ann, set_columns
from twofa_lab.catalog.factors import FACTOR_FACTS, FactorFacts
from twofa_lab.flow.sessions import Proof, check, log_out, open_session, proof_of
from twofa_lab.store.engine import read, write

STRONG = Proof(2, ("pwd", "otp", "mfa"))


def started(lab: Lab, proof: Proof = STRONG) -> str:
    ann(lab)
    with write(lab.flow.engine) as c:
        return open_session(lab.flow, c, ANN, proof, "cookie", lab.now)


def level(lab: Lab, session: str) -> int:
    state = check(lab.flow, session)
    return 0 if state is None else state.aal


@pytest.mark.parametrize(("idle", "aal"), [(HOUR, 2), (HOUR + 1, 1)])
def test_aal2_lasts_an_hour_without_use(both: Lab, idle: int, aal: int) -> None:
    """NIST SP 800-63B-4 2.2.3."""
    session = started(both)
    both.wait(idle)
    assert level(both, session) == aal


@pytest.mark.parametrize(("age", "aal"), [(DAY, 2), (DAY + 1, 1)])
def test_aal2_lasts_a_day_in_use(lab: Lab, age: int, aal: int) -> None:
    session, start = started(lab), lab.now
    while lab.now + HOUR < start + age:
        lab.wait(HOUR)
        assert level(lab, session) == 2
    lab.time[0] = start + age
    assert level(lab, session) == aal


def test_what_fell_stays_down(lab: Lab) -> None:
    session = started(lab)
    lab.wait(HOUR + 1)
    assert [level(lab, session) for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(("age", "aal"), [(30 * DAY, 1), (30 * DAY + 1, 0)])
def test_aal1_lasts_thirty_days(both: Lab, age: int, aal: int) -> None:
    """NIST SP 800-63B-4 2.1.3; past that the session is over, and says so in the audit."""
    session = started(both)
    both.wait(age)
    assert level(both, session) == aal
    ended = [detail for _, detail in both.events("session") if '"why":"age"' in detail]
    assert len(ended) == (aal == 0)
    assert level(both, session) == aal


@pytest.mark.parametrize(("back", "aal"), [(90 * SECOND, 2), (91 * SECOND, 1), (DAY, 1)])
def test_a_clock_that_steps_back_lengthens_no_window(lab: Lab, back: int, aal: int) -> None:
    session = started(lab)
    lab.wait(-back)
    assert level(lab, session) == aal
    lab.wait(back)
    assert level(lab, session) == aal


def test_logging_out_ends_it_once(both: Lab) -> None:
    session = started(both)
    assert log_out(both.flow, session)
    assert not log_out(both.flow, session)
    assert check(both.flow, session) is None
    assert not log_out(both.flow, "never was one")
    assert [detail for _, detail in both.events("session")] == ['{"what":"ended","why":"log-out"}']


def test_a_token_has_192_random_bits_and_is_kept_as_a_keyed_hash(lab: Lab) -> None:
    """ASVS 7.2.3 asks for 128."""
    session = started(lab)
    assert len(session) == 32
    assert session != lab.flow.token() != lab.flow.token()
    with read(lab.flow.engine) as c:
        assert session not in repr(c.exec_driver_sql("select * from sessions").all())
    assert check(lab.flow, session[:-1]) is None


def test_a_recovered_account_may_only_enrol(lab: Lab) -> None:
    session = started(lab)
    state = check(lab.flow, session)
    assert state is not None
    assert not state.enrol_only
    set_columns(lab, status="recovery")
    state = check(lab.flow, session)
    assert state is not None
    assert state.enrol_only


@pytest.mark.parametrize("facts", FACTOR_FACTS, ids=lambda facts: facts.name)
def test_a_proof_is_the_catalogues(facts: FactorFacts) -> None:
    """No session is AAL3: that takes attestation, which is not asked for."""
    found = proof_of(facts.factor, facts.channel)
    assert found == Proof(min(facts.aal, 2), ("pwd", *facts.amr, "mfa"))
    assert proof_of(facts.factor, facts.channel, with_password=False).amr == (*facts.amr, "mfa")


def test_email_is_no_factor() -> None:
    """NIST SP 800-63B-4 3.1.3.1, ASVS 6.3.6."""
    assert all(facts.factor != "email" and facts.channel != "email" for facts in FACTOR_FACTS)
    with pytest.raises(IndexError):
        proof_of("email")
