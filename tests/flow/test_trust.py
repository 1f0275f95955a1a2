"""Trusted devices: the token rotates, a copy is noticed, and trust proves nothing by itself."""

from __future__ import annotations

import pytest

from tests.flow.entering import APP, SEED, asked
from tests.flow.lab import DAY, HOUR, SECOND, Lab
from tests.flow.people import ANN, account_of, ann, mailed
from twofa_lab.flow.answer import answer
from twofa_lab.flow.enrolment import add_push
from twofa_lab.flow.password_reset import begin_reset, finish_reset
from twofa_lab.flow.sessions import Proof, check, open_session
from twofa_lab.flow.step import Step
from twofa_lab.flow.trust import present
from twofa_lab.risk.policy import Policy
from twofa_lab.store.devices import trusted_devices_of
from twofa_lab.store.engine import read, write

BAD = "a wrong horse"
TRUSTING = Policy.universal().model_copy(
    update={"trust_device_days": 30.0, "trust_below": 0.6, "challenge_at": 0.0}
)
"""Asks at every login, unless the device is trusted and nothing is new."""


@pytest.fixture
def home(both: Lab) -> Lab:
    lab = both.with_rules(policy=TRUSTING)
    ann(lab, totp=SEED)
    return lab


def trusted(lab: Lab, name: str = "ann", device: str = "cookie") -> str:
    """Log in with the app and tick the box; the device's token."""
    lab.wait(30 * SECOND)
    ticket, _ = asked(lab.login(name, device=device))
    step = answer(lab.flow, ticket, lab.shown(APP), trust_device=True)
    assert step.device_token is not None
    return step.device_token


def enter(lab: Lab, token: str, **changed: str) -> Step:
    return lab.login(device_token=token, **changed)


def test_a_trusted_device_is_not_asked_and_its_token_rotates(home: Lab) -> None:
    lab, token = home, trusted(home)
    seen = {token}
    for _ in range(3):
        lab.wait(HOUR)
        step = enter(lab, token)
        assert (step.status, step.record.trusted) == ("signed_in", True)
        assert step.device_token is not None
        assert step.device_token not in seen
        seen.add(token := step.device_token)
    assert lab.login().status == "asked", "the device's cookie alone is no token"


def test_a_session_on_a_trusted_device_is_aal1(home: Lab) -> None:
    """NIST SP 800-63B-4 5.1: remembering a browser stands in for no authentication."""
    lab = home
    step = enter(lab, trusted(lab))
    assert step.session is not None
    state = check(lab.flow, step.session)
    assert state is not None
    assert (step.session_level, state.aal, state.amr) == (1, 1, ("pwd",))


def test_the_password_is_still_needed(home: Lab) -> None:
    lab, token = home, trusted(home)
    assert enter(lab, token, password=BAD).status == "refused"
    assert enter(lab, token).status == "signed_in", "and a wrong one exchanges no token"


def test_a_copied_token_kills_the_series_and_is_noticed(home: Lab) -> None:
    """Whoever comes second shows a token that was exchanged: owner or thief, both are asked."""
    lab, token = home, trusted(home)
    stolen = enter(lab, token)
    assert stolen.status == "signed_in"
    assert enter(lab, token).status == "asked"
    assert [one.channel for one in lab.notices("device_copied")] == ["email", "sms"]
    assert lab.events("device_revoked") == [("device_revoked", '{"why":"copied"}')]
    assert enter(lab, stolen.device_token or "").status == "asked", "the thief's successor is dead"
    with read(lab.flow.engine) as c:
        assert trusted_devices_of(c, ANN, lab.now) == []
    assert lab.audit_holds()


def test_a_token_is_good_on_its_own_device_only(home: Lab) -> None:
    """On another one its signature does not hold: nothing is looked up, nobody's trust dies."""
    lab, token = home, trusted(home)
    assert enter(lab, token, device="another").status == "asked"
    assert enter(lab, token, device="").status == "asked"
    assert enter(lab, token).status == "signed_in"


def test_a_token_is_good_for_its_own_account_only(home: Lab) -> None:
    lab, token = home, trusted(home)
    ann(lab, user_id=6, name="bob", phone="+447400123457", totp=SEED)
    bobs = trusted(lab, "bob")
    assert enter(lab, token, name="bob").status == "asked"
    assert enter(lab, bobs, name="bob").status == "signed_in"
    assert enter(lab, token).status == "signed_in"


