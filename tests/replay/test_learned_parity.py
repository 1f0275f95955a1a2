"""Flow equals replay under a learned scorer, and whatever the flow does not read is noticed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

import twofa_lab as lab
import twofa_lab.replay.parity as played
from tests.models import learned_policy
from tests.replay.played_worlds import wild
from twofa_lab.flow import login
from twofa_lab.replay.fit import fit_scorer
from twofa_lab.replay.parity import Stage, parity
from twofa_lab.risk import assess
from twofa_lab.risk.assess import LoginFacts
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.policy import Policy
from twofa_lab.store import history
from twofa_lab.store.addresses import AddressSeen
from twofa_lab.store.history import load_history, record_login


@pytest.fixture(scope="module")
def wild_world() -> lab.World:
    """Few accounts for long, so that they have a past to be judged by."""
    return wild(users=50, seed=11, days=200)


@pytest.fixture(scope="module")
def fitted(wild_world: lab.World, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """A policy that goes by a scorer fitted on that world."""
    scorer = fit_scorer(wild_world, "learned", max_iter=60)
    assert isinstance(scorer, Learned)
    return learned_policy(tmp_path_factory.mktemp("fitted"), scorer, name="fitted")


@pytest.fixture(scope="module")
def every_signal(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """A policy under which every signal changes the score."""
    folder = tmp_path_factory.mktemp("every")
    return learned_policy(folder, name="every signal", challenge_at=0.4, deny_at=0.95)


@pytest.mark.parametrize(
    "changes",
    [{}, {"trust_below": 1.0, "deny_at": 0.6, "unscored": "allow"}],
    ids=["as it is", "trusts and denies"],
)
def test_flow_equals_replay_under_a_fitted_scorer(
    wild_world: lab.World, fitted: Policy, changes: dict[str, Any]
) -> None:
    found = parity(wild_world, fitted.model_copy(update=changes), 1_200)
    assert found.mismatches == 0, found.first_mismatch
    assert found.compared == 1_200
    assert {"allow", "challenge"} <= set(found.seen["decision"])


def test_flow_equals_replay_when_every_signal_counts(
    wild_world: lab.World, every_signal: Policy
) -> None:
    found = parity(wild_world, every_signal, 1_200)
    assert found.mismatches == 0, found.first_mismatch
    assert {"allow", "challenge", "deny"} <= set(found.seen["decision"])


def test_flow_equals_replay_in_a_scenario_as_it_is(every_signal: Policy) -> None:
    world = lab.simulate("us-consumer", users=150, days=10, seed=2)
    found = parity(world, every_signal, 300)
    assert found.mismatches == 0, found.first_mismatch


Mutate = Callable[[pytest.MonkeyPatch], None]


def kept(**changes: object) -> Mutate:
    """A flow in whose store a part of each login's origin does not arrive."""

    def record(*given: Any, origin: history.Origin, **known: Any) -> None:
        record_login(*given, **known, origin=origin._replace(**changes))

    return lambda patch: patch.setattr(history, "record_login", record)


def loaded(**changes: object) -> Mutate:
    """A flow that reads a part of the past otherwise."""

    def load(*given: Any) -> history.History:
        found = load_history(*given)
        values = {name: getattr(found, name) for name in found.__slots__}
        return history.History(**{**values, **changes})

    return lambda patch: patch.setattr(history, "load_history", load)


def known(**changes: object) -> Mutate:
    """A flow that hands on less of what is known of a login."""
    return lambda patch: patch.setattr(
        login, "LoginFacts", lambda *given, **more: LoginFacts(*given, **{**more, **changes})
    )


def addressed(**changes: int) -> Mutate:
    """A flow that counts other attempts of an address."""
    return lambda patch: patch.setattr(
        played, "AddressSeen", lambda *given: AddressSeen(*given)._replace(**changes)
    )


def forgetful(patch: pytest.MonkeyPatch) -> None:
    """A flow whose state begins with the round-trip times of nobody."""
    patch.setattr(assess, "_learned_past", lambda past: _without_spread(LEARNED_PAST(past)))


LEARNED_PAST = assess._learned_past


def _without_spread(past: Any) -> Any:
    return past._replace(rtt_spread=(past.rtt_spread[0], 0.0))


MUTANTS: dict[str, Mutate] = {
    "round-trip times are not recorded": kept(rtt_ms=0),
    "the network is not recorded": kept(network=""),
    "the browser's family is not recorded": kept(browser=""),
    "the place is not recorded": kept(place=None),
    "the first login is forgotten": loaded(first_login=0),
    "the last login is forgotten": loaded(last_login=0),
    "networks are forgotten": loaded(networks=frozenset()),
    "the spread of round-trip times is forgotten": forgetful,
    "where a login comes from is not handed on": known(origin=history.UNKNOWN),
    "the block list is not handed on": known(ip_listed=False),
    "accounts tried from an address are not counted": addressed(accounts=0),
    "wrong passwords from an address are not counted": addressed(failures=0),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_what_the_flow_does_not_read_is_noticed(
    wild_world: lab.World, every_signal: Policy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    MUTANTS[name](monkeypatch)
    rows = islice(Stage(wild_world, every_signal, seed=7).rows(), 1_200)
    assert any(row.found != row.expected for row in rows)
