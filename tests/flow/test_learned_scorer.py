"""A login judged by a learned scorer: what it reads is handed on, kept, counted and audited."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.flow.lab import NOW, PASSWORD, SECOND, Lab, sign_up_of
from tests.models import learned_policy
from twofa_lab.errors import InputError
from twofa_lab.flow.answer import answer
from twofa_lab.flow.login import Request, begin
from twofa_lab.flow.sign_up import begin_sign_up, verify_phone
from twofa_lab.risk.vector import names
from twofa_lab.store import accounts
from twofa_lab.store.engine import read
from twofa_lab.store.history import History, Place, load_history
from twofa_lab.store.schema import address_attempts

WRONG = "not the password"
OSLO, SYDNEY = (59.9139, 10.7522), (-33.8688, 151.2093)
HERE = Request(
    "ann", PASSWORD, "cookie", "", "192.0.2.1", "GB", "London",
    asn=2119, browser="Firefox 120.0", place=OSLO, rtt_ms=40,
)  # fmt: skip


@pytest.fixture
def learned(both: Lab, tmp_path: Path) -> Lab:
    """Lets in below 0.99, so that most logins complete."""
    return both.with_rules(policy=learned_policy(tmp_path, challenge_at=0.99, trust_below=1.0))


def past_of(lab: Lab, name: str = "ann") -> History:
    with read(lab.flow.engine) as c:
        account = accounts.account_by_name(c, name)
        assert account is not None
        return load_history(c, account.user_id, 0)


def values_of(lab: Lab) -> dict[str, float]:
    """What the newest login's audit row says the scorer weighed."""
    found: dict[str, float] = json.loads(lab.events("login")[-1][1])["values"]
    return found


def attempts(lab: Lab) -> int:
    with read(lab.flow.engine) as c:
        return int(c.execute(select(func.count()).select_from(address_attempts)).scalar_one())


def test_a_completed_login_leaves_its_origin_and_the_next_is_judged_by_it(learned: Lab) -> None:
    learned.sign_up()
    learned.wait(SECOND)
    first = begin(learned.flow, HERE)
    assert first.status == "signed_in"
    past = past_of(learned)
    assert (past.networks, past.browsers) == ({"2119"}, {"Firefox"})
    assert past.place == Place(learned.now, *OSLO)
    assert past.round_trips.measured == 1
    known = values_of(learned)
    assert set(known) == set(names())
    assert known["new_asn"] == known["new_browser_family"] == known["travel_kmh"] == 0
    learned.wait(3_600 * SECOND)
    moved = replace(HERE, asn=1221, browser="Safari 9", place=SYDNEY, ip_listed=True)
    step = begin(learned.flow, moved)
    seen = values_of(learned)
    assert seen["new_asn"] == seen["new_browser_family"] == seen["ip_listed"] == 1
    assert 10_000 < seen["travel_kmh"] < 20_000
    assert step.record.score > first.record.score
    assert learned.audit_holds()


def test_a_challenge_keeps_the_origin_until_it_is_passed(both: Lab, tmp_path: Path) -> None:
    lab = both.with_rules(policy=learned_policy(tmp_path, challenge_at=0.0, trust_below=0.0))
    _, app, _ = lab.enrol_app(lab.sign_up())
    lab.wait(30 * SECOND)
    asked = begin(lab.flow, HERE)
    assert asked.status == "asked"
    assert past_of(lab).networks == frozenset()
    assert asked.ticket is not None
    assert answer(lab.flow, asked.ticket, lab.shown(app)).status == "signed_in"
    past = past_of(lab)
    assert (past.networks, past.browsers) == ({"2119"}, {"Firefox"})
    assert past.place is not None
    assert past.place[1:] == OSLO
    assert past.round_trips.measured == 1


def test_what_an_address_did_is_counted_over_all_names(learned: Lab) -> None:
    learned.sign_up()
    for n, name in enumerate(["ann", "bob", "no such name", "bob"]):
        learned.wait(SECOND)
        begin(learned.flow, replace(HERE, name=name, password=f"wrong {n}"))
    learned.wait(SECOND)
    begin(learned.flow, HERE)
    seen = values_of(learned)
    assert (seen["ip_accounts"], seen["ip_failures"]) == (3, 4)
    learned.wait(SECOND)
    begin(learned.flow, replace(HERE, ip="192.0.2.77"))
    seen = values_of(learned)
    assert (seen["ip_accounts"], seen["ip_failures"]) == (1, 0)
    learned.wait(3_600 * SECOND)
    begin(learned.flow, replace(HERE, ip="192.0.2.1"))
    assert values_of(learned)["ip_accounts"] == 1
    assert values_of(learned)["ip_failures"] == 0


def test_an_ipv6_address_counts_by_its_network(learned: Lab) -> None:
    learned.sign_up()
    for host in ("1", "2"):
        learned.wait(SECOND)
        begin(learned.flow, replace(HERE, ip=f"2001:db8::{host}", password=WRONG))
    learned.wait(SECOND)
    begin(learned.flow, replace(HERE, ip="2001:db8::3"))
    assert values_of(learned)["ip_failures"] == 2


def test_the_rules_keep_origins_too_and_count_no_addresses(both: Lab) -> None:
    """A scorer fitted later finds what it reads; of addresses an hour is soon made up."""
    both.sign_up()
    both.wait(SECOND)
    assert begin(both.flow, HERE).status == "signed_in"
    assert past_of(both).networks == {"2119"}
    assert attempts(both) == 0
    assert "values" not in json.loads(both.events("login")[-1][1])


def test_a_refused_login_is_counted_and_enters_no_history(learned: Lab) -> None:
    learned.sign_up()
    learned.wait(SECOND)
    begin(learned.flow, replace(HERE, password=WRONG))
    assert attempts(learned) == 1
    assert past_of(learned).networks == frozenset()
    assert "values" not in json.loads(learned.events("login")[-1][1])


def test_a_sign_up_leaves_its_origin(learned: Lab) -> None:
    wanted = sign_up_of(asn=2119, browser="Firefox 1", place=OSLO, rtt_ms=30)
    step = begin_sign_up(learned.flow, wanted)
    assert step.ticket is not None
    assert verify_phone(learned.flow, step.ticket, learned.code(wanted.phone)).session
    past = past_of(learned)
    assert (past.networks, past.browsers) == ({"2119"}, {"Firefox"})
    assert past.place == Place(NOW, *OSLO)


@pytest.mark.parametrize("place", [(91.0, 0.0), (0.0, -180.1), (float("nan"), 0.0)])
def test_a_place_that_is_none_is_refused_whoever_asks(lab: Lab, place: tuple[float, float]) -> None:
    for name in ("ann", "no such name"):
        with pytest.raises(InputError, match="no such place"):
            begin(lab.flow, replace(HERE, name=name, place=place))
    with pytest.raises(InputError, match="no such place"):
        begin_sign_up(lab.flow, sign_up_of(place=place))


def test_whatever_a_browser_sends_is_cut_to_what_can_be_kept(both: Lab) -> None:
    lab = both
    lab.sign_up()
    lab.wait(SECOND)
    odd = replace(HERE, browser="Fire\0fox \ud800")
    assert begin(lab.flow, odd).status == "signed_in"
    lab.wait(SECOND)
    begin(lab.flow, replace(HERE, browser=" " * 100_000 + "x", asn=-5, rtt_ms=10**9))
    past = past_of(lab)
    assert max(map(len, past.browsers)) <= 200
    assert past.networks == {"2119"}, "no network has a number below 0"
    assert past.round_trips.mean < 11.1  # ln(65,535)
