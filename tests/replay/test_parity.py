"""Flow equals replay, login by login, and a rule changed on one side only is noticed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from types import ModuleType
from typing import Any

import pytest

import twofa_lab as lab
import twofa_lab.replay.parity as played
from tests.replay.played_worlds import wild
from twofa_lab.factors.push import PushRules
from twofa_lab.flow import answer, offers, rehearsal
from twofa_lab.flow.service import Flow, FlowRules
from twofa_lab.replay.parity import Parity, Stage, parity
from twofa_lab.risk.policy import Fallback, Limits, Policy
from twofa_lab.risk.signals import SignalRules
from twofa_lab.store import devices, history, limits
from twofa_lab.store.history import record_login
from twofa_lab.tables import ATTACKS, CHANNELS, DECISIONS, FACTORS, OUTCOME_NAMES

ROWS_A_POLICY = 3_000

TIGHT_LIMITS = {"throttle_after": 2, "first_wait_seconds": 60, "lock_after": 4}

POLICIES = (
    Policy.password_only(),
    Policy.universal(),
    Policy.risk_based(),
    Policy.universal().model_copy(
        update={"name": "strongest only", "allow_weaker_factor": False, "max_attempts": 2}
    ),
    Policy.risk_based().model_copy(
        update={
            "name": "denies",
            "deny_at": 0.9,
            "trust_device_days": 0.01,
            "trust_below": 1.0,
            "fallback": Fallback(channels=("voice", "sms"), timeout_seconds=10),
        }
    ),
    Policy.risk_based().model_copy(update={"name": "trusting", "trust_below": 1.0}),
    Policy.universal().model_copy(
        update={
            "name": "tight",
            "limits": Limits(**TIGHT_LIMITS),
            "fallback": Fallback(channels=("sms", "whatsapp", "voice"), timeout_seconds=5),
        }
    ),
)


@pytest.fixture(scope="module")
def wild_world() -> lab.World:
    return wild(users=400, seed=11)


def differs(found: Parity) -> str:
    return json.dumps(found.to_dict()["first_mismatch"], default=str)


def test_flow_equals_replay_over_every_factor_channel_attack_and_policy(
    wild_world: lab.World,
) -> None:
    seen: dict[str, Counter[str]] = {
        kind: Counter() for kind in ("decision", "factor", "channel", "attack", "outcome")
    }
    compared = 0
    for policy in POLICIES:
        found = parity(wild_world, policy, ROWS_A_POLICY)
        assert found.mismatches == 0, f"{policy.name}: {differs(found)}"
        compared += found.compared
        for kind, counts in found.seen.items():
            seen[kind].update(counts)
    assert compared >= 20_000
    assert set(seen["attack"]) == set(ATTACKS)
    assert set(seen["channel"]) == set(CHANNELS)
    assert set(seen["factor"]) == set(FACTORS) - {"recovery_code"}
    assert set(seen["decision"]) == {*DECISIONS, "None"}
    assert set(seen["outcome"]) == set(OUTCOME_NAMES)


@pytest.mark.parametrize("scenario", ["us-consumer", "workforce"])
def test_flow_equals_replay_in_a_scenario_as_it_is(scenario: str) -> None:
    world = lab.simulate(scenario, users=150, days=10, seed=2)
    found = parity(world, Policy.risk_based(), 700)
    assert found.mismatches == 0, differs(found)
    assert found.compared == 700


def test_the_same_seed_plays_the_same(wild_world: lab.World) -> None:
    first, second = (parity(wild_world, Policy.universal(), 200).to_dict() for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def flow_with(**rules: object) -> Callable[[pytest.MonkeyPatch], None]:
    """A flow with other rules than the replay's."""
    return lambda patch: patch.setattr(
        played, "FlowRules", lambda **given: FlowRules(**{**given, **rules})
    )


def flow_policy(**changes: object) -> Callable[[pytest.MonkeyPatch], None]:
    """A flow under another policy than the replay's."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        def other(*given: Any, **more: Any) -> Flow:
            flow = Flow(*given, **more)
            return replace(flow, policy=flow.policy.model_copy(update=changes))

        patch.setattr(rehearsal, "Flow", other)

    return mutate


def flow_limits(**changes: float) -> Callable[[pytest.MonkeyPatch], None]:
    """A flow under other limits than the replay's."""
    return flow_policy(limits=Limits.model_validate({**TIGHT_LIMITS, **changes}))


def function(
    module: ModuleType, name: str, instead: object
) -> Callable[[pytest.MonkeyPatch], None]:
    """A flow with one function replaced."""
    return lambda patch: patch.setattr(module, name, instead)


TIGHT = POLICIES[-1]
TRUSTING = POLICIES[-2]

# what is changed in the flow alone, and the policy under which it is looked for
MUTANTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Policy]] = {
    "a burst is four failures": (
        flow_with(signals=SignalRules(burst_count=4)), Policy.risk_based(),
    ),
    "a device is remembered for a day": (
        flow_with(signals=SignalRules(device_memory_ms=86_400_000)), Policy.risk_based(),
    ),
    "an hour is odd sooner": (
        flow_with(signals=SignalRules(thin_history=3)), Policy.risk_based(),
    ),
    "asks at another score": (flow_policy(challenge_at=0.55), Policy.risk_based()),
    "denies": (flow_policy(deny_at=0.95), Policy.risk_based()),
    "trusts for less long": (flow_policy(trust_device_days=0.02), TRUSTING),
    "trust outranks more": (flow_policy(trust_below=0.99), Policy.risk_based()),
    "one attempt less": (flow_policy(max_attempts=4), Policy.universal()),
    "a later fallback": (
        flow_policy(fallback=Fallback(timeout_seconds=31)), Policy.universal(),
    ),
    "another order of channels": (
        flow_policy(fallback=Fallback(channels=("sms", "whatsapp", "voice"))), Policy.universal(),
    ),
    "no weaker factor": (flow_policy(allow_weaker_factor=False), Policy.universal()),
    "waits longer": (flow_limits(first_wait_seconds=150), TIGHT),
    "waits later": (flow_limits(throttle_after=3), TIGHT),
    "locks later": (flow_limits(lock_after=5), TIGHT),
    "weakest factor first": (
        function(offers, "STRONGEST_FIRST", offers.STRONGEST_FIRST[::-1]), Policy.universal(),
    ),
    "four pushes in the window": (
        flow_with(push=PushRules(max_in_window=4)), Policy.universal(),
    ),
    "a success forgives no wrong code": (
        function(limits, "record_success", lambda *_: None), TIGHT,
    ),
    "a login forgives no wrong password": (
        function(limits, "reset_password_failures", lambda *_, **__: None), TIGHT,
    ),
    "a wrong password is not remembered": (
        function(history, "record_failed_password", lambda *_: None), Policy.risk_based(),
    ),
    "whoever is told nothing arrived left": (
        function(answer, "left_as", lambda *_: "abandoned"), Policy.universal(),
    ),
    "a reset leaves trust alone": (function(devices, "void_trust", lambda *_: 0), TRUSTING),
    "the device is not remembered": (
        function(
            history,
            "record_login",
            lambda *given, **known: record_login(*given, **{**known, "device": ""}),
        ),
        Policy.risk_based(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_rule_changed_on_one_side_is_noticed(
    wild_world: lab.World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    mutate, policy = MUTANTS[name]
    mutate(monkeypatch)
    played_rows = islice(Stage(wild_world, policy, seed=7).rows(), 2_000)
    assert any(row.found != row.expected for row in played_rows)