@pytest.mark.parametrize("spoil", ["", ".", "..", "a.b.c", "{}x", "x{}", "{}."])
def test_a_made_up_token_neither_lets_in_nor_kills(home: Lab, spoil: str) -> None:
    lab, token = home, trusted(home)
    assert enter(lab, spoil.format(token)).status == "asked"
    series, _, rest = token.partition(".")
    assert enter(lab, f"{series}.guess.{rest.partition('.')[2]}").status == "asked"
    assert enter(lab, token).status == "signed_in"


@pytest.mark.parametrize(("late", "status"), [(0, "signed_in"), (1, "asked")])
def test_trust_ends_to_the_millisecond(home: Lab, late: int, status: str) -> None:
    """It runs from the login's start, and using it does not lengthen it."""
    lab = home
    lab.wait(30 * SECOND)
    started = lab.now
    ticket, _ = asked(lab.login())
    lab.wait(7_000)
    step = answer(lab.flow, ticket, lab.shown(APP), trust_device=True)
    token = step.device_token or ""
    lab.time[0] = started + 29 * DAY
    token = enter(lab, token).device_token or ""
    lab.time[0] = started + 30 * DAY + late
    assert enter(lab, token).status == status


def test_trust_lifts_no_risk_past_its_bound(home: Lab) -> None:
    """ASVS 8.2.4: from a new country on the trusted device the score is past `trust_below`."""
    lab, token = home, trusted(home)
    for _ in range(3):
        lab.login(password=BAD)
    step = enter(lab, token, country="BR", region="Bahia")
    assert step.record.score >= TRUSTING.trust_below
    assert step.status == "asked"
    assert step.device_token is not None, "but the token was exchanged, and comes back"
    lab.wait(HOUR)
    assert enter(lab, step.device_token).record.trusted


def test_a_password_reset_voids_trust(home: Lab) -> None:
    lab, token = home, trusted(home)
    new = "quite another horse"
    request = begin_reset(lab.flow, "ann")
    assert finish_reset(lab.flow, request, mailed(lab, "reset_code"), new).status == "done"
    assert enter(lab, token, password=new).status == "asked"
    assert lab.notices("device_copied") == []


def test_a_change_of_factors_voids_trust(home: Lab) -> None:
    lab, token = home, trusted(home)
    with write(lab.flow.engine) as c:
        proof = Proof(2, ("pwd", "otp", "mfa"))
        session = open_session(lab.flow, c, ANN, proof, "cookie", lab.now)
    add_push(lab.flow, session)
    assert enter(lab, token).status == "asked"
    assert lab.notices("device_copied") == []


def test_trusting_again_ends_the_devices_former_series(home: Lab) -> None:
    lab, first = home, trusted(home)
    second = trusted(lab)
    assert enter(lab, first).status == "asked"
    assert enter(lab, second).status == "signed_in"
    with read(lab.flow.engine) as c:
        assert len(trusted_devices_of(c, ANN, lab.now)) == 1


def test_no_trust_without_a_verified_factor_a_device_or_a_policy(home: Lab) -> None:
    lab = home
    lab.wait(30 * SECOND)
    ticket, _ = asked(lab.login(device=""))
    step = answer(lab.flow, ticket, lab.shown(APP), trust_device=True)
    assert (step.status, step.device_token) == ("signed_in", None)
    strict = lab.with_rules(policy=Policy.universal())
    lab.wait(30 * SECOND)
    ticket, _ = asked(strict.login())
    step = answer(strict.flow, ticket, lab.shown(APP), trust_device=True)
    assert (step.status, step.device_token) == ("signed_in", None)
    assert account_of(lab).factor_failures == 0


def test_a_token_is_kept_as_a_keyed_hash_and_never_printed(home: Lab) -> None:
    lab, token = home, trusted(home)
    with read(lab.flow.engine) as c:
        rows = repr(c.exec_driver_sql("select * from trusted_devices").all())
    secret = token.split(".")[1]
    assert secret not in rows
    with write(lab.flow.engine) as c:
        shown = present(lab.flow, c, ANN, "cookie", token, lab.now)
    assert repr(shown) == "Presented(held=True)"
