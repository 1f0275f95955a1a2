"""Generate a world from a scenario: people, logins and their potential outcomes, shard by shard.

A shard is a fixed number of accounts. It is a pure function of scenario, seed and number, so any
`concurrent.futures.Executor` may make shards in any order and the bits are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from twofa_lab.errors import InputError
from twofa_lab.tables import Array
from twofa_lab.traffic import features
from twofa_lab.traffic.attackers import Criminals, draw_criminals, raid
from twofa_lab.traffic.calendar import Clock, make_clock, window_of
from twofa_lab.traffic.clients import Clients, clients
from twofa_lab.traffic.geography import Geography, geography
from twofa_lab.traffic.layout import Laid, Sessions, lay_out, session_times
from twofa_lab.traffic.networks import Networks, networks
from twofa_lab.traffic.people import (
    MS_PER_DAY,
    Actors,
    Mix,
    Traits,
    draw_actors,
    draw_traits,
    stack,
)
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.shards import run_shards
from twofa_lab.traffic.storage import RunWriter, open_run
from twofa_lab.traffic.streams import Streams
from twofa_lab.traffic.world import MemorySource, Shard, World, WorldFacts

__all__ = ["Plan", "make_shard", "simulate"]

_TARGET_ROWS = 400_000  # of a shard: bounds memory, and is large enough to amortise a file
_MAX_USERS = 100_000_000
IDS_PER_SHARD = 1_000_000_000
"""Login ids of shard k begin at k times this many."""


@dataclass(frozen=True)
class Plan:
    """All that determines a world's rows."""

    scenario: Scenario
    users: int
    days: int
    seed: int
    mmdb: tuple[str, ...] = ()

    @property
    def accounts_per_shard(self) -> int:
        """A power of two, by the scenario and days alone: more users only add shards."""
        activity = self.scenario.people.activity
        years = (self.days + self.scenario.warmup_days) / 365.0
        mean = activity.median * float(np.exp(activity.sigma**2 / 2.0))
        attacks = sum(a.reach_per_year * a.attempts for a in self.scenario.attacks.values())
        per_account = (mean * 1.1 + attacks) * years + 0.2
        return 1 << int(np.clip(np.log2(_TARGET_ROWS / per_account), 6, 17))

    @property
    def shards(self) -> int:
        return -(-self.users // self.accounts_per_shard)

    @property
    def fingerprint(self) -> str:
        """Short hash that names the world: the same rows, the same fingerprint."""
        text = f"{self.scenario.model_dump_json()}|{self.users}|{self.days}|{self.seed}"
        digest = hashlib.sha256(text.encode())
        for path in self.mmdb:
            digest.update(Path(path).read_bytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class _Common:
    """What every shard of a world shares, made once a process."""

    clock: Clock
    window_start: int
    criminals: Criminals
    sources: tuple[Geography, Networks, Clients]
    tables: features.Tables


@lru_cache(maxsize=4)
def _common(scenario_json: str, days: int, seed: int, mmdb: tuple[str, ...]) -> _Common:
    scenario = Scenario.model_validate_json(scenario_json)
    sources = (geography(), networks(mmdb), clients())
    clock = make_clock(scenario, days)
    start = window_of(scenario, days)[1]
    criminals = draw_criminals(scenario, seed, clock, start, sources)
    return _Common(clock, start, criminals, sources, features.make_tables(scenario, sources))


def _common_of(plan: Plan) -> _Common:
    return _common(plan.scenario.model_dump_json(), plan.days, plan.seed, plan.mmdb)


def simulate(
    scenario: str | Path | Scenario = "us-consumer",
    users: int = 10_000,
    days: int = 90,
    seed: int = 7,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    mmdb: Sequence[str | Path] = (),
    executor: Executor | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> World:
    """Generate a world: `users` accounts over `days` (plus the scenario's warm-up before them).

    With `out` the shards are written as Parquet to that new directory and the world reads from
    there, in memory bounded by the shard size; without it they are kept in memory. `executor` is
    any `concurrent.futures.Executor` (default: `workers` threads, one a core). `mmdb` names the
    user's own MMDB files to take address blocks from, instead of the packaged table. Raises
    `InputError` for an impossible request and `WorkError` when writing fails.

    >>> world = simulate("us-consumer", users=200, days=14, seed=1)
    >>> world.facts.users, world.facts.logins > 100
    (200, True)
    """
    if not isinstance(scenario, Scenario):
        scenario = Scenario.load(scenario)
    for name, value, most in (("users", users, _MAX_USERS), ("days", days, 3660)):
        if not isinstance(value, int | np.integer) or not 1 <= value <= most:
            raise InputError(f"{name} is {value}: give a whole number from 1 to {most:,}")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise InputError(f"seed is {seed}: give a whole number from 0 on")
    plan = Plan(scenario, int(users), int(days), int(seed), tuple(map(str, mmdb)))
    _common_of(
        plan
    )  # once, before threads ask for it; and a bad file is told before any is written
    label = f"simulating {scenario.name}"
    if out is None:
        tasks = [(make_shard, (plan, index)) for index in range(plan.shards)]
        shards = tuple(run_shards(tasks, label, executor, workers, progress))
        counts = [count_rows(shard, plan) for shard in shards]
        return World(facts_of(plan, counts), MemorySource(shards))
    with RunWriter(Path(out), overwrite=overwrite) as writer:
        tasks_ = [(_write_shard, (plan, index, writer.folder)) for index in range(plan.shards)]
        counts = run_shards(tasks_, label, executor, workers, progress)
        writer.finish(facts_of(plan, counts), len(counts))
    return open_run(out)


def _write_shard(plan: Plan, index: int, folder: Path) -> tuple[int, int]:
    from twofa_lab.traffic.storage import write_shard

    shard = make_shard(plan, index)
    write_shard(folder, shard, features.vocabularies())
    return count_rows(shard, plan)


def count_rows(shard: Shard, plan: Plan) -> tuple[int, int]:
    """Logins and attacks of a shard inside the window that counts."""
    start = window_of(plan.scenario, plan.days)[1]
    counted = (shard.logins["time"] >= start) & ~shard.logins["signup"]
    return int(counted.sum()), int((counted & (shard.logins["attack"] != 0)).sum())


def facts_of(plan: Plan, counts: list[tuple[int, int]]) -> WorldFacts:
    """The facts of a world whose shards hold so many (logins, attacks)."""
    _, start, end = window_of(plan.scenario, plan.days)
    return WorldFacts(
        name=plan.scenario.name,
        seed=plan.seed,
        users=plan.users,
        days=plan.days,
        window=(start, end),
        logins=sum(logins for logins, _ in counts),
        attacks=sum(attacks for _, attacks in counts),
        vocabularies=features.vocabularies(),
        costs=plan.scenario.costs,
        human_side="simulated",
        fingerprint=plan.fingerprint,
    )


def make_shard(plan: Plan, index: int) -> Shard:
    """Shard number `index` of a world: a pure function of its arguments."""
    scenario = plan.scenario
    first = index * plan.accounts_per_shard
    accounts = min(plan.accounts_per_shard, plan.users - first)
    common = _common_of(plan)
    streams = Streams(plan.seed, index)
    clock = common.clock
    window = (clock.start, clock.end)
    people = draw_actors(
        accounts, streams, scenario, Mix(scenario.people.countries), window, common.sources
    )
    traits = draw_traits(accounts, streams, scenario, people.country.astype(np.int64), window)
    laid, actors, defeats = _rows(plan, streams, common, people, traits)
    logins = features.columns(
        laid, actors, people, traits, defeats, streams, clock, common.tables, common.sources
    )
    logins["user_id"] = laid.account + np.int64(first)
    logins["login_id"] = np.int64(index) * IDS_PER_SHARD + np.arange(len(laid.time))
    table = features.people_columns(people, traits, first, common.sources[0])
    return Shard(index, logins, table, laid.starts)


def _rows(
    plan: Plan, streams: Streams, common: _Common, people: Actors, traits: Traits
) -> tuple[Laid, Actors, Array]:
    """The shard's rows in order, every actor they name, and what each hit gets past."""
    clock, scenario = common.clock, plan.scenario
    sessions, gap = _sessions(plan, streams, common, people, traits)
    attacks = raid(
        scenario, streams.named("raid"), people, traits, common.criminals, clock,
        common.sources,
    )  # fmt: skip
    signup = (traits.created >= clock.start).astype(np.int64)
    tries = np.concatenate(([0], np.cumsum(sessions.slips.astype(np.int64) + 1)))
    own = tries[sessions.starts[1:]] - tries[sessions.starts[:-1]]
    starts = np.concatenate(([0], np.cumsum(signup + own + np.diff(attacks.rows.starts))))
    n = int(starts[-1])
    laid = Laid(
        starts=starts,
        time=np.zeros(n, np.int64),
        password_ok=np.zeros(n, bool),
        password_reset=np.zeros(n, bool),
        signup=np.zeros(n, bool),
        attack=np.zeros(n, np.uint8),
        campaign=np.full(n, -1, np.int32),
        account=np.zeros(n, np.int32),
        actor=np.zeros(n, np.int32),
        hit=np.full(n, -1, np.int32),
    )
    lay_out(sessions, attacks.rows, traits.created, clock.start, gap, laid)
    return laid, stack(people, common.criminals.actors, attacks.actors), attacks.defeats


def _sessions(
    plan: Plan, streams: Streams, common: _Common, people: Actors, traits: Traits
) -> tuple[Sessions, Array]:
    """Sign-ins by account with the slips before them; and the time between attempts, ms."""
    clock = common.clock
    years = (clock.end - clock.start) / MS_PER_DAY / 365.0
    alive = np.clip((clock.end - traits.created) / (clock.end - clock.start), 0.0, 1.0)
    expected = traits.logins_per_year * years * alive
    whole = np.floor(expected)
    accounts = len(alive)
    # thin a year's whole logins to the window without losing its shape: binomial below one year
    part = streams.uniform("part", accounts) < expected - whole
    thinned = streams.of("sessions").binomial(
        traits.logins_per_year.astype(np.int64), np.minimum(years * alive, 1.0)
    )
    count = np.where(years * alive >= 1.0, whole + part, thinned).astype(np.int64)
    starts = np.concatenate(([0], np.cumsum(count)))
    n = int(starts[-1])
    account = np.repeat(np.arange(accounts), count)
    rate, left = traits.slip_rate[account], streams.uniform("slips now", n)
    slips = np.zeros(n, np.uint8)
    for _ in range(5):
        slips += left < rate ** (slips + 1)
    reset = (slips >= 3) & (streams.uniform("forgotten", n) < plan.scenario.people.forgotten_share)
    time = np.empty(n, np.int64)
    session_times(
        clock,
        people,
        common.sources[0].zone,
        starts,
        traits.created,
        streams.uniform("day", n),
        streams.uniform("hour", n),
        streams.uniform("minute", n),
        time,
    )
    gap = 4000.0 + 9000.0 * streams.uniform("gap", n)  # ms between attempts: assumption
    return Sessions(starts, time, slips, reset), gap
