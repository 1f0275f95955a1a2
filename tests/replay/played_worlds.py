"""Worlds for playing through the real flow: simulated ones, made to hold everything at once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

import twofa_lab as lab
from twofa_lab.flow.finish import utc_offset_min
from twofa_lab.tables import ATTACKS, LINE_TYPES, NEVER
from twofa_lab.traffic.world import MemorySource, Shard, World


def wild(users: int, seed: int, days: int = 20) -> World:
    """A simulated world whose people hold any factors, whose messages meet any fate, whose
    attackers have any means, and whose logins come in bursts: all that a replay can meet, often.
    """
    world = lab.simulate("us-consumer", users=users, days=days, seed=seed)
    (shard,) = world.shards()
    rng = np.random.default_rng(seed)
    made = _wild_people(shard, rng)
    logins = _wild_logins(made, rng, world.facts.vocabularies["time_zone"])
    source = MemorySource((replace(made, logins=logins),))
    return replace(world, source=source)


def _wild_people(shard: Shard, rng: np.random.Generator) -> Shard:
    n = len(shard.people["user_id"])
    people = dict(shard.people)
    # bits 1 to 5: a code, an app, push, a passkey, a hardware key; some hold nothing at all
    people["factors"] = (rng.integers(0, 32, n) << 1).astype(np.uint8)
    people["line_type"] = rng.integers(0, len(LINE_TYPES), n).astype(np.uint8)
    people["whatsapp"] = rng.random(n) < 0.5
    return replace(shard, people=people)


def _wild_logins(
    shard: Shard, rng: np.random.Generator, zones: tuple[str, ...]
) -> dict[str, np.ndarray]:
    n = shard.rows
    logins = dict(shard.logins)
    account = np.repeat(np.arange(len(shard.starts) - 1), np.diff(shard.starts))
    _burst(logins, shard.starts, rng)
    home = shard.people["time_zone"][account]
    logins["utc_offset_min"] = np.array(
        [utc_offset_min(zones[z], int(t)) for z, t in zip(home, logins["time"], strict=True)],
        np.int16,
    )
    mine = (account * 7 + rng.integers(0, 4, n)).astype(np.uint64)
    logins["device_id"] = np.where(rng.random(n) < 0.03, np.uint64(0), mine + np.uint64(1))
    logins["attack"] = np.where(rng.random(n) < 0.4, rng.integers(1, len(ATTACKS), n), 0).astype(
        np.uint8
    )
    logins["password_ok"] = rng.random(n) < 0.85
    logins["password_reset"] = (rng.random(n) < 0.02) & ~logins["signup"]
    for column in ("country", "region"):
        lost = rng.random(n) < 0.05
        logins[column] = np.where(lost, -1, logins[column]).astype(logins[column].dtype)
    for channel in ("whatsapp", "sms", "voice", "resend"):
        delay = rng.integers(5, 900, n)
        never = rng.random(n) < 0.35
        logins[f"po_{channel}_ds"] = np.where(never, NEVER, delay).astype(np.uint16)
    logins["po_entry_ds"] = rng.choice(np.array([20, 95, 150, 990], np.uint16), n)
    logins["po_patience_ds"] = rng.integers(50, 6_500, n).astype(np.uint16)
    logins["po_wrong_codes"] = rng.choice(np.array([0, 0, 0, 1, 2, 5, 7], np.uint8), n)
    logins["po_defeats"] = np.where(logins["attack"] > 0, rng.integers(0, 128, n), 0).astype(
        np.uint8
    )
    for flag in ("phone_at_hand", "trusts_device", "resends", "passkey_works"):
        logins[f"po_{flag}"] = rng.random(n) < 0.7
    return logins


def _burst(logins: dict[str, np.ndarray], starts: np.ndarray, rng: np.random.Generator) -> None:
    """Draw half of every account's logins close together, still in order."""
    times = logins["time"].copy()
    for first, last in pairwise(starts):
        gaps = np.diff(times[first:last])
        hurried = rng.random(len(gaps)) < 0.5
        gaps[hurried] = rng.integers(1, 120_000, int(hurried.sum()))
        times[first + 1 : last] = times[first] + np.cumsum(gaps)
    logins["time"] = times
