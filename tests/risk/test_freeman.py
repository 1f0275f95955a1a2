"""The statistical scorer against its formula in plain dicts, and its two modes against each other.

The comparison with the public implementation's own scores is in `tests/replay/test_score_log.py`.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.risk.freeman_oracle import LEVELS, Oracle, Row, complete, scores_as_it_came
from twofa_lab.errors import InputError
from twofa_lab.risk import freeman_model
from twofa_lab.risk.codebook import Codebook
from twofa_lab.risk.freeman import FEATURES, WEIGHTS
from twofa_lab.risk.freeman_model import Freeman, login_of, rows_before, score_as_it_came
from twofa_lab.risk.scored import UNSCORED, Scored
from twofa_lab.tables import LOGINS, Array

TEXTS = [name for name in LEVELS if LOGINS.column(name).text]
WORDS = {name: tuple(f"{name} {n}" for n in range(6)) for name in TEXTS}
IPV6 = 0x20010DB8_00000000  # 2001:db8::/64, its upper 64 bits
NUMBERS = {"ip": (0x0A000001, 0x0A000002, IPV6, IPV6 + 1, 2**64 - 1), "asn": (1, 29695, 500_001)}

Made = tuple[dict[str, Array], Array]


def row_of(index: int, user: int, time: int, codes: list[int], ok: bool = True) -> Row:
    """A row in words; a code of -1 is a missing value."""
    row: dict[str, Any] = {"index": index, "user": user, "time": time, "password_ok": ok}
    for name, code in zip(LEVELS, codes, strict=True):
        pool: Any = WORDS[name] if name in TEXTS else NUMBERS[name]
        row[name] = None if code < 0 else pool[code % len(pool)]
    return row


def table_of(rows: list[Row], words: dict[str, tuple[str, ...]] = WORDS) -> Made:
    """The rows as an account-major logins table, and each one's index."""
    rows = sorted(rows, key=lambda row: (row["user"], row["time"], row["index"]))
    table = {
        "user_id": np.array([row["user"] for row in rows], np.int64),
        "time": np.array([row["time"] for row in rows], np.int64),
        "login_id": np.arange(len(rows)),
        "password_ok": np.array([row["password_ok"] for row in rows], np.bool_),
        "signup": np.zeros(len(rows), np.bool_),
        "ip_listed": np.array([row.get("ip_listed", False) for row in rows], np.bool_),
    }
    for name in LEVELS:
        if name in TEXTS:
            codes = [-1 if row[name] is None else words[name].index(row[name]) for row in rows]
            table[name] = np.array(codes, LOGINS.column(name).dtype)
        else:
            table[name] = np.array([row[name] or 0 for row in rows], LOGINS.column(name).dtype)
    return table, np.array([row["index"] for row in rows], np.int64)


def by_index(found: Scored, index: Array) -> dict[int, float]:
    """Scores of the rows that have one."""
    there = found.unscored == 0
    assert np.array_equal(there, np.isfinite(found.score))
    return dict(zip(index[there].tolist(), found.score[there].tolist(), strict=True))


def assert_same(found: dict[int, float], expected: dict[int, float | None]) -> None:
    expected = {index: score for index, score in expected.items() if score is not None}
    assert found.keys() == expected.keys()
    for index, score in expected.items():
        assert found[index] == pytest.approx(score, rel=1e-12), index


@st.composite
def histories(draw: st.DrawFn, most: int = 40) -> list[Row]:
    """Logins of a few accounts with few values, some missing, some at one time."""
    cell = st.integers(-1, 4) | st.integers(0, 1)
    made = draw(
        st.lists(
            st.tuples(
                st.integers(1, 4),
                st.integers(0, 12),
                st.lists(cell, min_size=7, max_size=7),
                st.integers(0, 4).map(bool),
            ),
            max_size=most,
        )
    )
    return [row_of(index, *row) for index, row in enumerate(made)]


@settings(max_examples=40)
@given(histories())
def test_every_login_is_scored_as_the_formula_says(rows: list[Row]) -> None:
    table, index = table_of(rows)
    found = score_as_it_came(table, WORDS, index)
    assert_same(by_index(found, index), scores_as_it_came(rows))
    for row in rows:
        why = UNSCORED[found.unscored[index.tolist().index(row["index"])]]
        assert (why == "wrong password") == (not row["password_ok"])
        assert (why == "a value is missing") == (row["password_ok"] and not complete(row))


