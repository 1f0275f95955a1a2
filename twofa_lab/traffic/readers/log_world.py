"""A real log as a world; and simulated people lent to its accounts.

A log tells what was seen and whether the password was right. It cannot tell what a person would
have done at a challenge that never came, so policies can be *replayed* on it (signals, scores,
decisions) but their conversion and cost only be *simulated*: `with_people` lends each account
phone, factors, patience and skill from a scenario, and every result then says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.tables import FACTORS, LOGINS, Array
from twofa_lab.traffic.clients import DEVICE_TYPES
from twofa_lab.traffic.geography import geography
from twofa_lab.traffic.people import MS_PER_DAY, draw_traits
from twofa_lab.traffic.potential import make_habits, potential_columns
from twofa_lab.traffic.readers.read import read_columns
from twofa_lab.traffic.readers.reading import LogRead
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.streams import Streams
from twofa_lab.traffic.world import MemorySource, Shard, World, WorldFacts

__all__ = ["lend_people", "read_logs", "world_of_log"]

_SHARD_ROWS = 400_000
_OTP = 1 << FACTORS.index("otp")


def read_logs(
    path: str | Path,
    format: str = "rba",  # noqa: A002 - the word everybody uses
    **options: Any,
) -> World:
    """Read a login log as a world without people; `world.reading` says how the reading went.

    Formats and options are those of `twofa_lab.traffic.readers.read.read_columns`.
    """
    return world_of_log(read_columns(path, format, **options))


def world_of_log(log: LogRead) -> World:
    """The logins of a log as a world without people; its accounts in shards."""
    columns = {**log.columns}
    user = columns["user_id"]
    users, first = np.unique(user, return_index=True)
    starts = np.append(first, len(user)).astype(np.int64)
    columns["login_id"] = np.arange(len(user), dtype=np.int64)
    vocabularies = dict(log.vocabularies)
    vocabularies.setdefault("time_zone", ())
    shards = tuple(
        _shard(index, columns, users, starts, a, b) for index, (a, b) in enumerate(_cuts(starts))
    )
    time = columns["time"]
    facts = WorldFacts(
        name=Path(log.reading.path).name,
        seed=0,
        users=len(users),
        days=int((time.max() - time.min()) // MS_PER_DAY) + 1,
        window=(int(time.min()), int(time.max()) + 1),
        logins=len(user),
        attacks=int((columns["attack"] != 0).sum()),
        vocabularies=vocabularies,
        costs=Scenario.load("us-consumer").costs,
        human_side="none",
        fingerprint=_fingerprint(columns),
    )
    return World(facts, MemorySource(shards), log.reading)


def _cuts(starts: Array) -> list[tuple[int, int]]:
    """Ranges of accounts that hold about `_SHARD_ROWS` rows each."""
    cuts, a = [], 0
    accounts = len(starts) - 1
    while a < accounts:
        b = int(np.searchsorted(starts, starts[a] + _SHARD_ROWS, side="right")) - 1
        b = min(max(b, a + 1), accounts)
        cuts.append((a, b))
        a = b
    return cuts


def _shard(
    index: int, columns: dict[str, Array], users: Array, starts: Array, a: int, b: int
) -> Shard:
    first, last = int(starts[a]), int(starts[b])
    logins = {name: values[first:last] for name, values in columns.items()}
    local = starts[a : b + 1] - first
    n = b - a
    people = {
        "user_id": users[a:b],
        "country": _home_country(logins, local),
        "line_type": np.zeros(n, np.uint8),
        "whatsapp": np.zeros(n, bool),
        "factors": np.full(n, _OTP, np.uint8),
    }
    return Shard(index, logins, people, local)


def _home_country(logins: dict[str, Array], starts: Array) -> Array:
    """Each account's most frequent country (-1: none known)."""
    country = logins["country"].astype(np.int64)
    account = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    known = country >= 0
    width = int(country.max(initial=0)) + 1
    pairs, counts = np.unique(account[known] * width + country[known], return_counts=True)
    order = np.argsort(counts, kind="stable")
    home = np.full(len(starts) - 1, -1, np.int16)
    home[pairs[order] // width] = pairs[order] % width
    return home


def _fingerprint(columns: dict[str, Array]) -> str:
    digest = hashlib.sha256()
    for column in LOGINS.columns:
        if column.name in columns:
            digest.update(np.ascontiguousarray(columns[column.name]).view(np.uint8).data)
    return digest.hexdigest()[:16]


def lend_people(world: World, scenario: Scenario, seed: int) -> World:
    """The world with simulated people lent to its accounts; `InputError` if it has its own."""
    if world.facts.human_side == "simulated":
        raise InputError("this world is simulated: its accounts have people already")
    words = world.facts.vocabularies
    codes = _to_geography(words["country"])
    types = _to_device_types(words["device_type"])
    shards = tuple(_lend(shard, scenario, seed, codes, types) for shard in world.shards())
    facts = replace(
        world.facts,
        seed=seed,
        costs=scenario.costs,
        human_side="lent",
        assumptions=(f"People lent from scenario {scenario.name}, seed {seed}.",),
    )
    return World(facts, MemorySource(shards), world.reading)


def _to_geography(words: tuple[str, ...]) -> Array:
    """Our country index for each of the log's codes; the last entry is for missing ones."""
    known = geography().countries
    default = known.index("US")
    return np.array([known.index(w) if w in known else default for w in words] + [default])


def _to_device_types(words: tuple[str, ...]) -> Array:
    unknown = DEVICE_TYPES.index("unknown")
    found = [DEVICE_TYPES.index(w) if w in DEVICE_TYPES else unknown for w in words]
    return np.array([*found, unknown])


def _lend(shard: Shard, scenario: Scenario, seed: int, codes: Array, types: Array) -> Shard:
    streams = Streams(seed, shard.index).named("lent")
    country = codes[shard.people["country"]]
    accounts, n = len(country), shard.rows
    time = shard.logins["time"]
    window = (int(time.min(initial=0)), int(time.max(initial=1)) + 1)
    traits = draw_traits(accounts, streams, scenario, country, window)
    account = np.repeat(np.arange(accounts, dtype=np.int32), np.diff(shard.starts))
    habits = make_habits(scenario, len(DEVICE_TYPES), DEVICE_TYPES.index("mobile"))
    potential = potential_columns(
        time, account, types[shard.logins["device_type"]], country, traits, streams, habits
    )
    logins = shard.logins | potential | {"po_defeats": np.zeros(n, np.uint8)}
    people = shard.people | {
        "line_type": traits.line_type,
        "whatsapp": traits.whatsapp,
        "factors": traits.factors,
    }
    return Shard(shard.index, logins, people, shard.starts)
