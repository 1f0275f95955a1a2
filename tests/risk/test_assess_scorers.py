"""One real login under a learned scorer: what one account after the other says, from the store."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from tests.models import every_signal, learned_policy
from twofa_lab.errors import InputError
from twofa_lab.risk.assess import Assessor, LoginFacts
from twofa_lab.risk.decision import ALLOW, CHALLENGE
from twofa_lab.risk.features import browser_family
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.vector import names
from twofa_lab.store.accounts import add_account, erase_account
from twofa_lab.store.engine import connect, write
from twofa_lab.store.history import History, Origin, load_history, record_login
from twofa_lab.store.keyring import Keyring
from twofa_lab.store.schema import metadata

HASH = "not a password's"
NOON = 1_767_614_400_000
NOBODY = History(0, None, None, {}, frozenset(), frozenset(), (0,) * 24, ())
PLACES = (None, (59.9139, 10.7522), (60.3913, 5.3221), (-33.8688, 151.2093))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return learned_policy(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = connect("sqlite://")
    with write(made) as c:
        metadata.create_all(c)
    yield made
    made.dispose()


def test_freeman_is_refused_before_the_first_login() -> None:
    with pytest.raises(InputError, match=r"policy p: the real flow .* goes by freeman"):
        Assessor(Policy.model_validate({"name": "p", "scorer": "freeman", "model": "m.skops"}))


def test_a_learned_policy_without_its_model_is_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.skops")
    with pytest.raises(InputError, match=r"model .*none\.skops: No such file"):
        Assessor(Policy.model_validate({"name": "p", "scorer": "learned", "model": missing}))


login = st.fixed_dictionaries(
    {
        "gap": st.sampled_from([1_000, 3_600_000, 86_400_000, 40 * 86_400_000]),
        "device_id": st.sampled_from([0, 1, 2]),
        "country": st.sampled_from(["", "NO", "AU"]),
        "region": st.sampled_from(["", "NO-03", "AU-NSW"]),
        "asn": st.sampled_from([0, 2119, 1221]),
        "browser": st.sampled_from(["", "Firefox 20.0", "Firefox 21.0", "Safari 9"]),
        "place": st.sampled_from(PLACES),
        "rtt_ms": st.sampled_from([0, 20, 25, 400]),
        "ip_accounts": st.sampled_from([1, 3]),
        "ip_failures": st.sampled_from([0, 20]),
        "ip_listed": st.booleans(),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(login, min_size=1, max_size=12))
def test_a_login_scores_as_one_account_after_the_other(
    engine: Engine, policy: Policy, logins: list[dict[str, Any]]
) -> None:
    """The account kept in memory, as `Learned.account` does, and the one read from the store."""
    assessor, account, at = Assessor(policy), every_signal().account(), NOON
    with write(engine) as c:
        add_account(
            c, Keyring.generate(), user_id=1, name="a", password_hash=HASH, created=0,
            home_zone="UTC",
        )  # fmt: skip
        for one in logins:
            at += one["gap"]
            latitude, longitude = one["place"] or (None, None)
            kept = {**one, "time": at, "latitude": latitude, "longitude": longitude}
            origin = Origin(
                str(one["asn"] or ""), browser_family(one["browser"]), one["place"], one["rtt_ms"]
            )
            device = str(one["device_id"] or "")
            facts = LoginFacts(
                at, 0, device, one["country"], one["region"], False, origin,
                one["ip_accounts"], one["ip_failures"], one["ip_listed"],
            )  # fmt: skip
            found = assessor.assess(load_history(c, 1, at - 1_800_000), facts)
            seen = account.see(kept)
            assert found.values == tuple(seen.values.tolist())
            assert (found.bits, found.failures) == (seen.bits, seen.failures)
            assert found.score == account.score(kept)
            assert found.decision == (CHALLENGE if found.score >= 0.3 else ALLOW)
            account.record(kept)
            record_login(
                c, 1, at, device=device, country=one["country"], region=one["region"],
                hour=found.hour, origin=origin,
            )  # fmt: skip
        erase_account(c, 1)


def test_what_is_unknown_is_no_signal(policy: Policy) -> None:
    """Of a login with nothing but a time, only the device is new, as for the rules."""
    found = Assessor(policy).assess(NOBODY, LoginFacts(NOON, 0, "", "", ""))
    fired = {name for name, value in zip(names(), found.values, strict=True) if value}
    assert fired == {"new_device", "age_days", "since_last_days"}  # -1: there is none
    assert not any(math.isnan(value) for value in found.values)
    by_rules = Assessor(Policy.risk_based()).assess(NOBODY, LoginFacts(NOON, 0, "", "", ""))
    assert by_rules.values == ()
    assert by_rules.bits == found.bits


def test_trust_and_denial_go_by_the_learned_score(policy: Policy) -> None:
    login = LoginFacts(NOON, 0, "cookie", "NO", "NO-03", ip_accounts=50, ip_failures=50)
    score = Assessor(policy).assess(NOBODY, login).score
    for at, decision in ((score, 2), (math.nextafter(score, 2), 1)):
        strict = policy.model_copy(update={"deny_at": at})
        assert Assessor(strict).assess(NOBODY, login).decision == decision
