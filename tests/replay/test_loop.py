"""The closed loop, told through the lives of single accounts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.replay.oracle import DAY_MS, MINUTE_MS
from tests.replay.shards import FACTS, OTP, START, TOTP, Row, replayed, shard_of
from twofa_lab.replay.run import replay_shard
from twofa_lab.risk.policy import Fallback, Policy
from twofa_lab.risk.rules import RulePoints, signal_names
from twofa_lab.tables import CHANNELS, DECISIONS, NEVER, OUTCOME_NAMES

RISK, UNIVERSAL, NEVER_ASKS = Policy.risk_based(), Policy.universal(), Policy.password_only()


def at(days: float = 0, minutes: float = 0, **columns: Any) -> Row:
    """A login so long after the start, otherwise at home on the account's own device."""
    return {"time": START + round(days * DAY_MS + minutes * MINUTE_MS), **columns}


SIGN_UP = at(signup=True)
GIVES_UP: Row = {"po_phone_at_hand": False}
WRONG: Row = {"password_ok": False}


def outcomes(policy: Policy, logins: list[Row], person: Row | None = None) -> list[str]:
    return [OUTCOME_NAMES[row["outcome"]] for row in replayed(policy, logins, person)]


def decisions(policy: Policy, logins: list[Row]) -> list[str]:
    return [
        "none" if row["decision"] == 255 else DECISIONS[row["decision"]]
        for row in replayed(policy, logins)
    ]


def signals(policy: Policy, logins: list[Row]) -> list[list[str]]:
    return [signal_names(row["signals"]) for row in replayed(policy, logins)]


# What enters the history.


def test_a_sign_up_makes_the_device_known_and_is_no_login() -> None:
    up, first = replayed(RISK, [SIGN_UP, at(1)])
    assert (up["decision"], OUTCOME_NAMES[up["outcome"]], up["score"]) == (255, "allowed", 0.0)
    assert (signal_names(first["signals"]), DECISIONS[first["decision"]]) == ([], "allow")


def test_the_first_login_without_a_sign_up_is_challenged_for_its_device_alone() -> None:
    (first,) = replayed(RISK, [at()])
    assert signal_names(first["signals"]) == ["new_device"]
    assert OUTCOME_NAMES[first["outcome"]] == "verified"


def test_who_gives_up_at_the_challenge_leaves_no_device_behind() -> None:
    logins = [SIGN_UP, at(1, device_id=2, country=1, region=2, **GIVES_UP), at(2, device_id=2)]
    assert outcomes(RISK, logins) == ["allowed", "abandoned", "verified"]
    assert signals(RISK, [*logins, at(3, device_id=2), at(4, country=1, region=2)])[2:] == [
        ["new_device"],
        [],
        ["new_country"],
    ]


@pytest.mark.parametrize("way", [{"po_wrong_codes": 9}, {"po_entry_ds": 65_000}, {"attack": 1}])
def test_neither_do_failed_expired_and_attackers_challenges(way: Row) -> None:
    logins = [SIGN_UP, at(1, device_id=2, **way), at(2, device_id=2)]
    assert signals(RISK, logins)[-1] == ["new_device"]


def test_an_attacker_who_gets_through_looks_normal_next_time() -> None:
    thief = {"device_id": 9, "country": 1, "region": 2, "attack": 4}
    logins = [SIGN_UP, at(1, **thief, po_defeats=0b111), at(2, **thief, po_defeats=0)]
    assert outcomes(RISK, logins) == ["allowed", "verified", "allowed"]


def test_a_denied_login_leaves_nothing_behind() -> None:
    policy = RISK.model_copy(update={"deny_at": 0.5})
    logins = [SIGN_UP, at(1, device_id=2), at(2, device_id=2)]
    assert outcomes(policy, logins) == ["allowed", "denied", "denied"]


def test_an_unknown_device_is_never_recognised_or_trusted() -> None:
    policy = RISK.model_copy(update={"trust_below": 1.0})
    unknown = {"device_id": 0, "po_trusts_device": True}
    assert signals(policy, [SIGN_UP, at(1, **unknown), at(2, **unknown)])[1:] == [
        ["new_device"],
        ["new_device"],
    ]
    assert decisions(policy, [SIGN_UP, at(1, **unknown), at(2, **unknown)])[2] == "challenge"


