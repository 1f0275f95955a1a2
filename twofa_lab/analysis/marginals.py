"""Counts behind a realism report, shard by shard, so that memory stays bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from twofa_lab.tables import Array
from twofa_lab.traffic.world import ShardSource, WorldFacts

__all__ = ["MINUTES", "Counts", "counts_of_shard", "distinct", "total_counts"]

MINUTES = 1440
_MS_PER_DAY = 86_400_000
_KEPT = 65_536  # smallest hashes of addresses that are kept: a standard error of 0.4 %
_COLUMNS = (
    "time", "utc_offset_min", "ip", "ip_listed", "country", "device_type", "device_id", "rtt_ms",
    "password_ok", "signup", "attack",
)  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """Counts over rows inside the window, sign-ups apart.

    `logins[k]`: accounts with k rows; `devices`, `countries`: rows by vocabulary code plus one (0:
    missing); `local`, `utc`: rows by minute of the day; `ips`: the smallest hashes of addresses;
    `new_*`: completed legitimate logins with something new, of all after an account's first.
    """

    rows: int
    ok: int
    listed: int
    no_rtt: int
    logins: Array
    devices: Array
    countries: Array
    local: Array
    utc: Array
    ips: Array
    new_device: tuple[int, int]
    new_country: tuple[int, int]


def counts_of_shard(source: ShardSource, index: int, facts: WorldFacts, days: int) -> Counts:
    """Count one shard's rows; `days` bounds the part in which logins per user are counted."""
    shard = source.load(index, _COLUMNS)
    rows = shard.logins
    account = np.repeat(np.arange(len(shard.starts) - 1), np.diff(shard.starts))
    start, end = facts.window
    time = rows["time"]
    counted = (time >= start) & (time < end) & ~rows["signup"]
    spanned = account[counted & (time < start + days * _MS_PER_DAY)]
    each = np.bincount(spanned, minlength=len(shard.starts) - 1)
    home = time + rows["utc_offset_min"].astype(np.int64) * 60_000
    words = facts.vocabularies
    return Counts(
        rows=int(counted.sum()),
        ok=int((counted & rows["password_ok"]).sum()),
        listed=int((counted & rows["ip_listed"]).sum()),
        no_rtt=int((counted & (rows["rtt_ms"] == 0)).sum()),
        logins=np.bincount(each[each > 0], minlength=2),
        devices=_by_code(rows["device_type"][counted], len(words["device_type"])),
        countries=_by_code(rows["country"][counted], len(words["country"])),
        local=_by_minute(home[counted]),
        utc=_by_minute(time[counted]),
        ips=_smallest(_hash(rows["ip"][counted])),
        new_device=_new(account, rows["device_id"], rows, counted, rows["device_id"] != 0),
        new_country=_new(account, rows["country"], rows, counted, rows["country"] >= 0),
    )


def total_counts(parts: list[Counts]) -> Counts:
    """Counts of several shards as one."""
    longest = max(11, *(len(part.logins) for part in parts))
    names = ("rows", "ok", "listed", "no_rtt", "devices", "countries", "local", "utc")
    summed: dict[str, Any] = {name: sum(getattr(part, name) for part in parts) for name in names}
    return Counts(
        **summed,
        logins=np.sum([np.pad(p.logins, (0, longest - len(p.logins))) for p in parts], axis=0),
        ips=_smallest(np.concatenate([part.ips for part in parts])),
        new_device=_pair_sum([part.new_device for part in parts]),
        new_country=_pair_sum([part.new_country for part in parts]),
    )


def _pair_sum(pairs: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(part for part, _ in pairs), sum(whole for _, whole in pairs)


def distinct(hashes: Array) -> float:
    """How many distinct values stand behind their smallest hashes: exact while all were kept.

    With k kept, the k-th smallest of n hashes spread evenly over [0, 1) lies near k / n
    (Bar-Yossef et al. 2002).

    >>> distinct(_smallest(_hash(np.array([5, 5, 7], np.uint64))))
    2.0
    """
    if len(hashes) < _KEPT:
        return float(len(hashes))
    return (_KEPT - 1) / (float(hashes[-1]) / 2.0**64)


def _smallest(hashes: Array) -> Array:
    return np.unique(hashes)[:_KEPT]


def _hash(values: Array) -> Array:
    """SplitMix64 of each value."""
    mixed = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashes: Array = mixed ^ (mixed >> np.uint64(31))
    return hashes


def _by_code(codes: Array, words: int) -> Array:
    return np.bincount(codes.astype(np.int64) + 1, minlength=words + 1)


def _by_minute(time: Array) -> Array:
    return np.bincount(time // 60_000 % MINUTES, minlength=MINUTES)


def _new(
    account: Array, value: Array, rows: dict[str, Array], counted: Array, known: Array
) -> tuple[int, int]:
    """Counted completed logins whose value the account had not had, and all after its first.

    Rows before the window and sign-ups are history, not logins that count.
    """
    done = np.flatnonzero(rows["password_ok"] & (rows["attack"] == 0) & known)
    who, what = account[done], value[done]
    later = np.ones(len(done), bool)
    later[np.unique(who, return_index=True)[1]] = False
    order = np.lexsort((what, who))  # stable: the earliest row of each pair comes first
    fresh = np.ones(len(done), bool)
    again = (np.diff(who[order]) == 0) & (what[order][1:] == what[order][:-1])
    fresh[order[1:][again]] = False
    later &= counted[done]
    return int((fresh & later).sum()), int(later.sum())
