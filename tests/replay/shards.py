"""Shards made by hand, and the comparison of the compiled loop with the oracle on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tests.replay.code_oracle import Person
from tests.replay.oracle import DAY_MS, MINUTE_MS, Oracle, person_of
from twofa_lab.replay.run import NEEDED, replay_shard
from twofa_lab.risk.policy import Policy
from twofa_lab.tables import FACTORS, LOGINS, NEVER, PEOPLE
from twofa_lab.traffic.scenario import Costs
from twofa_lab.traffic.world import Shard, WorldFacts

Row = dict[str, Any]
Account = tuple[Row, list[Row]]  # a person, and the logins with `time` and the columns that matter

START = 1_767_571_200_000  # 2026-01-05 00:00 UTC, a Monday
COUNTRIES, REGIONS = ("AA", "BB", "CC"), ("AA:1", "AA:2", "BB:1", "BB:2", "CC:1")
OTP, TOTP, PUSH, PASSKEY, KEY = (
    1 << FACTORS.index(name) for name in ("otp", "totp", "push", "passkey", "hardware_key")
)

FACTS = WorldFacts(
    name="by-hand",
    seed=0,
    users=1,
    days=1,
    window=(0, 2**62),
    logins=1,
    attacks=0,
    vocabularies={"country": COUNTRIES, "region": REGIONS},
    costs=Costs(
        message={"whatsapp": 0.009, "sms": 0.0118, "voice": 0.03},
        message_by_country={"BB": {"whatsapp": 0.0014, "voice": 0.1}},
        support_ticket=10.0,
        tickets_per_lost_login=0.1,
        lost_login=1.0,
        takeover=100.0,
    ),
    human_side="simulated",
    fingerprint="by hand",
)

# A person at home on a known device, who passes a challenge at once if asked for one.
ROW: Row = {
    "time": START,
    "utc_offset_min": 0,
    "country": 0,
    "region": 0,
    "device_id": 1,
    "password_ok": True,
    "password_reset": False,
    "signup": False,
    "attack": 0,
    "po_whatsapp_ds": 20,
    "po_sms_ds": 40,
    "po_voice_ds": 60,
    "po_resend_ds": 30,
    "po_entry_ds": 100,
    "po_patience_ds": 600,
    "po_wrong_codes": 0,
    "po_phone_at_hand": True,
    "po_trusts_device": False,
    "po_resends": False,
    "po_passkey_works": True,
    "po_defeats": 0,
}
PERSON: Row = {"country": 0, "line_type": 0, "whatsapp": True, "factors": OTP}


def shard_of(accounts: Sequence[Account]) -> Shard:
    """Accounts as a shard; what a row or person leaves out is as in `ROW` and `PERSON`."""
    rows = [ROW | row for _, logins in accounts for row in logins]
    people = [PERSON | person for person, _ in accounts]
    return Shard(
        index=0,
        logins={
            name: np.array([row[name] for row in rows], LOGINS.column(name).dtype)
            for name in NEEDED
        },
        people={
            name: np.array([person[name] for person in people], PEOPLE.column(name).dtype)
            for name in PERSON
        },
        starts=np.cumsum([0, *(len(logins) for _, logins in accounts)]),
    )


def accounts_of(shard: Shard, first: int, last: int) -> Shard:
    """Some of a shard's accounts, alone."""
    rows = slice(int(shard.starts[first]), int(shard.starts[last]))
    return Shard(
        index=shard.index,
        logins={name: values[rows] for name, values in shard.logins.items()},
        people={name: values[first:last] for name, values in shard.people.items()},
        starts=shard.starts[first : last + 1] - shard.starts[first],
    )


def replayed(policy: Policy, logins: list[Row], person: Row | None = None) -> list[Row]:
    """The outcomes of one account's logins, row by row, as the compiled loop tells them."""
    written = replay_shard(shard_of([(person or {}, logins)]), FACTS, policy)
    return [dict(zip(written, row, strict=True)) for row in zip(*written.values(), strict=True)]


def lives(shard: Shard, facts: WorldFacts) -> list[tuple[list[Row], Person]]:
    """A shard's accounts as the oracle takes them: rows in order, and whose they are."""
    columns = {name: shard.logins[name].tolist() for name in NEEDED}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    people = {name: shard.people[name].tolist() for name in PERSON}
    return [
        (rows[first:last], person_of(people, at, facts.vocabularies["country"]))
        for at, (first, last) in enumerate(pairwise(shard.starts))
    ]


def disagreements(shard: Shard, facts: WorldFacts, policy: Policy) -> list[str]:
    """Where loop and oracle differ, each place in a line; empty when they tell the same."""
    play = Oracle(policy, facts.costs).account
    told = [row for rows, person in lives(shard, facts) for row in play(rows, person)]
    found = []
    for name, values in replay_shard(shard, facts, policy).items():
        for row, (compiled, hand) in enumerate(zip(values.tolist(), told, strict=True)):
            if compiled != hand[name]:
                found.append(f"row {row}: {name} is {compiled}, by hand {hand[name]}")
    return found