@pytest.mark.parametrize("device", [1, 2**31, 2**32 + 1, 2**63, 2**64 - 1])
def test_any_number_can_name_a_device(device: int) -> None:
    logins = [at(device_id=device), at(1, device_id=device), at(2, device_id=device ^ 1 << 40)]
    assert signals(RISK, logins) == [["new_device"], [], ["new_device"]]


def test_accounts_know_nothing_of_each_other() -> None:
    logins = [SIGN_UP, at(1, device_id=5, country=1, region=2), at(2, **WRONG), at(3)]
    alone = replayed(RISK, logins)
    together = replay_shard(shard_of([({}, logins)] * 3), FACTS, RISK)
    for name, values in together.items():
        assert values.tolist() == [row[name] for row in alone] * 3


# Trusted devices. Without the last 30 days' memory a device is new, which 0.5 points lift.

MONTHS = Policy(name="months", trust_device_days=60.0)
TRUST: Row = {"po_trusts_device": True}


def test_trust_lifts_challenges_until_it_expires() -> None:
    granted = at(**TRUST)
    for days, decision, lifted in ((31, "allow", True), (60, "allow", True)):
        _, later = replayed(MONTHS, [granted, at(days)])
        assert (DECISIONS[later["decision"]], later["trusted"]) == (decision, lifted)
    _, expired = replayed(MONTHS, [granted, at(60, minutes=1 / MINUTE_MS)])
    assert (DECISIONS[expired["decision"]], expired["trusted"]) == ("challenge", False)


def test_trust_is_told_only_where_it_lifted_a_challenge() -> None:
    assert [row["trusted"] for row in replayed(MONTHS, [at(**TRUST), at(1), at(32)])] == [
        False,
        False,
        True,
    ]


def test_trust_is_given_only_by_a_passed_challenge() -> None:
    allowed = [SIGN_UP, at(1, **TRUST), at(32)]  # known device, nothing asked at day 1
    assert decisions(MONTHS, allowed) == ["none", "allow", "challenge"]
    not_ticked = [at(po_trusts_device=False), at(31)]
    assert decisions(MONTHS, not_ticked)[1] == "challenge"
    given_up = [SIGN_UP, at(1, device_id=2, **TRUST, **GIVES_UP), at(2, device_id=2)]
    assert decisions(MONTHS, given_up)[2] == "challenge"
    sign_up = [at(signup=True, **TRUST), at(31)]
    assert decisions(MONTHS, sign_up)[1] == "challenge"


def test_trust_outlasts_a_challenge_at_which_it_was_not_asked_for_again() -> None:
    abroad = {"country": 1, "region": 2}  # 0.6 points: asked even on a trusted device
    logins = [at(**TRUST), at(1, **abroad), at(40)]
    assert decisions(MONTHS, logins) == ["challenge", "challenge", "allow"]


def test_trust_never_outranks_a_high_score() -> None:
    abroad = {"country": 1, "region": 2}
    assert decisions(RISK, [at(**TRUST), at(1, **abroad)]) == ["challenge", "challenge"]
    elsewhere = {"region": 1}  # 0.5 points, below trust_below
    assert decisions(RISK, [at(**TRUST), at(1, **elsewhere)]) == ["challenge", "allow"]
    assert decisions(RISK, [at(), at(1, **elsewhere)]) == ["challenge", "challenge"]


def test_a_burst_asks_on_a_trusted_device_too() -> None:
    thrice = [at(1, minutes=n, **WRONG) for n in range(3)]
    assert decisions(RISK, [at(**TRUST), *thrice, at(1, minutes=4)])[-1] == "challenge"


def test_a_password_reset_voids_trust_given_before_it() -> None:
    logins = [at(**TRUST), at(1, password_reset=True), at(32)]
    assert decisions(MONTHS, logins) == ["challenge", "allow", "challenge"]
    assert decisions(MONTHS, [at(**TRUST), at(32, password_reset=True)])[1] == "challenge"


