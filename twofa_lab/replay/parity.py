"""Flow equals replay: a world played login by login through the real flow.

Simulated people receive the real code from the simulated carrier and type it, read the app's codes
off its secret, answer with a software passkey; attackers do what their row says they can. Signals,
decision, factor, channel, messages, attempts, time, price and outcome must then be the replay's.
What a notebook says of a policy is what production would do.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine
from tqdm import tqdm

from twofa_lab.errors import InputError
from twofa_lab.flow import login
from twofa_lab.flow.rehearsal import Rehearsal
from twofa_lab.flow.service import FlowRules
from twofa_lab.flow.step import Step
from twofa_lab.replay.acting import Actor
from twofa_lab.replay.challenge import Means
from twofa_lab.replay.enrolled import FastPasswords, Identities, Identity
from twofa_lab.replay.loop import NO_DECISION
from twofa_lab.replay.run import ready_for, replay_shard, settings_of
from twofa_lab.replay.settling import Settler
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.signals import SignalRules
from twofa_lab.sheet import Sheet
from twofa_lab.store.addresses import AddressSeen
from twofa_lab.store.engine import connect
from twofa_lab.tables import (
    ATTACKS,
    CHANNELS,
    DECISIONS,
    FACTORS,
    LINE_TYPES,
    OUTCOME_NAMES,
    OUTCOMES,
    Array,
)
from twofa_lab.traffic.world import Shard, World

__all__ = ["Mismatch", "Parity", "parity"]

COMPARED = tuple(name for name in OUTCOMES.names if name != "login_id")


class Mismatch(NamedTuple):
    """The first login in which flow and replay differ, and in what: column to (flow, replay)."""

    login_id: int
    user_id: int
    attack: str
    differences: dict[str, tuple[object, object]]


class Row(NamedTuple):
    """One login, as the flow did it and as the replay says: columns of the outcomes table."""

    found: dict[str, object]
    expected: dict[str, object]
    attack: str
    login_id: int
    user_id: int


@dataclass(frozen=True)
class Parity:
    """What came of playing a world for real; renders itself.

    `seen` counts the logins by decision, factor, channel, attack and outcome, to tell what was put
    to the test.
    """

    policy: str
    compared: int
    mismatches: int
    first_mismatch: Mismatch | None
    seen: dict[str, dict[str, int]]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        first = self.first_mismatch
        return {
            "policy": self.policy,
            "compared": self.compared,
            "mismatches": self.mismatches,
            "first_mismatch": None if first is None else first._asdict(),
            "seen": self.seen,
            "seconds": round(self.seconds, 3),
        }

    def sheet(self) -> Sheet:
        """What was compared, as a table."""
        rows = tuple(
            (kind, ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())))
            for kind, counts in self.seen.items()
        )
        verdict = "every login the same" if not self.mismatches else f"first: {self.first_mismatch}"
        note = f"{self.compared:,} logins compared, {self.mismatches:,} differ: {verdict}."
        return Sheet(
            f"Flow and replay under {self.policy}", ("by", "logins"), rows, note, prose=True
        )

    def __str__(self) -> str:
        return str(self.sheet())

    def _repr_html_(self) -> str:
        return self.sheet()._repr_html_()


def parity(
    world: World,
    policy: Policy,
    logins: int = 20_000,
    *,
    seed: int = 7,
    database: str | Path | None = None,
) -> Parity:
    """Play the first accounts of a world through the flow until `logins` rows were compared.

    The flow runs over a database in memory, or in the new file `database`, whose audit can then be
    read; with the limits on sending off, for the replay has none.

    >>> import twofa_lab as lab
    >>> world = lab.simulate("us-consumer", users=20, days=3, seed=1)
    >>> parity(world, Policy.universal(), logins=20).mismatches
    0
    """
    if world.facts.human_side == "none":
        raise InputError("this world has no people to play: lend it some with `with_people`")
    start = time.perf_counter()
    stage = Stage(world, policy, seed, database)
    compared, mismatches, first = 0, 0, None
    seen: dict[str, Counter[str]] = {
        kind: Counter() for kind in ("decision", "factor", "channel", "attack", "outcome")
    }
    most = min(logins, world.facts.logins)
    bar = tqdm(stage.rows(), "playing", most, unit="login", delay=1, leave=False, disable=None)
    for row in bar:
        compared += 1
        if row.found != row.expected:
            mismatches += 1
            first = first or _mismatch(row)
        for kind in ("decision", "factor", "channel", "outcome"):
            seen[kind][str(row.expected[kind])] += 1
        seen["attack"][row.attack] += 1
        if compared >= logins:
            break
    tally = {kind: dict(counts) for kind, counts in seen.items()}
    return Parity(policy.name, compared, mismatches, first, tally, time.perf_counter() - start)


def _mismatch(row: Row) -> Mismatch:
    differences = {
        name: (row.found[name], wanted)
        for name, wanted in row.expected.items()
        if row.found[name] != wanted
    }
    return Mismatch(row.login_id, row.user_id, row.attack, differences)


class Stage:
    """A flow in memory, simulated phones, and the people of a world on them.

    Accounts come one after the other here, so what an address did at the time is told by the world.
    """

    def __init__(
        self, world: World, policy: Policy, seed: int, database: str | Path | None = None
    ) -> None:
        self.world, self.policy = ready_for(world, [policy]), policy
        self.words = world.facts.vocabularies
        self.settings = settings_of(policy, SignalRules(), world.facts.costs, self.words["country"])
        self.country = -1
        self.address = AddressSeen(0, 0)
        stage = Rehearsal.open(
            policy,
            seed,
            None if database is None else _new_file(Path(database)),
            passwords=FastPasswords(),
            rules=FlowRules(send_limits=None),
            address_activity=lambda *_, **__: self.address,
            prices=lambda channel, _country: int(
                self.settings.prices[self.country, CHANNELS.index(channel)]
            ),
        )
        self.flow, self.clock, self.phones = stage.flow, stage.clock, stage.phones
        self.settler = Settler(self.flow, Identities(seed), self.words, stage.rng.randbytes)

    def rows(self) -> Iterator[Row]:
        """Every login played, in the world's order."""
        for shard in self.world.shards():
            expected = replay_shard(shard, self.world.facts, self.policy)
            for account in range(len(shard.starts) - 1):
                yield from self._account(shard, account, expected)

    def _account(self, shard: Shard, account: int, expected: dict[str, Array]) -> Iterator[Row]:
        people, logins = shard.people, shard.logins
        self.country = int(people["country"][account])
        first, last = int(shard.starts[account]), int(shard.starts[account + 1])
        if first == last:
            return
        self.clock.now = int(logins["time"][first]) - 60_000
        who = self.settler.settle(people, account)
        for row in range(first, last):
            found = self._login(shard, account, row, who)
            if found is None:  # a sign-up is a row, and no login
                continue
            wanted = named({name: expected[name][row].item() for name in COMPARED})
            attack = ATTACKS[int(logins["attack"][row])]
            yield Row(found, wanted, attack, int(logins["login_id"][row]), who.user_id)

    def _login(
        self, shard: Shard, account: int, row: int, who: Identity
    ) -> dict[str, object] | None:
        logins = shard.logins
        self.clock.now = int(logins["time"][row])
        if logins["password_reset"][row]:
            self.settler.reset(who)
        right = bool(logins["password_ok"][row])
        request = self._request(logins, row, who, right=right)
        if logins["signup"][row]:
            self.settler.sign_up(who, request)
            return None
        actor = Actor(
            self.flow,
            self.clock,
            self.phones,
            who,
            means_of(shard, account, row),
            trusts=bool(logins["po_trusts_device"][row]),
        )
        actor.script()
        begun = login.begin(self.flow, request)
        step = actor.play(begun)
        for answer in (begun, step):  # a token is exchanged at the first step, asked or not
            if answer.device_token:
                who.cookies[request.device] = answer.device_token
        return _found(step, actor)

    def _request(
        self, logins: dict[str, Array], row: int, who: Identity, *, right: bool
    ) -> login.Request:
        """One row as the site's edge would hand it over."""
        device = str(logins["device_id"][row]) if logins["device_id"][row] else ""
        country, region, browser = (
            self.words[name][code] if (code := int(logins[name][row])) >= 0 else ""
            for name in ("country", "region", "browser")
        )
        place = None
        if "latitude" in logins:  # beside the logins, for a learned scorer
            there = float(logins["latitude"][row]), float(logins["longitude"][row])
            place = None if math.isnan(sum(there)) else there
            self.address = AddressSeen(
                int(logins["ip_accounts"][row]), int(logins["ip_failures"][row])
            )
        return login.Request(
            who.name,
            who.password if right else "a wrong password",
            device,
            who.cookies.get(device, ""),
            country=country,
            region=region,
            asn=int(logins["asn"][row]),
            browser=browser,
            place=place,
            rtt_ms=int(logins["rtt_ms"][row]),
            ip_listed=bool(logins["ip_listed"][row]),
        )