DELAYS = (0, 1, 49, 50, 51, 99, 100, 300, 301, 600, 3000, 5999, 6000, 6001, 65_534, NEVER, NEVER)
GAPS = (
    *(0, 0, 1, 1000, 4000, 29_999, 30_000, 60_000, 10 * MINUTE_MS - 1, 10 * MINUTE_MS),
    *(30 * MINUTE_MS, 30 * MINUTE_MS + 1, 60 * MINUTE_MS, 5 * 60 * MINUTE_MS),
    *(DAY_MS, 3 * DAY_MS, 30 * DAY_MS, 30 * DAY_MS + 1),
)
POOLS: dict[str, tuple[Any, ...]] = {
    "utc_offset_min": (-720, -300, 0, 0, 60, 120, 330, 840),
    "country": (-1, 0, 0, 0, 1, 2),
    "region": (-1, 0, 0, 0, 1, 2, 3, 4),
    "device_id": (0, 1, 1, 1, 2, 3, 2**63, 2**64 - 1),
    "password_ok": (True, True, True, False),
    "password_reset": (False,) * 19 + (True,),
    "signup": (False,) * 19 + (True,),
    "attack": (0, 0, 0, 1, 4, 10),
    "po_whatsapp_ds": DELAYS,
    "po_sms_ds": DELAYS,
    "po_voice_ds": DELAYS,
    "po_resend_ds": DELAYS,
    "po_entry_ds": (0, 1, 10, 50, 100, 250, 700, 3000, 65_535),
    "po_patience_ds": (0, 1, 50, 99, 300, 301, 600, 3000, 5999, 6000, 65_535),
    "po_wrong_codes": (0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 255),
    "po_phone_at_hand": (True, True, True, False),
    "po_trusts_device": (True, False),
    "po_resends": (True, False),
    "po_passkey_works": (True, False),
    "po_defeats": tuple(range(256)),
}
"""Values with the edges of every rule among them."""

PEOPLE_POOLS: dict[str, tuple[Any, ...]] = {
    "country": (-1, 0, 1, 2),
    "line_type": (0, 0, 1, 2),
    "whatsapp": (True, True, False),
    "factors": (OTP,) * 20 + (TOTP, PUSH, PUSH | OTP, PASSKEY | PUSH) * 5 + tuple(range(128)),
}
AT_HAND: Row = {"password_ok": True, "attack": 0, "po_phone_at_hand": True}
ELSEWHERE: Row = AT_HAND | {"po_phone_at_hand": False}
AT_ONCE: Row = {"po_whatsapp_ds": 20, "po_sms_ds": 40, "po_voice_ds": 60, "po_patience_ds": 6000}
HABITS: tuple[tuple[Row, Row], ...] = (
    *(({}, {}),) * 6,
    # every code wrong, also after a passkey that does not work; every code of an app right
    (AT_HAND | AT_ONCE | {"po_wrong_codes": 255}, {"factors": OTP}),
    (AT_HAND | {"po_wrong_codes": 0}, {"factors": TOTP}),
    (AT_HAND | AT_ONCE | {"po_wrong_codes": 255, "po_passkey_works": False},
     {"factors": PASSKEY | OTP}),
    # push after push that nobody answers, alone or after a passkey that does not work
    (ELSEWHERE, {"factors": PUSH}),
    (ELSEWHERE | {"po_passkey_works": False}, {"factors": PASSKEY | PUSH | TOTP}),
)  # fmt: skip
"""What all logins of some accounts, and their person, have in common."""


def adversarial(seed: int, accounts: int, most_rows: int) -> Shard:
    """A shard whose every cell is drawn from the pools: unlike any traffic, and so all the better
    at finding where two readings of the rules part.
    """
    rng = np.random.default_rng(seed)

    def draw(pool: Iterable[Any], n: int) -> list[Any]:
        pool = list(pool)
        return [pool[k] for k in rng.integers(len(pool), size=n)]

    made: list[Account] = []
    for _ in range(accounts):
        n = int(rng.integers(1, most_rows + 1))
        # some accounts move in seconds, so that bursts and waits pile up, others in days
        gaps = draw(GAPS[: int(rng.integers(4, len(GAPS) + 1))], n)
        times = START + np.cumsum(gaps)
        columns = {name: draw(pool, n) for name, pool in POOLS.items()}
        habit, who = draw(HABITS, 1)[0]
        columns |= {name: [value] * n for name, value in habit.items()}
        rows = [{name: columns[name][k] for name in columns} for k in range(n)]
        person = {name: draw(pool, 1)[0] for name, pool in PEOPLE_POOLS.items()} | who
        made.append((person, [row | {"time": int(t)} for row, t in zip(rows, times, strict=True)]))
    return shard_of(made)
