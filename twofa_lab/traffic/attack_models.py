"""Attackers of the field's four models, built from the rows of a log, real or simulated.

A log hardly tells of attacks, so a scorer is tried with attempts put together from what other
accounts really did. The models are those of the field (Freeman et al., NDSS 2016; Wiefling et al.,
ACM TOPS 2022), by what the attacker knows of the victim:

| model | address | client | time |
|---|---|---|---|
| `naive` | a stranger's, from anywhere | the stranger's | the stranger's |
| `vpn` | a stranger's in the victim's country | the stranger's | the stranger's |
| `targeted` | a stranger's in the victim's city, on the victim's network if there is one (on the network alone where the city is not known) | the victim's | the stranger's |
| `very_targeted` | a neighbour's in the victim's block (the last 8 bits are a stranger's) | the victim's | the victim's hour on the stranger's day |

What is known of the victim is one earlier login of the victim's, drawn evenly. The stranger is a
login of another account, drawn evenly from those given: so values, and how often they occur, are
those of legitimate logins, and nothing is left by which a scorer could tell the attempts but what
the model says. Two traps are minded. An address comes with its lender's activity (`ip_accounts`,
`ip_failures`): counted anew, lender and attacker would share each borrowed address, which hardly
ever happens to people. And the device is the stranger's, since a cookie cannot be copied by
knowing a browser; only where a log makes device ids of user agents do they go with the client.
"""  # noqa: E501 - a table row is one line

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.risk.vector import BESIDE
from twofa_lab.tables import Array
from twofa_lab.traffic.people import MS_PER_DAY

__all__ = ["ATTACK_MODELS", "Attempts", "as_last_rows", "draw_attempts"]

ATTACK_MODELS = ("naive", "vpn", "targeted", "very_targeted")
"""From the attacker who knows least to the one who knows most."""

_ADDRESS = ("ip", "ip_listed", "asn", "country", "region", "city", "rtt_ms", *BESIDE)
_CLIENT = ("user_agent", "browser", "os", "device_type")
_BLOCK = np.uint64(0xFF)  # the part of an address that differs within the block
_ROUNDS = 20  # draws until a victim is given up


class Attempts(NamedTuple):
    """Attempts on accounts, each with the right password and none seeing another.

    `columns`: a row an attempt, the columns of the table they were made from. `victim`: a row of
    the victim's that the attacker knew of. `asked`: how many were wanted; those missing are victims
    near whom no stranger was to be found.
    """

    columns: dict[str, Array]
    victim: Array
    asked: int

    def __len__(self) -> int:
        return len(self.victim)


def draw_attempts(
    table: Mapping[str, Array],
    model: str,
    known: Array,
    strangers: Array,
    count: int,
    rng: np.random.Generator,
) -> Attempts:
    """Attempts of one model on accounts drawn evenly, `count` of them or as many as can be made.

    `table` is account-major, with the columns of `LOGINS` but the potential outcomes, and may have
    those of `BESIDE`. `known` and `strangers` are row numbers, all legitimate with the right
    password: what may be known of victims, and whose features and times are lent. An attempt comes
    after the known login. `InputError` for another model, and without such rows.

    >>> import twofa_lab as lab
    >>> shard = next(lab.simulate("us-consumer", users=200, days=30, seed=1).shards())
    >>> rows = np.flatnonzero(shard.logins["password_ok"] & (shard.logins["attack"] == 0))
    >>> found = draw_attempts(shard.logins, "vpn", rows, rows, 50, np.random.default_rng(0))
    >>> bool((found.columns["country"] == shard.logins["country"][found.victim]).all())
    True
    """
    if model not in ATTACK_MODELS:
        raise InputError(f"unknown attacker model {model!r}: use one of {', '.join(ATTACK_MODELS)}")
    if not len(known) or not len(strangers):
        raise InputError("attackers are made from logins with the right password; there are none")
    user, time = table["user_id"], table["time"]
    accounts, first, logins = np.unique(user[known], return_index=True, return_counts=True)
    pools = _pools(table, model, strangers)
    window = (int(time[strangers].min()), int(time[strangers].max()))
    who = rng.integers(0, len(accounts), count)
    own, lent = np.full(count, -1), np.full(count, -1)
    at = np.zeros(count, np.int64)
    for _ in range(_ROUNDS):
        left = np.flatnonzero(own < 0)
        if not len(left):
            break
        some = known[first[who[left]] + (rng.random(len(left)) * logins[who[left]]).astype(int)]
        other = _draw(table, pools, some, rng)
        when = time[other]
        if model == "very_targeted":
            when = _same_hour(when, time[some], table["utc_offset_min"][some])
        good = (other >= 0) & (user[other] != user[some]) & (when > time[some])
        good &= (when >= window[0]) & (when <= window[1])
        if model == "targeted":
            good &= table["ip"][other] != table["ip"][some]
        own[left[good]], lent[left[good]], at[left[good]] = some[good], other[good], when[good]
    made = own >= 0
    columns = _columns(table, model, own[made], lent[made], at[made])
    return Attempts(columns, own[made], count)


class _Pool(NamedTuple):
    """Strangers' rows, those with one key together: `rows[first[k] : first[k + 1]]`."""

    keys: Array
    first: Array
    rows: Array
    of_row: Array  # the key of every row of the table, -1 where it has none