def _new_file(path: Path) -> Engine:
    if path.exists():
        raise InputError(f"{path} is there already; name a new file")
    return connect(str(path), create=True)


def means_of(shard: Shard, account: int, row: int) -> Means:
    """One row's potential outcomes and its person's means, as the replay reads them."""
    logins, people = shard.logins, shard.people
    potential = {
        name: logins[f"po_{name}"][row].item() for name in Means._fields if f"po_{name}" in logins
    }
    return Means(
        **potential,
        is_attack=bool(logins["attack"][row]),
        has_whatsapp=bool(people["whatsapp"][account]),
        has_text=LINE_TYPES[int(people["line_type"][account])] != "landline",
        factors=int(people["factors"][account]),
    )


def _found(step: Step, actor: Actor) -> dict[str, object]:
    """What the flow noted of a login, as columns of the outcomes table."""
    record = step.record
    read = actor.read_from if record.factor == "otp" and record.attempts else "none"
    return {
        "signals": record.bits,
        "failures": record.failures,
        "score": record.score,
        "decision": record.decision,
        "trusted": record.trusted,
        "factor": record.factor,
        "channel": read,
        "messages": record.messages,
        "attempts": record.attempts,
        "seconds_ds": min(record.seconds_ds, 65_535),
        "message_microusd": record.microusd,
        "outcome": record.outcome,
    }


def named(codes: dict[str, Any]) -> dict[str, object]:
    """A row of the outcomes table with its codes as names."""
    out: dict[str, object] = dict(codes)
    decision = codes["decision"]
    out["decision"] = None if decision == NO_DECISION else DECISIONS[decision]
    for name, words in (("factor", FACTORS), ("channel", CHANNELS), ("outcome", OUTCOME_NAMES)):
        out[name] = words[codes[name]]
    return out