@settings(max_examples=40)
@given(histories())
def test_fitted_counts_stay_and_the_accounts_own_go_on(rows: list[Row]) -> None:
    past = [row for row in rows if row["time"] < 6]
    table, index = table_of(rows)
    early = table["time"] < 6
    if not any(map(complete, past)):
        with pytest.raises(InputError, match="nothing to fit on"):
            Freeman.fit([{name: column[early] for name, column in table.items()}], WORDS)
        return
    model = Freeman.fit([{name: column[early] for name, column in table.items()}], WORDS)
    oracle = Oracle()
    for row in past:
        if complete(row):
            oracle.record(row)
    oracle.own.clear()
    oracle.by_account.clear()
    expected = {}
    for row in sorted(filter(complete, rows), key=lambda row: (row["time"], row["index"])):
        expected[row["index"]] = oracle.score(row)
        oracle.record_own(row)
    assert_same(by_index(model.score(table, WORDS), index), expected)


@settings(max_examples=40)
@given(histories(most=25))
def test_one_login_is_scored_as_in_a_table(rows: list[Row]) -> None:
    """Fitted on all that came before, one account's past recorded: the score as it came."""
    table, index = table_of(rows)
    as_it_came = score_as_it_came(table, WORDS, index)
    for at in np.flatnonzero(as_it_came.unscored == 0)[-3:].tolist():
        before = rows_before(table, at, index)
        model = Freeman.fit([{name: column[before] for name, column in table.items()}], WORDS)
        account = model.account()
        own = before & (table["user_id"] == table["user_id"][at]) & table["password_ok"]
        for row in np.flatnonzero(own).tolist():
            account.record(login_of(table, WORDS, row))
        login = login_of(table, WORDS, at)
        assert account.score(login) == pytest.approx(as_it_came.score[at], rel=1e-12)
        told = account.explain(login)
        assert math.fsum(told.contributions.values()) == pytest.approx(
            math.log(as_it_came.score[at]), abs=1e-9
        )


@settings(max_examples=40)
@given(histories())
def test_neither_shards_nor_chunks_nor_codes_change_anything(rows: list[Row]) -> None:
    """Accounts fitted table by table; another vocabulary, with other codes for the same texts."""
    table, index = table_of(rows)
    if not any(map(complete, rows)):
        return
    whole = Freeman.fit([table], WORDS)
    users = table["user_id"]
    parts = [
        {name: column[users == user] for name, column in table.items()} for user in np.unique(users)
    ]
    turned = {name: tuple(reversed(words)) for name, words in WORDS.items()}
    scores = [by_index(whole.score(table, WORDS), index)]
    scores.append(by_index(Freeman.fit(parts, WORDS).score(table, WORDS), index))
    scores.append(by_index(whole.score(table_of(rows, turned)[0], turned), index))
    for other in scores[1:]:
        assert other == pytest.approx(scores[0], rel=1e-12)


