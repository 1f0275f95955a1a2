"""What follows a sign-up in the closed loop: only the arm makes a difference; factors protect."""

import numpy as np
import pytest

from twofa_lab.analysis.signup_logins import later_logins
from twofa_lab.errors import InputError
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.signup import Arm, SignupSettings, signup_world

REPLAYED = ("logins", "completed", "challenges", "taken_over", "messages", "message_usd")


@pytest.fixture(scope="module")
def world():
    return signup_world(visitors=8_000, seed=7)


@pytest.fixture(scope="module")
def tables(world):
    """By arm: the closed form's table and the replayed one."""
    arms = {
        "phone": Arm.phone_only(),
        "sms": Arm.forced("sms"),
        "passkey": Arm.forced("passkey"),
        "in line": Arm.in_line(wording=1.0),
    }
    runs = {name: world.outcomes(arm) for name, arm in arms.items()}
    return {name: (run, later_logins(world, run)) for name, run in runs.items()}


def test_without_a_factor_nothing_is_asked_and_nothing_more_is_sent(tables):
    before, after = tables["phone"]
    assert after["challenges"].sum() == 0
    assert (after["messages"] == before["messages"]).all()
    assert after["message_usd"] == pytest.approx(before["message_usd"])
    assert after["completed"].sum() > 0.999 * after["logins"].sum() > 10_000
    assert (after["logins"][before["stayed_days"] == 0] == 0).all()
    assert (after["taken_over"] <= before["signed_up"]).all()


def test_a_visitor_whom_two_arms_treat_alike_lives_the_same_life(tables):
    (phone, phone_after), (line, line_after) = tables["phone"], tables["in line"]
    alike = ~line["enrolled"] & (phone["stayed_days"] == line["stayed_days"])
    assert 2_000 < (alike & phone["signed_up"]).sum() < phone["signed_up"].sum()
    for name in REPLAYED:
        assert np.array_equal(phone_after[name][alike], line_after[name][alike])
    enrolled = line["enrolled"]
    assert line_after["challenges"][enrolled].sum() > 100
    assert line_after["challenges"][~enrolled].sum() == 0


def test_factors_stop_what_the_closed_form_says_they_stop(tables):
    """Takeovers are few: the two ways of counting agree within four standard errors."""
    taken = {name: after["taken_over"].sum() for name, (_, after) in tables.items()}
    assert taken["passkey"] <= taken["sms"] < taken["phone"] / 2
    for before, after in tables.values():
        expected, found = before["taken_over"].sum(), after["taken_over"].sum()
        assert abs(int(found) - int(expected)) < 4 * np.sqrt(max(expected, 1) + max(found, 1))


def test_codes_cost_and_passkeys_do_not(tables):
    (_, sms), (passkey, passkey_after) = tables["sms"], tables["passkey"]
    able = passkey["factor"] == "passkey"
    by_code = tables["sms"][0]["factor"] == "sms"
    assert passkey_after["challenges"][able].sum() > 1_000
    assert passkey_after["messages"][able].sum() == passkey["messages"][able].sum()
    assert sms["messages"][by_code].sum() > sms["challenges"][by_code].sum()
    lost = sms["logins"] - sms["completed"]
    assert 0 < lost.sum() < 0.2 * sms["challenges"].sum()
    assert (lost >= 0).all()


def test_the_policy_decides_and_workers_do_not(world, tables):
    run = tables["sms"][0]
    later = later_logins(world, run, Policy.universal(), workers=1)
    assert later["challenges"].sum() == later["logins"].sum()
    again = later_logins(world, run, Policy.universal(), workers=3)
    assert all(np.array_equal(later[name], again[name]) for name in REPLAYED)


def test_what_does_not_belong_together_is_refused(world, tables):
    run = tables["sms"][0]
    with pytest.raises(InputError, match="pass a whole experiment"):
        later_logins(world, run.where(~run["flagged"]))
    small = signup_world(SignupSettings.load("us-consumer"), visitors=100, seed=7)
    with pytest.raises(InputError, match="100"):
        later_logins(small, run)