def _pools(table: Mapping[str, Array], model: str, strangers: Array) -> list[_Pool]:
    """Where to look for strangers, the nearest first."""
    rows = len(table["user_id"])
    if model in ("naive", "very_targeted"):
        return [_pool(np.zeros(rows, np.int64), strangers)]
    country = table["country"].astype(np.int64)
    if model == "vpn":
        return [_pool(country, strangers)]
    city = _joined(country, _joined(table["region"], table["city"]))
    city[(table["city"] < 0) | (country < 0)] = -1
    network = _joined(country, table["asn"])
    network[(table["asn"] == 0) | (country < 0)] = -1
    both = _joined(city, network)
    both[(city < 0) | (network < 0)] = -1
    network[city >= 0] = -1  # it serves only where a log does not tell the city
    return [_pool(of_row, strangers) for of_row in (both, city, network)]


def _joined(a: Array, b: Array) -> Array:
    """One number for each pair that occurs."""
    pairs = np.stack([a.astype(np.int64), b.astype(np.int64)], axis=1)
    found: Array = np.unique(pairs, axis=0, return_inverse=True)[1].astype(np.int64).ravel()
    return found


def _pool(of_row: Array, strangers: Array) -> _Pool:
    strangers = strangers[of_row[strangers] >= 0]
    order = strangers[np.argsort(of_row[strangers], kind="stable")]
    keys, first = np.unique(of_row[order], return_index=True)
    return _Pool(keys, np.append(first, len(order)), order, of_row)


def _draw(
    table: Mapping[str, Array], pools: list[_Pool], own: Array, rng: np.random.Generator
) -> Array:
    """A stranger for each known row from the nearest pool that has one; -1 where none has."""
    user = table["user_id"]
    found = np.full(len(own), -1)
    for pool in pools:
        chance = rng.random(len(own))
        if not len(pool.keys):
            continue
        key = pool.of_row[own]
        at = np.minimum(np.searchsorted(pool.keys, key), len(pool.keys) - 1)
        size = pool.first[at + 1] - pool.first[at]
        other = pool.rows[pool.first[at] + (chance * size).astype(np.int64)]
        there = (found < 0) & (pool.keys[at] == key) & (user[other] != user[own])
        found[there] = other[there]
    return found


def _same_hour(day: Array, hour: Array, utc_offset_min: Array) -> Array:
    """The day of one time with the time of day of another, by the victim's clock."""
    offset = utc_offset_min.astype(np.int64) * 60_000
    return day - (day + offset) % MS_PER_DAY + (hour + offset) % MS_PER_DAY


def _columns(
    table: Mapping[str, Array], model: str, own: Array, lent: Array, at: Array
) -> dict[str, Array]:
    spoofs = model in ("targeted", "very_targeted")
    near = model == "very_targeted"
    columns = {
        name: column[own] for name, column in table.items() if not name.startswith("po_")
    }  # user, home clock and what the attacker copies are the victim's
    for name in _ADDRESS:
        if name in table and not near:
            columns[name] = table[name][lent]
    if near:
        columns["ip"] = (table["ip"][own] & ~_BLOCK) | (table["ip"][lent] & _BLOCK)
    if not spoofs:
        columns |= {name: table[name][lent] for name in _CLIENT}
    if not (spoofs and _device_is_client(table)):
        columns["device_id"] = table["device_id"][lent]
    last = int(table["login_id"].max()) + 1
    return columns | {
        "time": at,
        "login_id": np.arange(last, last + len(own)),
        "password_ok": np.ones(len(own), np.bool_),
        "password_reset": np.zeros(len(own), np.bool_),
        "signup": np.zeros(len(own), np.bool_),
    }


def _device_is_client(table: Mapping[str, Array]) -> bool:
    """Whether device ids are made of user agents: one and the same for each."""
    pairs = _joined(table["user_agent"], table["device_id"])
    return int(pairs.max(initial=-1)) == len(np.unique(table["user_agent"])) - 1


def as_last_rows(
    table: Mapping[str, Array], attempts: Mapping[str, Array], counts: Array
) -> tuple[dict[str, Array], Array]:
    """A table in which each attempt is the last row of an account of its own, and its place there.

    The account is a copy of the victim's rows before the attempt, of those that `counts` (a mask)
    says happened: so an attempt is judged by its victim's past, and leaves no trace in another's.
    Accounts are numbered from 0 in the order of the attempts.

    >>> table = {"user_id": np.array([4, 4, 7]), "time": np.array([10, 30, 20])}
    >>> attempt = {"user_id": np.array([4]), "time": np.array([20])}
    >>> found, place = as_last_rows(table, attempt, np.ones(3, bool))
    >>> found["time"].tolist(), place.tolist()
    ([10, 20], [1])
    """
    rows = np.flatnonzero(counts)
    user, time = table["user_id"][rows], table["time"][rows]
    accounts, first = np.unique(user, return_index=True)
    at = np.searchsorted(accounts, attempts["user_id"])
    ends = np.append(first, len(rows))
    before = np.array(
        [
            np.searchsorted(time[a:b], t, side="left")
            for a, b, t in zip(ends[at].tolist(), ends[at + 1].tolist(), attempts["time"].tolist(),
                               strict=True)
        ],
        np.int64,
    )  # fmt: skip
    place = np.cumsum(before + 1) - 1
    total = int(place[-1]) + 1 if len(place) else 0
    copied = np.ones(total, np.bool_)
    copied[place] = False
    start = np.repeat(place - before, before)
    source = rows[np.repeat(ends[at], before) + np.flatnonzero(copied) - start]
    found: dict[str, Array] = {}
    for name, column in attempts.items():
        joined = np.empty(total, table[name].dtype)
        joined[copied], joined[place] = table[name][source], column
        found[name] = joined
    found["user_id"] = np.repeat(np.arange(len(place)), before + 1).astype(np.int64)
    return found, place