def test_many_logins_and_values_fill_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value seen with every other, in chunks far smaller than the table of pairs becomes."""
    monkeypatch.setattr(freeman_model, "_CHUNK", 64)
    draw = np.random.default_rng(3)
    rows = [
        row_of(index, int(draw.integers(60)), index // 3, draw.integers(0, 6, 7).tolist())
        for index in range(4_000)
    ]
    table, index = table_of(rows)
    told: list[float] = []
    found = score_as_it_came(table, WORDS, index, advance=told.append)
    assert_same(by_index(found, index), scores_as_it_came(rows))
    assert sum(told) == len(rows)


def test_an_account_may_use_thousands_of_values() -> None:
    """One account, a new address and a new user agent at each login, table and one at a time."""
    agents = tuple(f"agent {n}" for n in range(3_000))
    rows = [
        {**row_of(n, 1, n, [0] * 7), "ip": 1_000 + n, "user_agent": agents[n]} for n in range(3_000)
    ]
    words = WORDS | {"user_agent": agents}
    table, index = table_of(rows, words)
    expected = scores_as_it_came(rows)
    assert_same(by_index(score_as_it_came(table, words, index), index), expected)
    model = Freeman.fit([{name: column[:1_000] for name, column in table.items()}], words)
    fitted = model.score(table, words)
    account = model.account()
    for n in range(3_000):
        if n % 500 == 499:
            found = account.score(login_of(table, words, n))
            assert found == pytest.approx(fitted.score[n], rel=1e-12)
        account.record(login_of(table, words, n))


def test_the_weights_and_levels_are_those_of_the_formula() -> None:
    assert tuple(FEATURES["address"]) + tuple(FEATURES["client"]) == LEVELS
    assert WEIGHTS[:3].sum() == pytest.approx(1, abs=1e-12)
    assert WEIGHTS[3:].sum() == pytest.approx(1, abs=1e-12)


# --- values that are missing, unseen or alike


def pair(**changes: Any) -> list[Row]:
    """Two logins of one account a day apart, and one of another before both."""
    first, second = row_of(1, 1, 10, [0] * 7), {**row_of(2, 1, 20, [0] * 7), **changes}
    return [row_of(0, 2, 0, [1] * 7), first, second]


def last_score(rows: list[Row]) -> float:
    table, index = table_of(rows)
    return by_index(score_as_it_came(table, WORDS, index), index).get(2, math.nan)


@pytest.mark.parametrize("name", LEVELS)
def test_a_login_without_a_value_is_neither_scored_nor_counted(name: str) -> None:
    rows = pair(**{name: None})
    assert math.isnan(last_score(rows))
    after = [*rows, row_of(3, 1, 30, [0] * 7)]
    table, index = table_of(after)
    with_it = by_index(score_as_it_came(table, WORDS, index), index)[3]
    table, index = table_of([after[0], after[1], after[3]])
    assert by_index(score_as_it_came(table, WORDS, index), index)[3] == with_it


def test_two_logins_without_a_network_are_not_from_the_same_one() -> None:
    rows = [{**row_of(n, 1, n, [0] * 7), "asn": None} for n in range(3)]
    table, index = table_of(rows)
    assert by_index(score_as_it_came(table, WORDS, index), index) == {}


def test_nothing_known_of_either_feature_is_four_times_four() -> None:
    new = row_of(2, 1, 20, [2] * 7)
    # N/U / n = 2/2 / 1
    assert last_score(pair(**{name: new[name] for name in LEVELS})) == pytest.approx(16.0)


def test_an_unseen_address_counts_one_in_n_plus_m() -> None:
    # network and country stay: L = 0.4; M = 1 + 2 networks + 2 countries, N = 2
    score = last_score(pair(ip=77))
    known = last_score(pair())
    unseen = (0.6 / 7 + 0.3 / 2 + 0.1 / 2) / 0.4
    # the address seen once: c1/(N+M) c1/(c1+M') with M' = 1 + 1 + 1
    seen = 0.6 * (1 / 7) * (1 / 4) + 0.3 / 2 + 0.1 / 2
    assert score / known == pytest.approx(unseen / seen)


def test_ipv6_is_told_apart_by_its_network_and_never_mixed_with_ipv4() -> None:
    home = [row_of(n, 1, n, [2] + [0] * 6) for n in range(3)]  # 2001:db8::/64
    model = Freeman.fit([table_of(home)[0]], WORDS)
    account = model.account()
    login = {**home[0], "ip_listed": False}
    account.record(login)
    near, far, low = ({**login, "ip": ip} for ip in (IPV6, IPV6 + 1, IPV6 & 0xFFFFFFFF or 1))
    levels = [account.explain(other).features[0].levels[0].account for other in (near, far, low)]
    assert levels == [1, 0, 0]


def test_new_values_of_an_account_are_told_apart_and_remembered() -> None:
    model = Freeman.fit([table_of(pair())[0]], WORDS)
    account = model.account()
    login = {**pair()[1], "ip_listed": False}
    account.record({**login, "ip": 1_000, "user_agent": "never seen"})
    same = account.explain({**login, "ip": 1_000, "user_agent": "never seen"})
    other = account.explain({**login, "ip": 1_001, "user_agent": "never seen either"})
    assert [term.levels[0].account for term in same.features] == [1, 1]
    assert [term.levels[0].account for term in other.features] == [0, 0]
    assert all(term.levels[0].everybody == 0 for term in same.features)


def test_reasons_name_what_is_new_to_the_account() -> None:
    rows = pair(ip=77, browser="browser 3", ip_listed=True)
    table, index = table_of(rows)
    for term, told in ((False, "new_ip; new_browser"), (True, "new_ip; new_browser; listed_addre")):
        found = score_as_it_came(table, WORDS, index, attack_term=term)
        at = index.tolist().index(2)
        assert found.reasons[found.reason[at]].removesuffix("ss") == told


@pytest.mark.parametrize(("listed", "factor"), [(True, 0.990), (False, 0.099)])
def test_the_attack_term_multiplies(listed: bool, factor: float) -> None:
    table, index = table_of(pair(ip_listed=listed))
    plain = score_as_it_came(table, WORDS, index)
    with_term = score_as_it_came(table, WORDS, index, attack_term=True)
    at = index.tolist().index(2)
    assert with_term.score[at] == pytest.approx(factor * plain.score[at], rel=1e-12)
    model = Freeman.fit([table], WORDS, attack_term=True)
    account = model.account()
    account.record(login_of(table, WORDS, at))
    bare = Freeman(model.book, model.counts).account()
    bare.record(login_of(table, WORDS, at))
    login = login_of(table, WORDS, at)
    assert account.score(login) == pytest.approx(factor * (bare.score(login) or 0), rel=1e-12)
    assert account.explain(login).contributions["attack"] == pytest.approx(math.log(factor))
    assert account.explain(login).score == account.score(login)


# --- explanation, and wrong input


def test_an_explanation_is_plain_data_in_words() -> None:
    table, index = table_of(pair(ip=77))
    model = Freeman.fit([table], WORDS)
    account = model.account()
    account.record(login_of(table, WORDS, int(index.tolist().index(1))))
    told = account.explain(login_of(table, WORDS, int(index.tolist().index(2))))
    content = json.loads(json.dumps(told.to_dict(), allow_nan=False))
    assert set(content["contributions"]) == {"address", "client", "account"}
    text = str(told)
    assert "ip in 0 of its 1 logins and 1 of everybody's 3" in text
    assert text.splitlines()[1].startswith("  - account x1.5")
    assert "nothing of it seen" not in text
    assert told.features[0].levels[0].log_ratio is None  # none of the account's: no finite ratio
    assert told.features[0].levels[1].log_ratio == pytest.approx(math.log((2 / 3) / 1))


def test_markup_in_a_value_stays_text() -> None:
    model = Freeman.fit([table_of(pair())[0]], WORDS)
    account = model.account()
    login = {**pair()[1], "ip_listed": False, "user_agent": "<script>alert(1)</script>"}
    account.record(login)
    assert "<script>" not in account.explain(login)._repr_html_()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"asn": "29695"}, "asn is '29695'"),
        ({"ip": -1}, "ip is -1"),
        ({"ip": 2**64}, "ip is 18446744073709551616"),
        ({"ip": 1.5}, "ip is 1.5"),
        ({"country": 7}, "country is 7, not text"),
        ({"country": ["NO"]}, "not text"),
        ({"os": True}, "os is True, not text"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(changes: dict[str, Any], told: str) -> None:
    account = Freeman.fit([table_of(pair())[0]], WORDS).account()
    with pytest.raises(InputError, match=told):
        account.record({**pair()[1], **changes})


def test_a_login_that_lacks_a_field_is_refused() -> None:
    account = Freeman.fit([table_of(pair())[0]], WORDS).account()
    login = dict(pair()[1])
    del login["asn"]
    with pytest.raises(InputError, match="no value for 'asn'"):
        account.score(login)


def test_what_has_no_score_cannot_be_explained() -> None:
    account = Freeman.fit([table_of(pair())[0]], WORDS).account()
    login = {**pair()[1], "ip_listed": False}
    assert account.score(login) is None
    with pytest.raises(InputError, match="first login"):
        account.explain(login)
    account.record({**login, "asn": None})  # leaves nothing behind
    assert account.score(login) is None
    account.record(login)
    assert account.score({**login, "os": "-"}) is None
    with pytest.raises(InputError, match="without asn, os"):
        account.explain({**login, "os": "", "asn": 0})


def test_a_table_that_lacks_a_column_is_refused() -> None:
    table, index = table_of(pair())
    del table["browser"]
    with pytest.raises((InputError, KeyError), match="browser"):
        score_as_it_came(table, WORDS, index)


def test_no_logins_no_scores() -> None:
    table, index = table_of([])
    assert len(score_as_it_came(table, WORDS, index).score) == 0


def test_a_book_keeps_codes_when_it_learns_more() -> None:
    table, _ = table_of(pair())
    book, codes = Codebook.empty(LEVELS).learn(table, WORDS)
    more, _ = table_of([row_of(0, 1, 0, [4] * 7)])
    larger, _ = book.learn(more, WORDS)
    assert np.array_equal(larger.codes(table, WORDS), codes)
    assert (larger.sizes >= book.sizes).all()
    assert larger.sizes.sum() > book.sizes.sum()