def test_trust_given_at_the_resets_own_login_holds() -> None:
    """The password was reset just before that login, so that its trust is the later."""
    logins = [SIGN_UP, at(32, password_reset=True, **TRUST), at(64)]
    assert decisions(MONTHS, logins) == ["none", "challenge", "allow"]


def test_a_policy_without_trusted_devices_trusts_none() -> None:
    policy = RISK.model_copy(update={"trust_device_days": None})
    assert decisions(policy, [at(**TRUST), at(31)]) == ["challenge", "challenge"]
    same_moment = [at(**TRUST), at(region=1)]
    assert decisions(policy, same_moment) == ["challenge", "challenge"]


def test_trust_belongs_to_one_device() -> None:
    logins = [at(**TRUST), at(1, device_id=2), at(31), at(31, device_id=3)]
    assert decisions(MONTHS, logins) == ["challenge", "challenge", "allow", "challenge"]


# The challenge, as the loop writes it.


def test_every_column_of_a_challenge() -> None:
    policy = UNIVERSAL.model_copy(
        update={"fallback": Fallback(channels=("sms", "whatsapp"), timeout_seconds=10.0)}
    )
    (row,) = replayed(
        policy,
        [at(po_sms_ds=NEVER, po_whatsapp_ds=15, po_entry_ds=80, po_wrong_codes=1)],
        {"country": 1},
    )
    assert row == {
        "signals": 1,
        "failures": 0,
        "score": 0.5,
        "decision": DECISIONS.index("challenge"),
        "trusted": False,
        "factor": 1,
        "channel": CHANNELS.index("whatsapp"),
        "messages": 2,
        "attempts": 2,
        "seconds_ds": 100 + 15 + 2 * 80,
        "message_microusd": 11_800 + 1_400,  # WhatsApp has a local price in BB
        "outcome": OUTCOME_NAMES.index("verified"),
    }


def test_prices_are_those_of_the_accounts_country() -> None:
    for country, price in ((0, 30_000), (1, 100_000), (-1, 30_000)):
        policy = UNIVERSAL.model_copy(update={"fallback": Fallback(channels=("voice",))})
        (row,) = replayed(policy, [at(country=2)], {"country": country})
        assert row["message_microusd"] == price


def test_a_very_long_challenge_stays_within_its_column() -> None:
    (row,) = replayed(UNIVERSAL, [at(po_entry_ds=65_535, po_wrong_codes=3)], {"factors": TOTP})
    assert row["seconds_ds"] == 65_535


def test_text_does_not_reach_a_landline() -> None:
    policy = UNIVERSAL.model_copy(update={"fallback": Fallback(channels=("sms", "voice"))})
    (row,) = replayed(policy, [at()], {"line_type": 1})
    assert CHANNELS[row["channel"]] == "voice"


def test_rows_that_end_early_tell_nothing_of_a_challenge() -> None:
    rows = replayed(NEVER_ASKS, [at(**WRONG)])
    assert rows[0] | {"signals": 0, "outcome": 0} == {
        **dict.fromkeys(rows[0], 0),
        "decision": 255,
    }


@pytest.mark.parametrize("score", [0.35, 0.45, 0.8, 0.9, 1.0])
def test_a_threshold_is_reached_by_its_own_decimal(score: float) -> None:
    """Points that add up to the threshold as written reach it: 0.6 + 2 * 0.15 is 0.9."""
    whole = {0.35: (0.2, 1), 0.45: (0.3, 1), 0.8: (0.65, 1), 0.9: (0.6, 2), 1.0: (0.7, 2)}
    country, failures = whole[score]
    policy = Policy(name="exact", challenge_at=score, points=RulePoints(new_country=country))
    slips = [at(1, minutes=n, **WRONG) for n in range(failures)]
    logins = [SIGN_UP, *slips, at(1, minutes=5, country=1, region=2)]
    assert decisions(policy, logins)[-1] == "challenge"


def test_an_account_without_logins_is_no_trouble() -> None:
    shard = shard_of([({}, []), ({}, [SIGN_UP]), ({"factors": OTP}, [])])
    assert replay_shard(shard, FACTS, RISK)["outcome"].tolist() == [0]
    assert np.array_equal(shard.starts, [0, 0, 1, 1])
